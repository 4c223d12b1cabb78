//! `red-conf image`

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Form, Output};
use crate::node::diagnostic::{Report, Severity};
use crate::node::render;
use crate::spec::accounts;
use crate::spec::digest;
use crate::spec::identity::Asked;
use crate::spec::image::full::{Full, Layer};
use crate::spec::image::{self, HostExports, ImageError, ImageName, Reference};
use crate::spec::plan::Plan;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node
    redpath: PathBuf,
    /// Directory to write the OCI image layout to; it must not exist, or be empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Write the contents of the node, a layer for each node of the family, for machines without it
    #[arg(long)]
    full: bool,
    /// What to do with read-only exports of the host, such as /usr
    #[arg(long, value_name = "include|omit", requires = "full")]
    host_exports: Option<HostExportsArg>,
    #[command(flatten)]
    mode: ModeArgs,
    /// Word of the command to run by default; repeat for each argument [default: sh]
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// Name of the image, [HOST[:PORT]/]PATH[:TAG] [default: localhost/ALIAS:latest]
    #[arg(long, value_name = "NAME")]
    name: Option<ImageName>,
    /// Architecture of the image, such as arm64 [default: that of this machine]
    #[arg(long, value_name = "GOARCH")]
    arch: Option<String>,
    /// Fail if a source path or variable is missing, now and when the image is started
    #[arg(long)]
    strict: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Values of `--host-exports`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum HostExportsArg {
    /// Copy them into a layer of their own.
    Include,
    /// Leave their directories empty.
    Omit,
}

impl Args {
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let mut session = Session::open(&args.redpath, &args.mode)?;
    if args.full {
        // They may be secrets of whoever builds the image.
        session.forget_environment();
    }
    let (plan, mut report) = session.planned(&PlanArgs::strict(args.strict), Commands::Run)?;
    let layers = if args.full {
        Some(full(args, &session, &plan, &mut report)?)
    } else {
        reference(args, &session, &plan)?;
        None
    };
    let (family, digest) = (&session.family, plan.digest.to_string());
    if args.json {
        let mut document = json!({
            "schema": "red/image/v1",
            "redpath": plan.redpath,
            "digest": digest,
            "image": args.output.display().to_string(),
            "name": name(args, &session).to_string(),
            "diagnostics": render::json(&report, &family.sources)?,
        });
        if let Some(layers) = layers {
            document["layers"] = layers.iter().map(shown).collect();
        }
        out.json(&document)?;
    } else {
        out.report(&report, &family.sources, least);
        out.data(&format!("{digest}\n"))?;
    }
    Ok(Exit::Success)
}

/// Writes an image that references the node.
fn reference(args: &Args, session: &Session, plan: &Plan) -> Result<(), ConfError> {
    let family = &session.family;
    let reference = Reference {
        redpath: &plan.redpath,
        digest: plan.digest.to_string(),
        parts: digest::parts(family, &plan.merged, &Asked::default(), plan.smack.as_deref()),
        strict: args.strict,
        admin: family.admin,
        accounts: [accounts(plan, "passwd")?, accounts(plan, "group")?],
        command: command(args),
        arch: arch(args),
        name: name(args, session),
    };
    Ok(image::write(&reference, &args.output)?)
}

/// Writes an image with the contents of the node.
fn full(args: &Args, session: &Session, plan: &Plan, report: &mut Report) -> Result<Vec<Layer>, ConfError> {
    let epoch = epoch()?;
    let stop = interruption()?;
    let accounts = [ROOT_PASSWD, ROOT_GROUP].map(str::as_bytes);
    let full = Full {
        plan,
        family: &session.family,
        host: args.host_exports.map(|choice| match choice {
            HostExportsArg::Include => HostExports::Include,
            HostExportsArg::Omit => HostExports::Omit,
        }),
        accounts,
        command: command(args),
        arch: arch(args),
        name: name(args, session),
        epoch,
        stop: &*stop,
    };
    let prepared = full.prepare(report)?;
    if report.has_errors() {
        return Err(ConfError::Mistakes(report.clone(), Arc::clone(&session.family.sources)));
    }
    Ok(prepared.write(&args.output)?)
}

/// `SOURCE_DATE_EPOCH`, seconds that no time in what is built is later than (reproducible-builds.org).
fn epoch() -> Result<Option<u64>, ImageError> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    /// The last second of year 9999, the last that RFC 3339 can tell.
    const LAST: u64 = 253_402_300_799;
    let Some(value) = std::env::var_os(NAME) else { return Ok(None) };
    let seconds = value.to_str().and_then(|text| text.parse().ok()).filter(|seconds| *seconds <= LAST);
    seconds.map(Some).ok_or_else(|| ImageError::Epoch { value: value.to_string_lossy().into_owned() })
}

/// Holds signals back that would end this process with half an image written, and tells whether one arrived.
#[cfg(feature = "launch")]
fn interruption() -> Result<Box<dyn Fn() -> bool>, ConfError> {
    use crate::sys::signal::{SignalSet, ending};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    SignalSet::of(&[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM])
        .block()
        .map_err(std::io::Error::from)?;
    let ending = ending().map_err(std::io::Error::from)?;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(Box::new(move || {
        poll(&mut [PollFd::new(&ending, PollFlags::IN)], Some(&now)).is_ok_and(|count| count > 0)
    }))
}

#[cfg(not(feature = "launch"))]
fn interruption() -> Result<Box<dyn Fn() -> bool>, ConfError> {
    Ok(Box::new(|| false))
}

fn shown(layer: &Layer) -> Value {
    let Layer { node, digest, diff_id, size } = layer;
    json!({"node": node, "digest": digest, "diff-id": diff_id, "size": size})
}

fn command(args: &Args) -> Vec<String> {
    if args.cmd.is_empty() { vec!["sh".to_owned()] } else { args.cmd.clone() }
}

fn arch(args: &Args) -> String {
    args.arch.clone().unwrap_or_else(|| goarch().to_owned())
}

fn name(args: &Args, session: &Session) -> ImageName {
    args.name.clone().unwrap_or_else(|| ImageName::of_alias(&session.family.leaf().vars.alias))
}

/// `/etc/passwd` of root alone.
const ROOT_PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n";

/// `/etc/group` of root alone.
const ROOT_GROUP: &str = "root:x:0:\n";

/// A file of accounts as the node's containers see it, or one of root alone.
fn accounts(plan: &Plan, name: &str) -> Result<Vec<u8>, ConfError> {
    let root = if name == "passwd" { ROOT_PASSWD } else { ROOT_GROUP };
    Ok(accounts::read(plan, &format!("/etc/{name}"))?.unwrap_or_else(|| root.into()))
}

/// This machine's architecture by the name that Go has for it (image-spec, config.md, "architecture").
fn goarch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}
