//! The NBD wire: whatever a client sends, and however the network cuts it, the handshake answers the same, keeps to its
//! bounds and speaks well-formed NBD; and each structure that can be read is written back as the same bytes.
//!
//! The first byte of the input says in pieces of how many bytes the rest arrives (0: all at once).
#![no_main]

use libfuzzer_sys::fuzz_target;
use udm_nbd::negotiate::{ExportInfo, MAX_OPTIONS, Negotiation, NegotiationError, Progress, check_exports};
use udm_nbd::wire::{
    ExportNameReply, Greeting, OptionHeader, OptionReply, RESERVED_ZEROES, Request, SimpleReply,
    TransmissionFlags,
};

fuzz_target!(|data: &[u8]| {
    let Some((&piece, sent)) = data.split_first() else { return };
    structures(sent);

    let exports = exports();
    let whole = Session::run(&exports, sent, sent.len().max(1));
    let pieces = Session::run(&exports, sent, if piece == 0 { sent.len().max(1) } else { piece.into() });
    assert_eq!(whole, pieces, "the answer depends on how the network cuts the client's bytes");
    whole.check_answer();

    // What follows the handshake is requests.
    if let Ok(Progress::Transmission(export)) = whole.end {
        assert!(export < exports.len(), "the client chose an export that there is not");
        for request in sent[whole.consumed..].chunks_exact(Request::SIZE) {
            structures(request);
        }
    }
});

fn exports() -> [ExportInfo; 2] {
    let mut other = ExportInfo::new("other", u64::MAX >> 1, TransmissionFlags::HAS_FLAGS);
    other.description = "read only".to_owned();
    let exports = [ExportInfo::new("disk", 1 << 20, TransmissionFlags::SEND_FLUSH), other];
    check_exports(&exports).expect("these exports are sound");
    exports
}

/// How a handshake went.
#[derive(Debug, PartialEq)]
struct Session {
    answer: Vec<u8>,
    end: Result<Progress, NegotiationError>,
    consumed: usize,
}

impl Session {
    /// The handshake with a client that sends these bytes, which arrive in pieces.
    fn run(exports: &[ExportInfo], sent: &[u8], piece: usize) -> Self {
        let mut negotiation = Negotiation::new(exports);
        let mut session = Self { answer: Vec::new(), end: Ok(Progress::Continue), consumed: 0 };
        let mut calls = 0;
        for arrived in sent.chunks(piece) {
            let mut left = arrived;
            while !left.is_empty() {
                calls += 1;
                assert!(calls <= sent.len() + MAX_OPTIONS as usize, "the handshake takes calls without end");
                match negotiation.input(left, &mut session.answer) {
                    Ok(step) => {
                        session.consumed += step.consumed;
                        left = &left[step.consumed..];
                        if step.progress != Progress::Continue {
                            session.end = Ok(step.progress);
                            return session;
                        }
                        assert!(step.consumed > 0, "bytes arrived, and the handshake took none");
                    }
                    Err(error) => {
                        assert!(!error.to_string().contains('\n'), "an error for the log is one line");
                        // How much of the bytes an error leaves is not said, so it does not count.
                        session.consumed = 0;
                        session.end = Err(error);
                        return session;
                    }
                }
            }
        }
        session
    }

    /// Fails unless the answer is option replies, and at the end perhaps the reply to an export's bare name.
    fn check_answer(&self) {
        let mut rest = self.answer.as_slice();
        while let Some((header, data)) = rest.split_first_chunk()
            && let Ok(reply) = OptionReply::decode(header)
        {
            rest = data.get(reply.length as usize..).expect("a reply is as long as it says");
        }
        let ends_in_name_reply = [ExportNameReply::SIZE, ExportNameReply::SIZE + RESERVED_ZEROES];
        let chose = matches!(self.end, Ok(Progress::Transmission(_)));
        assert!(
            rest.is_empty() || (chose && ends_in_name_reply.contains(&rest.len())),
            "{} bytes too many",
            rest.len()
        );
    }
}

/// Reads every structure that could begin here; one that can be read is written back as the same bytes.
fn structures(bytes: &[u8]) {
    macro_rules! same_again {
        ($($structure:ty),*) => {$(
            if let Some(bytes) = bytes.first_chunk()
                && let Ok(read) = <$structure>::decode(bytes)
            {
                assert_eq!(read.encode(), *bytes, "read and written, {read:?} is other bytes");
            }
        )*};
    }
    same_again!(Greeting, OptionHeader, OptionReply, Request, SimpleReply);
}
