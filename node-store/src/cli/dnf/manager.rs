//! `red-manager`: nodes and their repositories.

use std::path::PathBuf;

use red_runtime::cli::exit::Exit;
use red_runtime::node::create::{self, Request};
use red_runtime::node::expand::Launch;
use red_runtime::policy;

use super::{Common, DnfError};
use crate::cli::output;
use crate::family::WITHOUT_CORE;
use crate::generation::{self, Lock, Store};
use crate::repo;

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Args {
    /// Make a node at the redpath
    #[arg(long)]
    create: bool,
    /// Bring a node that is there up to date: its place, files that are missing
    #[arg(long)]
    update: bool,
    /// Name of the node within its family; the last component of the redpath when absent
    #[arg(long, value_name = "ALIAS")]
    alias: Option<String>,
    /// Template of its configuration: a name, or a path with a slash in it
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// Template of its admin configuration
    #[arg(long, value_name = "TEMPLATE")]
    template_admin: Option<String>,
    /// The node and its descendants stand without the packages of the core OS
    #[arg(long)]
    no_system_node: bool,
    /// Give the node a repository: a URL, a directory, or a .repo file
    #[arg(long, value_name = "URL|FILE|DIR")]
    add_repo: Vec<String>,
    /// Id of the repository that is added
    #[arg(long, value_name = "ID", requires = "add_repo")]
    id: Option<String>,
    /// Key that signs its packages: a URL or a file
    #[arg(long, value_name = "URL|FILE", requires = "add_repo")]
    gpgkey: Option<String>,
    /// Take a repository away from the node
    #[arg(long, value_name = "ID")]
    remove_repo: Vec<String>,
    /// List the node's repositories
    #[arg(long)]
    list_repo: bool,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<Exit, DnfError> {
    let redpath = common.redpath()?.to_owned();
    if args.create || args.update {
        make(&redpath, args)?;
    } else if args.alias.is_some() || args.template.is_some() || args.no_system_node {
        return Err(DnfError::Create("--alias and templates go with --create or --update".into()));
    }
    if !args.add_repo.is_empty() || !args.remove_repo.is_empty() {
        change_repos(common, args)?;
    }
    if args.list_repo {
        return super::repos::list(common, &super::repos::ListArgs { all: true });
    }
    Ok(Exit::Success)
}

fn make(redpath: &std::path::Path, args: &Args) -> Result<(), DnfError> {
    let template = args.template.clone().or_else(|| {
        // Without the core OS below it, a node brings its own view of it along.
        args.no_system_node.then(|| "full-normal".to_owned())
    });
    let request = Request {
        path: redpath.to_owned(),
        alias: args.alias.clone(),
        template,
        admin_template: args.template_admin.clone(),
        templates: None,
        update: args.update && !args.create,
    };
    let launch = Launch::of_this_process();
    let created = create::create(&request, &launch).map_err(|error| DnfError::Create(error.to_string()))?;
    if args.no_system_node {
        let store = Store::open(&created.path)?;
        drop(generation::make_directory(store.dir(), store.path(), generation::RED)?);
        store.write_durably(WITHOUT_CORE, b"")?;
    }
    let verb = if request.update { "updated" } else { "created" };
    output::say(&format!("{verb} node `{}` at {}", created.alias, created.path.display()));
    for warning in policy::after_creation(&created.path, &launch).diagnostics() {
        let help = warning.help.as_deref().unwrap_or_default();
        output::say(&format!("warning: {}: {help}", warning.message));
    }
    Ok(())
}

fn change_repos(common: &Common, args: &Args) -> Result<(), DnfError> {
    let session = common.session()?;
    session.family.may_change().map_err(crate::session::SessionError::from)?;
    let node: PathBuf = session.family.node.path.clone();
    let lock = Lock::take(&node, true, common.patience()?, &mut output::say)?;
    for given in &args.add_repo {
        let ids = repo::add(&node, given, args.id.as_deref(), args.gpgkey.as_deref())
            .map_err(crate::session::SessionError::from)?;
        for id in ids {
            output::say(&format!("added repository `{id}`"));
        }
    }
    for id in &args.remove_repo {
        let path = repo::remove(&node, id).map_err(crate::session::SessionError::from)?;
        output::say(&format!("removed repository `{id}` ({})", path.display()));
    }
    drop(lock);
    Ok(())
}
