//! The client's side of the handshake: choosing an export with `NBD_OPT_GO`, and asking for the list.

use super::socket::Transport;
use super::{ClientError, RemoteExport};
use udm_nbd::wire::{
    BlockSizes, ClientFlags, Greeting, HandshakeFlags, InfoExport, InfoType, MAX_STRING, OptionCode,
    OptionHeader, OptionReply, ReplyType,
};

/// The most data of one reply: two strings and their lengths. A server that sends more is not followed.
const MAX_REPLY_DATA: u32 = 2 * MAX_STRING as u32 + 8;
/// The most replies to one option; so a server cannot keep us for ever, nor fill our memory.
const MAX_REPLIES: usize = 10_000;

/// One entry of a server's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedExport {
    /// The name to ask for.
    pub name: String,
    /// The server's words about it; may be empty.
    pub description: String,
}

/// Chooses an export and enters the transmission phase.
pub(super) fn go(transport: &mut Transport, export: &str) -> Result<RemoteExport, ClientError> {
    if export.len() > MAX_STRING {
        return Err(ClientError::NameTooLong { length: export.len() });
    }
    greet(transport)?;
    let mut data = Vec::with_capacity(export.len() + 8);
    data.extend_from_slice(&(export.len() as u32).to_be_bytes());
    data.extend_from_slice(export.as_bytes());
    data.extend_from_slice(&1u16.to_be_bytes());
    data.extend_from_slice(&InfoType::BlockSize.to_wire().to_be_bytes());
    ask(transport, OptionCode::Go, &data)?;

    let mut about = None;
    let mut block_sizes = None;
    let header = replies(transport, OptionCode::Go, ReplyType::Info, |data| {
        let Some(kind) = data.first_chunk() else { return false };
        match InfoType::from_wire(u16::from_be_bytes(*kind)) {
            InfoType::Export => {
                about = data.try_into().ok().and_then(|data| InfoExport::decode(data).ok());
                about.is_some()
            }
            InfoType::BlockSize => {
                block_sizes = data.try_into().ok().and_then(|data| BlockSizes::decode(data).ok());
                block_sizes.is_some_and(BlockSizes::are_sound)
            }
            _ => true,
        }
    });
    let header = header.inspect_err(|error| {
        if matches!(error, ClientError::Refused { .. }) {
            abort(transport);
        }
    })?;
    let InfoExport { size, flags } = about.ok_or_else(|| unexpected(header))?;
    Ok(RemoteExport { size, flags, block_sizes })
}

/// Asks for the list and ends the session.
pub(super) fn list(transport: &mut Transport) -> Result<Vec<ListedExport>, ClientError> {
    greet(transport)?;
    ask(transport, OptionCode::List, &[])?;
    let mut listed = Vec::new();
    replies(transport, OptionCode::List, ReplyType::Server, |data| {
        let Some((length, rest)) = data.split_first_chunk() else { return false };
        let Some((name, description)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else {
            return false;
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        listed.push(ListedExport { name: text(name), description: text(description) });
        true
    })?;
    abort(transport);
    Ok(listed)
}

/// Ends the session as the protocol asks of a client that is done or was refused. A server may hang up rather than
/// answer (section "Option types"), and nothing depends on it.
fn abort(transport: &mut Transport) {
    if ask(transport, OptionCode::Abort, &[]).is_ok() {
        let _ = replies(transport, OptionCode::Abort, ReplyType::Ack, |_| false);
    }
}

fn greet(transport: &mut Transport) -> Result<(), ClientError> {
    let mut greeting = [0; Greeting::SIZE];
    transport.receive(&mut greeting, "waiting for its greeting")?;
    let offered = Greeting::decode(&greeting)?.flags;
    if !offered.contains(HandshakeFlags::FIXED_NEWSTYLE) {
        return Err(ClientError::NotFixedNewstyle);
    }
    let mut flags = ClientFlags::FIXED_NEWSTYLE;
    if offered.contains(HandshakeFlags::NO_ZEROES) {
        flags |= ClientFlags::NO_ZEROES;
    }
    transport.send(&flags.bits().to_be_bytes(), &[], 0)
}

fn ask(transport: &mut Transport, option: OptionCode, data: &[u8]) -> Result<(), ClientError> {
    transport.send(&OptionHeader { option, length: data.len() as u32 }.encode(), data, 0)
}

/// Gives the data of each reply of kind `piece` to `take`, until the server says that it is done. `take` answers
/// whether the data fits.
fn replies(
    transport: &mut Transport,
    option: OptionCode,
    piece: ReplyType,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<OptionReply, ClientError> {
    let mut data = Vec::new();
    for _ in 0..MAX_REPLIES {
        let mut header = [0; OptionReply::SIZE];
        transport.receive(&mut header, "waiting for the answer to an option")?;
        let header = OptionReply::decode(&header)?;
        if header.option != option || header.length > MAX_REPLY_DATA {
            return Err(unexpected(header));
        }
        data.resize(header.length as usize, 0);
        transport.receive(&mut data, "reading the answer to an option")?;
        if header.reply.is_error() {
            let message = String::from_utf8_lossy(&data).replace(char::is_control, " ");
            return Err(ClientError::Refused { option, reply: header.reply, message });
        }
        match header.reply {
            ReplyType::Ack if data.is_empty() => return Ok(header),
            reply if reply == piece && take(&data) => {}
            _ => return Err(unexpected(header)),
        }
    }
    Err(unexpected(OptionReply { option, reply: piece, length: 0 }))
}

fn unexpected(OptionReply { option, reply, length }: OptionReply) -> ClientError {
    ClientError::UnexpectedReply { option, reply, length }
}
