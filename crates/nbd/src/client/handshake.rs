//! The client's handshake: the answer to the greeting, one option, its replies, and a farewell if the session ends here.

use super::HandshakeError;
use super::question::{Choose, List, Question};
use crate::gather::Gather;
use crate::wire::{
    ClientFlags, Greeting, HandshakeFlags, MAX_STRING, OptionCode, OptionHeader, OptionReply, ReplyType,
};

/// The most data of one reply: two strings and their lengths. A longer reply is an error.
const MAX_REPLY_DATA: u32 = 2 * MAX_STRING as u32 + 8;
/// The most replies to one option, so that a server can neither keep a client for ever nor fill its memory.
const MAX_REPLIES: usize = 10_000;

/// A handshake with a server, from the greeting to the answer to one question.
///
/// The caller receives [`due`](Self::due) bytes, or any other number, gives them to [`input`](Self::input) and sends what
/// that answers, until nothing is due. [`finish`](Self::finish) then gives the server's answer.
///
/// A hostile server is bounded: one reply takes at most 8200 bytes of memory, and there are at most 10,000 replies. The
/// caller bounds the time.
#[derive(Debug)]
pub struct Handshake<Q: Question> {
    question: Q,
    state: State,
    held: Gather,
    replies: usize,
    outcome: Option<Result<Q::Answer, HandshakeError>>,
}

/// The message that is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    ReplyHeader,
    /// The data of a reply.
    ReplyData(OptionReply),
    /// The answer to `NBD_OPT_ABORT`.
    Farewell,
    Over,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The bytes until the end of the current message or of its header; never 0.
    pub bytes: usize,
    /// What the client is doing meanwhile, in words for an error message.
    pub doing: &'static str,
}

impl Handshake<Choose> {
    /// A handshake that chooses an export and begins the transmission phase. The empty name is the server's default export.
    ///
    /// # Errors
    /// The name is longer than [`MAX_STRING`] bytes.
    pub fn choose(export: &str) -> Result<Self, HandshakeError> {
        Choose::new(export).map(Self::new)
    }
}

impl Handshake<List> {
    /// A handshake that asks for the names and descriptions of all exports, and ends the session.
    pub fn list() -> Self {
        Self::new(List::default())
    }
}

impl<Q: Question> Handshake<Q> {
    fn new(question: Q) -> Self {
        Self { question, state: State::Greeting, held: Gather::default(), replies: 0, outcome: None }
    }

    /// What to receive next. None once the handshake is over.
    pub fn due(&self) -> Option<Due> {
        let (size, doing) = match self.state {
            State::Greeting => (Greeting::SIZE, "waiting for its greeting"),
            State::ReplyHeader => (OptionReply::SIZE, "waiting for the answer to an option"),
            State::ReplyData(header) => (header.length as usize, "reading the answer to an option"),
            State::Farewell => (OptionReply::SIZE, "waiting for the answer to NBD_OPT_ABORT"),
            State::Over => return None,
        };
        Some(Due { bytes: self.held.missing(size), doing })
    }

    /// True once the server has answered. What may still be due is its answer to `NBD_OPT_ABORT`; a server may hang up
    /// instead (section "Option types" of the protocol), so an error of the connection no longer matters.
    pub fn is_answered(&self) -> bool {
        self.outcome.is_some()
    }

    /// Takes bytes that the server sent, and appends to `to_server` what must be sent. Returns how many bytes it took;
    /// the others came after the end of the handshake.
    ///
    /// # Errors
    /// The server broke the protocol. Only a hangup helps, and nothing is due any more.
    pub fn input(&mut self, bytes: &[u8], to_server: &mut Vec<u8>) -> Result<usize, HandshakeError> {
        let mut rest = bytes;
        loop {
            match self.advance(&mut rest, to_server) {
                Ok(true) => {}
                Ok(false) => return Ok(bytes.len() - rest.len()),
                Err(error) => {
                    self.state = State::Over;
                    return Err(error);
                }
            }
        }
    }

