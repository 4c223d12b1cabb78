//! What the commands share: which family, planned for whom.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::ConfError;
use crate::command::{HostShell, Permission, Shell};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::family::Family;
use crate::node::load::{self, LoadOptions, MainFile};
use crate::policy::{self, Policy, Starter};
use crate::spec::host::SystemHost;
use crate::spec::identity::{Asked, Caller};
use crate::spec::plan::{self, Plan, Planned, Request};

/// Which family.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RedpathArgs {
    /// The node, as an option
    #[arg(short = 'r', long = "redpath", visible_aliases = ["rpath", "rp"], value_name = "REDPATH",
          conflicts_with = "positional", required_unless_present = "positional")]
    option: Option<PathBuf>,
    /// The node
    #[arg(value_name = "REDPATH", id = "positional")]
    positional: Option<PathBuf>,
}

impl RedpathArgs {
    /// The redpath; clap has seen to it that there is one.
    pub(in crate::cli) fn path(&self) -> PathBuf {
        self.option.clone().or_else(|| self.positional.clone()).unwrap_or_default()
    }
}

/// Which files are in force.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct ModeArgs {
    /// Admin mode: admin files are in force; FILE replaces main-admin.yaml
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    admin: Option<Option<PathBuf>>,
    /// Replaces main.yaml
    #[arg(long, value_name = "FILE")]
    rmain: Option<PathBuf>,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

/// How the launch is planned.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct PlanArgs {
    /// What is missing is an error
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    strict: Option<YesNo>,
    /// The opposite of --strict
    #[arg(long, conflicts_with = "strict")]
    force: bool,
    /// Nodes that were moved start all the same
    #[arg(long = "unsafe")]
    unsafe_: bool,
    /// User the command runs as, by name or number
    #[arg(long)]
    user: Option<String>,
    /// Group the command runs as, by name or number
    #[arg(long)]
    group: Option<String>,
    /// Smack label of the command
    #[arg(long, value_name = "LABEL")]
    smack: Option<String>,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// The command, `sh` if none is given
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Whether the commands of a configuration are run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cli) enum Commands {
    /// Never: the plan is only looked at.
    Show,
    /// As the policy has it: the plan is for a launch.
    Run,
}

/// A family that was read.
pub(in crate::cli) struct Session {
    pub(in crate::cli) family: Family,
    pub(in crate::cli) report: Report,
    launch: Launch,
    caller: Caller,
}

/// Options for the loader.
pub(in crate::cli) fn load_options(mode: &ModeArgs, launch: &Launch) -> LoadOptions {
    let file = |path: Option<&PathBuf>| path.map_or(MainFile::Default, |path| MainFile::Path(path.clone()));
    LoadOptions {
        admin: mode.admin.is_some(),
        main: file(mode.rmain.as_ref()),
        main_admin: file(mode.admin.as_ref().and_then(Option::as_ref)),
        prefix: launch.prefix().to_owned(),
    }
}

impl Session {
    /// Reads a family.
    pub(in crate::cli) fn open(redpath: &std::path::Path, mode: &ModeArgs) -> Result<Self, ConfError> {
        let launch = Launch::of_this_process();
        let loaded = load::load(redpath, &load_options(mode, &launch))?;
        Self::of(loaded, launch)
    }

    /// A family that was read already.
    pub(in crate::cli) fn of(loaded: load::Loaded, launch: Launch) -> Result<Self, ConfError> {
        let caller = Caller { uid: launch.uid, gid: launch.gid };
        match loaded.family {
            Some(family) => Ok(Self { family, report: loaded.report, launch, caller }),
            None => Err(ConfError::Mistakes(loaded.report, loaded.sources)),
        }
    }

    /// Who calls.
    pub(in crate::cli) fn starter(&self) -> Starter {
        Starter::Direct { uid: self.caller.uid }
    }

    /// A launch by the caller.
    pub(in crate::cli) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Plans as if the caller had set no variables: what is planned leaves this machine.
    pub(in crate::cli) fn forget_environment(&mut self) {
        self.launch.forget_environment();
    }

    /// The host's policy.
    pub(in crate::cli) fn policy(&self) -> Result<Policy, ConfError> {
        let loaded = policy::load(&policy::path(self.launch.prefix()));
        loaded.policy.ok_or_else(|| ConfError::Mistakes(loaded.report, Arc::new(loaded.sources)))
    }

    /// Plans a launch. The report has what the files had, and what the plan had.
    pub(in crate::cli) fn plan(&self, args: &PlanArgs, commands: Commands) -> Result<Planned, ConfError> {
        self.plan_for(&self.request(args), commands, None)
    }

    /// The policy to plan by. A plan that is only looked at does without one that cannot be used.
    fn policy_for(&self, commands: Commands, report: &mut Report) -> Result<Policy, ConfError> {
        match (self.policy(), commands) {
            (Err(ConfError::Mistakes(found, sources)), Commands::Show) => {
                let code = found.diagnostics().first().map_or(Code::Failed, |first| first.code);
                report.push(
                    Diagnostic::warning(code, found.one_line(&sources))
                        .help("the plan is that of a host without a policy; nothing starts with this one"),
                );
                Ok(Policy::default())
            }
            (policy, _) => policy,
        }
    }

