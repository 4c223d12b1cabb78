//! Capabilities: dropped by an ancestor stays dropped; added by an ancestor may be dropped. What redmain
//! says is only the default.

use std::collections::BTreeMap;

use oci_spec::runtime::Capability;

use super::{Lost, Merger, Resolved, Why};
use crate::node::capability::{CAPABILITIES, CapabilityName, capability_name};
use crate::node::config::CapabilityEntry;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::Layer;

/// The capabilities a family speaks of, by the kernel's number.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Capabilities {
    named: BTreeMap<usize, Resolved<bool>>,
}

impl Capabilities {
    /// Each with whether it is granted, in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = (Capability, &Resolved<bool>)> {
        self.named.iter().map(|(number, resolved)| (CAPABILITIES[*number].1, resolved))
    }

    /// Those that are granted, in the kernel's order.
    pub fn granted(&self) -> impl Iterator<Item = (Capability, &Resolved<bool>)> {
        self.iter().filter(|(_, resolved)| resolved.value)
    }
}

/// What one file says of one capability: by name, else by `ALL`.
fn said<'c>(layer: &Layer<'c>, capability: Capability) -> Option<&'c CapabilityEntry> {
    let entries = &layer.config.tags.capabilities;
    let by = |name| entries.iter().find(|entry| entry.cap.value == name);
    by(CapabilityName::One(capability)).or_else(|| by(CapabilityName::All))
}

pub(super) fn merge(merger: &mut Merger<'_>) -> Capabilities {
    let mut named = BTreeMap::new();
    let layers: Vec<Layer<'_>> =
        merger.layers.iter().filter(|layer| !layer.config.tags.capabilities.is_empty()).copied().collect();
    if layers.is_empty() {
        return Capabilities { named };
    }
    let mut refused: Vec<(crate::node::source::At, crate::node::source::At)> = Vec::new();
    for (number, (_, capability)) in CAPABILITIES.iter().enumerate() {
        if let Some(resolved) = one(merger, &layers, *capability, &mut refused) {
            named.insert(number, resolved);
        }
    }
    Capabilities { named }
}

fn one<'a>(
    merger: &mut Merger<'a>,
    layers: &[Layer<'a>],
    capability: Capability,
    refused: &mut Vec<(crate::node::source::At, crate::node::source::At)>,
) -> Option<Resolved<bool>> {
    let all: Vec<(Layer<'a>, &CapabilityEntry)> =
        layers.iter().filter_map(|layer| Some((*layer, said(layer, capability)?))).collect();
    let (admin, normal): (Vec<_>, Vec<_>) = all.into_iter().partition(|(layer, _)| layer.admin);
    let (track, beaten) = if admin.is_empty() { (normal, Vec::new()) } else { (admin, normal) };
    let lost = |layer: &Layer<'a>, entry: &CapabilityEntry, why| Lost {
        origin: layer.origin(entry.cap.at),
        value: if entry.add { "added" } else { "dropped" }.into(),
        why,
    };
    let mut over: Vec<Lost> = beaten.iter().map(|(layer, entry)| lost(layer, entry, Why::Admin)).collect();
    let mut holding: Option<(Layer<'a>, &CapabilityEntry)> = None;
    for (layer, entry) in track {
        let Some((elder, held)) = holding else {
            holding = Some((layer, entry));
            continue;
        };
        if elder.node.is_none() && layer.node.is_some() {
            if held.add != entry.add {
                over.push(lost(&elder, held, Why::Default));
            }
            holding = Some((layer, entry));
            continue;
        }
        if held.add == entry.add {
            continue;
        }
        if entry.add {
            // `ALL` in both files is one mistake, not one for each capability.
            let pair = (held.cap.at, entry.cap.at);
            if !refused.contains(&pair) {
                refused.push(pair);
                refuse(merger, capability, (&elder, held), (&layer, entry));
            }
            continue;
        }
        if let Some(warn) = &held.warn {
            merger.report.push(
                Diagnostic::warning(
                    Code::Redefined,
                    format!("{} of {} is dropped by {}: {warn}", held.cap.value, elder.name(), layer.name()),
                )
                .at(entry.cap.at)
                .related(held.cap.at, "added here"),
            );
        }
        over.push(lost(&elder, held, Why::Younger));
        holding = Some((layer, entry));
    }
    let (layer, entry) = holding?;
    Some(Resolved { value: entry.add, origin: Some(layer.origin(entry.cap.at)), over })
}

fn refuse<'a>(
    merger: &mut Merger<'a>,
    capability: Capability,
    (elder, held): (&Layer<'a>, &CapabilityEntry),
    (younger, entry): (&Layer<'a>, &CapabilityEntry),
) {
    merger.report.push(
        Diagnostic::error(
            Code::CapabilityRegained,
            format!("{} adds {}, but {} drops it", younger.name(), capability_name(capability), elder.name()),
        )
        .at(entry.cap.at)
        .label("would get it back")
        .related(held.cap.at, "dropped here")
        .help("what an ancestor drops stays dropped: remove the entry, or let an admin file add it"),
    );
}
