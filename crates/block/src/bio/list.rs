//! A queue of bios through their own links (the kernel's `struct bio_list`): it allocates nothing.

use std::cell::{RefCell, RefMut};
use std::mem::ManuallyDrop;

use super::Bio;

/// Bios in order, first in, first out.
#[derive(Default)]
pub struct BioList {
    /// The bios to be taken, in order, each linked to the one after it.
    front: Option<Bio>,
    /// The bios that were put since `front` was made, last one first.
    back: Option<Bio>,
}

impl BioList {
    /// An empty list.
    pub const fn new() -> Self {
        Self { front: None, back: None }
    }

    /// Whether it holds no bio.
    pub fn is_empty(&self) -> bool {
        self.front.is_none() && self.back.is_none()
    }

    /// Puts a bio at the end.
    pub fn push(&mut self, mut bio: Bio) {
        if self.is_empty() {
            self.front = Some(bio);
        } else {
            bio.own_mut().next = self.back.take();
            self.back = Some(bio);
        }
    }

    /// Takes the first bio.
    pub fn pop(&mut self) -> Option<Bio> {
        self.pop_if(|_| true)
    }

    /// Takes the first bio where `wanted` holds for it.
    pub fn pop_if(&mut self, wanted: impl FnOnce(&Bio) -> bool) -> Option<Bio> {
        if self.front.is_none() {
            self.turn();
        }
        let mut bio = self.front.take_if(|bio| wanted(bio))?;
        self.front = bio.own_mut().next.take();
        Some(bio)
    }

    /// Makes the front of what was put.
    fn turn(&mut self) {
        while let Some(mut bio) = self.back.take() {
            self.back = bio.own_mut().next.take();
            bio.own_mut().next = self.front.take();
            self.front = Some(bio);
        }
    }

    /// Puts a bio before the first.
    fn push_front(&mut self, mut bio: Bio) {
        bio.own_mut().next = self.front.take();
        self.front = Some(bio);
    }

    /// Takes all of `other` before what is here, in order. The cost is the length of `other`.
    pub fn prepend(&mut self, other: &mut Self) {
        let mut reversed = Self::new();
        while let Some(bio) = other.pop() {
            reversed.push_front(bio);
        }
        while let Some(bio) = reversed.pop() {
            self.push_front(bio);
        }
    }

    /// Takes the bios out for which `wanted` holds; their order, and that of those that stay, is kept.
    #[must_use]
    pub fn take_if(&mut self, wanted: impl Fn(&Bio) -> bool) -> Self {
        let (mut taken, mut stay) = (Self::new(), Self::new());
        while let Some(bio) = self.pop() {
            if wanted(&bio) { taken.push(bio) } else { stay.push(bio) }
        }
        *self = stay;
        taken
    }

    /// Takes all of `other` behind what is here, in order. The cost is the length of `other`.
    pub fn append(&mut self, other: &mut Self) {
        while let Some(bio) = other.pop() {
            self.push(bio);
        }
    }
}

/// A thread's own list. What is in it when the thread ends is leaked: nobody comes for these bios, and to end them would
/// call drivers on a thread whose other locals are gone. A thread ends with such bios only where the process exits on it;
/// a panic empties the lists first.
pub(crate) struct LocalList(RefCell<ManuallyDrop<BioList>>);

impl LocalList {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(ManuallyDrop::new(BioList::new())))
    }

    pub(crate) fn borrow_mut(&self) -> RefMut<'_, BioList> {
        RefMut::map(self.0.borrow_mut(), |list| &mut **list)
    }

    pub(crate) fn push(&self, bio: Bio) {
        self.borrow_mut().push(bio);
    }

    pub(crate) fn pop(&self) -> Option<Bio> {
        self.borrow_mut().pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn take(&self) -> BioList {
        std::mem::take(&mut *self.borrow_mut())
    }
}

/// Bios in a list that is dropped are lost, one by one: a chain of links would otherwise unwind on the stack.
impl Drop for BioList {
    fn drop(&mut self) {
        while let Some(bio) = self.pop() {
            drop(bio);
        }
    }
}
