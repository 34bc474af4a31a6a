//! One queue's way to a file.

use std::sync::Arc;

use udm_block::{Bio, Channel, Dispatch, EngineId, Opening};

use super::image::Image;
use super::uring::{self, Ring};
use super::{calls, threads};

/// A file that a queue has open.
pub(super) struct FileChannel {
    image: Arc<Image>,
    engine: Engine,
}

/// What makes the calls to the system.
#[derive(Clone, Copy)]
enum Engine {
    /// The queue's ring.
    Ring(EngineId<Ring>),
    /// The process's pool of threads.
    Threads,
    /// The thread that drives the queue. It may wait.
    Here,
}

impl FileChannel {
    /// Opens `image` on a queue, with its ring if `uring` says so.
    // not on the I/O path: once a queue
    pub(super) fn open(image: &Arc<Image>, uring: bool, opening: &mut Opening<'_>) -> Self {
        let engine = if opening.cx().may_sleep() {
            // While it sleeps it would not see what has ended in a ring, and may wait for the memory of just that.
            Engine::Here
        } else {
            uring.then(|| uring::of(opening)).flatten().map_or(Engine::Threads, Engine::Ring)
        };
        let channel = Self { image: Arc::clone(image), engine };
        if opening.is_sealed() {
            channel.prepare(opening.cx());
        }
        channel
    }

    /// Takes all now that I/O will want: later there is no memory for it.
    fn prepare(&self, cx: &mut Dispatch) {
        match self.engine {
            Engine::Ring(ring) => cx.engine(ring).prepare(&self.image),
            Engine::Threads => threads::start_all(),
            Engine::Here => {}
        }
    }
}

impl Channel for FileChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        match self.engine {
            Engine::Ring(ring) => cx.engine(ring).put(&self.image, bio),
            Engine::Threads => threads::put(&self.image, bio),
            Engine::Here => {
                let status = calls::run(&self.image, &mut bio);
                if let Some((bio, status)) = self.image.end(bio, status) {
                    cx.complete(bio, status);
                }
            }
        }
    }
}
