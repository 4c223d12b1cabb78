//! The names that rpm is given. rpm takes them for more than names: in those of `-p`, and in relative ones of `-f`, it
//! expands macros, of which `%(…)` runs a program; in lists of packages (manifests) as well; it splits them as a shell does;
//! and it appends a URL to a
//! command line of curl, which takes options from behind a blank.

use std::path::Path;

use super::{Mode, Words, WordsError};

/// What rpm fetches.
const SCHEMES: [&str; 5] = ["http:", "https:", "ftp:", "hkp:", "file:"];

impl Words {
    /// The same, for rpm to take its names for what they are where the command stands in `cwd`.
    pub(in crate::cli::rpm) fn with_plain_names(mut self, cwd: &Path) -> Result<Self, WordsError> {
        let (is_package, is_file) = (self.has("package"), self.has("file") || self.has("path"));
        let opens = is_package || self.mode == Mode::CheckSignatures;
        for name in &mut self.names {
            if opens && SCHEMES.iter().any(|scheme| name.starts_with(scheme)) && !is_plain(name) {
                return Err(WordsError::Url(name.clone()));
            }
            if is_package {
                *name = name.replace('%', "%%");
            } else if is_file && !name.starts_with('/') {
                // rpm would expand the name of the directory too.
                *name = cwd.join(&name).to_string_lossy().into_owned();
            }
        }
        if is_package {
            // Else rpm splits names at blanks, takes quotes and backslashes out of them, and only then looks for URLs.
            self.options.push(("noglob", None));
            if !self.has("nomanifest") {
                self.options.push(("nomanifest", None));
            }
        }
        Ok(self)
    }
}

/// Whether a URL is one word to popt(3) and to a shell.
fn is_plain(url: &str) -> bool {
    url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#@+,=%&".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn of(words: &[&str]) -> Result<String, WordsError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let words = parse(&words)?.with_plain_names(Path::new("/at/%(id)"))?;
        Ok(words.for_rpm().unwrap_or_default().join(" "))
    }

    #[test]
    fn names_are_names() {
        for (given, wanted) in [
            (&["-qp", "x%(id).rpm"][..], "--query --package --noglob --nomanifest -- x%%(id).rpm"),
            (&["-qp", "--nomanifest", "x.rpm"], "--query --package --nomanifest --noglob -- x.rpm"),
            (&["-Vp", "%%.rpm"], "--verify --package --noglob --nomanifest -- %%%%.rpm"),
            (
                &["-qp", "http://x/a%20b.rpm"],
                "--query --package --noglob --nomanifest -- http://x/a%%20b.rpm",
            ),
            (&["-qf", "/x/%(id)"], "--query --file -- /x/%(id)"),
            (&["-qf", "%(id)"], "--query --file -- /at/%(id)/%(id)"),
            (&["-q", "--path", "x"], "--query --path -- /at/%(id)/x"),
            (&["-Vf", "x"], "--verify --file -- /at/%(id)/x"),
            (&["-q", "%(id)"], "--query -- %(id)"),
            (&["-K", "x%(id).rpm", "http://x/%20"], "--checksig -- x%(id).rpm http://x/%20"),
        ] {
            assert_eq!(of(given).as_deref(), Ok(wanted), "{given:?}");
        }
        for url in
            ["http://x/a --output /y", "https://x/\ta", "file:///x\\ y", "http://x/'a", "ftp://x/$(id)"]
        {
            for option in ["-qp", "-Vp", "-K"] {
                assert!(matches!(of(&[option, url]), Err(WordsError::Url(_))), "{option} {url}");
            }
        }
    }
}
