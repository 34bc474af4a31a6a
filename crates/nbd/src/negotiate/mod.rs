//! The server's side of the handshake, from the greeting to the transmission phase, as a state machine without I/O.
//!
//! The caller owns the socket. It sends [`GREETING`], then gives what it receives to [`Negotiation::input`], and sends
//! what that answers. `NBD_OPT_EXPORT_NAME`, `NBD_OPT_GO`, `NBD_OPT_INFO`, `NBD_OPT_LIST` and `NBD_OPT_ABORT` are served.
//! The data of every other option are skipped, and the answer is `NBD_REP_ERR_UNSUP`. A client without fixed newstyle is
//! served by `NBD_OPT_EXPORT_NAME` alone.
//!
//! A hostile client is bounded: at most [`MAX_OPTION_DATA`] bytes of an unfinished message are held, one call answers at
//! most one option, and the session ends after [`MAX_OPTIONS`] options or at one longer than [`MAX_SKIPPED_DATA`]. The
//! caller bounds the time.
//!
//! ```
//! use udm_nbd::negotiate::{ExportInfo, GREETING, Negotiation, Progress};
//! use udm_nbd::wire::TransmissionFlags;
//!
//! let exports = [ExportInfo::new("disk", 1 << 20, TransmissionFlags::SEND_FLUSH)];
//! let mut to_client = GREETING.to_vec();
//! // A client that takes fixed newstyle without zeroes, and asks for an export by name.
//! let mut arrived: &[u8] = b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\x04disk";
//!
//! let mut negotiation = Negotiation::new(&exports);
//! let export = loop {
//!     let step = negotiation.input(arrived, &mut to_client)?;
//!     arrived = &arrived[step.consumed..];
//!     // Here a server sends `to_client` and, where `arrived` is empty, receives more.
//!     match step.progress {
//!         Progress::Continue => {}
//!         Progress::Transmission(export) => break export,
//!         Progress::Closed => panic!("the client left"),
//!     }
//! };
//! assert_eq!(exports[export].name, "disk");
//! # Ok::<(), udm_nbd::negotiate::NegotiationError>(())
//! ```

mod error;
mod export;
mod limits;
mod options;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use error::NegotiationError;
pub use export::{ExportInfo, ExportInfoError, check_exports};

use crate::gather::Gather;
use crate::wire::{ClientFlags, Greeting, MAX_STRING, OptionCode, OptionHeader, OptionReply, ReplyType};
use error::Quoted;
pub use limits::{MAX_OPTIONS, MAX_SKIPPED_DATA};

/// What the server says first: fixed newstyle, and that the reserved zeroes may be left out.
pub const GREETING: [u8; Greeting::SIZE] = *b"NBDMAGICIHAVEOPT\x00\x03";
/// The most bytes of data that a served option may carry: a name, and more information requests than there are types.
pub const MAX_OPTION_DATA: u32 = 64 << 10;
/// The handshake with one client.
#[derive(Debug)]
pub struct Negotiation<'a> {
    exports: Cow<'a, [ExportInfo]>,
    state: State,
    held: Gather,
    options_seen: u32,
    no_zeroes: bool,
    /// The client speaks fixed newstyle. One that does not can read no reply to an option.
    is_fixed: bool,
}

/// What is due next.
#[derive(Clone, Copy, Debug)]
enum State {
    ClientFlags,
    OptionHeader,
    /// The data of an option that is served.
    Data(OptionHeader),
    /// The data of an option that is refused, and how.
    Skip {
        option: OptionCode,
        left: u32,
        refusal: ReplyType,
    },
    Over(Progress),
}

/// What one call of [`Negotiation::input`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the bytes that were not consumed belong to the next call, or to the transmission phase"]
pub struct Step {
    /// How many of the bytes belong to the handshake so far. The rest is for the next call or, once the transmission
    /// phase has begun, the client's first requests.
    pub consumed: usize,
    /// How far the handshake is, once the answer is sent.
    pub progress: Progress,
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Call again with the bytes that were not consumed, if any, and what arrives after them.
    Continue,
    /// The handshake is over; requests follow, to the export of this index into the server's list.
    Transmission(usize),
    /// The client ended the session: send the answer and hang up.
    Closed,
}

impl Negotiation<'static> {
    /// As [`Negotiation::new`], with exports that the negotiation owns.
    pub fn owning(exports: Vec<ExportInfo>) -> Self {
        Self::over(Cow::Owned(exports))
    }
}

impl<'a> Negotiation<'a> {
    /// A handshake that has sent [`GREETING`] and offers these exports; the first is the default one, which the empty
    /// name chooses.
    ///
    /// The caller has checked them with [`check_exports`].
    pub fn new(exports: &'a [ExportInfo]) -> Self {
        Self::over(Cow::Borrowed(exports))
    }

    fn over(exports: Cow<'a, [ExportInfo]>) -> Self {
        Self {
            exports,
            state: State::ClientFlags,
            held: Gather::default(),
            options_seen: 0,
            no_zeroes: false,
            is_fixed: false,
        }
    }

