//! An OCI image that holds what a node's containers see, for machines without the node.
//!
//! One layer for each node of the family, the oldest first: a node's layer has what is in the node's own directory, so
//! it is the same for all of its descendants. What a launch makes (links, empty directories, what commands print) is in
//! the leaf's. The image is no reference: every runtime runs it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use oci_spec::image::{
    Config, ConfigBuilder, DescriptorBuilder, History, HistoryBuilder, MediaType, Sha256Digest,
};

use super::super::annotation::{ORIGIN_DIGEST, ORIGIN_REDPATH};
use super::super::environment::DEFAULT_PATH;
use super::super::new_dir::{At, NewDir};
use super::archive::Kind;
use super::blob::{Blob, NewLayer};
use super::contents::{Contents, HostExports, Item, Owner};
use super::tree::{Reader, Terms, is_directory, made};
use super::{Files, Image, ImageError, ImageName};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::Family;
use crate::node::value::VarMode;
use crate::spec::plan::Plan;

/// What an image with contents is made from.
pub struct Full<'a> {
    /// Plan of the node, whose commands were run.
    pub plan: &'a Plan,
    /// Its family.
    pub family: &'a Family,
    /// What becomes of exports of the host; an error if there are any and nobody says.
    pub host: Option<HostExports>,
    /// `/etc/passwd` and `/etc/group`, where the node shows none.
    pub accounts: [&'a [u8]; 2],
    /// Command that runs where none is given.
    pub command: Vec<String>,
    /// Architecture of the image, by the name that Go has for it.
    pub arch: String,
    /// Name of the image.
    pub name: ImageName,
    /// Seconds since the epoch that no time in the image is later than.
    pub epoch: Option<u64>,
    /// Whether to stop, asked again and again.
    pub stop: &'a dyn Fn() -> bool,
}

/// A layer of an image that was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layer {
    /// Alias of the node; `None` for exports of the host.
    pub node: Option<String>,
    /// Digest of the compressed layer, which also depends on the version of red-runtime.
    pub digest: String,
    /// Digest of its contents.
    pub diff_id: String,
    /// Bytes of the compressed layer.
    pub size: u64,
}

/// What an image will hold.
pub struct Prepared<'a> {
    full: &'a Full<'a>,
    contents: Contents,
    config: Config,
}