    /// The server's answer.
    ///
    /// # Errors
    /// The server refused the question, or the answer is not complete.
    pub fn finish(self) -> Result<Q::Answer, HandshakeError> {
        self.outcome.unwrap_or(Err(HandshakeError::Unfinished))
    }

    /// Takes one message. False if it has not arrived as a whole, or if the handshake is over.
    fn advance(&mut self, rest: &mut &[u8], to_server: &mut Vec<u8>) -> Result<bool, HandshakeError> {
        match self.state {
            State::Greeting => {
                let Some(greeting) = self.held.array(rest) else { return Ok(false) };
                answer_greeting(Greeting::decode(&greeting)?, to_server)?;
                ask(Q::OPTION, &self.question.data(), to_server);
                self.state = State::ReplyHeader;
            }
            State::ReplyHeader => {
                let Some(header) = self.held.array(rest) else { return Ok(false) };
                let header = OptionReply::decode(&header)?;
                self.replies += 1;
                if header.option != Q::OPTION || header.length > MAX_REPLY_DATA || self.replies > MAX_REPLIES
                {
                    return Err(unexpected(header));
                }
                self.state = State::ReplyData(header);
            }
            State::ReplyData(header) => {
                if !self.held.fill(header.length as usize, rest) {
                    return Ok(false);
                }
                let data = self.held.take();
                self.reply(header, &data, to_server)?;
                self.held.reuse(data);
            }
            State::Farewell => {
                let Some(_whatever) = self.held.array::<{ OptionReply::SIZE }>(rest) else {
                    return Ok(false);
                };
                self.state = State::Over;
            }
            State::Over => return Ok(false),
        }
        Ok(true)
    }

    fn reply(
        &mut self,
        header: OptionReply,
        data: &[u8],
        to_server: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        let OptionReply { option, reply, .. } = header;
        if reply.is_error() {
            let message = String::from_utf8_lossy(data).replace(char::is_control, " ");
            self.outcome = Some(Err(HandshakeError::Refused { option, reply, message }));
            self.say_farewell(to_server);
            return Ok(());
        }
        match reply {
            ReplyType::Ack if data.is_empty() => {
                let answer = self.question.answer().ok_or_else(|| unexpected(header))?;
                self.outcome = Some(Ok(answer));
                if Q::ENDS_SESSION {
                    self.say_farewell(to_server);
                } else {
                    self.state = State::Over;
                }
            }
            reply if reply == Q::PART && self.question.part(data) => self.state = State::ReplyHeader,
            _ => return Err(unexpected(header)),
        }
        Ok(())
    }

    /// Ends the session as the protocol asks of a client that is done, or was refused.
    fn say_farewell(&mut self, to_server: &mut Vec<u8>) {
        ask(OptionCode::Abort, &[], to_server);
        self.state = State::Farewell;
    }
}

fn answer_greeting(greeting: Greeting, to_server: &mut Vec<u8>) -> Result<(), HandshakeError> {
    if !greeting.flags.contains(HandshakeFlags::FIXED_NEWSTYLE) {
        return Err(HandshakeError::NotFixedNewstyle);
    }
    let mut flags = ClientFlags::FIXED_NEWSTYLE;
    flags.set(ClientFlags::NO_ZEROES, greeting.flags.contains(HandshakeFlags::NO_ZEROES));
    to_server.extend_from_slice(&flags.bits().to_be_bytes());
    Ok(())
}

fn ask(option: OptionCode, data: &[u8], to_server: &mut Vec<u8>) {
    to_server.extend_from_slice(&OptionHeader { option, length: data.len() as u32 }.encode());
    to_server.extend_from_slice(data);
}

fn unexpected(OptionReply { option, reply, length }: OptionReply) -> HandshakeError {
    HandshakeError::UnexpectedReply { option, reply, length }
}
