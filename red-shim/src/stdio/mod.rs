//! Streams of a process, as containerd asks for them.
//!
//! Without a terminal nothing is copied: the process has the fifo itself, whose other end containerd reads, and the
//! shim holds the end that keeps it from breaking when containerd goes away (fifo(7)). What is in the fifo when the
//! process ends stays there until it is read, since the shim lets go of its end only when the process is deleted, and
//! waits until then for what is still to be read: clients of containerd 1.7 and newer stop reading once they have the
//! answer.

mod fifo;
mod input;
mod logger;
mod terminal;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::Winsize;

use crate::error::{Doing, Error};
use crate::reaper::Reaper;
pub(crate) use terminal::{Console, Socket};

/// What is asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// A path, or nothing.
    pub(crate) stdin: String,
    /// A path, a URL, or nothing.
    pub(crate) stdout: String,
    /// A path, a URL, or nothing.
    pub(crate) stderr: String,
    /// All three are a terminal.
    pub(crate) terminal: bool,
}

/// Where something goes.
#[derive(Debug, Eq, PartialEq)]
enum Target {
    Null,
    Fifo(PathBuf),
    File(PathBuf),
    Logger { program: PathBuf, args: Vec<String> },
}

impl Target {
    /// Reads a path or a URL (containerd, docs/logging.md).
    fn of(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Ok(Self::Null),
                path if path.starts_with('/') => Ok(Self::Fifo(path.into())),
                other => {
                    Err(Error::Invalid(format!("stream `{other}` is neither an absolute path nor a URL")))
                }
            };
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = PathBuf::from(decoded(path)?);
        if !path.is_absolute() {
            return Err(Error::Invalid(format!("stream `{text}` has no absolute path")));
        }
        match scheme {
            "fifo" => Ok(Self::Fifo(path)),
            "file" => Ok(Self::File(path)),
            "binary" => {
                let mut args = Vec::new();
                for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    args.extend([decoded(key)?, decoded(value)?].into_iter().filter(|word| !word.is_empty()));
                }
                Ok(Self::Logger { program: path, args })
            }
            other => {
                Err(Error::Invalid(format!("stream `{text}`: `{other}` is not known: fifo, file or binary")))
            }
        }
    }
}

/// A part of a URL without its escapes (RFC 3986, 2.1).
fn decoded(text: &str) -> Result<String, Error> {
    let wrong = || Error::Invalid(format!("`{text}` is not part of a URL"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(wrong)?, rest.next().ok_or_else(wrong)?];
        let digits =
            std::str::from_utf8(&digits).ok().filter(|two| two.bytes().all(|one| one.is_ascii_hexdigit()));
        bytes.push(digits.and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or_else(wrong)?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(wrong)
}

/// What the shim keeps of a process's streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// The end of stdin that keeps the process from seeing its end.
    stdin: Option<input::Input>,
    /// Ends that keep fifos from breaking.
    held: Vec<OwnedFd>,
    logger: Option<logger::Logger>,
    console: Option<Console>,
}

/// For whom streams are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    /// Name of the container.
    pub(crate) id: &'a str,
    /// containerd's namespace.
    pub(crate) namespace: &'a str,
    /// Address of containerd's socket, or nothing.
    pub(crate) daemon: &'a str,
}

impl Streams {
    /// Gives a command of the runtime, and so the process that it makes, the streams that are wanted. With a
    /// terminal that is [`Console`]'s.
    ///
    /// # Errors
    /// What is asked for is not understood, not there, or not what it should be.
    pub(crate) async fn give(
        reaper: &Reaper,
        wanted: &Wanted,
        whose: Whose<'_>,
        command: &mut Command,
    ) -> Result<Self, Error> {
        let mut streams = Self::default();
        match Target::of(&wanted.stdin)? {
            Target::Null => {}
            Target::Fifo(path) => {
                let (read, held) = input::Input::open(&path, whose.daemon)?;
                command.stdin(read);
                streams.stdin = Some(held);
            }
            Target::File(_) | Target::Logger { .. } => {
                return Err(Error::Invalid(format!("stdin cannot be `{}`", wanted.stdin)));
            }
        }
        let (out, err) = (Target::of(&wanted.stdout)?, Target::of(&wanted.stderr)?);
        if let Target::Logger { program, args } = &out {
            let (logger, [out, err]) = logger::start(reaper, program, args, whose).await?;
            command.stdout(out).stderr(err);
            streams.logger = Some(logger);
            return Ok(streams);
        }
        if let Some(out) = streams.output(&out, &wanted.stdout)? {
            command.stdout(out);
        }
        if let Some(err) = streams.output(&err, &wanted.stderr)? {
            command.stderr(err);
        }
        Ok(streams)
    }

