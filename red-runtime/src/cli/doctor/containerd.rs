//! containerd: whether its configuration can be read, and which runtimes of ours it has.

use std::process::Command;

use super::{Finding, Grade, finding, program};

/// Name of the shim's program (containerd, runtime/v2/README.md, "Binary naming").
const SHIM: &str = "containerd-shim-red-v2";

pub(super) fn check() -> Finding {
    let about = "containerd";
    let Some(containerd) = program("containerd") else {
        return finding(about, Grade::Good, "not installed", None);
    };
    // What it has after all imports, and by itself.
    let dump = Command::new(containerd).args(["config", "dump"]).output();
    let dump = match dump {
        Ok(dump) if dump.status.success() => dump.stdout,
        Ok(dump) => {
            let said = String::from_utf8_lossy(&dump.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            return finding(
                about,
                Grade::Bad,
                format!("does not read its configuration: {}", last.trim()),
                None,
            );
        }
        Err(error) => return finding(about, Grade::Bad, error.to_string(), None),
    };
    let (grade, text, fix) = judge(&String::from_utf8_lossy(&dump), program(SHIM).is_some());
    finding(about, grade, text, fix)
}

/// What is said of a configuration.
fn judge(config: &str, has_shim: bool) -> (Grade, &'static str, Option<&'static str>) {
    let values = |key: &str| {
        let assigned = move |line: &str| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
        };
        config.lines().filter_map(assigned).collect::<Vec<_>>()
    };
    let types = values("runtime_type");
    let has_table = types.iter().any(|name| name == "io.containerd.red.v2");
    let as_binary = values("BinaryName").iter().any(|path| path.ends_with("/red-runtime"));
    let unknown =
        types.iter().any(|name| name.starts_with("io.containerd.red.") && name != "io.containerd.red.v2");
    match (has_table, has_shim) {
        _ if unknown => (
            Grade::Bad,
            "a runtime_type io.containerd.red.* that does not exist",
            Some("the shim is io.containerd.red.v2"),
        ),
        (true, true) => (Grade::Good, "starts nodes for CRI, by io.containerd.red.v2", None),
        (true, false) => (
            Grade::Bad,
            "is to start pods by io.containerd.red.v2, and containerd-shim-red-v2 is not installed",
            Some("install it beside red-runtime"),
        ),
        (false, true) => (
            Grade::Poor,
            "`ctr run --runtime io.containerd.red.v2` starts nodes, and CRI has no runtime that does",
            Some("add the tables of docs/containerd to its configuration"),
        ),
        (false, false) if as_binary => (Grade::Good, "starts nodes by its runc shim with red-runtime", None),
        (false, false) => (
            Grade::Poor,
            "has no runtime that starts nodes",
            Some("install containerd-shim-red-v2, or `ctr run --runc-binary /usr/bin/red-runtime`"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_programs_go_together() {
        let table = "[plugins.x.runtimes.red]\n  runtime_type = \"io.containerd.red.v2\"\n";
        let binary = "runtime_type = \"io.containerd.runc.v2\"\n  BinaryName = \"/usr/bin/red-runtime\"\n";
        let grade = |config, has_shim| judge(config, has_shim).0;
        assert_eq!(grade(table, true), Grade::Good);
        assert_eq!(grade(table, false), Grade::Bad);
        assert_eq!(grade("", true), Grade::Poor);
        assert_eq!(grade("", false), Grade::Poor);
        assert_eq!(grade(binary, false), Grade::Good);
        assert_eq!(grade(&table.replace("v2", "v1"), true), Grade::Bad);
    }
}
