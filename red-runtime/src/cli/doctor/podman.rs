//! podman: whether the installed one loads its configuration, knows red-runtime and parses its errors, and
//! whether it loads the drop-in that is recommended.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use super::{Finding, Grade, finding, program};

/// Drop-in that the project ships.
const DROP_IN: &str = include_str!("../../../../docs/podman/red-runtime.conf");
const SHIPPED: &str = "docs/podman/red-runtime.conf";
const RUNTIME: &str = "red-runtime";

pub(super) fn podman() -> Finding {
    let about = "podman";
    let Some(program) = program("podman") else {
        return finding(about, Grade::Good, "not installed", None);
    };
    let files = configuration_files();
    let version = match load(&program, None) {
        Ok(version) => version,
        Err(error) => return broken(&program, &files, &error),
    };
    let mut config = EngineConfig::default();
    for file in &files {
        config.read(&fs::read_to_string(file).unwrap_or_default());
    }
    if config.paths.is_empty() {
        return recommended(about, &program, &version);
    }
    if !config.paths.iter().any(|path| Path::new(path).exists()) {
        let text = format!("{version} looks for red-runtime at {}: missing", config.paths.join(", "));
        return finding(about, Grade::Bad, text, Some("install red-runtime there"));
    }
    if !config.parses_json.iter().any(|name| name == RUNTIME) {
        let fix = format!("add \"{RUNTIME}\" to `runtime_supports_json` in `[engine]`, as {SHIPPED} does");
        let text = format!("{version} knows red-runtime, but does not parse its errors as JSON");
        return finding(about, Grade::Poor, text, Some(&fix));
    }
    if !config.dropped.is_empty() {
        let names = config.dropped.join(", ");
        let text = format!(
            "{version} no longer parses errors of {names}: a later list replaces the one that named it"
        );
        return finding(about, Grade::Poor, text, Some("name it in the last `runtime_supports_json` too"));
    }
    finding(about, Grade::Good, format!("{version} knows red-runtime, and parses its errors"), None)
}

/// podman does not start.
fn broken(program: &Path, files: &[PathBuf], error: &str) -> Finding {
    let ours = files.iter().find(|file| error.contains(&*file.to_string_lossy()) && is_ours(file));
    let fix = match (ours, load(program, Some(DROP_IN))) {
        (Some(file), Ok(_)) => format!("replace {} by {SHIPPED}, which this podman loads", file.display()),
        (Some(file), Err(_)) => format!("remove {}", file.display()),
        (None, _) => "correct the file that it names".to_owned(),
    };
    finding("podman", Grade::Bad, format!("does not start: {error}"), Some(&fix))
}

fn is_ours(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(RUNTIME))
}

/// Recommends the drop-in, if this podman loads it.
fn recommended(about: &'static str, program: &Path, version: &str) -> Finding {
    match load(program, Some(DROP_IN)) {
        Ok(_) => {
            let fix = format!("copy {SHIPPED}, which it loads, to /etc/containers/containers.conf.d/");
            finding(about, Grade::Poor, format!("{version} does not know red-runtime"), Some(&fix))
        }
        Err(error) => {
            let text = format!("{version} does not know red-runtime, and does not load {SHIPPED}: {error}");
            finding(about, Grade::Poor, text, Some("write a drop-in for it by containers.conf(5)"))
        }
    }
}

/// Has podman load a configuration, its own or one text alone, and returns its name and version. Every command
/// loads it first; this one touches no storage.
fn load(program: &Path, text: Option<&str>) -> Result<String, String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    if let Some(text) = text {
        let file = in_memory(text).map_err(|error| format!("memfd_create: {error}"))?;
        command.stdin(file).env("CONTAINERS_CONF", "/proc/self/fd/0").env_remove("CONTAINERS_CONF_OVERRIDE");
    }
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        let line = String::from_utf8_lossy(&output.stdout);
        return Ok(line.trim().replacen(" version ", " ", 1));
    }
    let error = plain_message(&String::from_utf8_lossy(&output.stderr));
    Err(if error.is_empty() { output.status.to_string() } else { error })
}