    fn output(&mut self, target: &Target, text: &str) -> Result<Option<OwnedFd>, Error> {
        match target {
            Target::Null => Ok(None),
            Target::Fifo(path) => {
                let (read, write) = fifo::both_ends(path)?;
                self.held.push(read);
                Ok(Some(write))
            }
            Target::File(path) => log_file(path).map(Some),
            Target::Logger { .. } => Err(Error::Invalid(format!("stderr cannot be `{text}` alone"))),
        }
    }

    /// Copies between a terminal and what is wanted.
    ///
    /// # Errors
    /// As of [`Streams::give`].
    pub(crate) async fn connect(
        reaper: &Reaper,
        wanted: &Wanted,
        whose: Whose<'_>,
        master: OwnedFd,
    ) -> Result<Self, Error> {
        let mut streams = Self::default();
        let input = match Target::of(&wanted.stdin)? {
            Target::Null => None,
            Target::Fifo(path) => {
                let (read, held) = input::Input::open_for_terminal(&path)?;
                streams.stdin = Some(held);
                Some(read)
            }
            Target::File(_) | Target::Logger { .. } => {
                return Err(Error::Invalid(format!("stdin cannot be `{}`", wanted.stdin)));
            }
        };
        let output = match Target::of(&wanted.stdout)? {
            Target::Logger { program, args } => {
                let (logger, [out, _err]) = logger::start(reaper, &program, &args, whose).await?;
                streams.logger = Some(logger);
                Some(out)
            }
            other => streams.output(&other, &wanted.stdout)?,
        };
        streams.console = Some(Console::new(master, input, output)?);
        Ok(streams)
    }

    /// Lets the process see the end of its input, when containerd has let go of it too.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Gives the terminal a size.
    ///
    /// # Errors
    /// There is none, or the kernel refuses.
    pub(crate) fn resize(&self, width: u32, height: u32) -> Result<(), Error> {
        let console =
            self.console.as_ref().ok_or_else(|| Error::State("the process has no terminal".into()))?;
        let side = |cells: u32| u16::try_from(cells).unwrap_or(u16::MAX);
        console.resize(Winsize { ws_row: side(height), ws_col: side(width), ws_xpixel: 0, ws_ypixel: 0 })
    }

    /// Waits until what the process has written is where it belongs, and lets go of everything.
    pub(crate) async fn finish(mut self) {
        self.stdin = None;
        if let Some(console) = self.console.take() {
            console.finish().await;
        }
        fifo::taken(&self.held).await;
        self.held.clear();
        if let Some(logger) = self.logger.take() {
            logger.finish().await;
        }
    }
}

fn log_file(path: &Path) -> Result<OwnedFd, Error> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).at("cannot make", dir)?;
    }
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    open(path, flags, Mode::from_raw_mode(0o644)).at("cannot open", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert_eq!(Target::of("").expect("nothing"), Target::Null);
        assert_eq!(Target::of("/run/f").expect("a path"), Target::Fifo("/run/f".into()));
        assert_eq!(Target::of("file:///var/log/a%20b").expect("a file"), Target::File("/var/log/a b".into()));
        let logger = Target::of("binary:///bin/log?id=a%26b&tag&x=").expect("a logger");
        let args = ["id", "a&b", "tag", "x"].map(String::from).to_vec();
        assert_eq!(logger, Target::Logger { program: "/bin/log".into(), args });
        for wrong in [
            "relative",
            "npipe:///x",
            "file://host/x",
            "binary://x",
            "file:///%zz",
            "file:///%+1",
            "file:///%00",
        ] {
            assert!(Target::of(wrong).is_err(), "{wrong}");
        }
    }
}
