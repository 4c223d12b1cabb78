//! Where a repository is: baseurl, mirrorlist, metalink.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::Repo;
use super::fetch::{Fetcher, Known, Target};
use super::metadata::MetadataError;
use crate::beneath::Dir;

/// Mirrors that are tried.
const MIRRORS: usize = 20;

/// What a metalink announces of `repomd.xml`.
pub(super) struct Announced {
    pub(super) size: Option<u64>,
    pub(super) checksum: Option<(String, String)>,
}

/// The places of a repository, the preferred one first.
pub(super) fn bases(
    fetcher: &Fetcher,
    repo: &Repo,
    dir: &Dir,
) -> Result<(Vec<String>, Option<Announced>), MetadataError> {
    let mut bases = repo.baseurl.clone();
    let mut announced = None;
    if let Some(url) = &repo.metalink {
        let text = text(fetcher, url, dir)?;
        let (mirrors, said) =
            metalink(&text).map_err(|reason| MetadataError::Wrong { url: url.clone(), reason })?;
        bases.extend(mirrors);
        announced = Some(said);
    }
    if let Some(url) = &repo.mirrorlist {
        let text = text(fetcher, url, dir)?;
        if text.trim_start().starts_with('<') {
            let (mirrors, said) =
                metalink(&text).map_err(|reason| MetadataError::Wrong { url: url.clone(), reason })?;
            bases.extend(mirrors);
            announced = Some(said);
        } else {
            bases.extend(
                listed(&text, url).map_err(|reason| MetadataError::Wrong { url: url.clone(), reason })?,
            );
        }
    }
    if bases.is_empty() {
        let url = repo.metalink.clone().or(repo.mirrorlist.clone()).unwrap_or_else(|| repo.id.clone());
        return Err(MetadataError::Wrong { url, reason: "it names no mirror".into() });
    }
    Ok((bases, announced))
}

fn text(fetcher: &Fetcher, url: &str, dir: &Dir) -> Result<String, MetadataError> {
    let name = "mirrors.new".to_owned();
    let target = Target { urls: vec![url.to_owned()], dir, name, size: None, most: 1 << 20, checksum: None };
    fetcher.fetch(&target, &Known::default(), &mut |_| ())?;
    let text = dir.read(&target.name);
    dir.remove(&target.name)?;
    let wrong = |_utf8| MetadataError::Wrong { url: url.to_owned(), reason: "not a text in UTF-8".into() };
    String::from_utf8(text?).map_err(wrong)
}

/// Whether a server may name a place: others of its kind, never files of this machine.
fn is_remote(url: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// The places in a list of mirrors. Only a list that is a file here may name directories here.
fn listed(text: &str, from: &str) -> Result<Vec<String>, String> {
    let lines = text.lines().map(str::trim).filter(|line| line.contains("://") && !line.starts_with('#'));
    let mut found = Vec::new();
    for line in lines.take(MIRRORS) {
        if is_remote(line) || !is_remote(from) && line.starts_with("file://") {
            found.push(line.to_owned());
        } else {
            let shown = line.split("://").next().unwrap_or_default();
            return Err(format!(
                "it names a mirror by `{shown}://`: a list of mirrors from a server may only name others that \
                 are reached by http or https"
            ));
        }
    }
    Ok(found)
}

/// Reads a metalink (version 3, as mirror managers send it).
fn metalink(text: &str) -> Result<(Vec<String>, Announced), String> {
    let mut reader = Reader::from_str(text);
    let (mut mirrors, mut said) = (Vec::new(), Announced { size: None, checksum: None });
    let (mut at, mut kind) = (Vec::new(), String::new());
    loop {
        match reader.read_event().map_err(|error| format!("byte {}: {error}", reader.error_position()))? {
            Event::Start(tag) => {
                at = tag.local_name().as_ref().to_vec();
                let kinds = tag.attributes().flatten().find(|a| a.key.as_ref() == b"type");
                kind = kinds.map(|a| String::from_utf8_lossy(&a.value).into_owned()).unwrap_or_default();
            }
            Event::Text(words) => {
                let words = words.decode().map_err(|error| error.to_string())?.trim().to_owned();
                match at.as_slice() {
                    b"url" if is_remote(&words) && mirrors.len() < MIRRORS => {
                        let base = words.strip_suffix("repodata/repomd.xml").unwrap_or(&words);
                        mirrors.push(base.to_owned());
                    }
                    b"size" => said.size = words.parse().ok(),
                    b"hash" if kind == "sha256" || kind == "sha512" && said.checksum.is_none() => {
                        said.checksum = Some((kind.clone(), words));
                    }
                    _ => {}
                }
            }
            Event::End(_) => at.clear(),
            Event::Eof => break,
            _ => {}
        }
    }
    Ok((mirrors, said))
}

#[cfg(test)]
mod tests {
    use super::{listed, metalink};

    #[test]
    fn reads_a_metalink() {
        let text = r#"<metalink><files><file name="repomd.xml"><size>7</size><verification>
<hash type="md5">x</hash><hash type="sha256">abc</hash></verification><resources>
<url protocol="http">http://a/repodata/repomd.xml</url><url protocol="rsync">rsync://b/</url></resources></file></files></metalink>"#;
        let (mirrors, said) = metalink(text).unwrap();
        assert_eq!(mirrors, ["http://a/"]);
        assert_eq!(said.size, Some(7));
        assert_eq!(said.checksum, Some(("sha256".into(), "abc".into())));
    }

    #[test]
    fn servers_name_no_files_of_this_machine() {
        for bad in
            ["file:///etc", "FILE:///etc", "http+unix://x", "httpx://a", "ftp://a", " file:///x", "://"]
        {
            assert!(listed(&format!("http://good/\n{bad}\n"), "http://mirrors/").is_err(), "{bad}");
            let text = format!("<metalink><url>{bad}</url></metalink>");
            assert_eq!(metalink(&text).unwrap().0, Vec::<String>::new(), "{bad}");
        }
        assert_eq!(listed("# file:///x\nHTTPS://good/\n\n", "https://m/").unwrap(), ["HTTPS://good/"]);
        assert_eq!(listed("file:///mirror\n", "file:///list").unwrap(), ["file:///mirror"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(<(/?(metalink|url|hash|size)|[a-z!?&]{1,3})[^<]{0,12}>?|.{0,9}){0,40}") {
            drop(metalink(&text));
        }
    }
}
