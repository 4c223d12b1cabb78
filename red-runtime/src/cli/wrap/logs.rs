//! `red-wrap logs`

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::{Exit, Output, find};
use crate::launch::ended::End;
use crate::launch::error::LaunchError;
use crate::launch::record::{Record, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What runs, by its name or the node's
    name: String,
    /// Directory of states
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, LaunchError> {
    let store = Store::of(args.root.as_deref());
    let record = find(&store, &args.name)?;
    let result = show(&record, out);
    if let (Ok(Exit::Success), Some(end)) = (&result, End::of(&record, &store)) {
        out.say(&format!("red-wrap: `{}` has ended: {}\n", record.id, end.words()));
    }
    result
}

fn show(record: &Record, out: &mut Output) -> Result<Exit, LaunchError> {
    let Some(path) = &record.output else {
        return Err(LaunchError::refused(
            format!("`{}`", record.id),
            "it runs in somebody's foreground, and its output went there",
        ));
    };
    let refused = |error: std::io::Error| LaunchError::refused(path.display().to_string(), error.to_string());
    let log = std::fs::File::open(path).map_err(refused)?;
    // What it printed is passed on as it is, as it would be in the foreground, and however much it is.
    let mut piece = vec![0; 64 << 10];
    let mut position = 0;
    loop {
        // A file can be made longer than any disk by a hole in it, and that is no output.
        position = match seek(&log, SeekFrom::Data(position)) {
            Err(Errno::NXIO) => return Ok(Exit::Success),
            found => found.map_err(|errno| refused(errno.into()))?,
        };
        let count = log.read_at(&mut piece, position).map_err(refused)?;
        position += count as u64;
        match count {
            0 => return Ok(Exit::Success),
            count => match out.bytes(&piece[..count]) {
                Ok(true) => {}
                Ok(false) => return Ok(Exit::Success),
                Err(_) => return Ok(Exit::Launch),
            },
        }
    }
}
