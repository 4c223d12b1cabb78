//! OCI images of nodes: one that references a node, and one with the contents of a node ([`full`]).
//!
//! A reference is the name and the accounts of the node, in one small layer. It holds nothing of the node. Engines get
//! from it what they look for in an image before a runtime is called: a command, and who a user's name is. The same
//! plan gives the same bytes.
//!
//! Layouts are written with the documents of `oci-spec` and the headers of `tar`. The crate `ocidir` could file the
//! blobs too, but brings OpenSSL (for SHA-256), chrono and cap-std into a small static program, and leaves to its
//! caller what is most of the work here: the archive, and a directory that appears at once and whole.

mod archive;
mod blob;
mod contents;
pub mod full;
mod name;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, Config, ConfigBuilder, Descriptor, DescriptorBuilder, History, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder, Sha256Digest,
};
use serde::Serialize;

pub use contents::HostExports;
pub use name::{ImageName, NameError};

use super::annotation::{self, ORIGIN_REDPATH, PLAN_DIGEST};
use super::digest::sha256;
use super::new_dir::{At, DirError, Moved, NewDir};

/// What an image is made from.
#[derive(Clone, Debug)]
pub struct Reference<'a> {
    /// Path of the node.
    pub redpath: &'a str,
    /// Digest of its plan.
    pub digest: String,
    /// Digests of parts of the plan.
    pub parts: String,
    /// Whether what is missing is an error.
    pub strict: bool,
    /// Whether the node starts in admin mode.
    pub admin: bool,
    /// `/etc/passwd` and `/etc/group` of the family.
    pub accounts: [Vec<u8>; 2],
    /// Command that runs where none is given.
    pub command: Vec<String>,
    /// Machine of the image, by the name that Go has for it.
    pub arch: String,
    /// Name of the image.
    pub name: ImageName,
}

/// Errors of building or writing an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A document of the image specification cannot be built.
    #[error("image: {0}")]
    Spec(#[from] OciSpecError),
    /// A document cannot be serialized.
    #[error("image: {0}")]
    Json(#[from] serde_json::Error),
    /// The layer cannot be written.
    #[error("layer of the image: {0}")]
    Layer(#[from] io::Error),
    /// It cannot be put there.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// Contents of a node cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// What was read.
        path: String,
        /// The error of the call.
        #[source]
        source: io::Error,
    },
    /// Contents of a node are others than they were.
    #[error("{path} changed while it was read: stop what writes there, and try again")]
    Changed {
        /// What was read.
        path: String,
    },
    /// Contents of a node that no layer can hold.
    #[error("{path}: {why}")]
    Unfit {
        /// What was read.
        path: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The image would hold a part of itself.
    #[error("{path} is in {export}, which is copied into the image: write it elsewhere")]
    Within {
        /// Where the image was to be written.
        path: String,
        /// What is copied.
        export: String,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("invalid SOURCE_DATE_EPOCH: {value}: expected seconds since 1970, before the year 10000")]
    Epoch {
        /// Its value.
        value: String,
    },
    /// A signal arrived.
    #[error("interrupted, and nothing was written")]
    Interrupted,
}

impl Moved for ImageError {
    fn moved(self, from: &Path, to: &Path) -> Self {
        match self {
            Self::Dir(error) => Self::Dir(error.moved(from, to)),
            other => other,
        }
    }
}

/// Files of an image layout (image-layout.md), by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Builds an image layout.
///
/// # Errors
/// A document of the image specification cannot be built.
pub fn layout(reference: &Reference<'_>) -> Result<Files, ImageError> {
    let mut files = Files::new();
    let tar = layer(reference)?;
    let diff = format!("sha256:{}", sha256(&tar));
    let layer = blob(&mut files, MediaType::ImageLayerGzip, &compressed(&tar)?)?.build()?;
    let image = Image {
        arch: &reference.arch,
        name: &reference.name,
        annotations: [(PLAN_DIGEST, &reference.digest), (ORIGIN_REDPATH, reference.redpath)],
        config: ConfigBuilder::default().cmd(reference.command.clone()).working_dir("/").build()?,
        created: None,
        diff_ids: vec![diff],
        layers: vec![layer],
        history: Vec::new(),
    };
    image.documents(&mut files)?;
    Ok(files)
}

/// Writes an image layout to `dir`, which must not exist or be empty. It appears there at once and whole.
///
/// # Errors
/// There is no image, or the directory cannot be written. Then `dir` is as it was.
pub fn write(reference: &Reference<'_>, dir: &Path) -> Result<(), ImageError> {
    let new = NewDir::at(dir)?;
    let files = layout(reference)?;
    new.fill(|at| {
        let blobs = at.join("blobs/sha256");
        fs::create_dir_all(&blobs).at(&blobs)?;
        files.iter().try_for_each(|(name, contents)| fs::write(at.join(name), contents).at(&at.join(name)))
    })
    .map_err(|error: DirError| error.into())
}

/// What the documents of an image are made from.
struct Image<'a> {
    arch: &'a str,
    name: &'a ImageName,
    /// Annotations of the manifest: where it is from. podman hands them to the runtime.
    annotations: [(&'a str, &'a str); 2],
    config: Config,
    /// When it was made.
    created: Option<String>,
    /// Digests of the layers' archives.
    diff_ids: Vec<String>,
    /// The layers as they are in the layout.
    layers: Vec<Descriptor>,
    history: Vec<History>,
}

impl Image<'_> {
    /// Adds configuration, manifest, index and version of the layout.
    fn documents(self, files: &mut Files) -> Result<(), ImageError> {
        let rootfs = RootFsBuilder::default().typ("layers").diff_ids(self.diff_ids).build()?;
        let mut config = ImageConfigurationBuilder::default()
            .architecture(Arch::from(self.arch))
            .os(Os::Linux)
            .config(self.config)
            .rootfs(rootfs)
            .history(self.history);
        if let Some(created) = self.created {
            config = config.created(created);
        }
        let config = blob(files, MediaType::ImageConfig, &json(&config.build()?)?)?.build()?;
        let node = self.annotations.map(|(key, value)| (annotation::full(key), value));
        let node = node.each_ref().map(|(key, value)| (key.as_str(), *value));
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers(self.layers)
            .annotations(annotations(&node))
            .build()?;
        let name = self.name.to_string();
        let names = [
            ("org.opencontainers.image.ref.name", self.name.tag()),
            ("io.containerd.image.name", name.as_str()),
        ];
        let manifest = blob(files, MediaType::ImageManifest, &json(&manifest)?)?
            .annotations(annotations(&names))
            .build()?;
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(vec![manifest])
            .build()?;
        files.insert("index.json".to_owned(), json(&index)?);
        let version = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
        files.insert("oci-layout".to_owned(), json(&version)?);
        Ok(())
    }
}

