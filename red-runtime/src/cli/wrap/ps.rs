//! `red-wrap ps`

use std::path::PathBuf;

use serde_json::json;

use super::super::conf::table::Table;
use super::{Exit, Output};
use crate::launch::container::{self, Status};
use crate::launch::ended::End;
use crate::launch::error::LaunchError;
use crate::launch::record::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also list what has ended, with its exit status
    #[arg(short, long)]
    all: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Directory of states
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, LaunchError> {
    let store = Store::of(args.root.as_deref());
    let listed = container::list(&store)?;
    let running = listed.records.iter().filter(|record| record.redpath.is_some());
    let running: Vec<_> = running
        .map(|record| (record, record.status(&store)))
        .filter(|(_, status)| args.all || *status != Status::Stopped)
        .map(|(record, status)| (record, status, End::of(record, &store)))
        .collect();
    let written = if args.json {
        let all: Vec<_> = running
            .iter()
            .map(|(record, status, end)| {
                json!({
                    "name": record.id,
                    "redpath": record.redpath,
                    "digest": record.digest,
                    "status": status.name(),
                    "pid": record.process.filter(|_| *status != Status::Stopped).map(|process| process.pid),
                    "created": record.created,
                    "exit_status": end.map(|end| end.status),
                    "oom": end.and_then(|end| end.oom),
                })
            })
            .collect();
        out.json(&json!({"schema": "red/ps/v1", "running": all}))
    } else {
        let mut table = Table::default();
        table.row(["NAME", "PID", "STATUS", "SINCE", "REDPATH"]);
        for (record, status, end) in &running {
            let process = record.process.filter(|_| *status != Status::Stopped);
            let pid = process.map_or(String::new(), |process| process.pid.to_string());
            let end = end.map_or(String::new(), |end| format!(" ({})", end.words()));
            table.row([
                &record.id,
                &pid,
                &format!("{}{end}", status.name()),
                &record.created,
                record.redpath.as_deref().unwrap_or(""),
            ]);
        }
        out.text(&table.render())
    };
    for bad in listed.bad {
        out.say(&format!("red-wrap: {bad}\n"));
    }
    Ok(if written.is_ok() { Exit::Success } else { Exit::Launch })
}
