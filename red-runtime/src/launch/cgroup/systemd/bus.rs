//! A connection to a message bus, with the little that systemd is asked by: calls with their answers, one after the
//! other, and the signals that end a job (D-Bus Specification 0.43).
//!
//! The libraries that speak D-Bus have threads or run a loop of their own, and a launcher may have neither: it clones.
//! What is encoded is zbus's.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::patient::Patient;
use crate::node::place::plain;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, Endian, LE, to_bytes};
use zbus::{DynamicType, ObjectPath, OwnedVariant, Type, Variant};

/// How long an answer is waited for; systemd gives its own clients 25 s.
const PATIENCE: Duration = Duration::from_secs(25);

/// Bytes of the largest message that is read. systemd's are a few hundred.
const LARGEST: usize = 1 << 20;

/// Why the bus could not be used, or what it answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    /// The socket is not there, or the bus is gone.
    #[error("{what}: {}", in_words(source))]
    Io {
        /// What was done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no such bus.
    #[error("{0}")]
    NoBus(String),
    /// What was heard is no D-Bus.
    #[error("an answer that is not understood: {0}")]
    Protocol(String),
    /// An error that was answered.
    #[error("{message} ({name})")]
    Answer {
        /// Its name, as `org.freedesktop.systemd1.UnitExists`.
        name: String,
        /// Its text.
        message: String,
    },
}

/// Why a socket failed, in words from which podman does not take it that the command is missing.
fn in_words(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(errno) => plain(errno),
        None if error.kind() == io::ErrorKind::TimedOut => {
            format!("no answer within {} s", PATIENCE.as_secs())
        }
        None => error.to_string(),
    }
}

impl BusError {
    /// Whether it is the answer of this name, without what all names of systemd's begin with.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Answer { name, .. } if name.strip_prefix("org.freedesktop.systemd1.") == Some(wanted))
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: Patient,
    serial: u32,
    /// Jobs that have ended: their object and result.
    ended: Vec<(String, String)>,
}

/// Something that has methods.
pub(super) struct Interface {
    /// Name on the bus.
    pub(super) destination: &'static str,
    /// Object.
    pub(super) object: &'static str,
    /// Interface.
    pub(super) name: &'static str,
}

impl Interface {
    /// One of its methods, as [`Bus::call`] takes it.
    pub(super) fn method(&self, member: &'static str) -> [&'static str; 4] {
        [self.destination, self.object, self.name, member]
    }
}

/// The bus itself.
pub(super) const BUS: Interface = Interface {
    destination: "org.freedesktop.DBus",
    object: "/org/freedesktop/DBus",
    name: "org.freedesktop.DBus",
};

/// Kinds of messages ("Message Format").
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Header fields ("Header Fields").
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Byte order, kind, flags, version, length of the body, serial, fields.
type Header<V> = (u8, u8, u8, u8, u32, u32, Vec<(u8, V)>);

/// A message that was read.
struct Message {
    kind: u8,
    fields: Vec<(u8, OwnedVariant)>,
    body: Data<'static, 'static>,
}

impl Message {
    fn text(&self, code: u8) -> Option<String> {
        let field = self.fields.iter().find(|(field, _)| *field == code)?;
        String::try_from(field.1.clone()).ok()
    }

    fn number(&self, code: u8) -> Option<u32> {
        let field = self.fields.iter().find(|(field, _)| *field == code)?;
        u32::try_from(field.1.clone()).ok()
    }

    fn decode<T: DeserializeOwned + Type>(&self) -> Result<T, BusError> {
        Ok(self.body.deserialize::<T>()?.0)
    }
}

impl Bus {
    /// The system's bus.
    ///
    /// # Errors
    /// Nobody listens there, or this process is not admitted.
    pub(super) fn system() -> Result<Self, BusError> {
        let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok();
        let path = match address.as_deref().map(unix_path) {
            Some(path) => path?,
            None => PathBuf::from("/run/dbus/system_bus_socket"),
        };
        Self::connect(&path)
    }

