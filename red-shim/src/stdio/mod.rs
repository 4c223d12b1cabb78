//! Standard streams of a process.
//!
//! The shim copies data for terminals and log files only. Else the process inherits one end of the FIFO, and containerd
//! reads the other. The shim keeps an end open too, so that the process gets no SIGPIPE or EOF while containerd is down
//! (fifo(7)). Unread data stays in the FIFO until the process is deleted. `Delete` waits for the reader, because clients
//! of containerd 1.7 and newer stop reading after its response.

mod copy;
mod fifo;
mod input;
mod logger;
mod terminal;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::Winsize;

use crate::context::ShimContext;
use crate::error::{Context, Error};
use copy::{CopyTask, Sink, nonblocking_async_fd};
pub(crate) use terminal::{Console, ConsoleSocket};

/// Standard streams of a create or exec request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct StdioConfig {
    /// FIFO path; empty if none.
    pub(crate) stdin: String,
    /// FIFO path or logging URL; empty if none.
    pub(crate) stdout: String,
    /// FIFO path or logging URL; empty if none.
    pub(crate) stderr: String,
    /// Attach a terminal.
    pub(crate) terminal: bool,
}

/// Target of a stream.
#[derive(Debug, Eq, PartialEq)]
enum Target {
    Null,
    Fifo(PathBuf),
    File(PathBuf),
    Logger { program: PathBuf, args: Vec<String> },
}

impl StdioConfig {
    /// The streams of a request, stdin, stdout and stderr, none of which is opened yet.
    ///
    /// # Errors
    /// Relative path, unknown scheme, or invalid escape.
    pub(crate) fn new(streams: [String; 3], terminal: bool) -> Result<Self, Error> {
        streams.iter().try_for_each(|text| Target::parse(text).map(drop))?;
        let [stdin, stdout, stderr] = streams;
        Ok(Self { stdin, stdout, stderr, terminal })
    }
}

impl Target {
    /// Parses a path or logging URL (containerd, docs/logging.md).
    ///
    /// # Errors
    /// Relative path, unknown scheme, or invalid escape.
    fn parse(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Ok(Self::Null),
                path if path.starts_with('/') => Ok(Self::Fifo(path.into())),
                other => {
                    Err(Error::Invalid(format!("invalid stream `{other}`: not an absolute path or URL")))
                }
            };
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = PathBuf::from(percent_decode(path)?);
        if !path.is_absolute() {
            return Err(Error::Invalid(format!("invalid stream `{text}`: path is not absolute")));
        }
        match scheme {
            "fifo" => Ok(Self::Fifo(path)),
            "file" => Ok(Self::File(path)),
            "binary" => {
                let mut args = Vec::new();
                for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    args.extend(
                        [percent_decode(key)?, percent_decode(value)?]
                            .into_iter()
                            .filter(|word| !word.is_empty()),
                    );
                }
                Ok(Self::Logger { program: path, args })
            }
            other => Err(Error::Invalid(format!(
                "invalid stream `{text}`: unknown scheme `{other}` (expected fifo, file or binary)"
            ))),
        }
    }
}

/// Decodes percent escapes (RFC 3986, 2.1).
fn percent_decode(text: &str) -> Result<String, Error> {
    let invalid = || Error::Invalid(format!("invalid percent escape in `{text}`"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(invalid)?, rest.next().ok_or_else(invalid)?];
        let digits = std::str::from_utf8(&digits)
            .ok()
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        bytes.push(digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(invalid)?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(invalid)
}

/// The shim's part of a process's streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Write end of stdin, which defers EOF.
    stdin: Option<input::StdinGuard>,
    /// Read ends of the output FIFOs, which prevent SIGPIPE.
    read_ends: Vec<OwnedFd>,
    /// Copies into log files.
    log_files: Vec<CopyTask>,
    logger: Option<logger::Logger>,
    console: Option<Console>,
}

/// Identity of the container that streams belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContainerRef<'a> {
    /// Container ID.
    pub(crate) id: &'a str,
    /// Shim of the container.
    pub(crate) shim: &'a ShimContext,
}

impl Streams {
    /// Attaches the streams to a runtime command, whose process inherits them. For a terminal see
    /// [`Streams::attach_console`].
    ///
    /// # Errors
    /// A stream is invalid, a FIFO or file cannot be opened, or the log driver cannot be started.
    pub(crate) async fn attach(
        config: &StdioConfig,
        container: ContainerRef<'_>,
        command: &mut Command,
    ) -> Result<Self, Error> {
        let mut streams = Self::default();
        match Target::parse(&config.stdin)? {
            Target::Null => {}
            Target::Fifo(path) => {
                let (read, guard) = input::StdinGuard::open(&path, container.shim)?;
                command.stdin(read);
                streams.stdin = Some(guard);
            }
            Target::File(_) | Target::Logger { .. } => {
                return Err(Error::Invalid(format!("invalid stdin `{}`: not a FIFO", config.stdin)));
            }
        }
        let (out, err) = (Target::parse(&config.stdout)?, Target::parse(&config.stderr)?);
        if let Target::Logger { program, args } = &out {
            let (logger, [out, err]) = logger::start(program, args, container).await?;
            command.stdout(out).stderr(err);
            streams.logger = Some(logger);
            return Ok(streams);
        }
        if let Some(out) = streams.output(&out, &config.stdout)? {
            command.stdout(out);
        }
        if let Some(err) = streams.output(&err, &config.stderr)? {
            command.stderr(err);
        }
        Ok(streams)
    }

