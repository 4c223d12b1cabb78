//! `red-conf image`

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Form, Output};
use crate::node::diagnostic::{Code, Diagnostic, Report, Severity};
use crate::node::render;
use crate::spec::digest;
use crate::spec::identity::Asked;
use crate::spec::image::{self, Reference};
use crate::spec::layout::MountKind;
use crate::spec::plan::Plan;

/// Bytes of the largest file of accounts that goes into an image.
const LARGEST: u64 = 1 << 20;

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
    /// Name of the image [default: localhost/ALIAS:latest]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
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
    let (plan, mut report) = session.planned(&PlanArgs::strict(args.strict), Commands::Run)?;
    let family = &session.family;
    let accounts = ["passwd", "group"].map(|name| accounts(&plan, name, &mut report));
    let reference = Reference {
        redpath: &plan.redpath,
        digest: plan.digest.to_string(),
        parts: digest::parts(family, &plan.merged, &Asked::default(), plan.smack.as_deref()),
        strict: args.strict,
        admin: family.admin,
        accounts,
        command: if args.cmd.is_empty() { vec!["sh".to_owned()] } else { args.cmd.clone() },
        arch: args.arch.clone().unwrap_or_else(|| goarch().to_owned()),
        name: args.name.clone().unwrap_or_else(|| name(&family.leaf().vars.alias)),
    };
    let files = image::layout(&reference)?;
    write(&args.output, &files)?;
    if args.json {
        out.json(&json!({
            "schema": "red/image/v1",
            "redpath": plan.redpath,
            "digest": reference.digest,
            "image": args.output.display().to_string(),
            "name": reference.name,
            "diagnostics": render::json(&report, &family.sources)?,
        }))?;
    } else {
        out.report(&report, &family.sources, least);
        out.data(&format!("{}\n", reference.digest))?;
    }
    Ok(Exit::Success)
}

/// Writes the files of an image layout.
fn write(dir: &Path, files: &image::Files) -> Result<(), ConfError> {
    let failed = |path: &Path, error: &std::io::Error| {
        let mut report = Report::default();
        report.push(Diagnostic::error(Code::Failed, format!("{}: {error}", path.display())));
        ConfError::Mistakes(report, std::sync::Arc::default())
    };
    let filled = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if filled {
        let error = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(failed(dir, &error));
    }
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|error| failed(&blobs, &error))?;
    for (name, contents) in files {
        let path = dir.join(name);
        fs::write(&path, contents).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// A file of accounts as the node's containers see it, or one of root alone.
fn accounts(plan: &Plan, name: &str, report: &mut Report) -> Vec<u8> {
    let path = plan.layout.resolve(&format!("/etc/{name}"));
    let content =
        plan.files.iter().find(|file| file.destination == path).and_then(|file| file.content.clone());
    let found = content.or_else(|| {
        let source = source(plan, &path)?;
        let mut text = Vec::new();
        let file = fs::File::open(&source).ok()?;
        file.take(LARGEST + 1).read_to_end(&mut text).ok()?;
        let small = u64::try_from(text.len()).is_ok_and(|size| size <= LARGEST);
        if !small {
            let message = format!("{source} is larger than {LARGEST} bytes, and is left out of the image");
            report.push(Diagnostic::warning(Code::Failed, message));
        }
        small.then_some(text)
    });
    let root = if name == "passwd" { "root:x:0:0:root:/root:/bin/sh\n" } else { "root:x:0:\n" };
    found.unwrap_or_else(|| root.into())
}

/// Where a path of the container is on the host, when it is in an export.
fn source(plan: &Plan, path: &str) -> Option<String> {
    let over = |destination: &str| {
        path.strip_prefix(destination).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let covers = plan.layout.mounts.iter().filter(|mount| over(&mount.destination));
    let cover = covers.max_by_key(|mount| mount.destination.len())?;
    match &cover.kind {
        MountKind::Bind { source, .. } => Some(format!("{source}{}", &path[cover.destination.len()..])),
        _ => None,
    }
}

/// Name of an image for an alias: what may not be in one becomes `-` (distribution, reference.go).
fn name(alias: &str) -> String {
    let mut name = String::new();
    for letter in alias.to_ascii_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' => name.push(letter),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_end_matches('-');
    format!("localhost/{}:latest", if name.is_empty() { "node" } else { name })
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

#[cfg(test)]
mod tests {
    #[test]
    fn an_alias_becomes_a_name_of_an_image() {
        for (alias, name) in [("app", "app"), ("My_App@2:x", "my-app-2-x"), ("++", "node"), ("a--b-", "a-b")]
        {
            assert_eq!(super::name(alias), format!("localhost/{name}:latest"));
        }
    }
}
