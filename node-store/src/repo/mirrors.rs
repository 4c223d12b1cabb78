//! Where a repository is: baseurl, mirrorlist, metalink.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::fetch::{Fetcher, Known, Target};
use super::metadata::MetadataError;
use super::{Repo, xml};
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

/// Kinds of checksums that prove something, in the spelling of metadata.
const STRONG: [&str; 3] = ["sha256", "sha384", "sha512"];

/// Reads a metalink (version 3, as mirror managers send it, or 4).
fn metalink(text: &str) -> Result<(Vec<String>, Announced), String> {
    let mut reader = Reader::from_str(text);
    let (mut mirrors, mut said) = (Vec::new(), Announced { size: None, checksum: None });
    // What is open, from the outside: `mm0:alternates` have sizes and hashes too, of older files.
    let mut open: Vec<Vec<u8>> = Vec::new();
    let (mut words, mut kind, mut ours) = (String::new(), String::new(), true);
    let mut weak = Vec::new();
    loop {
        let event =
            reader.read_event().map_err(|error| format!("byte {}: {error}", reader.error_position()))?;
        if let Some(more) = xml::text(&event)? {
            words.push_str(&more);
            continue;
        }
        match event {
            Event::Start(tag) => {
                let name = tag.local_name().as_ref().to_vec();
                let attribute = |name: &str| xml::attribute(&tag, name, reader.decoder());
                if name == b"file" {
                    ours = attribute("name").is_none_or(|name| name == "repomd.xml");
                }
                // Version 4 writes `sha-256`.
                kind = attribute("type").unwrap_or_default().replace('-', "");
                open.push(name);
                words.clear();
            }
            Event::End(_) => {
                let path: Vec<&[u8]> = open.iter().map(Vec::as_slice).collect();
                let text = words.trim();
                match path.as_slice() {
                    [.., b"file", b"url"] | [.., b"file", b"resources", b"url"]
                        if ours && is_remote(text) && mirrors.len() < MIRRORS =>
                    {
                        mirrors.push(text.strip_suffix("repodata/repomd.xml").unwrap_or(text).to_owned());
                    }
                    [.., b"file", b"size"] if ours => said.size = text.parse().ok(),
                    [.., b"file", b"hash"] | [.., b"file", b"verification", b"hash"] if ours => {
                        if !STRONG.contains(&kind.as_str()) {
                            weak.push(kind.clone());
                        } else if kind == "sha256" || said.checksum.is_none() {
                            said.checksum = Some((kind.clone(), text.to_ascii_lowercase()));
                        }
                    }
                    _ => {}
                }
                open.pop();
                words.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if said.checksum.is_none() && !weak.is_empty() {
        return Err(format!("it announces no checksum that proves anything ({} only)", weak.join(", ")));
    }
    Ok((mirrors, said))
}

/// What a list may lead to, for the fuzz target `metadata`.
pub(super) fn fuzz(text: &str) {
    if let Ok((mirrors, _)) = metalink(text) {
        assert!(mirrors.len() <= MIRRORS && mirrors.iter().all(|mirror| is_remote(mirror)), "{mirrors:?}");
    }
    if let Ok(mirrors) = listed(text, "https://server/list") {
        assert!(mirrors.len() <= MIRRORS && mirrors.iter().all(|mirror| is_remote(mirror)), "{mirrors:?}");
    }
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
            let text = format!("<metalink><file><resources><url>{bad}</url></resources></file></metalink>");
            assert_eq!(metalink(&text).unwrap().0, Vec::<String>::new(), "{bad}");
        }
        assert_eq!(listed("# file:///x\nHTTPS://good/\n\n", "https://m/").unwrap(), ["HTTPS://good/"]);
        assert_eq!(listed("file:///mirror\n", "file:///list").unwrap(), ["file:///mirror"]);
    }

    /// As Fedora and EPEL send it: files that mirrors may still have come after the one that is announced.
    const ALTERNATES: &str = r#"<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://fedorahosted.org/mirrormanager"><files>
<file name="repomd.xml"><mm0:timestamp>2</mm0:timestamp><size>7</size>
<verification><hash type="md5">x</hash><hash type="sha256">ABC</hash><hash type="sha512">d</hash></verification>
<mm0:alternates><mm0:alternate><mm0:timestamp>1</mm0:timestamp><size>8</size>
<verification><hash type="sha256">old</hash></verification></mm0:alternate></mm0:alternates>
<resources maxconnections="1"><url protocol="http" preference="100">http://a/x?a=1&amp;b=2</url>
<url><![CDATA[http://b/repodata/repomd.xml]]></url><url>http://c/&#x41;/</url></resources></file>
<file name="other.xml"><size>9</size><verification><hash type="sha256">other</hash></verification>
<resources><url>http://d/</url></resources></file></files></metalink>"#;

    #[test]
    fn alternates_are_not_what_is_announced() {
        let (mirrors, said) = metalink(ALTERNATES).unwrap();
        assert_eq!(mirrors, ["http://a/x?a=1&b=2", "http://b/", "http://c/A/"]);
        assert_eq!((said.size, said.checksum), (Some(7), Some(("sha256".into(), "abc".into()))));
    }

    #[test]
    fn weak_checksums_alone_are_refused() {
        let of = |hashes: &str| {
            let text = format!("<m><file><verification>{hashes}</verification></file></m>");
            metalink(&text).map(|(_, said)| said.checksum.map(|(kind, _)| kind))
        };
        let (md5, sha1) = (r#"<hash type="md5">a</hash>"#, r#"<hash type="sha1">b</hash>"#);
        for weak in [md5.to_owned(), sha1.to_owned(), format!("{md5}{sha1}"), "<hash>x</hash>".to_owned()] {
            assert!(of(&weak).is_err(), "{weak}");
        }
        assert_eq!(of(&format!(r#"{md5}<hash type="sha512">c</hash>"#)), Ok(Some("sha512".into())));
        assert_eq!(of(r#"<hash type="sha-256">c</hash>"#), Ok(Some("sha256".into())));
        assert_eq!(of(""), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(<(/?(metalink|file|url|hash|size)|[a-z!?&]{1,3})[^<]{0,12}>?|.{0,9}){0,40}") {
            drop(metalink(&text));
        }
    }
}
