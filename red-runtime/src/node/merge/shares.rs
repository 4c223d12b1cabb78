//! `share_*`: a descendant may tighten, never loosen; an admin file may loosen a normal one. What redmain
//! says is only the default.

use super::{Lost, Merger, Resolved, Shell, Why};
use crate::node::config::Namespace;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::expand::Text;
use crate::node::family::Layer;
use crate::node::source::Located;
use crate::node::value::Share;

/// What becomes of one namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sharing {
    /// The host's.
    Host,
    /// A new one.
    New,
    /// The one behind this file.
    Join(Text),
}

impl Sharing {
    /// The word a configuration would use.
    #[must_use]
    pub fn show(&self) -> &str {
        match self {
            Self::Host => "Enabled",
            Self::New => "Disabled",
            Self::Join(path) => &path.actual,
        }
    }
}

/// Every namespace, in the order of [`Namespace::ALL`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shares {
    /// `share_all`, if set.
    pub all: Option<Resolved<Sharing>>,
    each: [Resolved<Sharing>; 6],
}

impl Shares {
    /// One of them.
    #[must_use]
    pub fn get(&self, namespace: Namespace) -> &Resolved<Sharing> {
        let index = Namespace::ALL.iter().position(|(_, one)| *one == namespace).unwrap_or(0);
        &self.each[index]
    }

    /// Each with its tag.
    pub fn iter(&self) -> impl Iterator<Item = (Namespace, &Resolved<Sharing>)> {
        Namespace::ALL.iter().map(|(_, namespace)| *namespace).zip(&self.each)
    }
}

pub(super) fn merge(merger: &mut Merger<'_>) -> Shares {
    let all = one(merger, "share_all", |layer| layer.config.tags.shares.all.as_ref());
    let each = Namespace::ALL.map(|(tag, namespace)| {
        let index = Namespace::ALL.iter().position(|(_, other)| *other == namespace).unwrap_or(0);
        let own = one(merger, tag, |layer| layer.config.tags.shares.each[index].as_ref());
        if namespace == Namespace::Time {
            return own.unwrap_or_else(|| Resolved::default(Sharing::Host));
        }
        match (own, &all) {
            (Some(own), all) => {
                loosens_all(merger, tag, index, &own, all.as_ref());
                own
            }
            (None, Some(all)) => Resolved { over: Vec::new(), ..all.clone() },
            (None, None) => Resolved::default(Sharing::New),
        }
    });
    Shares { all, each }
}

/// One tag over the family.
fn one<'a>(
    merger: &mut Merger<'a>,
    tag: &str,
    read: impl Fn(&Layer<'a>) -> Option<&'a Located<Share>>,
) -> Option<Resolved<Sharing>> {
    let said = |admin: bool, merger: &Merger<'a>| -> Vec<(Layer<'a>, &'a Located<Share>)> {
        merger
            .layers(admin)
            .filter_map(|layer| Some((layer, read(&layer).filter(|share| share.value != Share::Unset)?)))
            .collect()
    };
    let (admin, normal) = (said(true, merger), said(false, merger));
    let (track, beaten) = if admin.is_empty() { (normal, Vec::new()) } else { (admin, normal) };
    let mut holding: Option<(Layer<'a>, &'a Located<Share>)> = None;
    let mut over = Vec::new();
    let lost = |(layer, share): (Layer<'a>, &Located<Share>), why| Lost {
        origin: layer.origin(share.at),
        value: share.value.to_string(),
        why,
    };
    over.extend(beaten.into_iter().map(|said| lost(said, Why::Admin)));
    for (layer, share) in track {
        let Some((elder, held)) = holding else {
            holding = Some((layer, share));
            continue;
        };
        if elder.node.is_none() && layer.node.is_some() {
            if held.value != share.value {
                over.push(lost((elder, held), Why::Default));
            }
            holding = Some((layer, share));
            continue;
        }
        if held.value == share.value {
            continue;
        }
        if strictness(&share.value) < strictness(&held.value)
            || matches!((&held.value, &share.value), (Share::Join(_), Share::Join(_)))
        {
            refuse(merger, tag, (&elder, held), (&layer, share));
            continue;
        }
        over.push(lost((elder, held), Why::Younger));
        holding = Some((layer, share));
    }
    let (layer, share) = holding?;
    let value = sharing(merger, tag, &layer, share)?;
    Some(Resolved { value, origin: Some(layer.origin(share.at)), over })
}

