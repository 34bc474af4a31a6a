//! The serving core: what every export stands on.
//!
//! | module | holds |
//! |---|---|
//! | `protocol` | what a kind of export adds: its greeting, and its connections |
//! | `server` | a server at sockets |
//! | `core` | what the threads of a server share: slots, memory, the stop |
//! | `listen`, `socket_file` | sockets that listen |
//! | `accept` | the thread that accepts, and carries on all greetings |
//! | `slots` | places for clients |
//! | `budget` | how much memory a connection has |
//! | `sealed` | connections that take all of their memory before their first request |
//! | `ending` | what is waited for in the end |
//!
//! A protocol of your own gets all of it. This one tells everybody who connects the length of a device, and hangs up:
//!
//! ```
//! use std::error::Error;
//! use std::io::{Read, Write};
//! use std::os::fd::{BorrowedFd, OwnedFd};
//! use std::os::unix::net::UnixStream;
//! use std::sync::Arc;
//!
//! use rustix::event::PollFlags;
//! use udm_backend::Null;
//! use udm_block::{DeviceRef, Sectors};
//! use udm_export::serving::{Core, Greeting, GreetingError, Protocol, SocketServer, Step};
//! use udm_nbd::address::Address;
//!
//! struct Length(DeviceRef);
//!
//! /// Nothing is asked of the client: it has chosen when it has come.
//! struct Comes;
//!
//! impl Greeting for Comes {
//!     fn interest(&self) -> PollFlags {
//!         PollFlags::OUT
//!     }
//!
//!     fn unsent(&self) -> usize {
//!         0
//!     }
//!
//!     fn is_mute(&self) -> bool {
//!         true
//!     }
//! }
//!
//! impl Protocol for Length {
//!     type Greeting = Comes;
//!     type Choice = ();
//!
//!     const THREAD: &'static str = "length";
//!
//!     fn greet(&self) -> Comes {
//!         Comes
//!     }
//!
//!     fn go_on(
//!         &self,
//!         _: &mut Comes,
//!         _: BorrowedFd<'_>,
//!         full: Option<usize>,
//!     ) -> Result<Step<()>, GreetingError> {
//!         full.map_or(Ok(Step::Chosen(())), |slots| Err(GreetingError::Full(slots)))
//!     }
//!
//!     fn serve(&self, (): (), socket: &OwnedFd, _: &str, core: &Core) -> Result<(), Box<dyn Error>> {
//!         // A queue of this client's own, which the stop would wake; it sees blocks of the device as they are now.
//!         let mut queue = core.memory().queue()?;
//!         let _known = core.register(queue.home().clone());
//!         let device = queue.open(&self.0)?;
//!         let told = format!("{} bytes", queue.geometry(device).stored().0);
//!         UnixStream::from(socket.try_clone()?).write_all(told.as_bytes())?;
//!         Ok(())
//!     }
//! }
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("socket");
//! let protocol = Length(Arc::new(Null::new(Sectors(8))));
//! let server = SocketServer::bind(&[Address::Unix(path.clone())], protocol, 4, None)?;
//! let stopper = server.stopper();
//! let running = std::thread::spawn(|| server.run());
//! let mut told = String::new();
//! UnixStream::connect(&path)?.read_to_string(&mut told)?;
//! assert_eq!(told, "4096 bytes");
//! stopper.stop();
//! running.join().unwrap()?;
//! # Ok::<(), Box<dyn Error>>(())
//! ```

mod accept;
mod budget;
mod core;
mod ending;
mod listen;
mod protocol;
mod sealed;
mod server;
mod slots;
pub mod socket_file;

pub use budget::{Budget, DEPTH, LONGEST, MEMORY};
pub use core::{Core, MAX_CONNECTIONS, MOST_CONNECTIONS, Registered, Stopper};
pub use ending::Ending;
pub use listen::ListenError;
pub use protocol::{Greeting, GreetingError, Protocol, Step};
pub use sealed::{ConnectionMemory, MemoryLockGuard, SEALED_LONGEST, SEALED_MEMORY, stock_pages};
pub use server::{BindError, SocketServer};
