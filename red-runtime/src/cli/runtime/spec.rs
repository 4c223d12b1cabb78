//! `red-runtime spec`

use std::path::PathBuf;

use oci_spec::runtime::Spec;

use super::{Exit, RunError};
use crate::launch::error::LaunchError;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// File to write instead of the bundle's config.json
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// For an ordinary user
    #[arg(long)]
    rootless: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, RunError> {
    let path = args.file.clone().unwrap_or_else(|| args.bundle.join("config.json"));
    let mut spec = Spec::default();
    if args.rootless {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        spec.set_linux(Some(oci_spec::runtime::Linux::rootless(uid, gid)));
        spec.set_mounts(Some(oci_spec::runtime::get_rootless_mounts()));
    }
    if let Some(process) = spec.process_mut() {
        process.set_terminal(Some(true));
    }
    spec.set_hostname(Some("red-runtime".to_owned()));
    let text = serde_json::to_string_pretty(&crate::spec::json::spec(&spec)?)? + "\n";
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes())) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(LaunchError::Refused {
            what: path.display().to_string(),
            why: "it exists, and is not overwritten".into(),
        }
        .into()),
        other => {
            other.map_err(|error| super::unreadable(&path, &error))?;
            Ok(Exit::Success)
        }
    }
}
