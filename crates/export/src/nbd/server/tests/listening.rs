//! Where a server listens, and how many it lets in. Oracle: what is in the directory, and the log.

use std::fmt::Write;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::support::*;
use crate::nbd::server::*;
use udm_backend::nbd::client::Client;

const SIZE: usize = 1 << 20;

fn bind(path: &Path) -> Result<Server, ServeError> {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    Server::bind(&[Address::Unix(path.into())], vec![export("disk", &ram)], 4)
}

#[test]
fn a_socket_that_a_killed_server_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = bind(&path).unwrap();
    drop(server);
    assert!(!path.exists());
}

#[test]
fn of_many_servers_that_start_at_a_stale_socket_one_serves_and_stays_reachable() {
    const SERVERS: usize = 12;
    for round in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let start = std::sync::Barrier::new(SERVERS);
        let begin = || {
            start.wait();
            bind(&path)
        };
        let bound: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..SERVERS).map(|_| scope.spawn(begin)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let live: Vec<_> = bound.iter().filter_map(|server| server.as_ref().ok()).collect();
        assert_eq!(live.len(), 1, "round {round}: so many servers have the socket");
        for refused in bound.iter().filter_map(|server| server.as_ref().err()) {
            let why = refused.to_string();
            assert!(why.contains("a server listens there already"), "round {round}: {why}");
        }
        // It is the one behind the path: it has a client to accept.
        let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(
            live[0].0.listeners[0].accept().unwrap().is_some(),
            "round {round}: another socket is at the path"
        );
        drop((client, bound));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "round {round}: a file is left");
    }
}

#[test]
fn a_live_server_and_a_plain_file_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let live = UnixListener::bind(&path).unwrap();
    let error = bind(&path).err().unwrap().to_string();
    assert!(error.contains("a server listens there already"), "{error}");
    // One that accepts nobody is live too, and we do not wait for it.
    rustix::net::listen(&live, 0).unwrap();
    let error = bind(&path).err().unwrap().to_string();
    assert!(error.contains("a server listens there already"), "{error}");
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());

    let plain = dir.path().join("plain");
    std::fs::write(&plain, "mine").unwrap();
    let error = bind(&plain).err().unwrap().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read(&plain).unwrap(), b"mine");
}

#[test]
fn a_server_takes_away_its_own_socket_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let old = bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let new = bind(&path).unwrap();
    drop(old);
    assert!(path.exists(), "the file of another server's socket is gone");
    drop(new);
    assert!(!path.exists());
}

#[test]
fn an_address_that_fails_takes_the_others_away() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("none/bad"));
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let addresses = [Address::Unix(good.clone()), Address::Unix(bad)];
    assert!(Server::bind(&addresses, vec![export("disk", &ram)], 4).is_err());
    assert!(!good.exists());
}

#[test]
fn the_system_gives_a_port() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::tcp(&ram);
    let Address::Tcp { port, .. } = server.address else { panic!("not TCP") };
    assert_ne!(port, 0);
    assert_eq!(server.client().size(), SIZE as u64);
}

/// Keeps the messages of the thread that it is set on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            let _ = write!(text, "{field}={value:?} ");
        });
        self.0.lock().unwrap().push(text);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn one_client_too_many_is_hung_up_on_and_the_log_says_so() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let dir = tempfile::tempdir().unwrap();
    let address = Address::Unix(dir.path().join("socket"));
    let server = Server::bind(std::slice::from_ref(&address), vec![export("disk", &ram)], 2).unwrap();
    let (stopper, log) = (server.stopper(), Log::default());
    let kept = log.clone();
    let running = thread::spawn(move || tracing::subscriber::with_default(kept, || server.run()));
    let client = || Client::connect(&address, "disk");
    let (first, second) = (client().unwrap(), client().unwrap());
    assert!(client().is_err());
    until("the log says so", || {
        log.0.lock().unwrap().iter().any(|line| line.contains("hung up on a client"))
    });
    // A connection slot that is free again is free for the next one, though nobody came in between.
    drop(first);
    until("the connection slot is free", || stopper.core().slots_taken.load(Ordering::SeqCst) == 1);
    let mut third = client().unwrap();
    third.read(0, &mut [0; 512]).unwrap();
    drop((second, third));
    stopper.stop();
    running.join().unwrap().unwrap();
}
