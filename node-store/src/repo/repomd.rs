//! `repomd.xml`: which files of metadata there are.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

/// One file of `repomd.xml`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Data {
    pub(super) kind: String,
    pub(super) location: String,
    pub(super) checksum: Option<(String, String)>,
    pub(super) size: Option<u64>,
    pub(super) open_size: Option<u64>,
}

/// Reads `repomd.xml`.
pub(super) fn parse(text: &str) -> Result<Vec<Data>, String> {
    let mut reader = Reader::from_str(text);
    let mut found: Vec<Data> = Vec::new();
    let mut at: Option<Vec<u8>> = None;
    let mut kind_of_sum = String::new();
    loop {
        let event =
            reader.read_event().map_err(|error| format!("byte {}: {error}", reader.error_position()))?;
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = tag.local_name().as_ref().to_vec();
                let attribute = |wanted: &str| {
                    tag.attributes()
                        .flatten()
                        .find(|a| a.key.as_ref() == wanted.as_bytes())
                        .map(|a| String::from_utf8_lossy(&a.value).into_owned())
                };
                match (name.as_slice(), found.last_mut()) {
                    (b"data", _) => {
                        found.push(Data { kind: attribute("type").unwrap_or_default(), ..Data::default() })
                    }
                    (b"location", Some(data)) => data.location = attribute("href").unwrap_or_default(),
                    (b"checksum", Some(_)) => kind_of_sum = attribute("type").unwrap_or_default(),
                    _ => {}
                }
                at = Some(name);
            }
            Event::Text(words) => {
                let words = words.decode().map_err(|error| error.to_string())?.trim().to_owned();
                let Some(data) = found.last_mut().filter(|_| !words.is_empty()) else { continue };
                match at.as_deref() {
                    Some(b"checksum") => data.checksum = Some((kind_of_sum.clone(), words)),
                    Some(b"size") => data.size = words.parse().ok(),
                    Some(b"open-size") => data.open_size = words.parse().ok(),
                    _ => {}
                }
            }
            Event::End(_) => at = None,
            Event::Eof => break,
            _ => {}
        }
        if found.len() > 100 {
            return Err("it names more than 100 files".into());
        }
    }
    if found.is_empty() {
        return Err("it is no repomd.xml".into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_repomd() {
        let text = r#"<?xml version="1.0"?><repomd><revision>1</revision>
<data type="primary"><checksum type="sha256">ab</checksum><open-checksum type="sha256">cd</open-checksum>
<location href="repodata/x-primary.xml.zst"/><size>12</size><open-size>34</open-size></data></repomd>"#;
        let data = parse(text).unwrap();
        assert_eq!(data.len(), 1);
        assert_eq!(data[0].location, "repodata/x-primary.xml.zst");
        assert_eq!(data[0].checksum, Some(("sha256".into(), "ab".into())));
        assert_eq!((data[0].size, data[0].open_size), (Some(12), Some(34)));
        assert!(parse("<html>").is_err());
        assert!(parse("").is_err());
        assert!(parse("<a><b></a>").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(<(/?(repomd|data|location|checksum|size)|[a-z!?&\\[]{1,3})[^<]{0,12}>?|.{0,9}){0,40}") {
            drop(parse(&text));
        }
    }
}
