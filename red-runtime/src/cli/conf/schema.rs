//! `red-conf schema`

use clap::ValueEnum;

use super::{ConfError, Exit, Output};
use crate::node::json_schema;

/// Files whose schema can be printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum File {
    /// etc/redpak.yaml, admin files and redmain.
    #[default]
    Config,
    /// .rednode.yaml.
    Status,
    /// /etc/redpak/policy.yaml.
    Policy,
    /// .redpath.yaml of an image that stands for a node.
    Reference,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which file
    #[arg(value_enum, default_value_t)]
    file: File,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, ConfError> {
    out.json(&match args.file {
        File::Config => json_schema::config(),
        File::Status => json_schema::status(),
        File::Policy => json_schema::policy(),
        File::Reference => json_schema::reference(),
    })?;
    Ok(Exit::Success)
}
