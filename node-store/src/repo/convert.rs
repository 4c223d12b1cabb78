//! A process that reads foreign XML and writes libsolv's format. It has bounds on memory and time,
//! and nothing else depends on it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use crate::solve::ffi::Pool;

/// First argument of the process.
pub(crate) const CONVERT: &str = "__convert";

/// Address space: 60,000 packages need some 100 MB.
const MEMORY: u64 = 2 << 30;
/// Seconds of processor time.
const SECONDS: u64 = 120;

/// `__convert OPEN_SIZE [PRIMARY]`, XML on stdin, a file for libsolv's format on stdout.
pub(crate) fn main(args: &[std::ffi::OsString]) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            drop(writeln!(std::io::stderr(), "{message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[std::ffi::OsString]) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let [open_size, rest @ ..] = args else { return Err("called wrongly".into()) };
    for (resource, limit) in [(Resource::As, MEMORY), (Resource::Cpu, SECONDS), (Resource::Core, 0)] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .map_err(|error| error.to_string())?;
    }
    red_runtime::confine::close_others(&[]).map_err(|error| error.to_string())?;
    let most = open_size.to_str().and_then(|size| size.parse().ok()).unwrap_or(0);
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let input = input.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let output = output.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let extend = rest.first();
    let primary = extend.map(std::fs::read).transpose().map_err(|error| error.to_string())?;
    // Before there is another thread: it gets the same filter.
    confine()?;
    let stream = open(input.into(), most)?;
    let mut pool = Pool::new(crate::solve::arch());
    let repo = pool.add_repo("new", 0, 0);
    if let Some(bytes) = primary {
        pool.load_solv(repo, &bytes, "primary metadata", false).map_err(|error| error.to_string())?;
    }
    // From here on it has what it needs, and can open nothing more: no file, no socket.
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|error| error.to_string())?;
    let size = stream.over.clone();
    let read = pool
        .load_rpmmd(repo, stream.file, Path::new("the file"), extend.is_some())
        .map_err(|error| error.to_string());
    // Why the stream ended says more than that it ended too early.
    if let Some(error) = size.lock().ok().and_then(|error| error.clone()) {
        return Err(error);
    }
    read?;
    let (file, solv) = (File::from(output), Path::new("its cache"));
    let written =
        if extend.is_some() { pool.write_last(repo, file, solv) } else { pool.write_solv(repo, file, solv) };
    written.map_err(|error| error.to_string())
}

/// Gives up what a parser of foreign bytes does not need.
fn confine() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())?;
    red_runtime::confine::filter_scriptlets().map_err(|error| error.to_string())
}

struct Stream {
    file: File,
    over: std::sync::Arc<std::sync::Mutex<Option<String>>>,
}

/// Unpacks into a pipe, never more than was announced.
fn open(mut file: File, most: u64) -> Result<Stream, String> {
    let mut magic = [0; 6];
    let length = file.read(&mut magic).map_err(|error| error.to_string())?;
    file.rewind().map_err(|error| error.to_string())?;
    let magic = &magic[..length];
    let mut unpacked: Box<dyn Read + Send> = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else if magic.starts_with(&[0xfd, b'7', b'z', b'X', b'Z']) {
        Box::new(liblzma::read::XzDecoder::new_multi_decoder(file))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::new(file).map_err(|error| error.to_string())?)
    } else {
        Box::new(file)
    };
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
    let over = std::sync::Arc::new(std::sync::Mutex::new(None));
    let told = over.clone();
    let unpacker = std::thread::Builder::new().spawn(move || {
        let mut pipe = File::from(write);
        let fail = |message: String| {
            if let Ok(mut told) = told.lock() {
                *told = Some(message);
            }
        };
        let mut left = most;
        let mut chunk = vec![0; 128 << 10];
        loop {
            match unpacked.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) if length as u64 > left => {
                    fail(format!("it unpacks to more than the {most} bytes that were announced"));
                    break;
                }
                Ok(length) => {
                    left -= length as u64;
                    if pipe.write_all(&chunk[..length]).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    fail(format!("it cannot be unpacked: {error}"));
                    break;
                }
            }
        }
    });
    unpacker.map_err(|error| error.to_string())?;
    Ok(Stream { file: read.into(), over })
}
