//! Connections that take all of their memory at once. Oracle: what their source was asked for after it was sealed.

use udm_block::sealed::Sealed;
use udm_block::{Channel, Device, DeviceRef, Geometry, OpenError, Opening};

use super::support::*;
use crate::nbd::server::*;
use udm_backend::nbd::client::Client;

const SIZE: usize = 16 << 20;

/// Keeps the memory of the last connection.
#[derive(Default)]
struct Watch {
    memory: Mutex<Option<Arc<Sealed>>>,
    ended: AtomicUsize,
}

impl MemoryLockGuard for Watch {
    fn began(&self, memory: &Arc<Sealed>) {
        *self.memory.lock().unwrap() = Some(Arc::clone(memory));
    }

    fn ended(&self, _: &Arc<Sealed>) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Says whether it was opened by a queue whose memory is sealed.
struct Asks {
    below: Arc<Ram>,
    is_sealed: Arc<AtomicBool>,
}

impl Device for Asks {
    fn geometry(&self) -> Geometry {
        self.below.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        self.is_sealed.store(opening.is_sealed(), Ordering::SeqCst);
        self.below.open(opening)
    }
}

#[test]
fn a_sealed_connection_serves_its_full_depth_of_what_it_took_at_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let address = Address::Unix(dir.path().join("socket"));
    let ram = Ram::held(able(SIZE));
    let is_sealed = Arc::new(AtomicBool::new(false));
    let device: DeviceRef = Arc::new(Asks { below: Arc::clone(&ram), is_sealed: Arc::clone(&is_sealed) });
    let (watch, exports) = (Arc::new(Watch::default()), vec![Export::new("disk", "", device, false)]);
    let guard = Arc::clone(&watch) as Arc<dyn MemoryLockGuard>;
    let server = Server::bind_sealed(std::slice::from_ref(&address), exports, 2, guard).unwrap();
    let stopper = server.stopper();
    let running = thread::spawn(move || server.run());
    let mut client = Client::connect(&address, "disk").unwrap();
    assert_eq!(client.block_sizes().max, SEALED_LONGEST);
    for cookie in 0..DEPTH as u64 {
        client.send_read(cookie, cookie * 4096, 4096).unwrap();
    }
    until("the device has all", || ram.waiting() == DEPTH);
    assert!(is_sealed.load(Ordering::SeqCst), "the device takes at once what its I/O will want");
    let memory = watch.memory.lock().unwrap().clone().expect("a connection began");
    let taken = memory.bytes();
    assert!(taken <= SEALED_MEMORY);
    assert_eq!(memory.refused(), 0, "a depth of pages is in stock");
    ram.release();
    (0..DEPTH).for_each(|_| assert_eq!(client.receive(&mut Vec::new()).unwrap().result, Ok(())));
    // The twin: of the longest reads there are fewer in stock, and the others wait.
    for cookie in 0..DEPTH as u64 {
        client.send_read(cookie, 0, SEALED_LONGEST).unwrap();
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                ram.release();
                thread::sleep(Duration::from_micros(100));
            }
        });
        let results: Vec<_> = (0..DEPTH).map(|_| client.receive(&mut Vec::new())).collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(results.into_iter().all(|result| result.unwrap().result == Ok(())));
    });
    assert!(memory.refused() > 0);
    assert_eq!(memory.bytes(), taken, "it took more");
    client.disconnect().unwrap();
    until("the connection has ended", || watch.ended.load(Ordering::SeqCst) == 1);
    stopper.stop();
    running.join().unwrap().unwrap();
}

/// A device that no queue can open, as one that is being removed.
struct Closed(Geometry);

impl Device for Closed {
    fn geometry(&self) -> Geometry {
        self.0
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Err(OpenError::Gone)
    }
}

#[test]
fn a_device_that_cannot_be_opened_costs_its_client_and_nobody_else() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let closed = Export::new("closed", "", Arc::new(Closed(able(SIZE))), false);
    let server = Running::with(vec![export("disk", &ram), closed], |_| {});
    let refused = Client::connect(&server.address, "closed").and_then(|mut client| client.flush());
    assert!(refused.is_err());
    server.client().read(0, &mut [0; 512]).unwrap();
    server.wait_until_empty();
}
