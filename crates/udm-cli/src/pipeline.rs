//! Requests to an NBD server, several at once.

use udm_backend::nbd::client::{Client, ClientError, Completion};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
    /// The connection failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused a request.
    #[error("the server answered {0} for byte {1}")]
    Answer(String, u64),
    /// An answer is not what it should be.
    #[error("what was read at byte {0} is not what was written there")]
    Wrong(u64),
}

/// Sends a request for each of `places`, at most `depth` at once, and checks every answer. Cookies are places.
pub(crate) fn run(
    client: &mut Client,
    places: impl Iterator<Item = u64>,
    depth: usize,
    mut send: impl FnMut(&mut Client, u64) -> Result<(), ClientError>,
    mut is_right: impl FnMut(u64, &[u8]) -> bool,
) -> Result<(), PipelineError> {
    let (mut places, mut answer) = (places.peekable(), Vec::new());
    loop {
        if client.in_flight() < depth
            && let Some(place) = places.next()
        {
            send(client, place)?;
            continue;
        }
        if client.in_flight() == 0 {
            return Ok(());
        }
        let Completion { cookie: at, result } = client.receive(&mut answer)?;
        result.map_err(|error| PipelineError::Answer(error.to_string(), at))?;
        if !is_right(at, &answer) {
            return Err(PipelineError::Wrong(at));
        }
    }
}
