//! Users and groups of the host, read from `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
//!
//! The C library would ask name services too, but it cannot be linked statically with them, and
//! loading them costs more than a whole launch. Names that are not in the files are asked of
//! getent(1), which goes through the host's own C library.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::spec::host::{Account, Subordinate};

/// A line of one of the files, cut at its colons.
pub(crate) type Line = Vec<String>;

/// Finds the line whose name or number (third field) is `key`.
pub(crate) fn find(file: &str, key: &str) -> Option<Line> {
    let text = std::fs::read_to_string(file).ok()?;
    find_in(&text, key).map(|line| line.split(':').map(str::to_owned).collect())
}

/// The same in the text of a file, the line as it stands.
pub(super) fn find_in<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let field = |index: usize| {
        text.lines().find(|line| line.split(':').nth(index) == Some(key) && line.split(':').nth(3).is_some())
    };
    // As getpwnam(3) has it: a name made of digits comes before a number.
    field(0).or_else(|| key.parse::<u32>().ok().and_then(|_| field(2)))
}

/// How long the host's name services may take.
const PATIENCE: Duration = Duration::from_millis(crate::node::limits::COMMAND_MILLIS);

/// Asks the host's name services: lines of those keys that there are, `None` without any.
pub(super) fn getent(database: &str, keys: &[&str]) -> Option<Vec<u8>> {
    if keys.iter().any(|key| key.starts_with('-')) {
        return None;
    }
    let mut child = Command::new("getent")
        .arg(database)
        .args(keys)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let output = child.stdout.take().and_then(|stdout| super::run::all(&stdout, Instant::now() + PATIENCE));
    // It has ended, or is not waited for any longer.
    drop(child.kill());
    drop(child.wait());
    output.filter(|output| !output.is_empty())
}

/// Fields of the first line that the host's name services have for a key.
fn asked(database: &str, key: &str) -> Option<Line> {
    let text = String::from_utf8(getent(database, &[key])?).ok()?;
    Some(text.lines().next()?.split(':').map(str::to_owned).collect())
}

/// A user by name or number. A number without an account is that user, without a group.
pub(crate) fn user(name: &str) -> Option<Account> {
    let number = name.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    let line = find("/etc/passwd", name).or_else(|| asked("passwd", name));
    let account = line
        .and_then(|line| Some(Account { uid: line.get(2)?.parse().ok()?, gid: line.get(3)?.parse().ok() }));
    account.or(number.map(|uid| Account { uid, gid: None }))
}

/// The name of a user, or its number when it has none.
#[cfg(feature = "launch")]
pub(crate) fn name_of(uid: u32) -> String {
    let number = uid.to_string();
    find("/etc/passwd", &number).and_then(|line| line.into_iter().next()).unwrap_or(number)
}

/// The home directory of a user.
pub(crate) fn home_of(uid: u32) -> Option<std::path::PathBuf> {
    let line = find("/etc/passwd", &uid.to_string())?;
    line.get(5).map(std::path::PathBuf::from)
}

/// A group by name or number.
pub(crate) fn group(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse::<u32>() {
        return (number != u32::MAX).then_some(number);
    }
    let line = find("/etc/group", name).or_else(|| asked("group", name))?;
    line.get(2)?.parse().ok()
}

/// Ids that a user may map besides its own. `None` without a range for both users and groups, or
/// without the set-user-id helpers that map them.
pub(crate) fn subordinate(uid: u32) -> Option<Subordinate> {
    let helper = |name: &str| ["/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(name).exists());
    if !helper("newuidmap") || !helper("newgidmap") {
        return None;
    }
    let number = uid.to_string();
    let name = find("/etc/passwd", &number).and_then(|line| line.first().cloned());
    let range = |file: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        range_in(&text, &number, name.as_deref())
    };
    Some(Subordinate { users: range("/etc/subuid")?, groups: range("/etc/subgid")? })
}

/// The first range of a user, by number or name.
fn range_in(text: &str, number: &str, name: Option<&str>) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (start, count) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
        let own = owner == number || Some(owner) == name;
        (own && count > 0 && start.checked_add(count).is_some()).then_some((start, count))
    })
}

#[cfg(test)]
mod tests {
    use super::range_in;

    use super::find_in;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nuser:x:12:13::/:/bin/sh\nbroken\n12:x:7:7::/:/bin/sh\n";

    #[test]
    fn finds_by_name_and_number() {
        assert_eq!(find_in(PASSWD, "user"), Some("user:x:12:13::/:/bin/sh"));
        assert_eq!(find_in(PASSWD, "0"), Some("root:x:0:0:root:/root:/bin/bash"));
        assert!(find_in(PASSWD, "broken").is_none());
        assert!(find_in(PASSWD, "nobody").is_none());
    }

    #[test]
    fn ranges_belong_to_a_name_or_a_number() {
        let text = "other:1:2\nme:100000:65536\n12:5:0\n12:7:8\nbad\n";
        assert_eq!(range_in(text, "12", Some("me")), Some((100_000, 65_536)));
        assert_eq!(range_in(text, "12", None), Some((7, 8)));
        assert_eq!(range_in(text, "13", Some("nobody")), None);
    }

    #[test]
    fn a_name_of_digits_comes_before_a_number() {
        assert_eq!(find_in(PASSWD, "12"), Some("12:x:7:7::/:/bin/sh"));
    }
}
