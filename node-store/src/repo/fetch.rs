//! Files over HTTP or from a directory: bounded in time, size and redirects, resumed where they
//! stopped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;

use crate::beneath::Dir;
use crate::regular;

/// Time to connect, and to wait for a first answer.
const CONNECT: Duration = Duration::from_secs(10);
/// Time without a byte.
const STALL: Duration = Duration::from_secs(30);
const REDIRECTS: u32 = 5;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    /// Where from: any of these.
    pub(crate) urls: Vec<String>,
    /// Where to.
    pub(crate) dir: &'a Dir,
    /// Its name there.
    pub(crate) name: String,
    /// Bytes, if known.
    pub(crate) size: Option<u64>,
    /// Never more than this.
    pub(crate) most: u64,
    /// Kind and digits.
    pub(crate) checksum: Option<(String, String)>,
}

impl Target<'_> {
    /// Where to, in words.
    fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }
}

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The server, or the way to it.
    #[error("{url}: {reason}")]
    Http {
        /// Where from.
        url: String,
        /// Why.
        reason: String,
    },
    /// It is larger than it says, or than any such file may be.
    #[error("{url}: more than {most} bytes, which is more than it may have")]
    TooLarge {
        /// Where from.
        url: String,
        /// The bound.
        most: u64,
    },
    /// It ended early.
    #[error("{url}: {got} bytes came, {size} were announced")]
    Short {
        /// Where from.
        url: String,
        /// What came.
        got: u64,
        /// What was announced.
        size: u64,
    },
    /// It is not what was announced.
    #[error("{url}: its {kind} checksum is {got}, announced is {wanted}")]
    Checksum {
        /// Where from.
        url: String,
        /// Kind of checksum.
        kind: String,
        /// What came.
        got: String,
        /// What was announced.
        wanted: String,
    },
    /// Nothing says what it has to be.
    #[error("{path}: its repository gives no checksum for it")]
    NoChecksum {
        /// Where it is below the repository.
        path: String,
    },
    /// The file here.
    #[error("{0}")]
    File(std::io::Error),
    /// Nowhere to fetch from.
    #[error("{path}: no place to fetch it from")]
    NoPlace {
        /// The file.
        path: PathBuf,
    },
}

/// Fetches for one repository.
#[derive(Clone)]
pub(crate) struct Fetcher {
    agent: ureq::Agent,
    authorization: Option<String>,
}

/// What a conditional request may say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<String>,
}

impl Fetcher {
    pub(crate) fn new(repo: &super::Repo) -> Result<Self, FetchError> {
        let proxy = match &repo.proxy {
            Some(proxy) => Some(ureq::Proxy::new(proxy).map_err(|error| FetchError::Http {
                url: proxy.clone(),
                reason: format!("no proxy: {error}"),
            })?),
            None => ureq::Proxy::try_from_env(),
        };
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_resolve(Some(CONNECT))
            .timeout_recv_response(Some(STALL))
            .max_redirects(REDIRECTS)
            .http_status_as_error(false)
            .user_agent(concat!("red-dnf/", env!("CARGO_PKG_VERSION")))
            .proxy(proxy)
            .build()
            .new_agent();
        let authorization = repo.username.as_ref().map(|user| {
            let pair = format!("{user}:{}", repo.password.as_deref().unwrap_or_default());
            format!("Basic {}", STANDARD.encode(pair))
        });
        Ok(Self { agent, authorization })
    }

    /// Fetches a file and verifies it; a part that is there already is gone on with. The file appears
    /// under its name only when it is whole and right. Returns what to ask with the next time.
    pub(crate) fn fetch(
        &self,
        target: &Target<'_>,
        known: &Known,
        told: &mut dyn FnMut(u64),
    ) -> Result<Option<Known>, FetchError> {
        let mut last = None;
        for url in &target.urls {
            let attempt = match local(url) {
                Some(path) => copy(&path, url, target).map(|()| Some(Known::default())),
                None => self.over_http(url, target, known, told),
            };
            match attempt {
                Ok(found) => return Ok(found),
                Err(error @ FetchError::File(_)) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| FetchError::NoPlace { path: target.path() }))
    }

    fn over_http(
        &self,
        url: &str,
        target: &Target<'_>,
        known: &Known,
        told: &mut dyn FnMut(u64),
    ) -> Result<Option<Known>, FetchError> {
        let failed = |reason: String| FetchError::Http { url: url.to_owned(), reason };
        let part = part(&target.name);
        // Only what has a checksum can be gone on with.
        let have = match &target.checksum {
            Some(_) => target.dir.file(&part).and_then(|file| file.metadata()).map_or(0, |facts| facts.len()),
            None => 0,
        };
        let have = if target.size.is_some_and(|size| have >= size) { 0 } else { have };
        let mut request = self.agent.get(url);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        if let Some(etag) = &known.etag {
            request = request.header("If-None-Match", etag);
        }
        if let Some(modified) = &known.modified {
            request = request.header("If-Modified-Since", modified);
        }
        let response = request.call().map_err(|error| failed(plain(&error)))?;
        let status = response.status().as_u16();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let next = Known { etag: header("etag"), modified: header("last-modified") };
        let resumed = match status {
            304 if known.etag.is_some() || known.modified.is_some() => return Ok(None),
            206 if have > 0 => true,
            200 => false,
            416 => {
                target.dir.remove(&part).map_err(FetchError::File)?;
                return self.over_http(url, target, known, told);
            }
            _ => return Err(failed(format!("the server answers {status}"))),
        };
        let mut file = target.dir.part(&part, resumed).map_err(FetchError::File)?;
        let start = if resumed { file.seek(SeekFrom::End(0)).map_err(FetchError::File)? } else { 0 };
        let most = target.size.unwrap_or(target.most).min(target.most);
        let sink = Sink { file: &mut file, start, most };
        let got = receive(response.into_body().into_reader(), sink, url, told)?;
        if let Some(size) = target.size.filter(|&size| size != got) {
            return Err(FetchError::Short { url: url.to_owned(), got, size });
        }
        finish(&part, url, target)?;
        Ok(Some(next))
    }
}