    /// Takes bytes that the client sent, and appends the answer to `out`.
    ///
    /// A call ends after one option is answered, so that the caller can send the answer before the next one is made.
    /// After the end of the handshake, and after an error, nothing is consumed any more.
    ///
    /// # Errors
    /// The client broke the protocol, or asked for what can only be refused by hanging up. `out` is still to be sent.
    pub fn input(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Step, NegotiationError> {
        let mut rest = bytes;
        match self.advance(&mut rest, out) {
            Ok(progress) => Ok(Step { consumed: bytes.len() - rest.len(), progress }),
            Err(error) => {
                self.state = State::Over(Progress::Closed);
                self.held = Gather::default();
                Err(error)
            }
        }
    }

    /// Goes on until an option is answered or the bytes are used up.
    fn advance(&mut self, rest: &mut &[u8], out: &mut Vec<u8>) -> Result<Progress, NegotiationError> {
        loop {
            match self.state {
                State::Over(progress) => return Ok(progress),
                State::ClientFlags => {
                    let Some(flags) = self.held.array(rest) else { return Ok(Progress::Continue) };
                    self.client_flags(ClientFlags::from_bits_retain(u32::from_be_bytes(flags)))?;
                    self.state = State::OptionHeader;
                }
                State::OptionHeader => {
                    let Some(header) = self.held.array(rest) else { return Ok(Progress::Continue) };
                    self.state = self.option_header(OptionHeader::decode(&header)?)?;
                }
                State::Data(header) => {
                    if !self.held.fill(header.length as usize, rest) {
                        return Ok(Progress::Continue);
                    }
                    let data = self.held.take();
                    let progress = self.answer(header.option, &data, out)?;
                    self.held.reuse(data);
                    self.state = match progress {
                        Progress::Continue => State::OptionHeader,
                        over => State::Over(over),
                    };
                    return Ok(progress);
                }
                State::Skip { option, left, refusal } => {
                    let skipped = rest.len().min(left as usize);
                    *rest = &rest[skipped..];
                    let left = left - skipped as u32;
                    if left == 0 {
                        refuse(option, refusal, refusal_text(refusal), out);
                        self.state = State::OptionHeader;
                    } else {
                        self.state = State::Skip { option, left, refusal };
                    }
                    return Ok(Progress::Continue);
                }
            }
        }
    }

    /// Section "Client flags": a flag that the server did not offer ends the session.
    fn client_flags(&mut self, found: ClientFlags) -> Result<(), NegotiationError> {
        if !found.without(ClientFlags::all()).is_empty() {
            return Err(NegotiationError::UnknownClientFlags { found });
        }
        self.is_fixed = found.contains(ClientFlags::FIXED_NEWSTYLE);
        self.no_zeroes = found.contains(ClientFlags::NO_ZEROES);
        Ok(())
    }

    /// Decides from its header what becomes of an option.
    fn option_header(&mut self, header: OptionHeader) -> Result<State, NegotiationError> {
        let OptionHeader { option, length } = header;
        self.options_seen += 1;
        if self.options_seen > MAX_OPTIONS {
            return Err(NegotiationError::TooManyOptions);
        }
        if option == OptionCode::ExportName {
            // This option has no refusal but a hangup, so there is no use in reading a name that cannot be right.
            if length as usize > MAX_STRING {
                return Err(NegotiationError::NameTooLong { length });
            }
            return Ok(State::Data(header));
        }
        if !self.is_fixed {
            return Err(NegotiationError::NotFixedNewstyle { option });
        }
        if length > MAX_SKIPPED_DATA {
            return Err(NegotiationError::AbsurdOption { option, length });
        }
        let served =
            matches!(option, OptionCode::Abort | OptionCode::List | OptionCode::Info | OptionCode::Go);
        Ok(if !served {
            State::Skip { option, left: length, refusal: ReplyType::ErrUnsup }
        } else if length > MAX_OPTION_DATA {
            State::Skip { option, left: length, refusal: ReplyType::ErrTooBig }
        } else {
            State::Data(header)
        })
    }
}

/// Appends a reply to an option, with its data in two parts.
fn reply(option: OptionCode, reply: ReplyType, data: [&[u8]; 2], out: &mut Vec<u8>) {
    let length = (data[0].len() + data[1].len()) as u32;
    out.extend_from_slice(&OptionReply { option, reply, length }.encode());
    out.extend_from_slice(data[0]);
    out.extend_from_slice(data[1]);
}

/// Appends an error reply with words for a person.
fn refuse(option: OptionCode, refusal: ReplyType, text: &str, out: &mut Vec<u8>) {
    reply(option, refusal, [text.as_bytes(), &[]], out);
}

fn refusal_text(refusal: ReplyType) -> &'static str {
    match refusal {
        ReplyType::ErrTooBig => "the option carries too much data",
        _ => "this server does not serve this option",
    }
}