    /// The bus of this user's own manager.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn user() -> Result<Self, BusError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(address) = variable("DBUS_SESSION_BUS_ADDRESS") {
            match unix_path(&address).and_then(|path| Self::connect(&path)) {
                // Of another user, as after su(1).
                Err(BusError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
                other => return other,
            }
        }
        // Where systemd has it (user@.service(5)); not every shell is told so, and su(1) keeps the caller's.
        let usual = format!("/run/user/{}", rustix::process::geteuid().as_raw());
        let directories = variable("XDG_RUNTIME_DIR").into_iter().chain([usual]);
        let sockets: Vec<PathBuf> = directories.map(|directory| Path::new(&directory).join("bus")).collect();
        let Some(path) = sockets.iter().find(|socket| socket.exists()) else {
            let tried: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
            return Err(BusError::NoBus(format!("no bus of this user at {}", tried.join(" or "))));
        };
        Self::connect(path)
    }

    fn connect(path: &Path) -> Result<Self, BusError> {
        let what = || format!("message bus {}", path.display());
        let with = |source| BusError::Io { what: what(), source };
        let stream = Patient::connect(path, PATIENCE).map_err(with)?;
        let mut bus = Self { stream, serial: 0, ended: Vec::new() };
        bus.authenticate().map_err(with)?;
        let _name: String = bus.call(BUS.method("Hello"), &())?;
        Ok(bus)
    }

    /// As whom the socket says ("EXTERNAL"): in a user namespace a process does not know its ID outside.
    fn authenticate(&mut self) -> io::Result<()> {
        self.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        for wanted in ["DATA", "OK "] {
            let line = self.line()?;
            if !line.starts_with(wanted) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it answers `{line}`")));
            }
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 512 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        line.truncate(line.len() - 2);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Calls a method (destination, object, interface, member), and returns what it answers.
    ///
    /// # Errors
    /// The bus is gone, nothing is answered in time, or an error is.
    pub(super) fn call<T: DeserializeOwned + Type>(
        &mut self,
        [destination, object, interface, member]: [&str; 4],
        arguments: &(impl Serialize + DynamicType),
    ) -> Result<T, BusError> {
        self.serial += 1;
        let object = ObjectPath::try_from(object).map_err(|error| BusError::Protocol(error.to_string()))?;
        let fields: Vec<(u8, Variant<'_>)> = vec![
            (PATH, object.into()),
            (INTERFACE, interface.into()),
            (MEMBER, member.into()),
            (DESTINATION, destination.into()),
        ];
        let signature = arguments.signature().to_string_no_parens();
        let body = if signature.is_empty() {
            Vec::new()
        } else {
            to_bytes(Context::new(LE, 0), arguments)?.bytes().to_vec()
        };
        let length =
            u32::try_from(body.len()).map_err(|_long| BusError::Protocol("a call too long".into()))?;
        let header: Header<Variant<'_>> = (b'l', CALL, 0, 1, length, self.serial, fields);
        let mut message = to_bytes(Context::new(LE, 0), &header)?.bytes().to_vec();
        if !body.is_empty() {
            sign(&mut message, &signature);
        }
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend(body);
        let with = |source| BusError::Io { what: format!("calling {member}"), source };
        self.stream.again(PATIENCE);
        self.stream.write_all(&message).map_err(with)?;
        loop {
            let heard = self.hear(member)?;
            if heard.number(REPLY_SERIAL) != Some(self.serial) {
                continue;
            }
            return match heard.kind {
                RETURN => heard.decode(),
                ERROR => Err(BusError::Answer {
                    name: heard.text(ERROR_NAME).unwrap_or_default(),
                    message: heard.decode::<String>().unwrap_or_default(),
                }),
                other => Err(BusError::Protocol(format!("a message of type {other}"))),
            };
        }
    }

    /// Hears of the ends of jobs from here on.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub(super) fn watch_jobs(&mut self) -> Result<(), BusError> {
        let rule = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
        self.call(BUS.method("AddMatch"), &(rule,))
    }

    /// Waits for the end of a job of systemd's that was begun after [`Bus::watch_jobs`], and returns its result, which is `done` where all went well
    /// (org.freedesktop.systemd1(5), `JobRemoved`).
    ///
    /// # Errors
    /// The bus is gone, or the job takes too long.
    pub(super) fn wait_job(&mut self, job: &str) -> Result<String, BusError> {
        self.stream.again(PATIENCE);
        loop {
            if let Some(at) = self.ended.iter().position(|(ended, _)| ended == job) {
                return Ok(self.ended.swap_remove(at).1);
            }
            self.hear("a job of systemd")?;
        }
    }

    /// Reads a message, and keeps what it says of jobs.
    fn hear(&mut self, what: &str) -> Result<Message, BusError> {
        let message = self.read().map_err(|source| BusError::Io { what: what.to_owned(), source })?;
        let message = decode(message)?;
        if message.kind == SIGNAL && message.text(MEMBER).as_deref() == Some("JobRemoved") {
            let (_, job, _, result): (u32, zbus::OwnedObjectPath, String, String) = message.decode()?;
            self.ended.push((job.to_string(), result));
        }
        Ok(message)
    }

    /// Bytes of the next message.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; FIXED];
        self.stream.read_exact(&mut bytes)?;
        let whole = whole_length(&bytes).filter(|length| *length <= LARGEST);
        let whole = whole.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        bytes.resize(whole, 0);
        self.stream.read_exact(&mut bytes[FIXED..])?;
        Ok(bytes)
    }
}