/// What a layer's word comes to.
fn sharing<'a>(
    merger: &mut Merger<'a>,
    tag: &str,
    layer: &Layer<'a>,
    share: &Located<Share>,
) -> Option<Sharing> {
    Some(match &share.value {
        Share::Unset => return None,
        Share::Enabled => Sharing::Host,
        Share::Disabled => Sharing::New,
        Share::Join(path) => {
            let path = merger.expand(layer, &Located::new(path.clone(), share.at), Shell::Never)?;
            if !path.actual.starts_with('/') {
                let message = format!("`{tag}`: `{}` is not an absolute path", path.actual);
                merger.report.push(Diagnostic::error(Code::BadPath, message).at(share.at));
            }
            Sharing::Join(path)
        }
    })
}

/// The more, the less a container sees.
fn strictness(share: &Share) -> u8 {
    match share {
        Share::Unset | Share::Enabled => 0,
        Share::Join(_) => 1,
        Share::Disabled => 2,
    }
}

fn refuse<'a>(
    merger: &mut Merger<'a>,
    tag: &str,
    (elder, held): (&Layer<'a>, &Located<Share>),
    (younger, share): (&Layer<'a>, &Located<Share>),
) {
    merger.report.push(
        Diagnostic::error(
            Code::ShareLoosened,
            format!(
                "{} sets `{tag}: {}`, but {} sets it to {}",
                younger.name(),
                share.value,
                elder.name(),
                held.value
            ),
        )
        .at(share.at)
        .label("would loosen it")
        .related(held.at, "the constraint")
        .help("a descendant may only tighten: remove the line, or let an admin file say so"),
    );
}

/// A namespace opened by name below a node that closed all of them, without anybody older having
/// opened it, is loosened just the same. redmain's `share_all` is only the default, and opening
/// one by name beside closing all in one file is how that default is meant to be written; `Unset` beside
/// it leaves that one to the descendants.
fn loosens_all(
    merger: &mut Merger<'_>,
    tag: &str,
    index: usize,
    own: &Resolved<Sharing>,
    all: Option<&Resolved<Sharing>>,
) {
    let (Some(origin), Some(all)) = (own.origin, all) else { return };
    if own.value == Sharing::New || all.value != Sharing::New {
        return;
    }
    let Some(younger) = merger.layer(origin) else { return };
    if younger.admin {
        return;
    }
    let closes = |layer: &Layer<'_>| {
        let shares = &layer.config.tags.shares;
        let all = shares.all.as_ref().filter(|all| all.value == Share::Disabled)?;
        let named = shares.each[index].is_some();
        (!named && !layer.admin && layer.node.is_some() && layer.age() < younger.age()).then_some(all.at)
    };
    let opened_before = |elder: &Layer<'_>| {
        merger.layers.iter().any(|layer| {
            let named = layer.config.tags.shares.each[index].as_ref();
            layer.age() <= elder.age() && named.is_some_and(|one| one.value != Share::Unset)
        })
    };
    let found = merger
        .layers
        .iter()
        .find_map(|layer| closes(layer).filter(|_| !opened_before(layer)).map(|at| (*layer, at)));
    if let Some((elder, at)) = found {
        let share = Located::new(share_of(&own.value), origin.at);
        let held = Located::new(Share::Disabled, at);
        refuse(merger, tag, (&elder, &held), (&younger, &share));
    }
}

fn share_of(sharing: &Sharing) -> Share {
    match sharing {
        Sharing::Host => Share::Enabled,
        Sharing::New => Share::Disabled,
        Sharing::Join(path) => Share::Join(path.actual.clone()),
    }
}
