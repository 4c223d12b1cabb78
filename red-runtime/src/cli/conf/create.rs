//! `red-conf create`

use std::path::PathBuf;

use super::{ConfError, Exit, Output};
use crate::node::create::{self, CreateError, Request};
use crate::node::diagnostic::Severity;
use crate::node::expand::Launch;
use crate::node::source::Sources;
use crate::policy;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the node; the one above it must exist
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Name within the family; the last component of PATH when absent
    #[arg(short, long)]
    alias: Option<String>,
    /// Template of the configuration: a name, or a path with a slash in it
    ///
    /// Built in are root, leaf and full. The default is leaf below another node or redmain, else full.
    #[arg(short = 'c', long = "config", value_name = "TEMPLATE")]
    config: Option<String>,
    /// Template of the admin configuration
    #[arg(short = 'C', long = "config-adm", value_name = "TEMPLATE")]
    config_admin: Option<String>,
    /// Directory of templates, instead of /etc/redpak/templates.d
    #[arg(short, long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Change a node that is there: adopt it where it is now, write what is missing and what a
    /// template is named for
    #[arg(short, long)]
    update: bool,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, ConfError> {
    let request = Request {
        path: args.path.clone(),
        alias: args.alias.clone(),
        template: args.config.clone(),
        admin_template: args.config_admin.clone(),
        templates: args.templates.clone(),
        update: args.update,
    };
    let launch = Launch::of_this_process();
    let created = create::create(&request, &launch).map_err(|error| match error {
        CreateError::Mistakes { report, sources } => {
            ConfError::Mistakes(report, std::sync::Arc::new(sources))
        }
        other => other.into(),
    })?;
    let verb = if args.update { "updated" } else { "created" };
    out.text(&format!(
        "{verb} node `{}` at {}: {}\n",
        created.alias,
        created.path.display(),
        created.written.join(", ")
    ))?;
    let warnings = policy::after_creation(&created.path, &launch);
    out.report(&warnings, &Sources::default(), Severity::Warning);
    Ok(Exit::Success)
}
