//! Collects one message from pieces of any length, as a network delivers them.

/// The part of the current message that has arrived. It is never longer than that message.
#[derive(Debug, Default)]
pub(crate) struct Gather(Vec<u8>);

impl Gather {
    /// Moves bytes from `rest` until `size` of them are held. True when they are.
    pub(crate) fn fill(&mut self, size: usize, rest: &mut &[u8]) -> bool {
        let (taken, left) = rest.split_at(rest.len().min(self.missing(size)));
        self.0.extend_from_slice(taken);
        *rest = left;
        self.0.len() == size
    }

    /// Gathers a structure of fixed size. It is no longer held once it is complete.
    pub(crate) fn array<const SIZE: usize>(&mut self, rest: &mut &[u8]) -> Option<[u8; SIZE]> {
        if !self.fill(SIZE, rest) {
            return None;
        }
        let array = self.0.as_slice().try_into().expect("as long as was gathered");
        self.0.clear();
        Some(array)
    }

    /// Takes the message out, with its memory; [`Gather::reuse`] gives the memory back.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Uses the memory of an earlier message for the next one.
    pub(crate) fn reuse(&mut self, mut message: Vec<u8>) {
        message.clear();
        self.0 = message;
    }

    /// How many bytes a message of `size` bytes lacks.
    pub(crate) fn missing(&self, size: usize) -> usize {
        size - self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }
}
