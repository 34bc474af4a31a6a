//! `serve --locked`: for devices that the machine swaps to.
//!
//! When memory is short, the system writes some of it to the device that we serve. Where serving a write needs memory
//! that the system does not have until the write is done, all of the machine stands still. So in this mode everything is
//! taken and locked before the first request:
//!
//! * `heap`: the allocator neither gives memory back nor maps more.
//! * `process`: what is asked of the system for the whole process, and what would do where it is refused.
//! * `urgency`: the threads may take from what the kernel keeps back.
//! * `counters`: what the process did since, which shows whether the promise was kept.
//!
//! The pools stand over [`Sealed`] sources: one for all devices, and one for each client's connection, which takes
//! what it needs before its first request.

mod counters;
mod heap;
mod process;
mod urgency;

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use udm_backend::path_of;
use udm_block::memory::{Heap, Source};
use udm_block::sealed::Sealed;
use udm_dm::targets::Reserves;
use udm_export::serving::{SEALED_MEMORY, stock_pages};
use udm_nbd::address::Address;

use crate::cli::{Failure, LockedArg, human};
use udm::device::Files;

pub(crate) use counters::Counters;

/// How many clients there may be at once, unless it is said: one that swaps, and a few that look.
pub(crate) const MAX_CONNECTIONS: usize = 4;

/// What each pool of a device always has, for when the stock is out: bios for a client's whole depth, and dm-crypt's
/// 1 MiB of buffers for what is written.
const RESERVES: Reserves = Reserves { bios: 128, buffers: 4 };
/// How many buffers of each size are in stock for a device, from pages on: 7.5 MiB.
const STOCK: [usize; 4] = [128, 64, 32, 16];

/// Something that is not as it must be for a device that is swapped to.
pub(crate) struct Lack {
    /// What is so, and why.
    what: String,
    /// What would do.
    remedy: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// The locked mode, while everything is being taken.
pub(crate) struct Locked {
    mode: LockedArg,
    memory: Arc<Sealed>,
    lacks: Vec<Lack>,
}

impl Locked {
    /// Begins: before there is any thread, so that all of them are as this one.
    pub(crate) fn begin(mode: LockedArg) -> Self {
        let lacks = [
            heap::settle().err(),
            urgency::raise().err(),
            process::flush_io().err(),
            process::outlive_others().err(),
        ];
        Self { mode, memory: Sealed::new(Arc::new(Heap)), lacks: lacks.into_iter().flatten().collect() }
    }

    /// Opens files for devices whose memory is sealed.
    pub(crate) fn files(&self, files: Files) -> Files {
        files.with_memory(self.source(), RESERVES)
    }

    /// Where what is made for a device takes its memory.
    pub(crate) fn source(&self) -> Source {
        Arc::clone(&self.memory) as Source
    }

    /// What stands by each connection.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        Counters::new(Arc::clone(&self.memory))
    }

    /// Looks at what is served, and where.
    pub(crate) fn look(&mut self, files: &Files, addresses: &[Address]) {
        for file in files.through_page_cache() {
            self.lacks.push(Lack {
                what: format!("{file}: the page cache needs memory for each write"),
                remedy: "use a block device, or a file system that has O_DIRECT".into(),
            });
        }
        for name in files.names() {
            let is_sparse = |data: std::fs::Metadata| data.is_file() && data.blocks() * 512 < data.len();
            if std::fs::metadata(path_of(&name)).is_ok_and(is_sparse) {
                self.lacks.push(Lack {
                    what: format!("{name} has holes: the file system needs memory to fill them"),
                    remedy: format!("fallocate it (fallocate -l SIZE {name}), or use a block device"),
                });
            }
        }
        for address in addresses.iter().filter(|address| matches!(address, Address::Tcp { .. })) {
            self.lacks.push(Lack {
                what: format!("{address}: the network needs memory for each packet"),
                remedy: "listen on a Unix socket".into(),
            });
        }
    }

    /// Takes the rest and closes: from here on nothing is taken but by a client before its first request.
    ///
    /// # Errors
    /// When there is no memory; and where it is not safe to swap to what is served, unless that will do.
    pub(crate) fn close(mut self, devices: usize, clients: usize) -> Result<(), Failure> {
        let stock = self
            .memory
            .stock_as_reserved()
            .and_then(|()| (0..devices).try_for_each(|_| stock_pages(&self.memory, &STOCK)));
        stock.map_err(Failure::work)?;
        self.memory.seal();
        self.lacks.extend(process::lock_memory(clients * SEALED_MEMORY).err());
        let list = || self.lacks.iter().map(Lack::to_string).collect::<Vec<_>>().join("\n  ");
        if !self.lacks.is_empty() && self.mode == LockedArg::Strict {
            return Err(Failure::work(format!(
                "not safe to swap to, so not served (--locked=best-effort would serve all the same):\n  {}",
                list()
            )));
        }
        let taken = human(self.memory.bytes() as u64);
        let locked = process::locked().map_or_else(|| "an unknown amount".to_owned(), human);
        tracing::info!(
            "taken: {taken} for {devices} devices; locked in memory: {locked} in all, and at most {} more for each of \
             {clients} clients",
            human(SEALED_MEMORY as u64)
        );
        if self.lacks.is_empty() {
            tracing::info!("safe to swap to");
        } else {
            tracing::warn!("not safe to swap to:\n  {}", list());
        }
        Ok(())
    }
}
