//! The two things that a client asks in the handshake: to choose an export, and to list the exports.

use super::{HandshakeError, RemoteExport};
use crate::wire::{BlockSizes, InfoExport, InfoType, MAX_STRING, OptionCode, ReplyType};

/// What a [`Handshake`](super::Handshake) asks the server. [`Choose`] and [`List`] are the only ones.
pub trait Question: steps::Steps {
    /// What the server's replies say together.
    type Answer;

    /// The answer, once the server has said that it is complete. None if a reply is missing.
    #[doc(hidden)]
    fn answer(&mut self) -> Option<Self::Answer>;
}

pub(super) mod steps {
    use super::{OptionCode, ReplyType};

    /// How a question is asked, and how its replies are read. It is private so that no other crate adds a question.
    pub trait Steps {
        /// The option that asks it.
        const OPTION: OptionCode;
        /// The replies that each hold a part of the answer.
        const PART: ReplyType;
        /// The session has no use once this question is answered.
        const ENDS_SESSION: bool;

        /// The option's data.
        fn data(&self) -> Vec<u8>;

        /// Takes the data of one reply. False if they do not fit.
        fn part(&mut self, data: &[u8]) -> bool;
    }
}

/// Chooses an export with `NBD_OPT_GO`, asks for its block sizes, and begins the transmission phase.
#[derive(Debug)]
pub struct Choose {
    name: String,
    about: Option<InfoExport>,
    block_sizes: Option<BlockSizes>,
}

impl Choose {
    pub(super) fn new(name: &str) -> Result<Self, HandshakeError> {
        if name.len() > MAX_STRING {
            return Err(HandshakeError::NameTooLong { length: name.len() });
        }
        Ok(Self { name: name.to_owned(), about: None, block_sizes: None })
    }
}

impl steps::Steps for Choose {
    const OPTION: OptionCode = OptionCode::Go;
    const PART: ReplyType = ReplyType::Info;
    const ENDS_SESSION: bool = false;

    fn data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.name.len() + 8);
        data.extend_from_slice(&(self.name.len() as u32).to_be_bytes());
        data.extend_from_slice(self.name.as_bytes());
        data.extend_from_slice(&1u16.to_be_bytes());
        data.extend_from_slice(&InfoType::BlockSize.to_wire().to_be_bytes());
        data
    }

    fn part(&mut self, data: &[u8]) -> bool {
        let Some(kind) = data.first_chunk() else { return false };
        match InfoType::from_wire(u16::from_be_bytes(*kind)) {
            InfoType::Export => {
                self.about = data.try_into().ok().and_then(|data| InfoExport::decode(data).ok());
                self.about.is_some()
            }
            InfoType::BlockSize => {
                self.block_sizes = data.try_into().ok().and_then(|data| BlockSizes::decode(data).ok());
                self.block_sizes.is_some_and(BlockSizes::are_sound)
            }
            _ => true,
        }
    }
}

impl Question for Choose {
    type Answer = RemoteExport;

    fn answer(&mut self) -> Option<RemoteExport> {
        let InfoExport { size, flags } = self.about?;
        Some(RemoteExport { size, flags, block_sizes: self.block_sizes })
    }
}

/// One entry of a server's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedExport {
    /// The name to ask for.
    pub name: String,
    /// The server's words about it; may be empty.
    pub description: String,
}

/// Asks for the list of exports with `NBD_OPT_LIST`, and ends the session.
#[derive(Debug, Default)]
pub struct List(Vec<ListedExport>);

impl steps::Steps for List {
    const OPTION: OptionCode = OptionCode::List;
    const PART: ReplyType = ReplyType::Server;
    const ENDS_SESSION: bool = true;

    fn data(&self) -> Vec<u8> {
        Vec::new()
    }

    fn part(&mut self, data: &[u8]) -> bool {
        let Some((length, rest)) = data.split_first_chunk() else { return false };
        let Some((name, description)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else {
            return false;
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.0.push(ListedExport { name: text(name), description: text(description) });
        true
    }
}

impl Question for List {
    type Answer = Vec<ListedExport>;

    fn answer(&mut self) -> Option<Vec<ListedExport>> {
        Some(std::mem::take(&mut self.0))
    }
}