fn in_memory(text: &str) -> std::io::Result<fs::File> {
    let mut file = fs::File::from(memfd_create("containers.conf", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// The last message on stderr, without the log's `time=… level=… msg="…"` of podman 4.
fn plain_message(stderr: &str) -> String {
    let line = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.split_once("msg=\"") {
        Some((_, message)) => message.trim_end_matches('"').replace("\\\"", "\""),
        None => line.to_owned(),
    }
}

/// Files that podman reads, in its order (containers.conf(5)).
fn configuration_files() -> Vec<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut files = Vec::new();
    if let Some(only) = var("CONTAINERS_CONF") {
        files.push(only);
    } else {
        files.push("/usr/share/containers/containers.conf".into());
        with_drop_ins(Path::new("/etc/containers"), &mut files);
        if !rustix::process::geteuid().is_root() {
            let home = var("XDG_CONFIG_HOME").or_else(|| Some(var("HOME")?.join(".config")));
            home.iter().for_each(|home| with_drop_ins(&home.join("containers"), &mut files));
        }
    }
    files.extend(var("CONTAINERS_CONF_OVERRIDE"));
    files
}

fn with_drop_ins(directory: &Path, files: &mut Vec<PathBuf>) {
    files.push(directory.join("containers.conf"));
    let entries = fs::read_dir(directory.join("containers.conf.d")).into_iter().flatten().flatten();
    let mut drop_ins: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    drop_ins.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    drop_ins.sort();
    files.extend(drop_ins);
}

/// What matters here of `[engine]`, after the files that were read.
#[derive(Debug, Eq, PartialEq)]
struct EngineConfig {
    /// Where red-runtime is looked for.
    paths: Vec<String>,
    /// Runtimes whose errors are parsed.
    parses_json: Vec<String>,
    /// Runtimes that an earlier file named there and a later one does not.
    dropped: Vec<String>,
    /// A list with `{append = true}` makes the lists after it append too.
    appends: bool,
}

impl Default for EngineConfig {
    /// What podman lists when no file does, of the runtimes that distributions ship.
    fn default() -> Self {
        let parses_json = ["crun", "runc"].map(str::to_owned).to_vec();
        Self { paths: Vec::new(), parses_json, dropped: Vec::new(), appends: false }
    }
}

impl EngineConfig {
    /// Reads one more file. Of TOML it knows what podman's manual shows: sections, bare and quoted keys, lists of
    /// strings over any number of lines. podman itself has found the files to be valid.
    fn read(&mut self, text: &str) {
        let mut section = String::new();
        let mut lines = text.lines().map(without_comment);
        while let Some(line) = lines.next() {
            if line.starts_with('[') {
                section = line.replace(['[', ']', ' ', '"', '\''], "");
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let mut value = value.to_owned();
            while value.matches('[').count() > value.matches(']').count() {
                let Some(more) = lines.next() else { break };
                value.push_str(&more);
            }
            match (section.as_str(), key.trim().trim_matches(['"', '\''])) {
                ("engine", "runtime_supports_json") => self.list(&value),
                ("engine.runtimes", RUNTIME) => self.paths = strings(&value),
                _ => {}
            }
        }
    }

    fn list(&mut self, value: &str) {
        let squeezed = value.replace([' ', '\t'], "");
        self.appends =
            (self.appends || squeezed.contains("append=true")) && !squeezed.contains("append=false");
        let before = if self.appends { &[] } else { self.parses_json.as_slice() };
        let new = strings(value);
        let lost: Vec<String> = before.iter().filter(|name| !new.contains(name)).cloned().collect();
        if self.appends {
            self.parses_json.extend(new);
        } else {
            self.parses_json = new;
        }
        self.dropped.extend(lost);
        self.dropped.retain(|name| !self.parses_json.contains(name));
    }
}

/// A line up to its comment, which a `#` outside of a string begins.
fn without_comment(line: &str) -> String {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return line[..at].trim().to_owned(),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    line.trim().to_owned()
}

/// Strings of a list.
fn strings(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = &rest[start..=start];
        let Some((text, more)) = rest[start + 1..].split_once(quote) else { break };
        found.push(text.to_owned());
        rest = more;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{DROP_IN, EngineConfig, plain_message};

    fn after(files: &[&str]) -> EngineConfig {
        let mut config = EngineConfig::default();
        files.iter().for_each(|text| config.read(text));
        config
    }

    #[test]
    fn the_shipped_drop_in_keeps_the_runtimes_that_podman_itself_lists() {
        let config = after(&[DROP_IN]);
        assert_eq!(config.paths, ["/usr/bin/red-runtime"]);
        for name in ["crun", "runc", "kata", "runsc", "youki", "krun", "red-runtime"] {
            assert!(config.parses_json.iter().any(|known| known == name), "{name}");
        }
        let code = DROP_IN.lines().filter(|line| !line.starts_with('#')).collect::<String>();
        assert!(
            !code.contains('{'),
            "podman 4.3 knows no attributes of lists, and ends every command: {code}"
        );
    }

    #[test]
    fn a_later_list_replaces_an_earlier_one_and_what_it_no_longer_names_is_told() {
        let own = "[engine]\nruntime_supports_json = [\n  'own', # a comment with ]\n  \"crun\",\n]\n";
        let config = after(&[own, DROP_IN]);
        assert_eq!(config.dropped, ["own"]);
        let again = "[engine]\nruntime_supports_json = [\"own\", \"red-runtime\"]";
        assert!(!after(&[own, DROP_IN, again]).dropped.contains(&"own".to_owned()));
        let without = after(&[DROP_IN, own]);
        assert!(!without.parses_json.contains(&"red-runtime".to_owned()));
        assert!(without.dropped.contains(&"red-runtime".to_owned()));
    }

    #[test]
    fn a_list_that_appends_drops_nothing() {
        let append = "[engine]\nruntime_supports_json = [\"red-runtime\", {append = true}]";
        let own = "[engine]\nruntime_supports_json = [\"own\"]";
        let config = after(&[own, append]);
        assert_eq!(config.parses_json, ["own", "red-runtime"]);
        assert_eq!(config.dropped, ["crun", "runc"], "by the first list");
        let all = after(&[append, own]);
        assert_eq!(
            (all.parses_json.join(" "), all.dropped.len()),
            ("crun runc red-runtime own".to_owned(), 0)
        );
        let stop = "[engine]\nruntime_supports_json = [\"own\", {append=false}]";
        assert_eq!(after(&[append, stop]).dropped, ["crun", "runc", "red-runtime"]);
    }

    #[test]
    fn keys_count_in_their_section_alone() {
        let other =
            "# [engine.runtimes]\n[containers]\nred-runtime = [\"/a\"]\n[engine]\n#red-runtime = [\"/b\"]\n";
        assert_eq!(after(&[other]), EngineConfig::default());
        let quoted = "[ engine . runtimes ]\n\"red-runtime\" = [ \"/opt/#1/red-runtime\" ] # here\n";
        assert_eq!(after(&[quoted]).paths, ["/opt/#1/red-runtime"]);
    }

    #[test]
    fn messages_of_podman_4_and_5() {
        let four = "time=\"2026-11-29T18:11:29Z\" level=error msg=\"reading \\\"/a\\\": toml: line 5\"\n";
        assert_eq!(plain_message(four), "reading \"/a\": toml: line 5");
        assert_eq!(plain_message("a warning\nFailed to obtain it\n\n"), "Failed to obtain it");
        assert_eq!(plain_message(""), "");
    }
}
