//! Commands that are answered without running anything: what real configurations ask for.
//!
//! The answer is the one the command would give; where that is not certain (a key that is not in
//! the files, a host that asks other name services first), there is no answer and the command runs.

use super::accounts;

/// The output of a command that is one of the known few.
pub(super) fn answer(command: &str, caller: (u32, u32)) -> Option<Vec<u8>> {
    let command = command.trim();
    let words: Vec<String> = words(command, caller)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["getent", database @ ("passwd" | "group"), keys @ ..] if !keys.is_empty() => entries(database, keys),
        ["id", "-u"] => Some(format!("{}\n", caller.0).into_bytes()),
        ["id", "-g"] => Some(format!("{}\n", caller.1).into_bytes()),
        _ => None,
    }
    .or_else(|| os_release(command))
    .or_else(|| echo(command))
}

/// Whether a command is one that asks for lines of passwd or group, and nothing else.
pub(super) fn asks_for_accounts(command: &str) -> bool {
    let words = words(command.trim(), (0, 0)).unwrap_or_default();
    matches!(
        words.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
        ["getent", "passwd" | "group", _, ..]
    )
}

/// Cuts a command into words, with `$(id -u)` and `$(id -g)` answered. `None` when anything in it
/// would mean something to a shell.
fn words(command: &str, (uid, gid): (u32, u32)) -> Option<Vec<String>> {
    let command = command.replace("$(id -u)", &uid.to_string()).replace("$(id -g)", &gid.to_string());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+ ".contains(c);
    let words = command.split_ascii_whitespace().map(str::to_owned).collect();
    Some(if command.chars().all(plain) { words } else { Vec::new() })
}

/// Lines of `/etc/passwd` or `/etc/group`, when the files come first among the name services and have
/// them all (nsswitch.conf(5)). Others are asked of the host's name services by [`asked`]: a command in
/// the box could not reach them, for they listen on sockets.
fn entries(database: &str, keys: &[&str]) -> Option<Vec<u8>> {
    if keys.iter().any(|key| key.starts_with('-')) {
        return None;
    }
    if !files_first(database) {
        return None;
    }
    let text = std::fs::read_to_string(format!("/etc/{database}")).ok()?;
    let line = |key: &&str| Some(format!("{}\n", accounts::find_in(&text, key)?));
    keys.iter().map(line).collect::<Option<String>>().map(String::into_bytes)
}

/// The output of a command that asks for accounts which only the host's name services know. It starts a
/// process outside the box, so whether commands may run has been decided before.
pub(super) fn asked(command: &str, caller: (u32, u32)) -> Option<Vec<u8>> {
    let words = words(command.trim(), caller)?;
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["getent", database @ ("passwd" | "group"), keys @ ..] if !keys.is_empty() => {
            accounts::getent(database, keys)
        }
        _ => None,
    }
}

fn files_first(database: &str) -> bool {
    let Ok(text) = std::fs::read_to_string("/etc/nsswitch.conf") else { return true };
    let line = text.lines().find_map(|line| line.trim().strip_prefix(database)?.strip_prefix(':'));
    line.is_none_or(|sources| sources.split_ascii_whitespace().next() == Some("files"))
}

/// `echo` of words that mean nothing to a shell.
fn echo(command: &str) -> Option<Vec<u8>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+%/:,= ".contains(c);
    let mut words = command.split_ascii_whitespace();
    if words.next()? != "echo" || !command.chars().all(plain) {
        return None;
    }
    let words: Vec<&str> = words.collect();
    // Options of the shell's own echo.
    if words.first().is_some_and(|word| word.starts_with('-')) {
        return None;
    }
    Some(format!("{}\n", words.join(" ")).into_bytes())
}

/// `. /etc/os-release; echo $NAME`, in any of its usual spellings.
fn os_release(command: &str) -> Option<Vec<u8>> {
    let inner = command.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(command).trim();
    let (load, print) = inner.split_once(';').or_else(|| inner.split_once("&&"))?;
    let load: Vec<&str> = load.split_ascii_whitespace().collect();
    if !matches!(load.as_slice(), ["source" | ".", "/etc/os-release"]) {
        return None;
    }
    let variable = print.trim().strip_prefix("echo")?.trim().trim_matches('"').strip_prefix('$')?;
    if variable.is_empty() || !variable.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix(variable)?.strip_prefix('='))?;
    Some(format!("{}\n", unquoted(value)?).into_bytes())
}

/// A value without its quotes; `None` when a shell would find more in it than text.
fn unquoted(value: &str) -> Option<&str> {
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value);
    // `echo $NAME` without quotes folds white space, so only single blanks are certain.
    let plain = !inner.contains(['\\', '$', '`', '"', '\'', '*', '?', '[']) && !inner.contains("  ");
    plain.then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(command: &str) -> Option<String> {
        answer(command, (0, 0)).map(|output| String::from_utf8(output).unwrap())
    }

    #[test]
    fn answers_what_the_commands_would() {
        for command in [
            "getent passwd 0",
            "getent group $(id -g)",
            "id -u",
            "getent passwd root 0",
            "echo %_dbpath /var/lib/rpm",
            "echo",
            "  echo a   b=c,d:e  -n ",
        ] {
            let real = std::process::Command::new("bash").args(["-c", command]).output().unwrap();
            assert_eq!(answered(command).unwrap().into_bytes(), real.stdout, "{command}");
        }
    }

    /// Whom the files do not have the name services are asked for, which is no answer without a process.
    #[test]
    fn accounts_of_services_are_asked_for_apart() {
        let command = "getent passwd 0 no-such-user-here";
        let real = std::process::Command::new("bash").args(["-c", command]).output().unwrap();
        assert_eq!(answered(command), None);
        assert_eq!(asked(command, (0, 0)).unwrap(), real.stdout);
    }

    #[test]
    fn answers_os_release_in_every_spelling() {
        let real = std::process::Command::new("bash")
            .args(["-c", ". /etc/os-release; echo $VERSION_ID"])
            .output()
            .unwrap();
        for command in [
            "(source /etc/os-release; echo $VERSION_ID)",
            ". /etc/os-release && echo \"$VERSION_ID\"",
            ". /etc/os-release; echo $VERSION_ID",
        ] {
            assert_eq!(answered(command).unwrap().into_bytes(), real.stdout, "{command}");
        }
    }

    #[test]
    fn leaves_everything_else_to_the_shell() {
        for command in [
            "getent passwd",
            "getent passwd no-such-user-here",
            "getent passwd 0; rm -rf /",
            "getent passwd $(whoami)",
            "getent hosts localhost",
            "id",
            "id -u root",
            ". /etc/os-release; echo $VERSION_ID $ID",
            ". /etc/os-release; reboot",
            "echo -n x",
            "echo $HOME",
            "echo *",
            "echo ~",
            "echo a; reboot",
            "echo 'a  b'",
            "echo a\nreboot",
            "echo {a,b}",
            "echoes a",
            "",
        ] {
            assert_eq!(answered(command), None, "{command}");
        }
    }
}
