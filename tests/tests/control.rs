//! `udm serve --control` and `udm dm`: an operator changes devices while NBD clients use them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use udm::backend::nbd::client::Client;
use udm::nbd::address::NbdUri;
use udm_tests::process_memory::pieces_of_key;
use udm_tests::program::{self, SOON, Served, run};
use udm_tests::volume::{Volume, noise};

const SIZE: usize = 8 << 20;

fn connect(served: &Served) -> Client {
    let uri: NbdUri = served.uri().parse().unwrap();
    let mut client = Client::connect(&uri.address, &uri.export).unwrap();
    client.set_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

/// A served volume with its control socket.
struct Site {
    volume: Volume,
    served: Served,
    socket: PathBuf,
}

impl Site {
    fn new(seed: u64) -> Self {
        let volume = Volume::xts(SIZE as u64, seed);
        let (nbd, socket) = (volume.path("nbd.sock"), volume.path("control.sock"));
        let args = ["--table-file", path(&volume.table), "--nbd", path(&nbd), "--control", path(&socket)];
        let served = Served::start(args, 1);
        Self { volume, served, socket }
    }

    /// `udm dm` to its end.
    fn dm(&self, args: &[&str]) -> Output {
        run([&["dm", path(&self.socket)], args].concat())
    }

    /// The same, which must do what it was asked.
    fn done(&self, args: &[&str]) -> String {
        let output = self.dm(args);
        assert!(output.status.success(), "udm dm {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, which must fail with this status and say this.
    fn fails(&self, args: &[&str], status: i32, says: &str) {
        let output = self.dm(args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "udm dm {args:?}: {text}");
        assert!(text.contains(says), "udm dm {args:?}: {text}");
        assert!(!text.contains(&self.volume.key[..32]), "a key is in {text}");
    }

    /// Where the server's memory has a piece of the key, as bytes or as digits.
    fn copies(&self) -> usize {
        pieces_of_key(self.served.pid(), &self.volume.key)
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_key_is_wiped_and_set_again_under_a_client_that_waits() {
    let site = Site::new(21);
    assert_eq!(fs::metadata(&site.socket).unwrap().permissions().mode() & 0o777, 0o600);
    let (first, second) = (noise(1, SIZE), noise(2, 1 << 20));
    let mut client = connect(&site.served);
    for (at, piece) in first.chunks(1 << 20).enumerate() {
        client.write((at << 20) as u64, piece, false).unwrap();
    }
    assert_eq!(site.done(&["ls"]), "volume\n");
    assert_eq!(site.done(&["status"]), format!("0 {} crypt\n", SIZE / 512));
    assert_eq!(site.done(&["deps", "volume"]), format!("{}\n", site.volume.image.display()));
    assert!(site.done(&["table", "volume"]).contains(&"0".repeat(128)));
    assert!(site.done(&["table", "volume", "--showkeys"]).contains(&site.volume.key));
    assert!(site.copies() > 0, "the search does not find the key of a server that uses it");
    site.fails(&["message", "volume", "0", "key", "wipe"], 2, "suspend it first");

    site.done(&["suspend", "volume"]);
    let writer = thread::spawn({
        let second = second.clone();
        move || client.write(1 << 20, &second, false).map(|()| client)
    });
    wait_for_held(&site, 1);
    assert!(!writer.is_finished(), "a write went through a suspended device");
    site.done(&["message", "volume", "0", "key", "wipe"]);
    assert_eq!(site.copies(), 0, "the server's memory has pieces of a wiped key");
    site.fails(&["resume", "volume"], 1, "no key");
    assert!(site.done(&["info", "volume"]).contains("State: SUSPENDED, key wiped"));
    let json = site.done(&["--json", "info"]);
    assert!(
        json.contains("\"state\":\"SUSPENDED, key wiped\"") && json.contains("\"i_os_held\":\"1\""),
        "{json}"
    );

    let key = site.volume.path("key.hex");
    fs::write(&key, &site.volume.key[..64]).unwrap();
    let set = ["message", "volume", "0", "key", "set", "--key-file", path(&key)];
    site.fails(&set, 2, "the key has 32 bytes, and that of the table has 64");
    site.fails(&["message", "volume", "0", "key", "set", &site.volume.key], 2, "every user of the machine");
    fs::write(&key, format!("{}\n", site.volume.key)).unwrap();
    site.done(&set);
    site.done(&["resume", "volume"]);
    let mut client = writer.join().unwrap().unwrap();
    let mut found = vec![0; 1 << 20];
    client.read(1 << 20, &mut found).unwrap();
    assert!(found == second, "what was held was not written");
    client.read(2 << 20, &mut found).unwrap();
    assert!(found == first[2 << 20..3 << 20], "what was there before the wipe is other bytes");

    // The key by stdin, as a keyring or a secret store gives it.
    site.done(&["suspend"]);
    let mut child = Command::new(program::path())
        .args(["dm", path(&site.socket), "message", "volume", "0", "key", "set", "--key-file", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(site.volume.key.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    site.done(&["resume"]);
    drop(client);
    let Site { volume, served, socket } = site;
    assert_eq!(served.stop().0, Some(0));
    assert!(!socket.exists(), "the control socket is still there");
    let read = run(["read", "--table-file", path(&volume.table), "--offset", "1M", "--length", "1M"]);
    assert!(read.stdout == second, "udm read gives other bytes");
}

/// Waits until the device holds so many bios.
fn wait_for_held(site: &Site, held: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while !site.done(&["info", "volume"]).contains(&format!("I/Os held: {held}\n")) {
        assert!(Instant::now() < end, "the I/O never came to the gate");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_table_is_loaded_anew_and_new_clients_see_its_size() {
    let site = Site::new(22);
    let mut old = connect(&site.served);
    old.write(0, &noise(3, 4096), false).unwrap();
    let table = fs::read_to_string(&site.volume.table).unwrap();
    let half = site.volume.path("half.table");
    fs::write(&half, table.replace(&format!("0 {} crypt", SIZE / 512), &format!("0 {} crypt", SIZE / 1024)))
        .unwrap();
    site.fails(&["load", "volume", "--table-file", path(&site.volume.image)], 2, "table");
    site.done(&["load", "volume", "--table-file", path(&half)]);
    assert_eq!(site.done(&["table", "--inactive"]).split(' ').nth(1), Some(&*(SIZE / 1024).to_string()));
    site.done(&["clear"]);
    assert_eq!(site.done(&["table", "--inactive"]), "");
    site.done(&["load", "volume", "--table-file", path(&half)]);
    assert_eq!(connect(&site.served).size(), SIZE as u64, "a table that was loaded is not live");
    site.done(&["resume", "volume"]);
    let mut new = connect(&site.served);
    assert_eq!(new.size(), SIZE as u64 / 2);
    let mut found = vec![0; 4096];
    new.read(0, &mut found).unwrap();
    assert_eq!(found, noise(3, 4096));
    assert!(old.read(SIZE as u64 - 4096, &mut found).is_err(), "a read behind the end");
    old.read(0, &mut found).unwrap();
    site.fails(&["suspend", "nosuch"], 2, "there are volume");
}

#[test]
fn a_stop_answers_what_a_suspended_device_holds_with_an_error() {
    let site = Site::new(23);
    let mut client = connect(&site.served);
    site.done(&["suspend", "volume", "--noflush", "--timeout", "5"]);
    let writer = thread::spawn(move || client.write(0, &[1; 4096], false).is_err());
    wait_for_held(&site, 1);
    let (status, took) = site.served.stop();
    assert_eq!(status, Some(0));
    assert!(took < SOON, "the server took {took:?} to stop");
    assert!(writer.join().unwrap(), "a write that was never done was acknowledged");
    assert!(fs::read(&site.volume.image).unwrap().iter().all(|byte| *byte == 0), "a held write was done");
}

#[test]
fn a_hostile_control_client_harms_nothing() {
    let site = Site::new(24);
    let mut client = connect(&site.served);
    let open = || UnixStream::connect(&site.socket).unwrap();
    // Garbage is answered, and no more.
    for garbage in [
        &b"\n"[..],
        b"GET / HTTP/1.0\r\n\r\n",
        &[0xff; 5000],
        b"udm-dm 1 message 6 5\nvolume\xff\xff\xff\xff\xff",
    ] {
        let mut hostile = open();
        let _ = hostile.write_all(garbage);
        let mut answer = String::new();
        let _ = hostile.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("error 22 "), "{answer}");
    }
    // A request whose text is none of the command's.
    for (text, says) in
        [("x key wipe", "a sector"), ("0", "empty"), ("", "sector"), ("18446744073709551616 x", "sector")]
    {
        let mut hostile = open();
        write!(hostile, "udm-dm 1 message 6 {}\nvolume{text}", text.len()).unwrap();
        let mut answer = String::new();
        hostile.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("error 22 ") && answer.contains(says), "{text}: {answer}");
    }
    // Half a line; a text that never comes; nobody who reads the answer; one who is gone at once.
    let mut half = open();
    half.write_all(b"udm-dm 1 sta").unwrap();
    let mut waits = open();
    waits.write_all(b"udm-dm 1 load 0 1048576\n0 8").unwrap();
    let mut deaf = open();
    deaf.write_all(b"udm-dm 1 table 0 8\nshowkeys").unwrap();
    (0..50).for_each(|_| drop(open()));
    // As many as there may be, and more: the server hangs up on them when their time is over.
    let idle: Vec<_> = (0..20).map(|_| open()).collect();
    client.write(0, &[7; 4096], true).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !site.dm(&["info"]).status.success() {
        assert!(Instant::now() < end, "idle clients keep the operator out");
        thread::sleep(Duration::from_millis(100));
    }
    drop((half, waits, deaf, idle));
    let mut found = vec![0; 4096];
    client.read(0, &mut found).unwrap();
    assert_eq!(found, [7; 4096]);
    assert_eq!(site.served.stop().0, Some(0));
}

#[test]
fn control_is_for_tables_and_not_for_locked_servers() {
    let volume = Volume::xts(1 << 20, 25);
    let nbd = volume.path("nbd.sock");
    let socket = volume.path("control.sock");
    let raw = format!("raw:{}", volume.image.display());
    let output = run(["serve", &raw, "--nbd", path(&nbd), "--control", path(&socket)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = run([
        "serve",
        "--table-file",
        path(&volume.table),
        "--nbd",
        path(&nbd),
        "--control",
        path(&socket),
        "--locked",
    ]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // A file at the socket's place is not ours to take away; a socket that nobody serves any more is.
    fs::write(&socket, "somebody's").unwrap();
    let serve =
        ["serve", "--table-file", path(&volume.table), "--nbd", path(&nbd), "--control", path(&socket)];
    let output = run(serve);
    assert_eq!(
        (output.status.code(), fs::read(&socket).unwrap()),
        (Some(1), b"somebody's".to_vec()),
        "{output:?}"
    );
    fs::remove_file(&socket).unwrap();
    let output = run(["dm", path(&socket), "info"]);
    assert!(
        output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("--control"),
        "{output:?}"
    );
    drop(UnixListener::bind(&socket).unwrap());
    drop(Served::start(&serve[1..], 1));
}
