//! Repositories given to a node, and taken away.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::settings::{Overrides, RepoError, repo, sections, sections_of};
use super::variables::Variables;
use super::written::{REPOS, load, misplaced};
use super::{files, ini};

/// Gives a node a repository: a URL, a directory, or a `.repo` file that is copied. Returns its ids.
pub(crate) fn add(
    root: &Path,
    given: &str,
    id: Option<&str>,
    gpgkey: Option<&str>,
) -> Result<Vec<String>, RepoError> {
    let dir = root.join("etc/yum.repos.d");
    let known = load(&[root.to_path_buf()], &Variables::default(), Overrides::default())?.repos;
    let check = |id: &str| match known.iter().find(|repo| repo.id == id) {
        Some(repo) => Err(RepoError::Exists {
            id: id.to_owned(),
            path: repo.file.clone().unwrap_or_else(|| dir.clone()),
        }),
        None => Ok(()),
    };
    if given.ends_with(".repo") && !given.contains("://") {
        let path = Path::new(given);
        let Some(text) = files::given(path)? else {
            return Err(RepoError::NoPlace { given: given.to_owned() });
        };
        let mut ids = Vec::new();
        for section in sections(path, &text)? {
            if misplaced(&section, path)?.is_some() {
                continue;
            }
            check(&section.name)?;
            repo(&section, path, &Variables::default())?;
            ids.push(section.name);
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("added.repo");
        write(&dir, name, &text)?;
        return Ok(ids);
    }
    let url = place(given)?;
    let id = id.map_or_else(|| id_of(&url), str::to_owned);
    check(&id)?;
    let key = match gpgkey {
        Some(key) => format!("gpgcheck=1\ngpgkey={}\n", place(key)?),
        None => String::new(),
    };
    let text = format!("[{id}]\nname={id}\nbaseurl={url}\nenabled=1\n{key}");
    for section in sections(Path::new("--add-repo"), &text)? {
        repo(&section, Path::new("--add-repo"), &Variables::default())?;
    }
    write(&dir, &format!("{id}.repo"), &text)?;
    Ok(vec![id])
}

/// A URL of what was given.
fn place(given: &str) -> Result<String, RepoError> {
    // A blank is written as URLs have it.
    let plain = !given.contains(|c: char| c.is_whitespace() && c != ' ');
    if plain && ["http://", "https://", "file://"].iter().any(|scheme| given.starts_with(scheme)) {
        return Ok(given.replace(' ', "%20"));
    }
    match std::fs::canonicalize(given) {
        Ok(path) => Ok(url_of(&path.display().to_string())),
        Err(_) => Err(RepoError::NoPlace { given: given.to_owned() }),
    }
}

/// The URL of a path. Blanks separate URLs of a list, so there are none in it.
pub(super) fn url_of(path: &str) -> String {
    let path =
        if path.contains(' ') { path.replace('%', "%25").replace(' ', "%20") } else { path.to_owned() };
    format!("file://{path}")
}

/// An id from the last words of a URL, and something that tells it from others.
fn id_of(url: &str) -> String {
    let path = url.split("://").last().unwrap_or(url);
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let text = words[words.len().saturating_sub(3)..].join("-");
    let text: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let sum: String = Sha256::digest(url).iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{sum}", text.trim_matches(['-', '.']))
}

/// Takes a repository away from a node: out of every file that has it, since another one would be in force then.
pub(crate) fn remove(root: &Path, id: &str) -> Result<PathBuf, RepoError> {
    let mut first = None;
    for below in files::files(root, REPOS, "repo")? {
        let path = root.join(&below);
        let failed = |source| RepoError::File { path: path.clone(), source };
        let sections = sections_of(root, &below)?;
        let (gone, others): (Vec<_>, Vec<_>) = sections.iter().partition(|section| section.name == id);
        if gone.is_empty() {
            continue;
        }
        let dir = path.parent().unwrap_or(Path::new("/"));
        if others.is_empty() {
            std::fs::remove_file(&path).map_err(failed)?;
            sync(dir).map_err(failed)?;
        } else {
            let text = files::read(root, &below)?.unwrap_or_default();
            let name = path.file_name().and_then(|name| name.to_str());
            write(dir, name.unwrap_or("added.repo"), &ini::without(&text, id))?;
        }
        first.get_or_insert(path);
    }
    first.ok_or_else(|| RepoError::Unknown { id: id.to_owned() })
}

/// Makes names durable: of files in a directory, and of the directory itself (fsync(2) of a file does
/// neither).
fn sync(dir: &Path) -> std::io::Result<()> {
    dir.ancestors()
        .take(SYNCED)
        .filter(|above| above.exists())
        .try_for_each(|above| std::fs::File::open(above)?.sync_all())
}

/// `yum.repos.d`, `etc`, the node.
const SYNCED: usize = 3;

/// Writes a file aside, makes it durable and renames it into place.
fn write(dir: &Path, name: &str, text: &str) -> Result<(), RepoError> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    let failed = |source| RepoError::File { path: path.clone(), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut aside = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    aside.write_all(text.as_bytes()).and_then(|()| aside.as_file().sync_all()).map_err(failed)?;
    aside.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    aside.persist(&path).map_err(|error| failed(error.error))?;
    sync(dir).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_added_once_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let ids = add(root.path(), "http://host/a/b/c/d/", None, None).unwrap();
        assert!(ids[0].starts_with("b-c-d-"), "{ids:?}");
        assert!(matches!(
            add(root.path(), "http://host/a/b/c/d/", None, None),
            Err(RepoError::Exists { .. })
        ));
        add(root.path(), "http://host/x/", Some("x"), Some("file:///key")).unwrap();
        let repos =
            load(&[root.path().to_owned()], &Variables::default(), Overrides::default()).unwrap().repos;
        assert_eq!(repos.len(), 2);
        assert!(repos.iter().any(|repo| repo.id == "x" && repo.gpgcheck && repo.gpgkey == ["file:///key"]));
        remove(root.path(), "x").unwrap();
        assert!(matches!(remove(root.path(), "x"), Err(RepoError::Unknown { .. })));
    }

    /// Sections are those that are read, however they are written, and no other file's comes into force instead.
    #[test]
    fn what_is_removed_is_that_repository_everywhere() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("etc/yum.repos.d");
        std::fs::create_dir_all(&dir).unwrap();
        let one =
            "\u{feff}[a] # first\nbaseurl=http://a/\n[b] ; second\nbaseurl=http://b/\n[a]\ngpgcheck=1\n";
        std::fs::write(dir.join("1.repo"), one).unwrap();
        std::fs::write(dir.join("2.repo"), "[a]\nbaseurl=http://other/\n").unwrap();
        remove(root.path(), "a").unwrap();
        assert!(!dir.join("2.repo").exists());
        let left = std::fs::read_to_string(dir.join("1.repo")).unwrap();
        assert_eq!(left, "[b] ; second\nbaseurl=http://b/\n");
        let repos =
            load(&[root.path().to_owned()], &Variables::default(), Overrides::default()).unwrap().repos;
        assert_eq!(repos.iter().map(|repo| repo.id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
