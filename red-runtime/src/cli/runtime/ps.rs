//! `red-runtime ps`

use clap::ValueEnum;
use serde_json::json;

use super::{Exit, Global, Output, RunError};

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
    /// Name of the container
    id: String,
    /// Options of ps(1) for the table
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS OPTIONS")]
    options: Vec<String>,
}

pub(super) fn run(global: &Global, args: &Args, out: &mut Output) -> Result<Exit, RunError> {
    let record = global.store().read(&args.id)?;
    let pids: Vec<i32> = match &record.cgroups {
        Some(cgroups) => cgroups.members()?.into_iter().collect(),
        None => record.first().map(|(process, _)| vec![process.pid]).unwrap_or_default(),
    };
    if args.format == Form::Json {
        out.json(&json!(pids))?;
        return Ok(Exit::Success);
    }
    let options = if args.options.is_empty() { vec!["-ef".to_owned()] } else { args.options.clone() };
    let printed = std::process::Command::new("ps").args(options).output()?;
    let text = String::from_utf8_lossy(&printed.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_ascii_whitespace().position(|word| word == "PID");
    let of_container = |line: &&str| {
        let number = column.and_then(|column| line.split_ascii_whitespace().nth(column)?.parse().ok());
        number.is_some_and(|number| pids.contains(&number))
    };
    let lines: String =
        std::iter::once(head).chain(lines.filter(of_container)).map(|line| format!("{line}\n")).collect();
    out.text(&lines)?;
    Ok(Exit::Success)
}
