//! The answers to the options that are served, each from its whole data.

use super::{MAX_STRING, Negotiation, NegotiationError, Progress, Quoted, refuse, reply};
use crate::wire::{
    ExportNameReply, InfoExport, InfoType, OptionCode, RESERVED_ZEROES, ReplyType, TransmissionFlags,
};

/// The data of `NBD_OPT_INFO` and `NBD_OPT_GO` (section "Option types").
struct InfoRequest<'d> {
    name: &'d str,
    wants_name: bool,
    wants_description: bool,
}

impl Negotiation<'_> {
    /// Answers an option whose data is complete.
    pub(super) fn answer(
        &self,
        option: OptionCode,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, NegotiationError> {
        match option {
            OptionCode::ExportName => self.export_name(data, out),
            OptionCode::Abort => {
                reply(option, ReplyType::Ack, [&[], &[]], out);
                Ok(Progress::Closed)
            }
            OptionCode::List => {
                self.list(data, out);
                Ok(Progress::Continue)
            }
            // The header decided that only Info and Go remain.
            _ => Ok(self.info(option, data, out)),
        }
    }

    /// The export of that name; the empty name is the first one's other name.
    fn find(&self, name: &str) -> Option<usize> {
        let found = self.exports.iter().position(|export| export.name == name);
        found.or_else(|| (name.is_empty() && !self.exports.is_empty()).then_some(0))
    }

    fn export_name(&self, data: &[u8], out: &mut Vec<u8>) -> Result<Progress, NegotiationError> {
        let Some(index) = str::from_utf8(data).ok().and_then(|name| self.find(name)) else {
            return Err(NegotiationError::NoSuchExport { name: String::from_utf8_lossy(data).into_owned() });
        };
        let export = &self.exports[index];
        let answer = ExportNameReply { size: export.size, flags: advertised(export.flags) };
        out.extend_from_slice(&answer.encode());
        if !self.no_zeroes {
            out.extend_from_slice(&[0; RESERVED_ZEROES]);
        }
        Ok(Progress::Transmission(index))
    }

    fn list(&self, data: &[u8], out: &mut Vec<u8>) {
        let option = OptionCode::List;
        if !data.is_empty() {
            return refuse(option, ReplyType::ErrInvalid, "NBD_OPT_LIST should carry no data", out);
        }
        for export in &*self.exports {
            let mut named = Vec::with_capacity(4 + export.name.len());
            named.extend_from_slice(&(export.name.len() as u32).to_be_bytes());
            named.extend_from_slice(export.name.as_bytes());
            reply(option, ReplyType::Server, [&named, export.description.as_bytes()], out);
        }
        reply(option, ReplyType::Ack, [&[], &[]], out);
    }

    fn info(&self, option: OptionCode, data: &[u8], out: &mut Vec<u8>) -> Progress {
        let request = match InfoRequest::parse(data) {
            Ok(request) => request,
            Err(text) => {
                refuse(option, ReplyType::ErrInvalid, text, out);
                return Progress::Continue;
            }
        };
        let Some(index) = self.find(request.name) else {
            let text = format!("there is no export {}; NBD_OPT_LIST names them", Quoted(request.name));
            refuse(option, ReplyType::ErrUnknown, &text, out);
            return Progress::Continue;
        };
        let export = &self.exports[index];
        let about = InfoExport { size: export.size, flags: advertised(export.flags) };
        let mut inform = |data: [&[u8]; 2]| reply(option, ReplyType::Info, data, out);
        inform([&about.encode(), &[]]);
        if request.wants_name {
            inform([&InfoType::Name.to_wire().to_be_bytes(), export.name.as_bytes()]);
        }
        if request.wants_description && !export.description.is_empty() {
            inform([&InfoType::Description.to_wire().to_be_bytes(), export.description.as_bytes()]);
        }
        // Unasked too: a client that did not ask may still heed it.
        inform([&export.block_sizes.encode(), &[]]);
        reply(option, ReplyType::Ack, [&[], &[]], out);
        if option == OptionCode::Go { Progress::Transmission(index) } else { Progress::Continue }
    }
}

/// The flags as sent: always marked as flags, and without what only structured replies and extended headers allow.
fn advertised(flags: TransmissionFlags) -> TransmissionFlags {
    let unserved = TransmissionFlags::SEND_DF | TransmissionFlags::BLOCK_STATUS_PAYLOAD;
    (flags | TransmissionFlags::HAS_FLAGS).without(unserved)
}

impl<'d> InfoRequest<'d> {
    /// Reads the data: the name's length (32 bits), the name, the number of information requests (16 bits), and the
    /// requests (16 bits each). What is wrong is told in words for the client's user.
    fn parse(data: &'d [u8]) -> Result<Self, &'static str> {
        let (length, rest) = data.split_first_chunk().ok_or("the data ends within the name's length")?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_STRING {
            return Err("the name should be at most 4096 bytes long");
        }
        let (name, rest) = rest.split_at_checked(length).ok_or("the data ends within the name")?;
        let name = str::from_utf8(name).map_err(|_| "the name should be UTF-8")?;
        let (count, rest) = rest.split_first_chunk().ok_or("the data ends before the number of requests")?;
        let (requests, []) = rest.as_chunks::<2>() else {
            return Err("the data ends within an information request");
        };
        if requests.len() != usize::from(u16::from_be_bytes(*count)) {
            return Err("the number of information requests is not what follows it");
        }
        let wants = |what: InfoType| requests.contains(&what.to_wire().to_be_bytes());
        Ok(Self { name, wants_name: wants(InfoType::Name), wants_description: wants(InfoType::Description) })
    }
}
