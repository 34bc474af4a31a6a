//! The files that an engine has bios of: how many are out, and which still wait.
//!
//! An engine serves many files. It keeps a file open for as long as a bio of it is out, and counts them here, so that
//! the shared count of the file is touched by the first and the last of a burst and not by each.

use std::sync::Arc;

use udm_block::{Bio, BioList};

use super::image::Image;

/// For how many files there is room from the start.
const FILES: usize = 16;

/// Files with bios out or waiting.
pub(super) struct Backlog {
    entries: Vec<Option<Entry>>,
    /// Whose turn it is.
    turn: usize,
    /// How many bios wait in all.
    waiting: usize,
}

struct Entry {
    image: Arc<Image>,
    out: usize,
    /// Waits in order.
    waiting: BioList,
    /// Whether its length has been looked at for the calls that are being gathered.
    measured: bool,
}

/// The file of a bio that is out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticket(usize);

impl Backlog {
    // not on the I/O path: once, when it is made
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), turn: 0, waiting: 0 }
    }

    /// The same with room for as many files as a queue mostly has, so that its first bios make none.
    pub(super) fn with_room() -> Self {
        let mut backlog = Self::new();
        backlog.make_room();
        backlog
    }

    /// Makes that room.
    pub(super) fn make_room(&mut self) {
        self.entries.reserve(FILES);
    }

    /// How many bios wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Counts one bio of `image` as out.
    pub(super) fn enter(&mut self, image: &Arc<Image>) -> Ticket {
        let (ticket, entry) = self.entry(image);
        entry.out += 1;
        ticket
    }

    /// Lets a bio wait behind those of its file.
    pub(super) fn put(&mut self, image: &Arc<Image>, bio: Bio) {
        self.entry(image).1.waiting.push(bio);
        self.waiting += 1;
    }

    /// The next bio that waits, which is out from now on. The files have turns, so none waits for another's burst.
    pub(super) fn take(&mut self) -> Option<(Ticket, Bio)> {
        if self.waiting == 0 {
            return None;
        }
        let count = self.entries.len();
        for index in (0..count).map(|step| (self.turn + step) % count) {
            let Some(entry) = &mut self.entries[index] else { continue };
            let Some(bio) = entry.waiting.pop() else { continue };
            entry.out += 1;
            self.waiting -= 1;
            self.turn = index + 1;
            return Some((Ticket(index), bio));
        }
        None
    }

    /// The file of a bio that is out.
    pub(super) fn image(&self, ticket: Ticket) -> &Arc<Image> {
        &self.entries[ticket.0].as_ref().expect("a file stays while a bio of it is out").image
    }

    /// One bio of the file is no longer out. Gives the file when it was the last one, to be let go of.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Arc<Image>> {
        let place = &mut self.entries[ticket.0];
        let entry = place.as_mut().expect("a file stays while a bio of it is out");
        entry.out -= 1;
        if entry.out > 0 || !entry.waiting.is_empty() {
            return None;
        }
        place.take().map(|entry| entry.image)
    }

    /// Whether the file's length must be looked at before something is written: once for the calls that are sent
    /// together.
    pub(super) fn is_unmeasured(&mut self, ticket: Ticket) -> bool {
        let entry = self.entries[ticket.0].as_mut().expect("a file stays while a bio of it is out");
        !std::mem::replace(&mut entry.measured, true)
    }

    /// The calls that were gathered have been sent.
    pub(super) fn sent(&mut self) {
        for entry in self.entries.iter_mut().flatten() {
            entry.measured = false;
        }
    }

    fn entry(&mut self, image: &Arc<Image>) -> (Ticket, &mut Entry) {
        let is_it = |entry: &Option<Entry>| entry.as_ref().is_some_and(|e| Arc::ptr_eq(&e.image, image));
        let index = self.entries.iter().position(is_it).unwrap_or_else(|| {
            self.entries.iter().position(Option::is_none).unwrap_or_else(|| {
                // More files at once than ever before.
                self.entries.push(None);
                self.entries.len() - 1
            })
        });
        let fresh = || Entry { image: Arc::clone(image), out: 0, waiting: BioList::new(), measured: false };
        (Ticket(index), self.entries[index].get_or_insert_with(fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::held::Client;
    use crate::file::syncs::Syncs;
    use crate::file::uring::Registrations;
    use std::fs::File;
    use std::sync::atomic::AtomicBool;
    use udm_block::{Op, Sector, Status};

    fn image() -> Arc<Image> {
        Arc::new(Image {
            path: "null".into(),
            buffered: File::open("/dev/null").unwrap().into(),
            direct: None,
            is_block_device: false,
            bytes: 0,
            can_shrink_below: None,
            gone: AtomicBool::new(false),
            syncs: Syncs::default(),
            registrations: Registrations::default(),
        })
    }

    #[test]
    fn files_have_turns_and_their_bios_stay_in_order() {
        let mut client = Client::new();
        let mut backlog = Backlog::new();
        let (one, two) = (image(), image());
        for (image, sector) in [(&one, 1), (&one, 2), (&one, 3), (&two, 4)] {
            backlog.put(image, client.submit(Op::Flush, sector));
        }
        let mut tickets = Vec::new();
        for sector in [1, 4, 2, 3] {
            let (ticket, bio) = backlog.take().unwrap();
            assert_eq!(bio.sector(), Sector(sector));
            assert!(Arc::ptr_eq(backlog.image(ticket), if sector == 4 { &two } else { &one }));
            bio.complete_elsewhere(Status::Ok);
            tickets.push(ticket);
        }
        assert!(backlog.take().is_none() && backlog.waiting() == 0);
        assert_eq!(client.ended(), [1, 4, 2, 3]);
        // The file is kept until its last bio leaves, and by nobody then.
        assert!(backlog.leave(tickets[1]).is_some_and(|image| Arc::ptr_eq(&image, &two)));
        assert!(backlog.leave(tickets[0]).is_none());
        assert!(backlog.leave(tickets[2]).is_none());
        assert_eq!(Arc::strong_count(&one), 2);
        drop(backlog.leave(tickets[3]));
        assert_eq!(Arc::strong_count(&one), 1);
    }

    #[test]
    fn a_file_is_measured_once_for_what_is_sent_together() {
        let mut backlog = Backlog::new();
        let ticket = backlog.enter(&image());
        assert!(backlog.is_unmeasured(ticket));
        assert!(!backlog.is_unmeasured(ticket));
        backlog.sent();
        assert!(backlog.is_unmeasured(ticket));
        drop(backlog.leave(ticket));
    }
}
