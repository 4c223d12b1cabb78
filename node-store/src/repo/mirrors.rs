//! Where a repository is: baseurl, mirrorlist, metalink.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::Repo;
use super::fetch::{FetchError, Fetcher, Known, Target};
use super::metadata::MetadataError;

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
    dir: &Path,
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
            let lines =
                text.lines().map(str::trim).filter(|line| line.contains("://") && !line.starts_with('#'));
            bases.extend(lines.take(MIRRORS).map(str::to_owned));
        }
    }
    if bases.is_empty() {
        let url = repo.metalink.clone().or(repo.mirrorlist.clone()).unwrap_or_else(|| repo.id.clone());
        return Err(MetadataError::Wrong { url, reason: "it names no mirror".into() });
    }
    Ok((bases, announced))
}

fn text(fetcher: &Fetcher, url: &str, dir: &Path) -> Result<String, MetadataError> {
    let path = dir.join("mirrors.new");
    let target =
        Target { urls: vec![url.to_owned()], path: path.clone(), size: None, most: 1 << 20, checksum: None };
    fetcher.fetch(&target, &Known::default(), &mut |_| ())?;
    let text =
        std::fs::read_to_string(&path).map_err(|source| FetchError::File { path: path.clone(), source });
    std::fs::remove_file(&path).map_err(|source| FetchError::File { path, source })?;
    Ok(text?)
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
                    b"url" if words.starts_with("http") && mirrors.len() < MIRRORS => {
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
    use super::metalink;

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

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(<(/?(metalink|url|hash|size)|[a-z!?&]{1,3})[^<]{0,12}>?|.{0,9}){0,40}") {
            drop(metalink(&text));
        }
    }
}
