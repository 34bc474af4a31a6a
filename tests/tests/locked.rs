//! `serve --locked`: what it refuses, and that from a client's first request on it asks for no memory and has no page
//! fault.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use udm::export::nbd::client::Client;
use udm::nbd::address::NbdUri;
use udm_tests::program::path;
use udm_tests::volume::{Volume, noise};

const MIB: usize = 1 << 20;

/// A volume without holes.
fn volume(seed: u64) -> Volume {
    let volume = Volume::xts(64 * MIB as u64, seed);
    File::create(&volume.image).and_then(|mut file| file.write_all(&vec![0; 64 * MIB])).unwrap();
    volume
}

/// `udm serve` of this volume in a shell that first does `before`, run to its end.
fn serve(volume: &Volume, before: &str, args: &[&str]) -> Output {
    let script = format!("{before}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(path()).args(["serve", "--table-file"]).arg(&volume.table);
    command.arg("--nbd").arg(volume.path("sock")).args(args).stdin(Stdio::null());
    command.output().expect("a shell")
}

/// Whether this process may lock as much memory as the server needs.
fn may_lock() -> bool {
    let limit = Command::new("sh").args(["-c", "ulimit -l"]).output().unwrap();
    let limit = String::from_utf8(limit.stdout).unwrap();
    limit.trim().parse::<u64>().map_or(limit.trim() == "unlimited", |kib| kib >= 128 << 10)
}

#[test]
fn where_memory_cannot_be_locked_it_does_not_serve_and_says_what_would_do() {
    let volume = volume(51);
    // Root is left without the right to lock more than the limit says.
    let drop_rights = "ulimit -l 1024";
    let rights = ["--bounding-set", "-ipc_lock,-sys_resource", "--inh-caps", "-ipc_lock,-sys_resource"];
    let mut command = Command::new("sh");
    let is_root = rustix::process::geteuid().is_root();
    let set = if is_root { format!("setpriv {} --", rights.join(" ")) } else { String::new() };
    command.args(["-c", &format!("{drop_rights}; exec {set} \"$0\" \"$@\"")]).arg(path());
    command.args(["serve", "--locked", "--table-file"]).arg(&volume.table);
    command.arg("--nbd").arg(volume.path("sock"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(output.stdout.is_empty(), "it said that it serves");
    for part in [
        "not safe to swap to",
        "--locked=best-effort",
        "MiB are needed",
        "the limit (RLIMIT_MEMLOCK) is 1 MiB",
        "ulimit -l ",
        "LimitMEMLOCK=",
        "PR_SET_IO_FLUSHER",
        "CAP_SYS_RESOURCE",
        "OOMScoreAdjust=-1000",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn what_is_not_fit_to_be_swapped_to_is_named() {
    let volume = Volume::xts(64 * MIB as u64, 52);
    let output = serve(&volume, "true", &["--locked", "--cache", "writeback", "--nbd", "127.0.0.1:0"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in ["page cache", "has holes", "fallocate", "listen on a Unix socket"] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn a_locked_server_has_no_page_fault_and_asks_for_no_memory() {
    for locks in [true, false] {
        // The bad twin of both counts: without locked memory, and with more under way than there is memory for.
        let counts = counts(&volume(53), locks);
        println!("locks: {locks}: {counts}");
        assert_eq!(counts["connections"], 1);
        let faults =
            [&counts["minor_faults"], &counts["major_faults"]].map(|faults| faults.as_u64().unwrap());
        if locks {
            assert_eq!(counts["refused"], 0, "{counts}");
            if may_lock() {
                assert_eq!(faults, [0, 0], "{counts}");
            } else {
                udm_testkit::skip_for_machine(
                    "page faults of a locked server",
                    "this user may not lock memory",
                );
            }
        } else {
            assert!(counts["refused"].as_u64() > Some(0), "{counts}");
        }
    }
}

/// The threads of delays and the pools of stripes are there before memory is locked too.
#[test]
fn a_locked_server_of_stripes_and_delays_has_no_page_fault_and_asks_for_no_memory() {
    let volume = volume(55);
    let image = volume.image.display();
    let half = 16 * MIB / 512;
    let rows = format!(
        "0 {half} striped 2 128 {image} 0 {image} {half}\n{half} {half} delay {image} {} 0 {image} {} 1\n",
        2 * half,
        2 * half
    );
    fs::write(&volume.table, rows).unwrap();
    let counts = counts(&volume, true);
    println!("{counts}");
    assert_eq!(counts["refused"], 0, "{counts}");
    if may_lock() {
        assert_eq!((&counts["minor_faults"], &counts["major_faults"]), (&0.into(), &0.into()), "{counts}");
    } else {
        udm_testkit::skip_for_machine("page faults of a locked server", "this user may not lock memory");
    }
}

/// What a server counts for a client with 64 requests under way; where not `fits`, with more than there is memory for.
fn counts(volume: &Volume, fits: bool) -> Value {
    let mut server = Command::new(path())
        .args(["--json", "--quiet", "serve", "--locked=best-effort", "--table-file"])
        .arg(&volume.table)
        .arg("--nbd")
        .arg(volume.path("sock"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let uri: NbdUri = told["uri"].as_str().unwrap().parse().unwrap();
    let mut client = Client::connect(&uri.address, &uri.export).unwrap();
    client.set_timeout(Some(Duration::from_mins(1))).unwrap();
    let sizes: &[usize] = if fits { &[4 << 10, 16 << 10, 64 << 10] } else { &[128 << 10] };
    for &size in sizes {
        load(&mut client, size, if fits { 32 } else { 128 });
    }
    let pid = Pid::from_child(&server);
    kill_process(pid, Signal::USR1).unwrap();
    let mut errors = BufReader::new(server.stderr.take().unwrap()).lines();
    let (begin, mut found) = (Instant::now(), None);
    while found.is_none() && begin.elapsed() < Duration::from_secs(10) {
        let line = errors.next().expect("the server's counters").unwrap();
        found = serde_json::from_str::<Value>(&line).ok().filter(|told| told["counters"].is_object());
    }
    kill_process(pid, Signal::TERM).unwrap();
    let last = errors.map_while(Result::ok).last();
    assert!(last.is_some_and(|line| line.contains("counters")), "no counters at the end");
    assert_eq!(server.wait().unwrap().code(), Some(0));
    let _ = fs::remove_file(volume.path("sock"));
    found.expect("counters")["counters"].clone()
}

/// Writes and reads back, `depth` requests of `size` bytes at once.
fn load(client: &mut Client, size: usize, depth: u64) {
    let data = noise(54, size);
    let mut answer = Vec::with_capacity(size);
    for round in 0..8 {
        for cookie in 0..depth {
            let offset = cookie * size as u64;
            if round % 2 == 0 {
                client.send_write(cookie, offset, &data, false).unwrap();
            } else {
                client.send_read(cookie, offset, size as u32).unwrap();
            }
        }
        for _ in 0..depth {
            client.receive(&mut answer).unwrap().result.unwrap();
            assert!(round % 2 == 0 || answer == data, "what was read is not what was written");
        }
    }
    client.flush().unwrap();
}
