//! `red-runtime list`

use clap::ValueEnum;
use serde_json::Value;

use super::super::conf::table::Table;
use super::{Exit, Global, Output, RunError};
use crate::launch::container;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Form {
    #[default]
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// In which form
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Form,
    /// Names only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(global: &Global, args: &Args, out: &mut Output) -> Result<Exit, RunError> {
    let store = global.store();
    let listed = container::list(&store)?;
    let states: Vec<Value> =
        listed.records.iter().map(|record| record.state(record.status(&store))).collect();
    if args.quiet {
        let names: String = listed.records.iter().map(|record| format!("{}\n", record.id)).collect();
        out.data(&names)?;
    } else if args.format == Form::Json {
        // Engines want the list itself (go-runc, `list --format=json`).
        out.json(&Value::Array(states))?;
    } else {
        let mut table = Table::default();
        table.row(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
        for state in &states {
            let text = |key: &str| state[key].as_str().unwrap_or_default().to_owned();
            let pid = state["pid"].to_string();
            table.row([
                &text("id"),
                &pid,
                &text("status"),
                &text("bundle"),
                &text("created"),
                &text("owner"),
            ]);
        }
        out.text(&table.render())?;
    }
    for bad in listed.bad {
        out.say(&format!("red-runtime: {bad}\n"));
    }
    Ok(Exit::Success)
}