/// Where a body goes.
struct Sink<'a> {
    file: &'a mut File,
    /// Bytes that are there already.
    start: u64,
    /// Bytes that there may be in the end.
    most: u64,
}

/// Reads a body to its end. The reading is done by a thread of its own, because a socket that hangs
/// cannot be told to stop otherwise; it ends with the process at the latest.
fn receive(
    mut body: impl Read + Send + 'static,
    sink: Sink<'_>,
    url: &str,
    told: &mut dyn FnMut(u64),
) -> Result<u64, FetchError> {
    let failed = |reason: String| FetchError::Http { url: url.to_owned(), reason };
    let (send, chunks) = sync_channel::<std::io::Result<Vec<u8>>>(4);
    let receiver = std::thread::Builder::new().spawn(move || {
        loop {
            let mut chunk = vec![0; 64 << 10];
            let read = body.read(&mut chunk).map(|length| {
                chunk.truncate(length);
                chunk
            });
            let over = !matches!(&read, Ok(chunk) if !chunk.is_empty());
            if send.send(read).is_err() || over {
                break;
            }
        }
    });
    receiver.map_err(|error| failed(error.to_string()))?;
    let Sink { file, start, most } = sink;
    let mut got = start;
    loop {
        match chunks.recv_timeout(STALL) {
            Ok(Ok(chunk)) if chunk.is_empty() => return Ok(got),
            Ok(Ok(chunk)) => {
                got += chunk.len() as u64;
                if got > most {
                    return Err(FetchError::TooLarge { url: url.to_owned(), most });
                }
                file.write_all(&chunk).map_err(FetchError::File)?;
                told(chunk.len() as u64);
            }
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(RecvTimeoutError::Timeout) => {
                return Err(failed(format!("no byte in {} s", STALL.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(failed("the connection ended".into())),
        }
    }
}

/// The path of a URL of this machine. Blanks and others may be written as they are or as URLs have them (`%20`):
/// what is there as it is written is meant so.
pub(crate) fn local(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://")?;
    let path = path.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    if !path.contains('%') || Path::new(path).exists() {
        return Some(path.into());
    }
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.filter(|_| first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    Some(std::ffi::OsString::from_vec(bytes).into())
}

/// A local file, verified like any other.
fn copy(from: &Path, url: &str, target: &Target<'_>) -> Result<(), FetchError> {
    let missing = |error: std::io::Error| FetchError::Http { url: url.to_owned(), reason: error.to_string() };
    let part = part(&target.name);
    let source = regular::open(from).map_err(missing)?;
    let size = source.metadata().map_err(missing)?.len();
    if size > target.most {
        return Err(FetchError::TooLarge { url: url.to_owned(), most: target.most });
    }
    if let Some(wanted) = target.size.filter(|&wanted| wanted != size) {
        return Err(FetchError::Short { url: url.to_owned(), got: size, size: wanted });
    }
    let mut file = target.dir.create(&part).map_err(FetchError::File)?;
    // It may grow meanwhile.
    let got = std::io::copy(&mut source.take(target.most.saturating_add(1)), &mut file)
        .map_err(FetchError::File)?;
    if got > target.most {
        target.dir.remove(&part).map_err(FetchError::File)?;
        return Err(FetchError::TooLarge { url: url.to_owned(), most: target.most });
    }
    finish(&part, url, target)
}

/// Verifies a part and gives it its name.
fn finish(part: &str, url: &str, target: &Target<'_>) -> Result<(), FetchError> {
    let here = FetchError::File;
    if let Some((kind, wanted)) = &target.checksum {
        let got = checksum(kind, target.dir.file(part).map_err(here)?).map_err(here)?;
        if got.as_deref() != Some(wanted.as_str()) {
            target.dir.remove(part).map_err(here)?;
            let got = got.unwrap_or_else(|| "of a kind that is not trusted".into());
            return Err(FetchError::Checksum {
                url: url.to_owned(),
                kind: kind.clone(),
                got,
                wanted: wanted.clone(),
            });
        }
    }
    target.dir.rename(part, &target.name).map_err(here)
}

fn part(name: &str) -> String {
    format!("{name}.part")
}

/// A checksum in hexadecimal digits; `None` for kinds that prove nothing any more (md5, sha1).
pub(crate) fn checksum(kind: &str, mut from: impl Read) -> std::io::Result<Option<String>> {
    fn over<D: Digest>(from: &mut impl Read) -> std::io::Result<Option<String>> {
        let mut digest = D::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
        }
        Ok(Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
    }
    match kind {
        "sha256" => over::<sha2::Sha256>(&mut from),
        "sha384" => over::<sha2::Sha384>(&mut from),
        "sha512" => over::<sha2::Sha512>(&mut from),
        "sha224" => over::<sha2::Sha224>(&mut from),
        _ => Ok(None),
    }
}

/// Words for what the client says.
fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(what) => format!("no answer in time ({what})"),
        ureq::Error::TooManyRedirects => format!("redirected more than {REDIRECTS} times"),
        other => other.to_string(),
    }
}