fn annotations(all: &[(&str, &str)]) -> HashMap<String, String> {
    all.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A document with its keys in order: a map of the builders' has none.
fn json(document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&serde_json::to_value(document)?)
}

/// Adds a blob.
fn blob(files: &mut Files, media: MediaType, bytes: &[u8]) -> Result<DescriptorBuilder, OciSpecError> {
    let digest = sha256(bytes);
    files.insert(format!("blobs/sha256/{digest}"), bytes.to_vec());
    let digest: Sha256Digest = digest.parse()?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(DescriptorBuilder::default().media_type(media).size(size).digest(digest))
}

/// The layer as an archive.
fn layer(reference: &Reference<'_>) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let [passwd, group] = &reference.accounts;
    append(&mut archive, ".redpath.yaml", reference.text().as_bytes())?;
    directory(&mut archive, "etc/")?;
    append(&mut archive, "etc/passwd", passwd)?;
    append(&mut archive, "etc/group", group)?;
    archive.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, contents: &[u8]) -> io::Result<()> {
    let size = u64::try_from(contents.len()).unwrap_or(u64::MAX);
    archive.append_data(&mut header(tar::EntryType::Regular, 0o644, size), path, contents)
}

fn directory(archive: &mut tar::Builder<Vec<u8>>, path: &str) -> io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), path, io::empty())
}

/// Compressed without a time or a name.
fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    writer.finish()
}

impl Reference<'_> {
    /// Contents of the reference file. A JSON string is valid YAML.
    fn text(&self) -> String {
        let redpath = serde_json::Value::from(self.redpath);
        let mut text =
            format!("redpath: {redpath}\nplan-digest: {}\nplan-parts: {}\n", self.digest, self.parts);
        for (key, on) in [("strict", self.strict), ("admin", self.admin)] {
            if on {
                text.push_str(key);
                text.push_str(": true\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference<'static> {
        Reference {
            redpath: "/n/a: \"b\"",
            digest: format!("sha256:{}", "0".repeat(64)),
            parts: "exports=00112233".to_owned(),
            strict: true,
            admin: false,
            accounts: [b"root:x:0:0::/:/bin/sh\n".to_vec(), b"root:x:0:\n".to_vec()],
            command: vec!["sh".to_owned()],
            arch: "arm64".to_owned(),
            name: ImageName::of_alias("a"),
        }
    }

    #[test]
    fn the_same_reference_gives_the_same_bytes() {
        let first = layout(&reference()).unwrap();
        for _ in 0..20 {
            assert_eq!(layout(&reference()).unwrap(), first);
        }
        let size: usize = first.values().map(Vec::len).sum();
        assert!(size < 2500, "{size}");
        assert_eq!(first.len(), 5);
        let index: serde_json::Value = serde_json::from_slice(&first["index.json"]).unwrap();
        let mut next = index["manifests"][0]["digest"].clone();
        for key in ["config", "layers"] {
            let blob = &first[&next.as_str().unwrap().replacen("sha256:", "blobs/sha256/", 1)];
            assert_eq!(next.as_str().unwrap(), format!("sha256:{}", sha256(blob)));
            let document: serde_json::Value = serde_json::from_slice(blob).unwrap();
            if key == "layers" {
                assert_eq!((&document["architecture"], &document["os"]), (&"arm64".into(), &"linux".into()));
                break;
            }
            next = document["config"]["digest"].clone();
        }
    }

    #[test]
    fn the_reference_is_parsed_as_it_was_written() {
        let mut report = crate::node::diagnostic::Report::default();
        let mut sources = crate::node::source::Sources::default();
        let file = sources.add(".redpath.yaml", reference().text());
        let read = crate::node::decode::reference(file, sources.text(file), &mut report).unwrap();
        assert_eq!((read.redpath.value.as_str(), read.strict, read.admin), (r#"/n/a: "b""#, true, false));
        assert_eq!(read.parts.as_deref(), Some("exports=00112233"));
    }
}
