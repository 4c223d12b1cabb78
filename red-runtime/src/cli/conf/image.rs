//! `red-conf image`

use std::path::PathBuf;

use serde_json::json;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Form, Output};
use crate::node::diagnostic::Severity;
use crate::node::render;
use crate::spec::accounts;
use crate::spec::digest;
use crate::spec::identity::Asked;
use crate::spec::image::{self, ImageName, Reference};
use crate::spec::plan::Plan;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node
    redpath: PathBuf,
    /// Directory to write the OCI image layout to; it must not exist, or be empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
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

impl Args {
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let session = Session::open(&args.redpath, &args.mode)?;
    let (plan, report) = session.planned(&PlanArgs::strict(args.strict), Commands::Run)?;
    let family = &session.family;
    let accounts = [accounts(&plan, "passwd")?, accounts(&plan, "group")?];
    let reference = Reference {
        redpath: &plan.redpath,
        digest: plan.digest.to_string(),
        parts: digest::parts(family, &plan.merged, &Asked::default(), plan.smack.as_deref()),
        strict: args.strict,
        admin: family.admin,
        accounts,
        command: if args.cmd.is_empty() { vec!["sh".to_owned()] } else { args.cmd.clone() },
        arch: args.arch.clone().unwrap_or_else(|| goarch().to_owned()),
        name: args.name.clone().unwrap_or_else(|| ImageName::of_alias(&family.leaf().vars.alias)),
    };
    image::write(&reference, &args.output)?;
    if args.json {
        out.json(&json!({
            "schema": "red/image/v1",
            "redpath": plan.redpath,
            "digest": reference.digest,
            "image": args.output.display().to_string(),
            "name": reference.name.to_string(),
            "diagnostics": render::json(&report, &family.sources)?,
        }))?;
    } else {
        out.report(&report, &family.sources, least);
        out.data(&format!("{}\n", reference.digest))?;
    }
    Ok(Exit::Success)
}

/// A file of accounts as the node's containers see it, or one of root alone.
fn accounts(plan: &Plan, name: &str) -> Result<Vec<u8>, ConfError> {
    let root = if name == "passwd" { "root:x:0:0:root:/root:/bin/sh\n" } else { "root:x:0:\n" };
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
