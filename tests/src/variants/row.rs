//! Tables of command lines.

/// A row of a table.
#[derive(Debug)]
pub struct Row {
    /// What is tried.
    pub name: String,
    pub(super) script: String,
    pub(super) differences: Vec<Difference>,
    /// runc refuses it on every machine.
    pub(super) refused: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) ours: bool,
    pub(super) text: String,
    pub(super) reason: String,
    /// The only runtime that it is a difference from.
    pub(super) peer: Option<String>,
}

impl Row {
    /// Whether it is to say the same in a node.
    pub(super) fn in_nodes(&self) -> bool {
        self.script.split_whitespace().next() == Some("m")
    }
}

/// Reason of a difference, and the peer's name where it is one from a single peer: `but: REASON`, `but PEER: REASON`.
#[must_use]
pub fn reason(line: &str) -> Option<(Option<&str>, &str)> {
    let (peer, reason) = line.strip_prefix("but")?.split_once(": ")?;
    match peer.strip_prefix(' ') {
        None if peer.is_empty() => Some((None, reason)),
        Some(peer) if !peer.contains(' ') => Some((Some(peer), reason)),
        _ => None,
    }
}

/// Rows of a table.
///
/// # Panics
/// It is not written as it should be.
#[must_use]
pub fn rows(table: &str) -> Vec<Row> {
    let mut parts = table.split("\n== ");
    let common = read(parts.next().unwrap_or_default()).1;
    let row = |part: &str| {
        let (name, rest) = part.split_once('\n').expect("a row has a script");
        let (script, mut differences) = read(rest);
        differences.extend(common.iter().cloned());
        let (name, refused) = name.strip_suffix(" (refused)").map_or((name, false), |name| (name, true));
        Row { name: name.to_owned(), script, differences, refused }
    };
    parts.map(row).collect()
}

fn read(text: &str) -> (String, Vec<Difference>) {
    let (mut script, mut differences) = (String::new(), Vec::new());
    let (mut because, mut peer) = (String::new(), None);
    for line in text.lines() {
        let (ours, text) = match (line.strip_prefix("- "), line.strip_prefix("+ ")) {
            _ if line.starts_with('#') => continue,
            (Some(text), _) => (false, text.to_owned()),
            (_, Some(text)) => (true, text.to_owned()),
            _ => {
                match reason(line) {
                    Some((whose, why)) => (because, peer) = (why.to_owned(), whose.map(str::to_owned)),
                    None => script.push_str(&format!("{line}\n")),
                }
                continue;
            }
        };
        assert!(!because.is_empty(), "a difference without a reason: {line}");
        differences.push(Difference { ours, text, reason: because.clone(), peer: peer.clone() });
    }
    (script, differences)
}