impl<'a> Full<'a> {
    /// Decides what will be in the image. Reads no contents. Mistakes and remarks go to `report`.
    ///
    /// # Errors
    /// A document of the image specification cannot be built.
    pub fn prepare(&'a self, report: &mut Report) -> Result<Prepared<'a>, ImageError> {
        let user = self.user();
        let mut contents =
            Contents::of((self.plan, self.family), self.host, user.unwrap_or_default(), report);
        for (name, text) in ["/etc/passwd", "/etc/group"].into_iter().zip(self.accounts) {
            let straight = self.plan.layout.resolve(name) == name;
            let free = match contents.cover(name) {
                None => true,
                Some((at, _, Item::Directory(_))) => at != name,
                Some(_) => false,
            };
            if straight && free && !contents.covered.contains(name) {
                let leaf = Owner::Node(self.family.nodes.len().saturating_sub(1));
                contents.items.insert(name.to_owned(), (leaf, Item::File(0o644, text.to_vec())));
            }
        }
        let mut config = ConfigBuilder::default()
            .cmd(self.command.clone())
            .env(self.environment(report))
            .working_dir(self.plan.layout.cwd.clone());
        if let Some((uid, gid)) = user {
            config = config.user(format!("{uid}:{gid}"));
        }
        Ok(Prepared { full: self, contents, config: config.build()? })
    }

    /// When the image was made: never, so that the same node gives the same image, or what the caller says.
    fn created(&self) -> String {
        let seconds = self.epoch.and_then(|epoch| i64::try_from(epoch).ok()).unwrap_or(0);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }

    /// User and group that the family itself asks for; without any the engine decides.
    fn user(&self) -> Option<(u32, u32)> {
        let identity = &self.plan.merged.tags.identity;
        let target = self.plan.target;
        match (&identity.user, &identity.group) {
            (None, None) => None,
            (None, Some(_)) => Some((0, target.gid)),
            (Some(_), _) => Some((target.uid, target.gid)),
        }
    }

    /// The environment without what is the caller's own, which may be secret and is another elsewhere. The plan is one
    /// without variables of the caller but [`Launch::BUILT_IN`].
    fn environment(&self, report: &mut Report) -> Vec<String> {
        let merged = &self.plan.merged;
        let inherits = merged.tags.inherit_env.as_ref().is_some_and(|on| on.value);
        let copied = |key: &str| {
            let list = match key {
                "PATH" => &merged.path,
                "LD_LIBRARY_PATH" => &merged.ldpath,
                _ => return merged.environ.iter().any(|one| one.key == key && one.mode == VarMode::Inherit),
            };
            list.is_empty() && merged.environ.iter().any(|one| one.key == key && one.mode == VarMode::Inherit)
        };
        let inherited = merged.environ.iter().map(|one| one.key.as_str());
        let mut left_out: Vec<&str> = inherited.filter(|key| copied(key)).collect();
        if inherits {
            left_out.push("all that has no value here (inherit-env)");
        }
        let (mut all, mut path) = (Vec::new(), false);
        for entry in &self.plan.environment {
            let default = entry.key == "PATH" && entry.value.as_deref() == Some(DEFAULT_PATH);
            if copied(&entry.key) || (inherits && entry.origin.is_none() && !default) {
                continue;
            }
            path |= entry.key == "PATH";
            all.extend(entry.value.as_ref().map(|value| format!("{}={value}", entry.key)));
        }
        if !path && left_out.contains(&"PATH") {
            all.push(format!("PATH={DEFAULT_PATH}"));
        }
        if !left_out.is_empty() {
            let message =
                format!("not in the image, for the launcher's own are inherited: {}", left_out.join(", "));
            let warning = Diagnostic::warning(Code::ImageContents, message);
            report.push(warning.help("give them to each container: `podman run --env NAME`"));
        }
        all
    }
}

impl Prepared<'_> {
    /// Writes the image to `dir`, which must not exist or be empty. It appears there at once and whole.
    ///
    /// # Errors
    /// Something cannot be read, changes meanwhile, or cannot be in an image; the directory cannot be written; the
    /// caller stops it. Then `dir` is as it was.
    pub fn write(&self, dir: &Path) -> Result<Vec<Layer>, ImageError> {
        let new = NewDir::at(dir)?;
        self.refuse_within(new.path())?;
        new.fill(|at| self.fill(at))
    }

