//! The handshake over a socket: what the state machine wants is received, and what it answers is sent.

use udm_nbd::client::{Due, Handshake, Question};

use super::ClientError;
use super::socket::Transport;

/// Carries on a handshake until the server has answered.
pub(super) fn run<Q: Question>(
    transport: &mut Transport,
    mut handshake: Handshake<Q>,
) -> Result<Q::Answer, ClientError> {
    let (mut received, mut to_server) = (Vec::new(), Vec::new());
    while let Some(due) = handshake.due() {
        match step(transport, &mut handshake, due, &mut received, &mut to_server) {
            // Nothing depends on the server's answer to a farewell.
            Err(_) if handshake.is_answered() => break,
            done => done?,
        }
    }
    Ok(handshake.finish()?)
}

fn step<Q: Question>(
    transport: &mut Transport,
    handshake: &mut Handshake<Q>,
    due: Due,
    received: &mut Vec<u8>,
    to_server: &mut Vec<u8>,
) -> Result<(), ClientError> {
    received.resize(due.bytes, 0);
    transport.receive(received, due.doing)?;
    to_server.clear();
    handshake.input(received, to_server)?;
    transport.send(to_server, &[], 0)
}
