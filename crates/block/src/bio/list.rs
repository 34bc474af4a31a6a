//! A queue of bios through their own links (the kernel's `struct bio_list`): it allocates nothing.

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

    /// Whether it holds one bio; false where it may hold more.
    pub(crate) fn has_one(&self) -> bool {
        self.back.is_none() && self.front.as_ref().is_some_and(|bio| bio.own().next.is_none())
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

/// Bios in a list that is dropped are lost, one by one: a chain of links would otherwise unwind on the stack.
impl Drop for BioList {
    fn drop(&mut self) {
        while let Some(bio) = self.pop() {
            drop(bio);
        }
    }
}
