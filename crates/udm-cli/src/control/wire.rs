//! Requests and answers as bytes.

use std::io::{self, BufRead, BufReader, Read, Write};

use zeroize::Zeroizing;

/// The longest first line, in bytes.
const LONGEST_LINE: usize = 128;
/// The longest name of a device, in bytes, as NBD has it for exports.
const LONGEST_NAME: usize = 4096;
/// The longest text of a request or an answer, in bytes: a table's.
pub(super) const LONGEST_TEXT: usize = 1 << 20;
/// What a request begins with.
const MAGIC: &str = "udm-dm 1";

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// The names of the devices.
    Ls,
    Status,
    Table,
    Info,
    Deps,
    Suspend,
    Resume,
    Load,
    Clear,
    Message,
}

impl Command {
    const ALL: [Self; 10] = [
        Self::Ls,
        Self::Status,
        Self::Table,
        Self::Info,
        Self::Deps,
        Self::Suspend,
        Self::Resume,
        Self::Load,
        Self::Clear,
        Self::Message,
    ];

    /// dmsetup's word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ls => "ls",
            Self::Status => "status",
            Self::Table => "table",
            Self::Info => "info",
            Self::Deps => "deps",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Load => "load",
            Self::Clear => "clear",
            Self::Message => "message",
        }
    }
}

/// A request.
pub(crate) struct Request {
    pub(crate) command: Command,
    /// The device; none means the only one.
    pub(crate) name: String,
    /// May hold a key.
    pub(crate) text: Zeroizing<String>,
}

/// What came of it: the output, which may hold a key; or an errno and a sentence.
pub(crate) type Answer = Result<Zeroizing<String>, (i32, String)>;

impl Request {
    /// Sends it.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "{MAGIC} {} {} {}", self.command.name(), self.name.len(), self.text.len())?;
        to.write_all(self.name.as_bytes())?;
        to.write_all(self.text.as_bytes())
    }

    /// Receives one.
    ///
    /// # Errors
    /// What is wrong with it, for the client.
    pub(super) fn read(from: impl Read) -> io::Result<Self> {
        let mut from = Unbuffered::new(from);
        let line = from.line()?;
        let words = line.strip_prefix(MAGIC).map(|rest| rest.split_ascii_whitespace().collect::<Vec<_>>());
        let Some([command, name, text]) = words.as_deref() else {
            return Err(wrong(format!("a request begins with: {MAGIC} <command> <bytes> <bytes>")));
        };
        let command = Command::ALL.into_iter().find(|known| known.name() == *command);
        let command = command.ok_or_else(|| {
            wrong(format!("no such command; there are {}", Command::ALL.map(Command::name).join(", ")))
        })?;
        let (name, text) = (length(name, LONGEST_NAME)?, length(text, LONGEST_TEXT)?);
        let name = from.text(name)?.to_string();
        Ok(Self { command, name, text: from.text(text)? })
    }
}

/// Sends an answer.
pub(super) fn write_answer(answer: &Answer, to: &mut impl Write) -> io::Result<()> {
    let text = match answer {
        Ok(output) => {
            writeln!(to, "ok {}", output.len())?;
            output.as_bytes()
        }
        Err((errno, why)) => {
            writeln!(to, "error {errno} {}", why.len())?;
            why.as_bytes()
        }
    };
    to.write_all(text)
}

/// Receives an answer.
pub(super) fn read_answer(from: impl Read) -> io::Result<Answer> {
    let mut from = Unbuffered::new(from);
    let line = from.line()?;
    match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        ["ok", len] => Ok(Ok(from.text(length(len, 2 * LONGEST_TEXT)?)?)),
        ["error", errno, len] => {
            let errno = errno.parse().map_err(|_| wrong("an errno is a number".into()))?;
            Ok(Err((errno, from.text(length(len, LONGEST_TEXT)?)?.to_string())))
        }
        _ => Err(wrong("this is no answer of udm's control socket".into())),
    }
}

/// What is read a byte at a time up to the line's end, and then into its own buffer: nothing of a key is in between.
struct Unbuffered<R: Read>(BufReader<R>);

impl<R: Read> Unbuffered<R> {
    fn new(from: R) -> Self {
        Self(BufReader::with_capacity(1, from))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.0).take(LONGEST_LINE as u64).read_line(&mut line)?;
        if line.ends_with('\n') {
            return Ok(line);
        }
        Err(wrong(format!("a first line has at most {LONGEST_LINE} bytes, and an end")))
    }

    /// `len` bytes, in one buffer.
    fn text(&mut self, len: usize) -> io::Result<Zeroizing<String>> {
        let mut bytes = Zeroizing::new(vec![0; len]);
        self.0.read_exact(&mut bytes)?;
        match String::from_utf8(std::mem::take(&mut *bytes)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(wrong("names and texts are UTF-8".into()))
            }
        }
    }
}

/// A length up to `most`.
fn length(word: &str, most: usize) -> io::Result<usize> {
    let length = word.parse().ok().filter(|length| *length <= most);
    length.ok_or_else(|| wrong(format!("a length here is a number up to {most}")))
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_an_answer_come_as_they_were_sent() {
        for command in Command::ALL {
            let request =
                Request { command, name: "a b\n".into(), text: Zeroizing::new("0 key wipe".into()) };
            let mut bytes = Vec::new();
            request.write(&mut bytes).unwrap();
            let read = Request::read(&bytes[..]).unwrap();
            assert_eq!((read.command, &read.name, &read.text), (command, &request.name, &request.text));
            // Every shorter one is refused.
            (0..bytes.len()).for_each(|len| assert!(Request::read(&bytes[..len]).is_err(), "{len} bytes"));
        }
        for answer in [Ok(Zeroizing::new("0 8 zero\n".into())), Err((22, "no".into()))] {
            let mut bytes = Vec::new();
            write_answer(&answer, &mut bytes).unwrap();
            assert_eq!(read_answer(&bytes[..]).unwrap(), answer);
            (0..bytes.len()).for_each(|len| assert!(read_answer(&bytes[..len]).is_err(), "{len} bytes"));
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"udm-dm 1 status 99999999999999999999 0\n",
            b"udm-dm 1 status 4097 0\n",
            b"udm-dm 1 load 0 1048577\n",
            b"udm-dm 1 load 0 -1\n",
            b"udm-dm 1 destroy 0 0\n",
            b"udm-dm 2 status 0 0\n",
            b"udm-dm 1 status 0\n",
            b"udm-dm 1 status 2 0\n\xff\xfe",
            &[b'a'; 4096],
            &[0; 200],
            b"\n",
        ] {
            let refused = Request::read(bytes);
            assert!(refused.is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(Request::read(&b"udm-dm 1 ls 0 0\n"[..]).is_ok());
    }
}
