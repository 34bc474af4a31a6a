//! Engines: what a queue drives beside its channels, such as a ring of the kernel's. One serves all channels of the queue.

use std::any::Any;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use crate::ended::Ended;

/// Drives the I/O of back ends on one queue.
pub trait Engine: Any + Send {
    /// Becomes readable when something has ended.
    fn wakes(&self) -> BorrowedFd<'_>;

    /// Sends what was put to it since the last time. What cannot be sent ends by `ended`.
    fn kick(&mut self, ended: &mut Ended);

    /// Completes what has ended, by `ended`: how many.
    fn reap(&mut self, ended: &mut Ended) -> usize;
}

/// Which of a queue's engines.
#[derive(Debug)]
pub struct EngineId<E> {
    index: usize,
    kind: PhantomData<fn() -> E>,
}

impl<E> Clone for EngineId<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for EngineId<E> {}

impl<E> EngineId<E> {
    pub(crate) fn index(self) -> usize {
        self.index
    }
}

/// The engines of a queue.
#[derive(Default)]
pub(crate) struct Engines {
    places: Vec<EngineSlot>,
}

/// An engine and how many channels use it.
#[derive(Default)]
struct EngineSlot {
    engine: Option<Box<dyn Engine>>,
    users: usize,
}

impl Engines {
    /// The engine of type `E`, which has one user more.
    pub(crate) fn find<E: Engine>(&mut self) -> Option<EngineId<E>> {
        let is_it =
            |place: &EngineSlot| place.engine.as_deref().is_some_and(|engine| (engine as &dyn Any).is::<E>());
        let index = self.places.iter().position(is_it)?;
        self.places[index].users += 1;
        Some(EngineId { index, kind: PhantomData })
    }

    /// Adds an engine, which has one user.
    pub(crate) fn add<E: Engine>(&mut self, engine: E) -> EngineId<E> {
        // not on the I/O path: once an engine
        let place = EngineSlot { engine: Some(Box::new(engine)), users: 1 };
        let free = self.places.iter().position(|place| place.engine.is_none() && place.users == 0);
        let index = free.unwrap_or(self.places.len());
        if index == self.places.len() {
            self.places.push(place);
        } else {
            self.places[index] = place;
        }
        EngineId { index, kind: PhantomData }
    }

    /// One user of an engine less: the engine where that was the last.
    pub(crate) fn release(&mut self, index: usize) -> Option<Box<dyn Engine>> {
        let place = &mut self.places[index];
        place.users -= 1;
        if place.users == 0 { place.engine.take() } else { None }
    }

    #[inline]
    pub(crate) fn get<E: Engine>(&mut self, id: EngineId<E>) -> &mut E {
        let engine =
            self.places[id.index].engine.as_deref_mut().expect("an engine is there while a channel uses it");
        (engine as &mut dyn Any).downcast_mut().expect("an id is of its engine's type")
    }

    /// The engines, to be driven.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (dyn Engine + 'static)> {
        self.places.iter_mut().filter_map(|place| place.engine.as_deref_mut())
    }

    /// The engines.
    #[cfg(not(shuttle))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Engine> {
        self.places.iter().filter_map(|place| place.engine.as_deref())
    }

    /// Takes all of them, for a queue that ends.
    pub(crate) fn take_all(&mut self) -> Vec<Box<dyn Engine>> {
        // not on the I/O path: at the end of a queue
        self.places.iter_mut().filter_map(|place| place.engine.take()).collect()
    }
}
