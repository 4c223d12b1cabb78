//! Names of images, as registries and engines read them (distribution, reference.go, "Grammar").

use std::fmt;
use std::str::FromStr;

/// Bytes of the longest repository (distribution, reference.go, `RepositoryNameTotalLengthMax`).
const LONGEST: usize = 255;

/// Bytes of the longest tag.
const LONGEST_TAG: usize = 128;

/// Name of an image: a repository, which may begin with the host and port of a registry, and a tag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageName {
    repository: String,
    tag: String,
}

/// Why a text is no name of an image.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// It has a digest.
    #[error("an image has a digest once it is written, and none before; name a tag (`:TAG`) or nothing")]
    Digest,
    /// Something between slashes is missing.
    #[error("a part of it is empty")]
    Empty,
    /// A host or port that cannot be one.
    #[error("`{0}` is not HOST or HOST:PORT")]
    Host(String),
    /// A component of the repository.
    #[error("`{0}`: a repository has lower-case letters, digits and, between them, `.`, `_`, `__` or `-`")]
    Component(String),
    /// A tag.
    #[error(
        "`{0}`: a tag has up to {LONGEST_TAG} letters, digits, `_`, `.` and `-`, and begins with neither of the last two"
    )]
    Tag(String),
    /// The repository is too long.
    #[error("longer than {LONGEST} bytes")]
    Long,
}

impl ImageName {
    /// The name of a node's image: what may not be in one becomes `-`.
    #[must_use]
    pub fn of_alias(alias: &str) -> Self {
        let mut name = String::new();
        for letter in alias.to_ascii_lowercase().chars() {
            match letter {
                'a'..='z' | '0'..='9' => name.push(letter),
                _ if name.is_empty() || name.ends_with('-') => {}
                _ => name.push('-'),
            }
        }
        let name = name.trim_end_matches('-');
        let name = if name.is_empty() { "node" } else { name };
        Self { repository: format!("localhost/{name}"), tag: "latest".to_owned() }
    }

    /// The tag, `latest` where none was given.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('@') {
            return Err(NameError::Digest);
        }
        // A colon before a slash is that of a port.
        let last = text.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match text[last..].split_once(':') {
            Some((name, tag)) => (&text[..last + name.len()], tag),
            None => (text, "latest"),
        };
        if repository.len() > LONGEST {
            return Err(NameError::Long);
        }
        let mut components = repository;
        if let Some((host, rest)) = repository.split_once('/').filter(|(first, _)| is_host(first)) {
            check_host(host)?;
            components = rest;
        }
        components.split('/').try_for_each(check_component)?;
        let of_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if tag.is_empty() {
            return Err(NameError::Empty);
        }
        if tag.len() > LONGEST_TAG || !tag.bytes().all(of_tag) || tag.starts_with(['.', '-']) {
            return Err(NameError::Tag(tag.to_owned()));
        }
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }
}

/// Whether the first of several components is a host: no component of a repository looks like one.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_host(host: &str) -> Result<(), NameError> {
    let refused = || NameError::Host(host.to_owned());
    // An address of IPv6 has colons too, and brackets because of them.
    let end = if host.starts_with('[') { host.find(']').ok_or_else(refused)? + 1 } else { 0 };
    let (name, port) = match host[end..].split_once(':') {
        Some((rest, port)) => (&host[..end + rest.len()], Some(port)),
        None => (host, None),
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    let good = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(is_label),
    };
    // `parse` alone would take a plus sign.
    let number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if good && port.is_none_or(number) { Ok(()) } else { Err(refused()) }
}

fn check_component(component: &str) -> Result<(), NameError> {
    if component.is_empty() {
        return Err(NameError::Empty);
    }
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let parts = component.as_bytes().chunk_by(|one, other| plain(one) == plain(other));
    let separates =
        |part: &[u8]| matches!(part, b"." | b"_" | b"__") || part.iter().all(|byte| *byte == b'-');
    let ends = component.as_bytes();
    let good = ends.first().is_some_and(plain)
        && ends.last().is_some_and(plain)
        && parts.filter(|part| !part.first().is_some_and(plain)).all(separates);
    if good { Ok(()) } else { Err(NameError::Component(component.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_registries_read_it() {
        for (text, name, tag) in [
            ("app", "app:latest", "latest"),
            ("app:3", "app:3", "3"),
            ("example.org/x/y:3", "example.org/x/y:3", "3"),
            ("example.org:5000/app", "example.org:5000/app:latest", "latest"),
            ("example.org:5000/app:v1.0", "example.org:5000/app:v1.0", "v1.0"),
            ("localhost/a_b__c--d.e:_x", "localhost/a_b__c--d.e:_x", "_x"),
            ("[::1]:5000/a:1", "[::1]:5000/a:1", "1"),
            ("REGISTRY/a", "REGISTRY/a:latest", "latest"),
        ] {
            let read: ImageName = text.parse().unwrap();
            assert_eq!((read.to_string().as_str(), read.tag()), (name, tag), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let (long, tag) = ("a".repeat(256), format!("a:{}", "b".repeat(129)));
        for text in [
            "",
            ":",
            ":tag",
            "a:",
            "/a",
            "a/",
            "a//b",
            "example.org/",
            "example.org:5000/",
            "example.org/:3",
            "example.org:/a",
            "example.org:port/a",
            "example.org:+5/a",
            "example.org:70000/a",
            "-x.org/a",
            "a..org/a",
            "[::1/a",
            "[x]:5/a",
            "App",
            "a/B",
            "a/-b",
            "a_",
            "a___b",
            "a._b",
            "a b",
            "a:b:c",
            "a:b c",
            "a:-b",
            "a:.b",
            "a\n",
            &digest,
            &long,
            &tag,
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
        assert_eq!(digest.parse::<ImageName>(), Err(NameError::Digest));
    }

    #[test]
    fn an_alias_becomes_a_name_of_an_image() {
        for (alias, name) in [("app", "app"), ("My_App@2:x", "my-app-2-x"), ("++", "node"), ("a--b-", "a-b")]
        {
            let made = ImageName::of_alias(alias);
            assert_eq!(made.to_string(), format!("localhost/{name}:latest"));
            assert_eq!(made.to_string().parse(), Ok(made));
        }
    }
}
