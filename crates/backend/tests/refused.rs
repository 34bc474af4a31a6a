//! System calls that a seccomp filter refuses, as in a container: I/O goes on by other means, and one line says which.
//! Each case runs in a process of its own, since a filter stays for good.

mod support;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use support::engines::{SIZE, folder, image};
use support::{Buffer, Client};
use udm_backend::file::{self, Cache, EngineChoice, FileOptions};
use udm_block::{Flags, Op, Queue, Status};

/// In the environment of a process that is a case: the call that is refused, the error, and when.
const CASE: &str = "UDM_TEST_REFUSED";
/// How long a case may take. Before refusals were handled, they took for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// From now on, this thread's `call` fails with `errno`.
fn refuse(call: i64, errno: i32) {
    let rules = BTreeMap::from([(call, Vec::new())]);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch);
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

/// Runs the test `name` again, as the case `case`: what it said on stderr.
fn in_a_child(name: &str, case: &str) -> String {
    let child = udm_testkit::again(module_path!(), name)
        .env(CASE, case)
        .env_remove("UDM_IO_URING")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (to, from) = channel();
    std::thread::spawn(move || to.send(child.wait_with_output()));
    let Ok(output) = from.recv_timeout(PATIENCE) else {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        panic!("{case}: the I/O never ends");
    };
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{case}: {told}");
    told
}

fn has_uring() -> bool {
    let dir = folder();
    let options = FileOptions { engine: EngineChoice::Uring, ..FileOptions::default() };
    match file::open(image(&dir, SIZE), &options) {
        Ok(_) => true,
        Err(error) => {
            udm_testkit::skip("a ring that is refused", error);
            false
        }
    }
}

/// Writes and reads back through a queue, and says what was chosen.
fn use_it(engine: EngineChoice) -> Result<String, String> {
    let dir = folder();
    let path = image(&dir, SIZE);
    let options = FileOptions { engine, ..FileOptions::default() };
    let dev = Arc::new(file::open(&path, &options).map_err(|error| error.to_string())?);
    let mut client = Client::new(dev.clone(), true);
    assert_eq!(client.write(Flags::FUA, 4096, &[5; 8192]), Status::Ok);
    assert_eq!(client.read(4096, 8192), Ok(vec![5; 8192]));
    drop(client);
    Ok(dev.describe())
}

#[test]
fn a_ring_that_may_not_be_made_or_used_is_not_chosen() {
    let test = "a_ring_that_may_not_be_made_or_used_is_not_chosen";
    let (setup, enter) = (libc::SYS_io_uring_setup, libc::SYS_io_uring_enter);
    let register = libc::SYS_io_uring_register;
    let calls = [("io_uring_setup", setup), ("io_uring_enter", enter), ("io_uring_register", register)];
    let errors = [("EPERM", libc::EPERM), ("ENOSYS", libc::ENOSYS)];
    let mut cases = calls.iter().flat_map(|call| errors.map(|error| (*call, error)));
    if let Ok(case) = std::env::var(CASE) {
        let ((name, call), (_, errno)) =
            cases.find(|((call, _), (error, _))| case == format!("{call} {error}")).unwrap();
        refuse(call, errno);
        let words = use_it(EngineChoice::Auto).unwrap();
        let error = std::io::Error::from_raw_os_error(errno).to_string();
        for part in ["threads (no io_uring: ", name, &error, "seccomp"] {
            assert!(words.contains(part), "{part:?} is not in: {words}");
        }
        // One who wants it alone is told why there is none.
        let refusal = use_it(EngineChoice::Uring).unwrap_err();
        assert!(refusal.contains(name) && refusal.contains("the engine threads would do"), "{refusal}");
        return;
    }
    if !has_uring() {
        return;
    }
    for ((call, _), (error, _)) in cases {
        in_a_child(test, &format!("{call} {error}"));
    }
}

/// The twin of the other tests: nothing is refused, and the ring is taken.
#[test]
fn a_ring_that_may_be_used_is_chosen() {
    if has_uring() {
        let words = use_it(EngineChoice::Auto).unwrap();
        assert!(words.contains(": io_uring, "), "{words}");
    }
}

#[test]
fn a_ring_that_is_refused_later_hands_its_work_to_threads() {
    let test = "a_ring_that_is_refused_later_hands_its_work_to_threads";
    let when =
        ["before anything was sent", "with entries that were not sent", "with calls under way", "in prepare"];
    let Ok(case) = std::env::var(CASE) else {
        if has_uring() {
            for case in when {
                in_a_child(test, case);
            }
        }
        return;
    };
    let dir = folder();
    let path = image(&dir, SIZE);
    let options = FileOptions { engine: EngineChoice::Uring, cache: Cache::Auto, ..FileOptions::default() };
    let dev = Arc::new(file::open(&path, &options).unwrap());
    let mut client = Client::new(dev.clone(), true);
    assert_eq!(client.write(Flags::NONE, 0, &[1; 512]), Status::Ok);
    let refuse_now = || refuse(libc::SYS_io_uring_enter, libc::EPERM);
    if case == when[0] {
        refuse_now();
    }
    if case == when[3] {
        // The queue takes all at once that its I/O will want.
        refuse_now();
        client = Client::on(Queue::sealed().unwrap(), dev.clone());
    }
    // More than a ring has slots. A long write is sent at once, the others when the queue waits.
    let len = if case == when[2] { 64 << 10 } else { 2048 };
    let count = SIZE / len;
    let mut buffers: Vec<Buffer> = (0..count).map(|_| Buffer::plain(len)).collect();
    for (index, buffer) in buffers.iter_mut().enumerate() {
        buffer.fill(&vec![index as u8; len]);
        client.submit(index, Op::Write, Flags::NONE, index * len, len, Some(buffer));
        if index == count / 2 && (case == when[1] || case == when[2]) {
            refuse_now();
        }
    }
    for _ in 0..count {
        assert_eq!(client.wait().1, Status::Ok, "{case}");
    }
    // The queue goes on, and so does the next one.
    assert_eq!(client.write(Flags::FUA, 0, &[0; 512]), Status::Ok);
    drop(client);
    let mut client = Client::new(dev.clone(), true);
    assert_eq!(client.read(0, 512), Ok(vec![0; 512]));
    drop(client);
    let bytes = std::fs::read(&path).unwrap();
    assert!((0..count).all(|index| bytes[index * len..][..len] == vec![index as u8; len]), "{case}");
    let words = use_it(EngineChoice::Auto).unwrap();
    assert!(words.contains("threads (no io_uring: the system permitted it at first"), "{words}");
}
