//! A server lives on without its log, without descriptors, and among clients that say nothing; it ends when it is told to,
//! and whoever starts at the same socket does not take it away.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use udm::export::nbd::client::{Client, ClientError};
use udm::nbd::address::NbdUri;
use udm_tests::program::{Served, path, run};

const SIZE: u64 = 1 << 20;
/// How long an end may take: a server that waits in vain takes longer.
const SHORT: Duration = Duration::from_secs(4);

/// A folder with an image.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = TempDir::with_prefix("udm-life-").expect("a temporary folder");
        File::create(folder.path().join("image")).and_then(|file| file.set_len(SIZE)).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `udm serve` of the image.
    fn command(&self) -> Command {
        let mut command = Command::new(path());
        command.arg("serve").arg(self.device()).arg("--nbd").arg(self.path("socket"));
        command
    }

    /// The same by a shell, after `first`.
    fn shell(&self, first: &str) -> Command {
        let mut command = Command::new("sh");
        let (udm, device, socket) = (path(), self.device(), self.path("socket"));
        let exec = format!("{first}; exec {} serve {device} --nbd {}", udm.display(), socket.display());
        command.args(["-c", &exec]);
        command
    }

    fn device(&self) -> String {
        format!("raw:{}", self.path("image").display())
    }
}

fn connect(served: &Served) -> Result<Client, ClientError> {
    let uri: NbdUri = served.uri().parse().unwrap();
    let mut client = Client::connect(&uri.address, &uri.export)?;
    client.set_timeout(Some(Duration::from_secs(10)))?;
    Ok(client)
}

/// Twenty clients, one after the other and more than there are seats, write and read.
fn serves_all(served: &Served) {
    for round in 0..20u8 {
        let mut client = connect(served).unwrap_or_else(|error| panic!("client {round}: {error}"));
        client.write(0, &[round; 4096], false).unwrap();
        let mut data = [0; 4096];
        client.read(0, &mut data).unwrap();
        assert_eq!(data, [round; 4096]);
        client.disconnect().unwrap();
    }
}

/// It ends well and soon.
fn ends_well(served: Served, signal: Signal) {
    let (status, took) = served.end_by(signal);
    assert_eq!(status, Some(0), "the server did not end well by {signal:?}");
    assert!(took < SHORT, "the end took {took:?}");
}

#[test]
fn with_a_log_whose_reader_is_gone_or_whose_disk_is_full() {
    for stderr in ["gone", "full"] {
        let folder = Folder::new();
        let mut command = folder.command();
        let full = || File::options().write(true).open("/dev/full").unwrap();
        command.stderr(if stderr == "full" { Stdio::from(full()) } else { Stdio::piped() });
        let mut served = Served::of(&mut command, 1);
        drop(served.stderr());
        serves_all(&served);
        println!("stderr is {stderr}");
        ends_well(served, Signal::TERM);
        assert_eq!(fs::read(folder.path("image")).unwrap()[..4096], [19; 4096]);
    }
}

#[test]
fn with_a_log_that_nobody_reads_which_says_afterwards_how_many_lines_are_lost() {
    const REFUSED: usize = 4000;
    let folder = Folder::new();
    let mut served = Served::of(folder.command().env("UDM_LOG", "debug").stderr(Stdio::piped()), 1);
    let mut log = served.stderr().unwrap();
    // Each of these is a line of the log, which has room for some hundreds.
    let mut client = connect(&served).unwrap();
    for _ in 0..REFUSED {
        assert!(client.trim(SIZE, 4096).is_err());
    }
    drop(client);
    serves_all(&served);
    // What was held comes out, and then the notice.
    let (mut text, mut chunk) = (String::new(), [0; 8192]);
    while !text.contains("of this log were lost") {
        let got = log.read(&mut chunk).unwrap();
        assert!(got > 0, "the log ended without a notice");
        text += str::from_utf8(&chunk[..got]).unwrap();
    }
    let lost = text
        .lines()
        .find_map(|line| line.strip_suffix(" lines of this log were lost: nobody read stderr in time"));
    let lost: usize =
        lost.unwrap_or_else(|| panic!("no notice")).strip_prefix("udm: ").unwrap().parse().unwrap();
    let refused = text.lines().filter(|line| line.contains("refused a request")).count();
    println!("{refused} lines were kept, and {lost} lost");
    assert!(refused > 100 && lost > 100, "{refused} lines were kept, {lost} lost");
    // The lines of twenty clients, and of the first one.
    assert!((REFUSED..REFUSED + 60).contains(&(refused + lost)), "{refused} and {lost} of {REFUSED}");
    ends_well(served, Signal::TERM);
}

