//! Packages that would decide for the node they are installed in, or bring nodes: refused, unless an
//! option names the file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use librpm::Tag;
use red_runtime::node::guard::Decides;
use red_runtime::node::render::visible;

use super::Job;
use super::check::Package;
use super::texts::{Listed, nevra, texts};

/// Links that are followed on the way to one file.
const LINKS: usize = 40;
/// Refused files that are listed.
const LISTED: usize = 20;

/// The places of a node that no package brings or changes, but for those that an option names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// Places of this node besides those that every node has, relative to its root: what links of its
    /// configuration lead to, caches.
    pub(crate) more: &'a [String],
    /// Files that packages may bring all the same, absolute; one that ends in `/` stands for everything
    /// below it.
    pub(crate) allowed: &'a [String],
}

impl Rules<'_> {
    /// What a path in the node's root decides, if nobody allowed it.
    pub(crate) fn decides(&self, path: &Path, directory: bool) -> Option<Decides> {
        let text = path.to_string_lossy();
        if self.allow(&text) {
            return None;
        }
        let relative = text.trim_start_matches('/');
        let more = self.more.iter().any(|place| {
            let on_the_way = Path::new(place).starts_with(relative) && !relative.is_empty();
            !directory && (Path::new(relative).starts_with(place) || on_the_way)
        });
        let found = red_runtime::node::guard::decides(&text, directory);
        found.or_else(|| more.then_some(Decides::Configuration))
    }

    /// Whether an option names a path.
    pub(crate) fn allow(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        self.allowed.iter().any(|allowed| match allowed.strip_suffix('/') {
            Some(above) => {
                let below = Path::new(path).strip_prefix(above.trim_start_matches('/'));
                !above.is_empty() && below.is_ok_and(|below| !below.as_os_str().is_empty())
            }
            None => allowed.trim_start_matches('/') == path,
        })
    }
}

/// Refuses packages with such files, by their names and by where links in the view and in the packages
/// lead them. To be called where the install view is the root.
pub(super) fn refuse(job: &Job, packages: &[Package]) -> Result<(), String> {
    let rules = Rules { more: &job.deciding, allowed: &job.allowed };
    let mut ways = Ways::default();
    for package in packages {
        let targets = texts(&package.header, Tag::FILELINKTOS);
        for (path, target) in Listed::of(&package.header).paths().iter().zip(targets) {
            if !target.is_empty() {
                ways.links.insert(PathBuf::from(path), PathBuf::from(target));
            }
        }
    }
    let mut found = Vec::new();
    for package in packages {
        let users = texts(&package.header, Tag::FILEUSERNAME);
        for (at, (named, file)) in Listed::of(&package.header).iter().enumerate() {
            let path = PathBuf::from(named);
            let directory = file.mode() & 0o170_000 == 0o040_000;
            let real = ways.real(&path);
            let decides = rules.decides(&path, directory).or_else(|| {
                // An option that names the file as its package calls it means where it leads, too.
                real.as_ref().filter(|_| !rules.allow(named)).and_then(|real| rules.decides(real, directory))
            });
            // Whoever may write to a directory on the way decides as well.
            let user = users.get(at).map_or("", String::as_str);
            let open = file.mode() & 0o022 != 0 || !matches!(user, "" | "root");
            let decides = decides.or_else(|| {
                let open = directory && open && !rules.allow(named);
                open.then_some([Some(&path), real.as_ref()])?
                    .into_iter()
                    .flatten()
                    .find_map(|path| rules.decides(path, false))
            });
            if let Some(decides) = decides {
                found.push(line(&nevra(&package.header), named, real.as_deref(), decides));
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(LISTED);
    found.truncate(LISTED);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    Err(format!(
        "packages may not decide for the node that they are installed in:\n{}{more}\n`--allow-file=PATH` allows \
         a file by its name; nothing has changed",
        found.join("\n")
    ))
}

fn line(nevra: &str, path: &str, real: Option<&Path>, decides: Decides) -> String {
    let shown = real.map(|real| real.display().to_string()).filter(|real| real != path);
    let shown = shown.map_or_else(String::new, |real| format!(" (which is {real})"));
    visible(&format!("  {nevra}: {path}{shown}: {}", decides.words())).into_owned()
}

/// Where paths lead, once all packages of a transaction are installed.
#[derive(Default)]
struct Ways {
    /// Symbolic links that packages bring.
    links: BTreeMap<PathBuf, PathBuf>,
    /// Directories that were followed already.
    known: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Ways {
    /// A path with the links in its directory followed. `None` when they lead nowhere.
    fn real(&mut self, path: &Path) -> Option<PathBuf> {
        let (dir, name) = (path.parent()?, path.file_name()?);
        if let Some(known) = self.known.get(dir) {
            return known.as_ref().map(|dir| dir.join(name));
        }
        let real = self.follow(dir);
        self.known.insert(dir.to_owned(), real.clone());
        real.map(|dir| dir.join(name))
    }

    fn follow(&self, dir: &Path) -> Option<PathBuf> {
        let mut real = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = parts(dir);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part.as_os_str() == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&part);
            let target = self.links.get(&next).cloned().or_else(|| std::fs::read_link(&next).ok());
            let Some(target) = target else {
                real = next;
                continue;
            };
            links += 1;
            if links > LINKS {
                return None;
            }
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        }
        Some(real)
    }
}

/// The parts of a path, last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_files() {
        let allowed = ["/etc/yum.repos.d/ours.repo".to_owned(), "/etc/dnf/".to_owned()];
        let rules = Rules { more: &["shared/redpak.yaml".to_owned()], allowed: &allowed };
        let decides = |path: &str| rules.decides(Path::new(path), false).is_some();
        assert!(!decides("/etc/yum.repos.d/ours.repo") && !decides("/etc/dnf/vars/a"));
        assert!(decides("/etc/yum.repos.d/theirs.repo") && decides("/etc/dnf"));
        assert!(decides("/etc/redpak.yaml") && decides("/shared/redpak.yaml") && decides("/shared"));
        assert!(!decides("/shared/other") && rules.decides(Path::new("/shared"), true).is_none());
        let everything = Rules { more: &[], allowed: &["/".to_owned()] };
        assert!(everything.decides(Path::new("/etc/redpak.yaml"), false).is_some(), "no option means all");
    }

    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("/etc", top.join("there")).unwrap();
        let mut ways = Ways::default();
        ways.links.insert(top.join("brought"), PathBuf::from("there/./"));
        ways.links.insert(top.join("round"), PathBuf::from("round"));
        ways.links.insert(top.join("up"), PathBuf::from("../../../../../../../../../etc"));
        for name in ["there", "brought", "up"] {
            assert_eq!(
                ways.real(&top.join(name).join("redpak.yaml")),
                Some("/etc/redpak.yaml".into()),
                "{name}"
            );
        }
        assert_eq!(ways.real(&top.join("round/x")), None);
        assert_eq!(ways.real(&top.join("missing/x")), Some(top.join("missing/x")));
    }
}
