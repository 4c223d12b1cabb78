//! Keys of repositories: fetched, and for metadata agreed to. What somebody agreed to is noted in the node, where no export,
//! package or scriptlet reaches.

use std::collections::BTreeSet;
use std::path::Path;

use super::Session;
use crate::beneath::Dir;
use crate::cache::SUMS;
use crate::history::About;
use crate::repo::{self, Fetcher, Found, Repo, Target, fingerprints};
use crate::transaction::Talk;

/// File beside the checksums of a node with the fingerprints that somebody agreed to.
const AGREED: &str = "metadata-keys.json";

impl Session {
    /// The keys of a repository, file by file, fetched.
    pub(crate) fn keys(&self, repo: &Repo) -> Result<Vec<Vec<Found>>, String> {
        let shelf = self.family.cache.make(&repo::keys_of(repo)).map_err(|error| error.to_string())?;
        let dir = shelf.dir();
        let fetcher = Fetcher::new(repo).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for (at, url) in repo.gpgkey.iter().enumerate() {
            let name = format!("{at}.asc");
            let path = dir.path().join(&name);
            let url = if url.contains("://") { url.clone() } else { format!("file://{url}") };
            let target = Target { urls: vec![url], dir, name, size: None, most: 1 << 20, checksum: None };
            fetcher.fetch(&target, &Default::default(), &mut |_| ()).map_err(|error| no_key(repo, &error))?;
            let shown = path.display().to_string();
            // Where it came from says more than where it is kept.
            let named = |why: String| no_key(repo, &why.replace(&shown, &target.urls[0]));
            let mut keys = fingerprints(&path).map_err(named)?;
            keys.iter_mut().for_each(|key| key.url.clone_from(&target.urls[0]));
            found.push(keys);
        }
        Ok(found)
    }

    /// The keys that metadata of a repository may be signed with, armored, once the person agreed to those that are new.
    pub(super) fn metadata_keys(&self, repo: &Repo, talk: &mut dyn Talk) -> Result<Vec<String>, String> {
        let all = self.keys(repo)?.into_iter().flatten();
        let (found, strange): (Vec<Found>, Vec<Found>) = all.partition(|key| key.known && key.verifies);
        if found.is_empty() {
            return Err(match strange.first() {
                Some(key) => {
                    format!("none of its keys is of a kind that is known here ({})", key.fingerprint)
                }
                None => "`repo_gpgcheck` is set, and it has no `gpgkey`".into(),
            });
        }
        let known = self.agreed();
        // A key that has got another subkey is known, and what it signs with now is not.
        let is_new = |key: &&Found| key.keys().any(|fingerprint| !known.contains(fingerprint));
        let new: Vec<&Found> = found.iter().filter(is_new).collect();
        for key in &new {
            let user = if key.user.is_empty() { "somebody without a name" } else { &key.user };
            talk.say(&format!("metadata of repository `{}` are signed with the key of {user}", repo.id));
            key.lines().for_each(|line| talk.say(&line));
        }
        for key in strange.iter().filter(|_| !new.is_empty()) {
            talk.say(&format!(
                "repository `{}`: keys like {} are not known here; metadata that no other key signed are refused",
                repo.id, key.fingerprint
            ));
        }
        if !new.is_empty() {
            let question = match new.len() {
                1 => "Trust this key for metadata of this node and its descendants",
                _ => "Trust these keys for metadata of this node and its descendants",
            };
            match talk.agrees(question) {
                Ok(true) => {}
                Ok(false) => return Err("the key of its metadata was not agreed to".into()),
                Err(nobody) => return Err(format!("the key of its metadata was not agreed to: {nobody}")),
            }
            let agreed = new.iter().flat_map(|key| key.keys()).cloned();
            agree(&self.family.node.path, agreed).map_err(|error| error.to_string())?;
        }
        Ok(found.into_iter().map(|key| key.armored).collect())
    }

    /// Who demands that packages of a repository are signed, if anybody does.
    pub(crate) fn demands(&self, repo: &str) -> Option<String> {
        if let Some(who) = &self.family.gpgcheck {
            return Some(format!("{who} (`gpgcheck: true`)"));
        }
        if crate::rpm::demands_signatures() {
            return Some("`%_pkgverify_level` of rpm's configuration on this machine".into());
        }
        match self.repo(repo) {
            Some(repo) => repo.gpgcheck.then(|| match &repo.demanded {
                Some(path) => format!("`gpgcheck` of {}", path.display()),
                None => format!("`gpgcheck` of repository `{}`", repo.id),
            }),
            // A file of the command line.
            None => (!self.choice.no_gpgcheck && self.settings.local_gpgcheck())
                .then(|| "`localpkg_gpgcheck`".to_owned()),
        }
    }

    /// Fingerprints that somebody agreed to in the node or an ancestor, for metadata or for packages.
    fn agreed(&self) -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        for member in self.family.members().filter(|member| !member.core) {
            known.extend(agreed_in(&member.path));
            // A record that cannot be read names no key.
            let list = About::of_member(member).ok().and_then(|about| about.keys);
            known.extend(list.iter().flat_map(|list| list.fingerprints()).cloned());
        }
        known
    }
}

/// Words for a key that cannot be used, which nobody but whoever named it can do anything about.
fn no_key(repo: &Repo, why: &impl std::fmt::Display) -> String {
    let file = repo.file.as_ref().map(|file| format!(" of {}", file.display())).unwrap_or_default();
    format!("a key that `gpgkey`{file} names cannot be used: {why}")
}

fn agreed_in(node: &Path) -> BTreeSet<String> {
    let text = Dir::open(node).and_then(|node| node.dir(SUMS)).and_then(|sums| sums.read(AGREED));
    text.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn agree(node: &Path, fingerprints: impl Iterator<Item = String>) -> std::io::Result<()> {
    let mut all = agreed_in(node);
    all.extend(fingerprints);
    Dir::open(node)?.make(SUMS, 0o700)?.write(AGREED, &serde_json::to_vec(&all).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_agreed_to_is_remembered() {
        let node = tempfile::tempdir().unwrap();
        std::fs::create_dir(node.path().join(".red")).unwrap();
        assert_eq!(agreed_in(node.path()), BTreeSet::new());
        agree(node.path(), ["a".to_owned()].into_iter()).unwrap();
        agree(node.path(), ["b".to_owned(), "a".to_owned()].into_iter()).unwrap();
        assert_eq!(agreed_in(node.path()), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        // What is damaged names nothing.
        std::fs::write(node.path().join(SUMS).join(AGREED), "[\"a\"").unwrap();
        assert_eq!(agreed_in(node.path()), BTreeSet::new());
    }
}