    fn plan_for(
        &self,
        request: &Request,
        commands: Commands,
        state: Option<&std::path::Path>,
    ) -> Result<Planned, ConfError> {
        let mut report = self.report.clone();
        let mut policy = self.policy_for(commands, &mut report)?;
        policy.state = state.map(PathBuf::from);
        let request = &Request { rules: policy.rules(&self.launch), ..request.clone() };
        let mut shell = match commands {
            Commands::Show => None,
            Commands::Run => {
                let found = policy::verify(&policy, &self.family, self.starter());
                let permission =
                    policy.commands(self.starter(), &self.family.leaf().path, !found.has_errors());
                report.append(found);
                Some(self.shell(permission))
            }
        };
        let shell = shell.as_mut().map(|shell| -> &mut dyn Shell { shell });
        let planned =
            plan::plan(&self.family, request, self.launch.clone(), &mut SystemHost::default(), shell);
        report.append(planned.report);
        let plan = planned.plan.filter(|_| !report.has_errors());
        Ok(Planned { plan, report })
    }

    /// Plans, and fails with the report when there is no plan.
    pub(in crate::cli) fn planned(
        &self,
        args: &PlanArgs,
        commands: Commands,
    ) -> Result<(Plan, Report), ConfError> {
        let Planned { plan, report } = self.plan(args, commands)?;
        match plan {
            Some(plan) => Ok((plan, report)),
            None => Err(ConfError::Mistakes(report, Arc::clone(&self.family.sources))),
        }
    }

    fn shell(&self, permission: Permission) -> HostShell {
        HostShell::new(permission, (self.caller.uid, self.caller.gid))
    }

    /// Plans a launch for a request of one's own. The state directory, `root` or the caller's own, is
    /// made before, for what is not there cannot be kept from a container.
    #[cfg(feature = "launch")]
    pub(in crate::cli) fn launchable(
        &self,
        request: &Request,
        root: Option<&std::path::Path>,
    ) -> Result<(Plan, Report), ConfError> {
        crate::launch::record::Store::of(root).prepare()?;
        let Planned { plan, report } = self.plan_for(request, Commands::Run, root)?;
        plan.map(|plan| (plan, report.clone()))
            .ok_or_else(|| ConfError::Mistakes(report, Arc::clone(&self.family.sources)))
    }

    /// Who calls.
    #[cfg(feature = "launch")]
    pub(in crate::cli) fn caller(&self) -> Caller {
        self.caller
    }

    fn request(&self, args: &PlanArgs) -> Request {
        let mut request = Request::new(self.caller);
        if !args.command.is_empty() {
            request.args.clone_from(&args.command);
        }
        request.terminal = args.tty;
        request.strict = args.strict == Some(YesNo::Yes);
        request.unsafe_ = args.unsafe_;
        request.asked = args.asked();
        request.smack.clone_from(&args.smack);
        request
    }
}

impl PlanArgs {
    /// User and group that were asked for.
    pub(in crate::cli) fn asked(&self) -> Asked {
        Asked { user: self.user.clone(), group: self.group.clone() }
    }

    /// What a request says.
    #[cfg(feature = "launch")]
    pub(in crate::cli) fn like(request: &Request) -> Self {
        Self {
            strict: request.strict.then_some(YesNo::Yes),
            force: false,
            unsafe_: request.unsafe_,
            user: request.asked.user.clone(),
            group: request.asked.group.clone(),
            smack: request.smack.clone(),
            tty: request.terminal,
            command: request.args.clone(),
        }
    }

    /// A launch without anything special, strict or not.
    pub(in crate::cli) fn strict(strict: bool) -> Self {
        Self {
            strict: strict.then_some(YesNo::Yes),
            force: false,
            unsafe_: false,
            user: None,
            group: None,
            smack: None,
            tty: false,
            command: Vec::new(),
        }
    }
}

impl ModeArgs {
    /// The same as options of red-wrap, which may be started anywhere.
    pub(in crate::cli) fn words(&self) -> Vec<String> {
        let option = |name: &str, file: &PathBuf| {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            format!("--{name}={}", file.display())
        };
        let admin = self.admin.as_ref().map(|file| match file {
            Some(file) => option("admin", file),
            None => "--admin".to_owned(),
        });
        admin.into_iter().chain(self.rmain.as_ref().map(|file| option("rmain", file))).collect()
    }
}

#[cfg(feature = "launch")]
impl ModeArgs {
    /// Admin mode, and files in place of redmain's.
    pub(in crate::cli) fn of(admin: Option<Option<PathBuf>>, rmain: Option<PathBuf>) -> Self {
        Self { admin, rmain }
    }
}
