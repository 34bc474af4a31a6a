//! A terminal for a program that asks: a pseudoterminal, with the test at the keyboard.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::program::PATIENCE;

/// A terminal, with a program on it. The program is killed when this is dropped.
pub struct Terminal {
    keyboard: File,
    /// The terminal stays as the program leaves it as long as somebody has it open.
    screen: File,
    child: Child,
    shown: Vec<u8>,
    /// How much of `shown` was looked at.
    seen: usize,
}

impl Terminal {
    /// Starts a program whose terminal this is: stdin, stdout and stderr too.
    ///
    /// # Panics
    /// When there are no pseudoterminals.
    pub fn start(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        // A session of its own, whose leader the program is.
        Self::start_by(&["--ctty"], program, args)
    }

    /// The same for a program that has no terminal but its stdin.
    ///
    /// # Panics
    /// When there are no pseudoterminals.
    pub fn start_without(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        Self::start_by(&[], program, args)
    }

    fn start_by(
        how: &[&str],
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let keyboard =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudoterminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a pseudoterminal");
        let name = ptsname(&keyboard, Vec::new()).expect("its name").into_string().expect("text");
        let mut options = File::options();
        options.read(true).write(true);
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            rustix::fs::OFlags::NOCTTY.bits() as i32,
        );
        let screen = options.open(&name).expect("a terminal");
        let side = || Stdio::from(screen.try_clone().expect("a descriptor"));
        let mut command = Command::new("setsid");
        command.args(how).arg(program).args(args).stdin(side()).stdout(side()).stderr(side());
        let child = command.env_remove("CREDENTIALS_DIRECTORY").spawn().expect("setsid (util-linux) runs");
        Self { keyboard: keyboard.into(), screen, child, shown: Vec::new(), seen: 0 }
    }

    /// Waits until `text` is shown, behind what was waited for before.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for(&mut self, text: &str) {
        let begin = Instant::now();
        loop {
            let found =
                self.shown[self.seen..].windows(text.len()).position(|shown| shown == text.as_bytes());
            if let Some(at) = found {
                self.seen += at + text.len();
                return;
            }
            let ended = self.child.try_wait().expect("a child").is_some();
            let more = self.look(if ended { 0 } else { 50 });
            assert!(more || !ended, "it ended before it showed {text:?}: {}", self.all());
            assert!(begin.elapsed() < PATIENCE, "{text:?} is not shown: {}", self.all());
        }
    }

    /// Types these bytes.
    ///
    /// # Panics
    /// When the terminal takes none.
    pub fn type_in(&mut self, bytes: impl AsRef<[u8]>) {
        self.keyboard.write_all(bytes.as_ref()).expect("a terminal that can be typed at");
    }

    /// Sends the program a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a program that runs");
    }

    /// Whether what is typed is shown.
    ///
    /// # Panics
    /// When the terminal cannot tell.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.screen).expect("a terminal").local_modes.contains(LocalModes::ECHO)
    }

    /// Waits until what is typed is not shown any more. A program that hides it forgets what was typed before.
    ///
    /// # Panics
    /// When it is shown on and on.
    pub fn wait_until_hidden(&self) {
        let begin = Instant::now();
        while self.echoes() {
            assert!(begin.elapsed() < PATIENCE, "what is typed is shown: {}", self.all());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the program ends: how it did, and all that was shown.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            self.look(5);
            assert!(begin.elapsed() < PATIENCE, "it does not end: {}", self.all());
        };
        while self.look(0) {}
        (status, self.all())
    }

    /// All that was shown.
    fn all(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Takes what is shown within so many milliseconds; whether there was anything.
    fn look(&mut self, milliseconds: i64) -> bool {
        let patience = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
        let ready = poll(&mut [PollFd::new(&self.keyboard, PollFlags::IN)], Some(&patience));
        let mut piece = [0; 4096];
        match ready {
            Ok(ready) if ready > 0 => {
                let got = self.keyboard.read(&mut piece).unwrap_or(0);
                self.shown.extend_from_slice(&piece[..got]);
                got > 0
            }
            _ => false,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
