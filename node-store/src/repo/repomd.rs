//! `repomd.xml`: which files of metadata there are.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

use super::xml;

/// One file of `repomd.xml`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Data {
    pub(super) kind: String,
    pub(super) location: String,
    pub(super) checksum: Option<(String, String)>,
    pub(super) size: Option<u64>,
    pub(super) open_size: Option<u64>,
}

/// What `repomd.xml` says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Index {
    /// What its publisher calls this state of the repository, mostly a time.
    pub(super) revision: Option<String>,
    /// When the newest of its files was made, in seconds since the epoch.
    pub(super) timestamp: Option<u64>,
    pub(super) data: Vec<Data>,
}

/// Reads `repomd.xml`.
pub(super) fn parse(text: &str) -> Result<Index, String> {
    let mut reader = Reader::from_str(text);
    let mut index = Index::default();
    let (mut kind_of_sum, mut words) = (String::new(), String::new());
    loop {
        let event =
            reader.read_event().map_err(|error| format!("byte {}: {error}", reader.error_position()))?;
        if let Some(more) = xml::text(&event)? {
            words.push_str(&more);
            continue;
        }
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = tag.local_name().as_ref().to_vec();
                let attribute = |name: &str| xml::attribute(&tag, name, reader.decoder()).unwrap_or_default();
                match (name.as_slice(), index.data.last_mut()) {
                    (b"data", _) => index.data.push(Data { kind: attribute("type"), ..Data::default() }),
                    (b"location", Some(data)) => data.location = attribute("href"),
                    (b"checksum", Some(_)) => kind_of_sum = attribute("type"),
                    _ => {}
                }
                words.clear();
            }
            Event::End(tag) => {
                index.close(tag.local_name().as_ref(), words.trim(), &kind_of_sum);
                words.clear();
            }
            Event::Eof => break,
            _ => {}
        }
        if index.data.len() > 100 {
            return Err("it names more than 100 files".into());
        }
    }
    if index.data.is_empty() {
        return Err("it is no repomd.xml".into());
    }
    Ok(index)
}

impl Index {
    /// Takes the text of an element that ends.
    fn close(&mut self, name: &[u8], words: &str, kind_of_sum: &str) {
        if words.is_empty() {
            return;
        }
        let Some(data) = self.data.last_mut() else {
            if name == b"revision" {
                self.revision = Some(words.to_owned());
            }
            return;
        };
        match name {
            b"checksum" => data.checksum = Some((kind_of_sum.to_owned(), words.to_owned())),
            b"size" => data.size = words.parse().ok(),
            b"open-size" => data.open_size = words.parse().ok(),
            // Some are fractions of seconds.
            b"timestamp" => {
                let seconds = words.split('.').next().and_then(|seconds| seconds.parse().ok());
                self.timestamp = self.timestamp.max(seconds);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_repomd() {
        let text = r#"<?xml version="1.0"?><repomd><revision>1</revision>
<data type="primary"><checksum type="sha256">ab</checksum><open-checksum type="sha256">cd</open-checksum>
<location href="repodata/x-primary.xml.zst"/><timestamp>9.5</timestamp><size>12</size><open-size>34</open-size></data></repomd>"#;
        let index = parse(text).unwrap();
        assert_eq!((index.revision.as_deref(), index.timestamp), (Some("1"), Some(9)));
        let data = index.data;
        assert_eq!(data.len(), 1);
        assert_eq!(data[0].location, "repodata/x-primary.xml.zst");
        assert_eq!(data[0].checksum, Some(("sha256".into(), "ab".into())));
        assert_eq!((data[0].size, data[0].open_size), (Some(12), Some(34)));
        assert!(parse("<html>").is_err());
        assert!(parse("").is_err());
        assert!(parse("<a><b></a>").is_err());
    }

    #[test]
    fn tells_how_old_it_is() {
        let text = r#"<repomd><revision> 20 </revision><data type="a"><revision>x</revision><timestamp>7</timestamp></data>
<data type="b"><location href="a&amp;b"/><timestamp>5</timestamp></data><data type="c"><timestamp>?</timestamp></data></repomd>"#;
        let index = parse(text).unwrap();
        assert_eq!((index.revision.as_deref(), index.timestamp), (Some("20"), Some(7)));
        assert_eq!(index.data[1].location, "a&b");
        let index = parse("<repomd><data/></repomd>").unwrap();
        assert_eq!((index.revision, index.timestamp), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(<(/?(repomd|data|location|checksum|size|revision|timestamp)|[a-z!?&\\[]{1,3})[^<]{0,12}>?|.{0,9}){0,40}") {
            drop(parse(&text));
        }
    }
}