/// Adds the types of a call's arguments to its header. As a value of zbus's they would be one structure.
fn sign(header: &mut Vec<u8>, signature: &str) {
    header.resize(header.len().next_multiple_of(8), 0);
    header.extend([SIGNATURE, 1, b'g', 0]);
    header.extend(u8::try_from(signature.len()));
    header.extend(signature.bytes().chain([0]));
    let fields = u32::try_from(header.len() - FIXED).unwrap_or(u32::MAX);
    header[FIXED - 4..FIXED].copy_from_slice(&fields.to_le_bytes());
}

/// Bytes of a header up to its fields, the length of which is the last of them.
const FIXED: usize = 16;

fn endian(bytes: &[u8]) -> Option<Endian> {
    match bytes.first()? {
        b'l' => Some(LE),
        b'B' => Some(BE),
        _ => None,
    }
}

/// Bytes of a header with its fields, and of the whole message.
fn lengths(fixed: &[u8]) -> Option<(usize, usize)> {
    let endian = endian(fixed)?;
    let number = |at: usize| {
        let bytes: [u8; 4] = fixed.get(at..at + 4)?.try_into().ok()?;
        let number = if endian == LE { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        usize::try_from(number).ok()
    };
    let header = FIXED.checked_add(number(12)?)?;
    Some((header, header.checked_next_multiple_of(8)?.checked_add(number(4)?)?))
}

fn whole_length(fixed: &[u8]) -> Option<usize> {
    lengths(fixed).map(|(_, whole)| whole)
}

fn decode(bytes: Vec<u8>) -> Result<Message, BusError> {
    let malformed = || BusError::Protocol("a malformed header".to_owned());
    let endian = endian(&bytes).ok_or_else(malformed)?;
    let (header, _) = lengths(&bytes).ok_or_else(malformed)?;
    let context = Context::new(endian, 0);
    let body = bytes.get(header.next_multiple_of(8)..).ok_or_else(malformed)?.to_vec();
    let header = Data::new(bytes, context);
    let ((_, kind, _, _, _, _, fields), _): (Header<OwnedVariant>, _) = header.deserialize()?;
    Ok(Message { kind, fields, body: Data::new(body, context) })
}

/// Path of the first socket of an address that has one ("Addresses").
fn unix_path(address: &str) -> Result<PathBuf, BusError> {
    let paths =
        address.split(';').filter_map(|one| one.strip_prefix("unix:")).flat_map(|keys| keys.split(','));
    let path = paths.filter_map(|pair| pair.strip_prefix("path=")).next();
    path.map(PathBuf::from)
        .ok_or_else(|| BusError::NoBus(format!("the bus address `{address}` has no unix:path=")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::*;

    struct Daemon(Child, #[expect(dead_code, reason = "removed on drop")] tempfile::TempDir);

    impl Drop for Daemon {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    /// A bus of the test's own.
    fn daemon() -> Option<(Daemon, PathBuf)> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile", "--address"]);
        command.arg(format!("unix:path={}", socket.display())).stderr(Stdio::null());
        let daemon = Daemon(command.spawn().ok()?, directory);
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "dbus-daemon does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some((daemon, socket))
    }

    #[test]
    fn a_real_bus_understands_and_is_understood() {
        let Some((_daemon, socket)) = daemon() else {
            assert!(std::env::var_os("RED_MUST_WORK").is_none(), "dbus-daemon is not installed");
            return;
        };
        let mut bus = Bus::connect(&socket).unwrap();
        bus.watch_jobs().unwrap();
        let owner: u32 = bus.call(BUS.method("RequestName"), &("bzh.redpesk.Test", 4_u32)).unwrap();
        assert_eq!(owner, 1, "DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER");
        let names: Vec<String> = bus.call(BUS.method("ListNames"), &()).unwrap();
        assert!(names.contains(&"bzh.redpesk.Test".to_owned()));
        let missing = bus.call::<String>(BUS.method("GetNameOwner"), &("bzh.redpesk.Missing",)).unwrap_err();
        assert!(
            matches!(&missing, BusError::Answer { name, message }
            if name == "org.freedesktop.DBus.Error.NameHasNoOwner" && message.contains("Missing")),
            "{missing}"
        );
        let none = Bus::connect(Path::new("/no/such/bus")).unwrap_err().to_string();
        assert_eq!(none, "message bus /no/such/bus: missing (ENOENT)");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in
            [&b"x"[..], &[b'l'; 16], &[b'B'; 16], &[b'l', 2, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 9, 9]]
        {
            assert!(decode(bytes.to_vec()).is_err(), "{bytes:?}");
        }
        assert!(unix_path("tcp:host=x").is_err());
        assert_eq!(unix_path("tcp:host=x;unix:guid=1,path=/run/b").ok(), Some("/run/b".into()));
    }
}
