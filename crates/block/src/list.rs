//! A queue of things through their own links (the kernel's `struct bio_list`): it allocates nothing.

/// What a [`List`] holds: each has a place for the next one.
pub trait Linked: Sized {
    /// The next one of the list that it is in.
    fn next(&self) -> Option<&Self>;

    /// The place of the next one.
    fn link(&mut self) -> &mut Option<Self>;
}

/// Things in order, first in, first out. Those in a list that is dropped are dropped one by one.
pub struct List<T: Linked> {
    /// What is to be taken, in order, each linked to the one after it.
    front: Option<T>,
    /// What was put since `front` was made, last one first.
    back: Option<T>,
}

impl<T: Linked> List<T> {
    /// An empty list.
    pub const fn new() -> Self {
        Self { front: None, back: None }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.front.is_none() && self.back.is_none()
    }

    /// Whether it holds one; false where it may hold more.
    pub(crate) fn has_one(&self) -> bool {
        self.back.is_none() && self.front.as_ref().is_some_and(|only| only.next().is_none())
    }

    /// Puts one at the end.
    pub fn push(&mut self, mut last: T) {
        if self.is_empty() {
            self.front = Some(last);
        } else {
            *last.link() = self.back.take();
            self.back = Some(last);
        }
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Takes the first where `wanted` holds for it.
    pub fn pop_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.front.is_none() {
            self.turn();
        }
        let mut first = self.front.take_if(|first| wanted(first))?;
        self.front = first.link().take();
        Some(first)
    }

    /// Makes the front of what was put.
    fn turn(&mut self) {
        while let Some(mut last) = self.back.take() {
            self.back = last.link().take();
            *last.link() = self.front.take();
            self.front = Some(last);
        }
    }

    /// Puts one before the first.
    fn push_front(&mut self, mut first: T) {
        *first.link() = self.front.take();
        self.front = Some(first);
    }

    /// Takes all of `other` before what is here, in order. The cost is the length of `other`.
    pub fn prepend(&mut self, other: &mut Self) {
        let mut reversed = Self::new();
        while let Some(first) = other.pop() {
            reversed.push_front(first);
        }
        while let Some(last) = reversed.pop() {
            self.push_front(last);
        }
    }

    /// Takes those out for which `wanted` holds; their order, and that of those that stay, is kept.
    #[must_use]
    pub fn take_if(&mut self, wanted: impl Fn(&T) -> bool) -> Self {
        let (mut taken, mut stay) = (Self::new(), Self::new());
        while let Some(first) = self.pop() {
            if wanted(&first) { taken.push(first) } else { stay.push(first) }
        }
        *self = stay;
        taken
    }

    /// Takes all of `other` behind what is here, in order. The cost is the length of `other`.
    pub fn append(&mut self, other: &mut Self) {
        while let Some(first) = other.pop() {
            self.push(first);
        }
    }
}

impl<T: Linked> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// One by one: a chain of links would otherwise unwind on the stack.
impl<T: Linked> Drop for List<T> {
    fn drop(&mut self) {
        while let Some(first) = self.pop() {
            drop(first);
        }
    }
}
