//! Generations: which there are, which are kept, what is left of interrupted commands.

use red_runtime::cli::exit::Exit;
use serde_json::json;

use super::history::store;
use super::{Common, DnfError};
use crate::cli::output;
use crate::generation::{self, Room, Store};
use crate::history::About;
use crate::session::SessionError;
use crate::transaction::{self, Locks, Talk};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<Generations>,
}

impl Args {
    /// Whether nothing is changed.
    pub(super) fn looks(&self) -> bool {
        matches!(self.what, None | Some(Generations::List))
    }
}

#[derive(Debug, clap::Subcommand)]
enum Generations {
    /// Show them (the default)
    List,
    /// Keep one whatever happens
    Pin {
        /// Its number
        number: u64,
        /// Let it go again
        #[arg(long)]
        remove: bool,
    },
    /// Remove those that are not kept
    Collect,
    /// Complete what an interrupted command left
    Complete,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<Exit, DnfError> {
    if args.looks() {
        // Also of a node that cannot be read.
        let path = std::fs::canonicalize(common.redpath()?).ok();
        if let Some(node) = path.and_then(|path| Store::open(&path).ok()).filter(|node| node.is_lost()) {
            generation::lost_above(node.path()).iter().for_each(|line| output::say(line));
            return list(common, &node);
        }
    }
    let (family, node) = store(common)?;
    match &args.what {
        None | Some(Generations::List) => list(common, &node),
        Some(Generations::Pin { number, remove }) => {
            node.pin(*number, !remove)?;
            output::say(&format!(
                "generation {number} is {}",
                if *remove { "no longer pinned" } else { "pinned" }
            ));
            Ok(Exit::Success)
        }
        Some(Generations::Collect) => {
            let mut person = common.person();
            // What a switch of several nodes has not reached yet is no rubbish: the ancestors come first.
            let lock = Locks::take(&family, &[], common.patience()?, &mut person)?;
            let session = common.session()?;
            let removed = transaction::collect(&node, &session.settings, Room::Free, &mut person)?;
            node.free_spare()?;
            drop(lock);
            person.say(&format!("{removed} generations removed"));
            Ok(Exit::Success)
        }
        Some(Generations::Complete) => {
            family.may_change().map_err(SessionError::from)?;
            let mut person = common.person();
            drop(Locks::take(&family, &[], common.patience()?, &mut person)?);
            person.say("no interrupted command is left");
            Ok(Exit::Success)
        }
    }
}

fn list(common: &Common, node: &Store) -> Result<Exit, DnfError> {
    let current = node.shown();
    let mounted = generation::mounted(node);
    let mut rows = vec![["generation", "", "made", "by"].map(String::from).to_vec()];
    let mut all = Vec::new();
    for number in node.numbers()? {
        let about = About::of(node, number);
        let (is_current, pinned, in_use) =
            (Some(number) == current, node.is_pinned(number), mounted.contains(&number));
        let marks = [(is_current, "current"), (pinned, "pinned"), (in_use, "in use")];
        let words: Vec<&str> = marks.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        let command: Vec<&str> = about.record.command.iter().skip(1).map(String::as_str).collect();
        rows.push(vec![number.to_string(), words.join(", "), about.record.time.clone(), command.join(" ")]);
        all.push(json!({"generation": number, "current": is_current, "pinned": pinned, "in_use": in_use,
            "time": about.record.time, "command": about.record.command}));
    }
    if common.json {
        output::json(&all)?
    } else {
        output::lines(output::table(&rows))?
    }
    Ok(Exit::Success)
}