    fn output(&mut self, target: &Target, text: &str) -> Result<Option<OwnedFd>, Error> {
        match target {
            Target::Null => Ok(None),
            Target::Fifo(path) => {
                let (read, write) = fifo::open_both_ends(path)?;
                self.read_ends.push(read);
                Ok(Some(write))
            }
            Target::File(path) => {
                // The process gets a pipe: with a descriptor of the file it could read and truncate the log.
                let sink = Sink::log_file(path)?;
                let context = || format!("cannot create a pipe for {}", path.display());
                let (read, write) = pipe_with(PipeFlags::CLOEXEC).context(context)?;
                self.log_files.push(CopyTask::start(nonblocking_async_fd(read).context(context)?, sink));
                Ok(Some(write))
            }
            Target::Logger { .. } => {
                Err(Error::Invalid(format!("invalid stderr `{text}`: only stdout can start a log driver")))
            }
        }
    }

    /// Starts copying between a pty master and the streams.
    ///
    /// # Errors
    /// See [`Streams::attach`].
    pub(crate) async fn attach_console(
        config: &StdioConfig,
        container: ContainerRef<'_>,
        master: OwnedFd,
    ) -> Result<Self, Error> {
        let sink = |fd| Sink::stream(fd).context(|| "cannot set up the terminal".into());
        let mut streams = Self::default();
        let input = match Target::parse(&config.stdin)? {
            Target::Null => None,
            Target::Fifo(path) => {
                let (read, guard) = input::StdinGuard::open_for_terminal(&path)?;
                streams.stdin = Some(guard);
                Some(read)
            }
            Target::File(_) | Target::Logger { .. } => {
                return Err(Error::Invalid(format!("invalid stdin `{}`: not a FIFO", config.stdin)));
            }
        };
        let output = match Target::parse(&config.stdout)? {
            Target::Logger { program, args } => {
                let (logger, [out, _err]) = logger::start(&program, &args, container).await?;
                streams.logger = Some(logger);
                sink(out)?
            }
            Target::File(path) => Sink::log_file(&path)?,
            other => match streams.output(&other, &config.stdout)? {
                Some(out) => sink(out)?,
                None => Sink::Null,
            },
        };
        streams.console = Some(Console::new(master, input, output)?);
        Ok(streams)
    }

    /// Closes the shim's end of stdin; the process gets EOF once containerd has closed its end.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Resizes the terminal.
    ///
    /// # Errors
    /// The process has no terminal, or TIOCSWINSZ(2const) fails.
    pub(crate) fn resize(&self, width: u32, height: u32) -> Result<(), Error> {
        let console = self
            .console
            .as_ref()
            .ok_or_else(|| Error::FailedPrecondition("the process has no terminal".into()))?;
        let side = |cells: u32| u16::try_from(cells).unwrap_or(u16::MAX);
        console.resize(Winsize { ws_row: side(height), ws_col: side(width), ws_xpixel: 0, ws_ypixel: 0 })
    }

    /// Waits until the output is drained, and closes all streams. Takes as long as a reader makes progress, see
    /// [`ShimContext::finish`].
    pub(crate) async fn drain(mut self) {
        self.stdin = None;
        if let Some(console) = self.console.take() {
            console.drain().await;
        }
        let start = Instant::now();
        for log_file in self.log_files.drain(..) {
            log_file.drain(start).await;
        }
        fifo::wait_drained(&self.read_ends).await;
        self.read_ends.clear();
        if let Some(logger) = self.logger.take() {
            logger.finish().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_targets_are_parsed() {
        assert_eq!(Target::parse("").expect("no stream"), Target::Null);
        assert_eq!(Target::parse("/run/f").expect("a path"), Target::Fifo("/run/f".into()));
        assert_eq!(
            Target::parse("file:///var/log/a%20b").expect("a file"),
            Target::File("/var/log/a b".into())
        );
        let logger = Target::parse("binary:///bin/log?id=a%26b&tag&x=").expect("a logger");
        let args = ["id", "a&b", "tag", "x"].map(String::from).to_vec();
        assert_eq!(logger, Target::Logger { program: "/bin/log".into(), args });
        for invalid in [
            "relative",
            "npipe:///x",
            "file://host/x",
            "binary://x",
            "file:///%zz",
            "file:///%+1",
            "file:///%00",
        ] {
            assert!(Target::parse(invalid).is_err(), "{invalid}");
        }
    }
}
