//! The format of `.repo` files and `dnf.conf`: sections, keys, values that go on in indented lines.

/// One section.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) values: Vec<(String, String, usize)>,
}

impl Section {
    /// The last value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().rev().find(|(known, _, _)| known == key).map(|(_, value, _)| value.as_str())
    }

    /// A list, parted by commas, blanks or lines.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        super::options::list(self.get(key).unwrap_or_default())
    }
}

/// Parses a file. The error says what is wrong in which line.
pub(super) fn parse(text: &str) -> Result<Vec<Section>, (usize, String)> {
    let mut sections: Vec<Section> = Vec::new();
    // The section that a line belongs to: one that is written twice is one, as for dnf.
    let mut current = 0;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, raw) in text.lines().enumerate() {
        let line = at + 1;
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if raw.starts_with([' ', '\t'])
            && let Some((before, value, _)) =
                sections.get_mut(current).and_then(|section| section.values.last_mut())
        {
            if let Some(key) = option_in(trimmed) {
                return Err((
                    line,
                    format!("`{key}` is indented, and so part of `{before}`: remove the blanks before it"),
                ));
            }
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        if let Some(name) = header(trimmed) {
            let name = name.map_err(|message| (line, message))?;
            current = sections.iter().position(|section| section.name == name).unwrap_or(sections.len());
            if current == sections.len() {
                sections.push(Section { name: name.to_owned(), line, values: Vec::new() });
            }
            continue;
        }
        let Some((key, value)) = trimmed.split_once('=') else {
            return Err((line, format!("`{trimmed}` is neither `[section]` nor `key=value`")));
        };
        match sections.get_mut(current) {
            Some(section) => {
                section.values.push((key.trim().to_owned(), value.trim().to_owned(), line));
            }
            None => return Err((line, format!("`{trimmed}` stands before the first `[section]`"))),
        }
    }
    Ok(sections)
}

/// The name of the section that a line begins, if it begins one. The error says what is wrong with it.
fn header(trimmed: &str) -> Option<Result<&str, String>> {
    let name = trimmed.strip_prefix('[')?;
    Some(match name.split_once(']') {
        None => Err(format!("`{trimmed}` has no closing bracket")),
        Some((_, rest)) if !rest.is_empty() && !rest.trim_start().starts_with(['#', ';']) => {
            Err(format!("`{trimmed}` has text behind its closing bracket"))
        }
        Some((name, _)) => Ok(name.trim()),
    })
}

/// A text that parses, without the sections of a name.
pub(super) fn without(text: &str, name: &str) -> String {
    let mut inside = false;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let kept = text.lines().filter(|line| {
        if let Some(Ok(begun)) = header(line.trim()) {
            inside = begun == name;
        }
        !inside
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// The option that a line sets if it is no part of a value. A value may well have `=` in it, but hardly the name of an
/// option before.
fn option_in(line: &str) -> Option<String> {
    let key = line.split_once('=')?.0.trim().to_ascii_lowercase();
    let is_word = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_word && (super::options::is_known(&key) || super::options::decides(&key))).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_indented_option_is_no_part_of_a_value() {
        for (option, key) in [
            ("gpgcheck=1", "gpgcheck"),
            ("GPGCheck = 1", "gpgcheck"),
            ("pkg_gpgcheck=1", "pkg_gpgcheck"),
            ("repo_gpgchek=1", "repo_gpgchek"),
            ("sslverify=1", "sslverify"),
            ("enabled=0", "enabled"),
            ("excludepkgs=a", "excludepkgs"),
        ] {
            for blanks in [" ", "\t", "    "] {
                let (line, words) = parse(&format!("[a]\nname=x\n{blanks}{option}\n")).unwrap_err();
                assert_eq!(
                    (line, words.starts_with(&format!("`{key}` is indented, and so part of `name`"))),
                    (3, true),
                    "{words}"
                );
            }
        }
        // Nothing before it that it could be part of.
        assert_eq!(parse("[a]\n gpgcheck=1\n").unwrap()[0].get("gpgcheck"), Some("1"));
        let text = "[a]\nbaseurl=http://x/\n  http://y/?gpgcheck=1\n  other=1\n";
        assert_eq!(parse(text).unwrap()[0].list("baseurl"), ["http://x/", "http://y/?gpgcheck=1", "other=1"]);
    }

    #[test]
    fn reads_sections_and_lists() {
        let text =
            "# c\n[a]\nname = A b\nbaseurl=http://one/\n  http://two/\nexclude=x*, y\n\n[b]\nenabled=0\n";
        let sections = parse(text).unwrap();
        assert_eq!(sections.len(), 2);
        assert_eq!(sections[0].get("name"), Some("A b"));
        assert_eq!(sections[0].list("baseurl"), ["http://one/", "http://two/"]);
        assert_eq!(sections[0].list("exclude"), ["x*", "y"]);
        assert_eq!(sections[1].get("enabled"), Some("0"));
    }

    #[test]
    fn sections_are_read_as_by_dnf() {
        let text = "\u{feff}[m] # comment\ngpgcheck=1\n[n]\nx=1\n[m]\nbaseurl=http://one/\n  http://two/\n";
        let sections = parse(text).unwrap();
        assert_eq!(sections.len(), 2);
        assert_eq!((sections[0].name.as_str(), sections[0].get("gpgcheck")), ("m", Some("1")));
        assert_eq!(sections[0].list("baseurl"), ["http://one/", "http://two/"]);
        let sections = parse("[m]\ngpgcheck=1\nGPGCHECK=0\n").unwrap();
        assert_eq!(sections[0].get("gpgcheck"), Some("1"));
        assert_eq!(parse("[m] x\n").unwrap_err().0, 1);
    }

    #[test]
    fn says_where_it_is_wrong() {
        assert_eq!(parse("x=1").unwrap_err().0, 1);
        assert_eq!(parse("[a]\nnonsense\n").unwrap_err().0, 2);
        assert_eq!(parse("[a\n").unwrap_err().0, 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,400}") {
            for section in parse(&text).unwrap_or_default() {
                section.list("x");
            }
        }
    }
}
