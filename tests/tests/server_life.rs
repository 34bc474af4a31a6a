//! A server lives on without its log, without descriptors, and among clients that say nothing; it ends when it is told to,
//! and whoever starts at the same socket does not take it away.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use udm::backend::nbd::client::{Client, ClientError};
use udm::nbd::address::NbdUri;
use udm_tests::program::{Log, PATIENCE, SOON, Served, path, run};

const SIZE: u64 = 1 << 20;

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
    client.set_timeout(Some(PATIENCE))?;
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
    assert!(took < SOON, "the end took {took:?}");
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
    // Each of these is a line of the log, which has room for some hundreds.
    let mut client = connect(&served).unwrap();
    for _ in 0..REFUSED {
        assert!(client.trim(SIZE, 4096).is_err());
    }
    drop(client);
    serves_all(&served);
    // What was held comes out, and then the notice.
    let mut log = served.log();
    let notice = log.wait_for("of this log were lost");
    let lost = notice.strip_suffix(" lines of this log were lost: nobody read stderr in time");
    let lost: usize =
        lost.unwrap_or_else(|| panic!("{notice}")).strip_prefix("udm: ").unwrap().parse().unwrap();
    ends_well(served, Signal::TERM);
    let refused = log.end().iter().filter(|line| line.contains("refused a request")).count();
    println!("{refused} lines were kept, and {lost} lost");
    assert!(refused > 100 && lost > 100, "{refused} lines were kept, {lost} lost");
    // The lines of twenty clients, and of the first one.
    assert!((REFUSED..REFUSED + 60).contains(&(refused + lost)), "{refused} and {lost} of {REFUSED}");
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
    let mut log = Log::of(child.stderr.take().unwrap());
    // By then it hears signals: they are caught before the exports are told of.
    log.wait_for("writing to stdout: No space left on device");
    is_reachable(&folder.path("socket"), false);
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{:#?}", log.end());
}

fn terminate(child: &Child) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), Signal::TERM).unwrap();
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
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
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
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    drop(mute);
    ends_well(served, Signal::TERM);
}

#[test]
fn without_a_descriptor_it_waits_at_rest_and_goes_on() {
    let folder = Folder::new();
    let mut served = Served::of(folder.command().stderr(Stdio::piped()), 1);
    let (mut log, begin) = (served.log(), Instant::now());
    // Who was answered has all the descriptors that it will have. This one's request never comes to the device, for which
    // there would be a ring: its socket is all that it gives back.
    let mut idle = connect(&served).unwrap();
    assert!(idle.trim(SIZE, 4096).is_err());
    served.leave_no_descriptor();
    let waits = UnixStream::connect(folder.path("socket")).unwrap();
    log.wait_for("cannot accept");
    // The time is the server's own, however busy the machine is.
    let before = served.processor_time();
    thread::sleep(Duration::from_millis(500));
    let spent = served.processor_time().saturating_sub(before);
    assert!(spent < Duration::from_millis(100), "it spins: {spent:?} of 500 ms");
    // Who leaves makes room for who waits, and that one is served though its descriptor is the last.
    drop(idle);
    let mut last = Client::over(waits, "image", Some(PATIENCE)).expect("there was a descriptor");
    last.read(0, &mut [0; 4096]).unwrap();
    served.allow_descriptors();
    serves_all(&served);
    ends_well(served, Signal::TERM);
    // It says so once a minute.
    let most = 1 + begin.elapsed().as_secs() as usize / 60;
    let log = log.end();
    let told = log.iter().filter(|line| line.contains("cannot accept")).count();
    assert!((1..=most).contains(&told), "{log:#?}");
}

#[test]
fn without_a_descriptor_the_oldest_mute_client_makes_room_when_somebody_waits() {
    let folder = Folder::new();
    let served = Served::of(&mut folder.command(), 1);
    let greeted = || {
        let mut client = UnixStream::connect(folder.path("socket")).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.read_exact(&mut [0; 18]).unwrap();
        client
    };
    // Asks which exports there are: answers to that, and then an acknowledgement.
    let ask = |mut client: &UnixStream, flags: &[u8]| -> io::Result<()> {
        client.write_all(&[flags, b"IHAVEOPT\0\0\0\x03\0\0\0\0"].concat())?;
        let mut head = [0; 20];
        while head[12..16] != [0, 0, 0, 1] {
            client.read_exact(&mut head)?;
            client.read_exact(&mut vec![0; head[19].into()])?;
        }
        Ok(())
    };
    let (mut oldest, other) = (greeted(), greeted());
    served.leave_no_descriptor();
    // The twin: as long as nobody waits, nobody has to go.
    for client in [&other, &oldest] {
        ask(client, b"\0\0\0\x03").expect("nobody waits");
    }
    let _newcomer = greeted();
    // Its end: without a hang-up this would wait.
    oldest.read_to_end(&mut Vec::new()).unwrap();
    ask(&other, b"").expect("one was enough");
    ends_well(served, Signal::TERM);
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
            assert!(begin.elapsed() < PATIENCE && !live.is_empty(), "{live:?} are left");
            thread::sleep(Duration::from_millis(5));
        }
        // It says where its exports are, and from then on it ends well by a signal.
        children[live[0]].stdout.take().unwrap().read_exact(&mut [0; 1]).unwrap();
        is_reachable(&shared, is_control);
        for (number, child) in children.into_iter().enumerate() {
            if live[0] == number {
                terminate(&child);
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
    client.set_read_timeout(Some(PATIENCE)).unwrap();
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
