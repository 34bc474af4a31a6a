//! The terminal: where a person is asked for a passphrase, or whether to go on.
//!
//! As in cryptsetup the terminal stays in canonical mode: it has its own keys for erasing, and gives a line when Enter is
//! pressed. Only its echo is switched off, and it is put back on every way out: also before the process dies by a signal
//! or is suspended.

mod signals;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use udm_luks::Secret;

use signals::Caught;

/// The longest line that a passphrase can be, in bytes. cryptsetup takes no more of a longer one, without a word.
pub const LONGEST: usize = 512;
/// The longest line that the kernel's terminals give, in bytes.
const LINE: usize = 4096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The person pressed ^D, or the terminal is gone.
    #[error("the terminal's input ended (^D) before anything was typed")]
    Ended,
    /// The line is longer than any that cryptsetup takes.
    #[error(
        "more than {LONGEST} bytes were typed, of which cryptsetup would take the first {LONGEST}: type these, or use --key-file FILE"
    )]
    Long,
    /// A signal came that the program does not die of.
    #[error("a signal came before the answer")]
    Interrupted,
    /// The terminal fails.
    #[error("the terminal: {0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for TerminalError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Whether what is typed can be seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Echo {
    /// It can.
    On,
    /// It cannot.
    Off,
}

/// A terminal.
#[derive(Debug)]
pub struct Terminal {
    input: OwnedFd,
    /// Where the prompt goes, where not to `input`.
    output: Option<OwnedFd>,
}

/// What came first.
enum Answer {
    Line(Secret),
    Signal(i32),
}

impl Terminal {
    /// The terminal that the process has, whatever stdin is; where there is no such file, stdin if it is one.
    pub fn open() -> Option<Self> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32);
        match options.open("/dev/tty") {
            Ok(file) => Some(Self { input: file.into(), output: None }),
            Err(_) => Self::of(io::stdin().as_fd().try_clone_to_owned().ok()?),
        }
    }

    /// The terminal that a descriptor is, if it is one. It may be open for reading alone: the prompt goes to stderr.
    pub fn of(input: OwnedFd) -> Option<Self> {
        let output = io::stderr().as_fd().try_clone_to_owned().ok();
        isatty(&input).then_some(Self { input, output })
    }

    /// Asks for a line: the bytes that are typed, up to Enter.
    ///
    /// # Errors
    /// When there is none. If a signal ends the process, this does not return.
    pub fn ask(&self, prompt: &str, echo: Echo) -> Result<Secret, TerminalError> {
        // The handlers of signals are the process's.
        static ASKING: Mutex<()> = Mutex::new(());
        let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // The terminal and the handlers are again what they were when this is over.
            match self.ask_once(prompt, echo)? {
                Answer::Line(line) => return Ok(line),
                Answer::Signal(libc::SIGCONT) => {}
                Answer::Signal(signal) => {
                    signals::raise(signal);
                    // Suspended and back in the foreground, there is nothing to be seen of the prompt.
                    if signal != libc::SIGTSTP {
                        return Err(TerminalError::Interrupted);
                    }
                }
            }
        }
    }

    fn ask_once(&self, prompt: &str, echo: Echo) -> Result<Answer, TerminalError> {
        let caught = Caught::catch()?;
        let hidden = (echo == Echo::Off).then(|| Hidden::hide(&self.input)).transpose()?;
        self.say(prompt)?;
        let answer = self.line(&caught);
        let was_shown = hidden.is_none() && matches!(answer, Ok(Answer::Line(_)));
        drop(hidden);
        if !was_shown {
            // Enter was not shown. A terminal that is gone shows nothing, and the answer is the same.
            let _ = self.say("\n");
        }
        answer
    }

    fn say(&self, text: &str) -> Result<(), TerminalError> {
        let output = self.output.as_ref().unwrap_or(&self.input);
        let mut left = text.as_bytes();
        while !left.is_empty() {
            match retry_on_intr(|| write(output, left)) {
                Ok(written) => left = &left[written..],
                Err(Errno::AGAIN) => wait(output.as_fd(), PollFlags::OUT)?,
                // A terminal can be read, and stderr be closed or full.
                Err(_) if self.output.is_some() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads a line, or the number of a signal that comes before it is whole.
    fn line(&self, caught: &Caught) -> Result<Answer, TerminalError> {
        let mut line =
            Secret::zeroed(LINE).map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
        let mut len = 0;
        loop {
            let signals = PollFd::new(caught.pipe(), PollFlags::IN);
            let mut fds = [signals, PollFd::new(&self.input, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            if let Some(signal) = caught.signal() {
                return Ok(Answer::Signal(signal));
            }
            if fds[1].revents().is_empty() {
                continue;
            }
            match read(&self.input, &mut line[len..]) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
                Ok(0) if len == 0 => return Err(TerminalError::Ended),
                Ok(got) => {
                    let end = line[len..len + got].iter().position(|byte| *byte == b'\n');
                    let is_whole = end.is_some() || got == 0;
                    len += end.unwrap_or(got);
                    if len > LONGEST {
                        return Err(TerminalError::Long);
                    }
                    if is_whole {
                        line.truncate(len);
                        return Ok(Answer::Line(line));
                    }
                }
            }
        }
    }
}

fn wait(fd: BorrowedFd<'_>, flags: PollFlags) -> Result<(), TerminalError> {
    retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None))?;
    Ok(())
}

/// A terminal without its echo, until this is dropped.
struct Hidden<'a> {
    terminal: &'a OwnedFd,
    before: Termios,
}

impl<'a> Hidden<'a> {
    /// What was typed before the prompt is not taken, and neither is what is left behind an answer: it may be a
    /// passphrase, which would go to the shell.
    const FLUSH: OptionalActions = OptionalActions::Flush;

    fn hide(terminal: &'a OwnedFd) -> Result<Self, TerminalError> {
        let before = tcgetattr(terminal)?;
        let mut without = before.clone();
        without.local_modes.remove(LocalModes::ECHO);
        retry_on_intr(|| tcsetattr(terminal, Self::FLUSH, &without))?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be put back.
        let _ = retry_on_intr(|| tcsetattr(self.terminal, Self::FLUSH, &self.before));
    }
}