#[test]
fn with_a_full_log_it_still_ends() {
    let folder = Folder::new();
    let mut served = Served::of(folder.command().env("UDM_LOG", "debug").stderr(Stdio::piped()), 1);
    let log = served.stderr().unwrap();
    let mut client = connect(&served).unwrap();
    for _ in 0..4000 {
        assert!(client.trim(SIZE, 4096).is_err());
    }
    ends_well(served, Signal::TERM);
    drop(log);
}

#[test]
fn without_anybody_who_reads_where_its_exports_are() {
    let folder = Folder::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = folder.command().stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while UnixStream::connect(folder.path("socket")).is_err() {
        assert!(
            begin.elapsed() < Duration::from_secs(10) && child.try_wait().unwrap().is_none(),
            "it does not serve"
        );
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(50));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("writing to stdout: No space left on device"), "{log}");
}

#[test]
fn each_signal_ends_it_with_a_flush_unless_it_was_started_to_ignore_it() {
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        let folder = Folder::new();
        let served = Served::of(&mut folder.command(), 1);
        serves_all(&served);
        // This one is no end.
        served.signal(Signal::USR1);
        ends_well(served, signal);
        assert!(!folder.path("socket").exists(), "the socket's file is left after {signal:?}");
    }
    // The twin: as `nohup` starts it.
    let folder = Folder::new();
    let served = Served::of(&mut folder.shell("trap '' HUP INT"), 1);
    served.signal(Signal::HUP);
    served.signal(Signal::INT);
    thread::sleep(Duration::from_millis(50));
    serves_all(&served);
    ends_well(served, Signal::TERM);
}

#[test]
fn a_file_at_its_limit_is_an_error_and_not_the_end() {
    let folder = Folder::new();
    // Blocks of 512 bytes, or of 1024.
    let served = Served::of(&mut folder.shell("ulimit -f 100"), 1);
    let mut client = connect(&served).unwrap();
    let written = client.write(SIZE / 2, &[1; 4096], false);
    assert!(matches!(written, Err(ClientError::Server(_))), "{written:?}");
    drop(client);
    serves_all(&served);
    ends_well(served, Signal::TERM);
}

#[test]
fn three_hundred_mute_clients_keep_nobody_out() {
    let folder = Folder::new();
    let served = Served::of(&mut folder.command(), 1);
    let mute: Vec<_> = (0..300).map(|_| UnixStream::connect(folder.path("socket")).unwrap()).collect();
    let begin = Instant::now();
    let mut client = connect(&served).unwrap();
    client.read(0, &mut [0; 4096]).unwrap();
    println!("the 301st client read after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    // They are let in all the same, and wait.
    for mut mute in mute {
        let mut greeting = [0; 8];
        mute.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"NBDMAGIC");
    }
    drop(client);
    ends_well(served, Signal::TERM);
}

#[test]
fn more_mute_clients_than_there_is_room_for_make_room_for_the_next_one() {
    let folder = Folder::new();
    let served = Served::of(folder.shell("ulimit -n 100").stderr(Stdio::piped()), 1);
    let mute: Vec<_> = (0..300).map(|_| UnixStream::connect(folder.path("socket")).unwrap()).collect();
    let begin = Instant::now();
    serves_all(&served);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    drop(mute);
    ends_well(served, Signal::TERM);
}