    /// An image in what it is made from would hold a part of itself.
    fn refuse_within(&self, place: &Path) -> Result<(), ImageError> {
        for (_, item) in self.contents.items.values() {
            match item {
                Item::Tree(source) if place.starts_with(&source.path) => {
                    let (path, export) = (place.display().to_string(), source.path.clone());
                    return Err(ImageError::Within { path, export });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fill(&self, at: &Path) -> Result<Vec<Layer>, ImageError> {
        let blobs = at.join("blobs/sha256");
        fs::create_dir_all(&blobs).at(&blobs)?;
        // A layer has what only root may read on the host.
        fs::set_permissions(at.join("blobs"), fs::Permissions::from_mode(0o700)).at(&blobs)?;
        let full = self.full;
        let (created, digest) = (full.created(), full.plan.digest.to_string());
        let mut image = Image {
            arch: &full.arch,
            name: &full.name,
            // Not the digest that a launch has to have: a runtime is told it, and nothing is launched from the node.
            annotations: [(ORIGIN_DIGEST, &digest), (ORIGIN_REDPATH, &full.plan.redpath)],
            config: self.config.clone(),
            created: Some(created.clone()),
            diff_ids: Vec::new(),
            layers: Vec::new(),
            history: Vec::new(),
        };
        let mut layers = Vec::new();
        for owner in self.owners() {
            let empty = !self.contents.items.values().any(|(one, _)| *one == owner);
            image.history.push(self.history(owner, &created, empty)?);
            if empty {
                continue;
            }
            let blob = self.layer(owner, &blobs)?;
            let digest: Sha256Digest = blob.digest.parse()?;
            let media = MediaType::ImageLayerGzip;
            image
                .layers
                .push(DescriptorBuilder::default().media_type(media).size(blob.size).digest(digest).build()?);
            image.diff_ids.push(format!("sha256:{}", blob.diff));
            layers.push(Layer {
                node: self.alias(owner).map(str::to_owned),
                digest: format!("sha256:{}", blob.digest),
                diff_id: format!("sha256:{}", blob.diff),
                size: blob.size,
            });
        }
        let mut files = Files::new();
        image.documents(&mut files)?;
        files
            .iter()
            .try_for_each(|(name, contents)| fs::write(at.join(name), contents).at(&at.join(name)))?;
        Ok(layers)
    }

    /// The layers: of the host if there is anything of it, and one for each node.
    fn owners(&self) -> Vec<Owner> {
        let host = self.contents.items.values().any(|(owner, _)| *owner == Owner::Host);
        let nodes = (0..self.full.family.nodes.len()).map(Owner::Node);
        host.then_some(Owner::Host).into_iter().chain(nodes).collect()
    }

    fn alias(&self, owner: Owner) -> Option<&str> {
        match owner {
            Owner::Host => None,
            Owner::Node(index) => self.full.family.nodes.get(index).map(|node| node.vars.alias.as_str()),
        }
    }

    fn history(&self, owner: Owner, created: &str, empty: bool) -> Result<History, ImageError> {
        let whose = match self.alias(owner) {
            None => "exports of the host".to_owned(),
            Some(alias) => format!("node {alias}"),
        };
        let history =
            HistoryBuilder::default().created(created).created_by(format!("red-conf image --full: {whose}"));
        Ok(if empty { history.empty_layer(true) } else { history }.build()?)
    }

    fn layer(&self, owner: Owner, blobs: &Path) -> Result<Blob, ImageError> {
        let (new, archive) = NewLayer::begin(blobs)?;
        let full = self.full;
        let terms = Terms { covered: &self.contents.covered, latest: full.epoch, stop: full.stop };
        let mut writer = LayerWriter {
            reader: Reader::new(archive, &new.path, &terms),
            contents: &self.contents,
            owner,
            done: BTreeSet::new(),
        };
        for (path, (_, item)) in self.contents.items.iter().filter(|(_, (one, _))| *one == owner) {
            writer.item(path, item)?;
        }
        let archive = writer.reader.archive;
        Ok(new.finish(archive)?)
    }
}

/// Writes the items of one layer.
struct LayerWriter<'w, W> {
    reader: Reader<'w, W>,
    contents: &'w Contents,
    owner: Owner,
    /// Directories that the layer has.
    done: BTreeSet<String>,
}

impl<W: Write> LayerWriter<'_, W> {
    fn item(&mut self, path: &str, item: &Item) -> Result<(), ImageError> {
        for (slash, _) in path.match_indices('/').skip(1) {
            self.above(&path[..slash])?;
        }
        match item {
            Item::Tree(source) => {
                self.done.insert(path.to_owned());
                self.reader.tree(source, path)
            }
            Item::File(mode, contents) => self.reader.file(path, *mode, contents),
            Item::Directory(attributes) => {
                if self.done.insert(path.to_owned()) {
                    self.reader.entry(path.as_bytes(), Kind::Directory, *attributes, (0, &Vec::new()))?;
                }
                Ok(())
            }
            Item::Symlink(target) => {
                let kind = Kind::Symlink(target.as_bytes());
                self.reader.entry(path.as_bytes(), kind, made(0o777), (0, &Vec::new()))
            }
        }
    }

    /// A directory on the way to an item, as it is in the layer that it belongs to: what a layer has of a directory
    /// holds for the whole image.
    fn above(&mut self, path: &str) -> Result<(), ImageError> {
        if !self.done.insert(path.to_owned()) {
            return Ok(());
        }
        let mut attributes = made(0o755);
        match self.contents.cover(path) {
            Some((at, owner, Item::Tree(source))) => {
                let below = path[at.len()..].trim_start_matches('/');
                // Its own layer has it already.
                let there = owner == self.owner && is_directory(source, below)?;
                if there || self.reader.directory_alone(source, below, path)? {
                    return Ok(());
                }
                attributes = made(0o775);
            }
            Some((at, _, Item::Directory(of_item))) if at == path => attributes = *of_item,
            _ => {}
        }
        self.reader.entry(path.as_bytes(), Kind::Directory, attributes, (0, &Vec::new()))
    }
}