#[test]
fn without_a_descriptor_it_waits_at_rest_and_goes_on() {
    let folder = Folder::new();
    let mut served = Served::of(folder.shell("ulimit -n 30").stderr(Stdio::piped()), 1);
    let mut log = served.stderr().unwrap();
    let mut clients = Vec::new();
    let mut last = None;
    // Each has three descriptors of the server's, until one finds none.
    for _ in 0..16 {
        let mut socket = UnixStream::connect(folder.path("socket")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let greeted = socket.read_exact(&mut [0; 18]);
        let chosen = greeted.and_then(|()| socket.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0"));
        if chosen.is_err() {
            last = Some(socket);
            break;
        }
        let _ = socket.read_exact(&mut [0; 10]);
        clients.push(socket);
    }
    assert!(last.is_some(), "there were descriptors for {} clients", clients.len());
    let before = served.processor_time();
    thread::sleep(Duration::from_millis(500));
    let spent = served.processor_time().saturating_sub(before);
    assert!(spent < Duration::from_millis(100), "it spins: {spent:?} of 500 ms");
    drop((clients, last));
    serves_all(&served);
    ends_well(served, Signal::TERM);
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("cannot accept").count(), 1, "{text}");
}

#[test]
fn of_many_servers_at_one_stale_socket_one_serves_and_stays_reachable() {
    const SERVERS: usize = 8;
    let folder = Folder::new();
    let (shared, alone) = (folder.path("shared"), |number| folder.path(&format!("socket-{number}")));
    for is_control in [false, true] {
        drop(UnixListener::bind(&shared).unwrap());
        let start = |number| {
            let (nbd, control) =
                if is_control { (alone(number), &shared) } else { (shared.clone(), &alone(number)) };
            let mut command = Command::new(path());
            command.args(["serve", "--table", "0 2048 zero", "--nbd"]).arg(nbd).arg("--control").arg(control);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut children: Vec<_> = (0..SERVERS).map(start).collect();
        let begin = Instant::now();
        let mut live = Vec::new();
        while live.len() != 1 {
            live = (0..SERVERS).filter(|number| children[*number].try_wait().unwrap().is_none()).collect();
            assert!(begin.elapsed() < Duration::from_secs(20) && !live.is_empty(), "{live:?} are left");
            thread::sleep(Duration::from_millis(5));
        }
        is_reachable(&shared, is_control);
        for (number, child) in children.into_iter().enumerate() {
            if live[0] == number {
                rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM)
                    .unwrap();
            }
            let output = child.wait_with_output().unwrap();
            let log = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(i32::from(live[0] != number)), "{log}");
            assert!(live[0] == number || log.contains("a server listens there already"), "{log}");
        }
        let left: Vec<_> =
            fs::read_dir(folder.0.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["image"]);
    }
}

/// Somebody serves at `socket`.
fn is_reachable(socket: &Path, is_control: bool) {
    if is_control {
        let output = run(["dm".as_ref(), socket.as_os_str(), "ls".as_ref()]);
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let begin = Instant::now();
    let mut greeting = [0; 8];
    let mut client = UnixStream::connect(socket).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.read_exact(&mut greeting).unwrap_or_else(|error| panic!("{error} after {:?}", begin.elapsed()));
}

#[test]
fn a_reader_that_has_enough_ends_the_program_as_others_do() {
    let folder = Folder::new();
    let read = |stderr: Stdio| {
        let mut command = Command::new(path());
        command.arg("read").arg(folder.device()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap()
    };
    let mut child = read(Stdio::piped());
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(Signal::PIPE.as_raw()), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // The twin: a full disk is an error, and is told.
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(path()).arg("read").arg(folder.device()).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("writing to stdout: No space left on device"), "{told}");
    // Where that cannot be told either, the status says it.
    for stderr in ["gone", "full"] {
        let gone = || Stdio::from(std::io::pipe().unwrap().1);
        let stderr = if stderr == "gone" { gone() } else { Stdio::from(full()) };
        let status =
            Command::new(path()).args(["read", "--table", "0 8 nosuch"]).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(2));
    }
}
