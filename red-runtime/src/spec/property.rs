//! For random families: what a node may do never exceeds what its ancestors constrain.
//!
//! A node may add what no ancestor speaks of (its own directories, a capability nobody dropped).
//! What an ancestor says holds for all its descendants, unless an admin file says otherwise; what decides
//! for a node is written to by none of its containers, by whatever name of the place. The oracle below reads the generated families themselves, not what the merge made of them.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::node::capability::capability_name;
use crate::node::config::Namespace;
use crate::node::diagnostic::Severity;
use crate::node::limit_values::Limit;
use crate::node::merge::Sharing;
use crate::spec::identity::Caller;
use crate::spec::json;
use crate::spec::layout::MountKind;
use crate::spec::plan::{Plan, Request, plan};
use crate::testing::{FakeHost, Maker, launch};

const CAPABILITIES: [&str; 4] = ["ALL", "NET_RAW", "SYS_ADMIN", "CHOWN"];
const TAGS: [&str; 7] =
    ["share_all", "share_user", "share_cgroup", "share_net", "share_pid", "share_ipc", "share_time"];
const SHARES: [&str; 5] = ["Unset", "Enabled", "Disabled", "/ns/a", "/ns/b"];
const MODES: [&str; 7] =
    ["Public", "PublicFile", "Restricted", "RestrictedFile", "Private", "PrivateRestricted", "Tmpfs"];
const SOURCES: [&str; 28] = [
    "/x",
    "/x/y",
    "/x/y/z",
    "/w",
    "/pool/n0",
    "/pool/n0/usr",
    "$NODE_PATH/var",
    "$LEAF_PATH/usr",
    "$NODE_PATH",
    // What decides, what is somebody else's, what descendants stand in.
    "$NODE_PATH/etc",
    "$NODE_PATH/var/lib/rpm",
    "$LEAF_PATH/.red",
    "/pool",
    "/pool/other",
    "/pool/n0/n1",
    "/pool/n0/shared",
    "$NODE_PATH/shared",
    "$NODE_PATH/shared/part",
    "$NODE_PATH/n2",
    // Other names of the same places, see `MOUNTED`.
    "/alias",
    "/alias/y",
    "/view/pool/n0/etc",
    "/view/pool/n0/n1/shared",
    "/deep",
    // Behind a link, see `LINK`.
    "/lnk",
    "/lnk/etc",
    "/lnk/n1/shared",
    "/lnk/shared",
];

/// A link of the administrator's, and where it leads.
const LINK: (&str, &str) = ("/lnk", "/pool/n0");

/// Places of the host's one file system that are mounted a second time: `/alias` is `/x`, `/view` is
/// everything, and below `/deep` is `/pool/n0/n1`.
const MOUNTED: &str = "2 1 8:1 /x /alias rw - ext4 /dev/sda rw
3 1 8:1 / /view rw - ext4 /dev/sda rw
4 1 8:1 /pool/n0/n1 /deep/er rw - ext4 /dev/sda rw
";

/// What everything is called that has another name, and whether a mount comes along.
fn true_name(path: &str) -> String {
    for (name, place) in [("/alias", "/x"), ("/view", ""), ("/deep/er", "/pool/n0/n1"), LINK] {
        if inside(path, name) {
            return format!("{place}{}", &path[name.len()..]);
        }
    }
    path.to_owned()
}

/// The true names of all that a recursive bind of a path shows.
fn shown(path: &str) -> Vec<String> {
    let mut all = vec![true_name(path)];
    if inside("/deep/er", path) && path != "/deep/er" {
        all.push("/pool/n0/n1".to_owned());
    }
    all
}
const MOUNTS: [&str; 6] = ["/a", "/b", "/c", "/d", "/e", "/nodes/$NODE_ALIAS"];

/// One generated node.
#[derive(Clone, Debug)]
struct Generated {
    shares: Vec<(usize, usize)>,
    capabilities: Vec<(usize, bool)>,
    exports: Vec<(usize, usize, usize)>,
    memory: Option<u64>,
    pids: Option<u64>,
    gpgcheck: Option<bool>,
    inherit_env: Option<bool>,
}

fn node() -> impl Strategy<Value = Generated> {
    let of = |all: &[&str]| 0..all.len();
    (
        prop::collection::vec((of(&TAGS), of(&SHARES)), 0..4),
        prop::collection::vec((of(&CAPABILITIES), any::<bool>()), 0..3),
        prop::collection::vec((of(&MODES), of(&MOUNTS), of(&SOURCES)), 0..4),
        prop::option::of(1..5_u64),
        prop::option::of(1..5_u64),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
    )
        .prop_map(|(shares, capabilities, exports, memory, pids, gpgcheck, inherit_env)| Generated {
            shares,
            capabilities,
            exports,
            memory,
            pids,
            gpgcheck,
            inherit_env,
        })
}

impl Generated {
    /// The last value of each tag: a map holds a key once.
    fn share(&self, tag: &str) -> Option<&'static str> {
        let last = self.shares.iter().rev().find(|(index, _)| TAGS[*index] == tag);
        last.map(|(_, value)| SHARES[*value]).filter(|value| *value != "Unset")
    }

    fn capability(&self, name: &str) -> Option<bool> {
        let said = |name: &str| {
            self.capabilities.iter().find(|(index, _)| CAPABILITIES[*index] == name).map(|(_, add)| *add)
        };
        said(name).or_else(|| said("ALL"))
    }

    fn text(&self) -> String {
        let mut tags: Vec<String> = Vec::new();
        for tag in TAGS {
            if let Some(value) = self.share(tag) {
                tags.push(format!("{tag}: {value}"));
            }
        }
        let mut capabilities = Vec::new();
        for name in CAPABILITIES {
            let first = self.capabilities.iter().find(|(index, _)| CAPABILITIES[*index] == name);
            capabilities.extend(first.map(|(_, add)| format!("{{cap: {name}, add: {add}}}")));
        }
        tags.push(format!("capabilities: [{}]", capabilities.join(", ")));
        let memory = self.memory.map(|max| format!("mem: {{max: {max}M}}"));
        let pids = self.pids.map(|max| format!("pids: {{max: {max}}}"));
        let limits: Vec<String> = memory.into_iter().chain(pids).collect();
        tags.push(format!("cgroups: {{{}}}", limits.join(", ")));
        tags.extend(self.gpgcheck.map(|on| format!("gpgcheck: {on}")));
        tags.extend(self.inherit_env.map(|on| format!("inherit-env: {on}")));
        let exports: Vec<String> = self
            .exports
            .iter()
            .map(|(mode, mount, source)| {
                let path = if MODES[*mode] == "Tmpfs" {
                    String::new()
                } else {
                    format!(", path: {}", SOURCES[*source])
                };
                format!("{{mode: {}, mount: {}{path}}}", MODES[*mode], MOUNTS[*mount])
            })
            .collect();
        format!("config: {{{}}}\nexports: [{}]", tags.join(", "), exports.join(", "))
    }
}

fn planned(nodes: &[Generated]) -> Option<Plan> {
    let maker = nodes.iter().fold(Maker::new(), |maker, node| maker.node(&node.text()));
    let family = maker.family();
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let links = [(LINK.0.to_owned(), LINK.1.to_owned())].into();
    let mut host = FakeHost { mounts: MOUNTED.to_owned(), links, ..FakeHost::default() };
    let mut request = request;
    request.rules.pools = vec!["/pool".into()];
    plan(&family, &request, launch(), &mut host, None).plan
}

/// Where a node of a family with `count` nodes stands.
fn path_of(index: usize) -> String {
    (0..=index).map(|n| format!("/n{n}")).fold("/pool".to_owned(), |path, part| path + &part)
}

fn inside(path: &str, above: &str) -> bool {
    path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Paths that ancestors export read-only, with the age of who does.
fn read_only(nodes: &[Generated], leaf: usize) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (age, node) in nodes.iter().enumerate() {
        for (mode, _, source) in &node.exports {
            let visible = MODES[*mode].starts_with("Restricted")
                || (age == leaf && MODES[*mode] == "PrivateRestricted");
            if visible {
                let path = SOURCES[*source]
                    .replace("$NODE_PATH", &path_of(age))
                    .replace("$LEAF_PATH", &path_of(leaf));
                all.push((age, path));
            }
        }
    }
    all
}

fn check_writable(nodes: &[Generated], plan: &Plan) -> Result<(), TestCaseError> {
    let leaf = nodes.len() - 1;
    let read_only = read_only(nodes, leaf);
    for mount in &plan.layout.mounts {
        let MountKind::Bind { source, writable: true, .. } = &mount.kind else { continue };
        let origin = plan.merged.exports[mount.export].origin;
        // Layers without redmain and admin files: one a node.
        let age = origin.layer.index();
        let own = path_of(age);
        for (elder, path) in read_only.iter().filter(|(elder, _)| *elder < age) {
            for (source, path) in
                shown(source).iter().flat_map(|a| shown(path).into_iter().map(move |b| (a, b)))
            {
                let overlap = inside(source, &path) || inside(&path, source);
                let its_own = inside(source, &own) && inside(&own, &path);
                prop_assert!(!overlap || its_own, "n{age} writes {source}, n{elder} has {path} read-only");
            }
        }
    }
    Ok(())
}

/// The places that decide for a node of the generated families.
fn deciding(index: usize) -> Vec<String> {
    let names = [
        "",
        "/.rednode.yaml",
        "/etc",
        "/etc/redpak.yaml",
        "/etc/redpak-admin.yaml",
        "/.red/gen/1/usr",
        "/etc/yum.repos.d/a",
        "/var/lib/rpm/db",
    ];
    names.map(|name| format!("{}{name}", path_of(index))).to_vec()
}

/// Nothing that decides for a member of the family, its pool, or other nodes can be written to, by
/// whatever name; nor can it be moved away and another thing be put in its place.
fn check_deciding(nodes: &[Generated], plan: &Plan) -> Result<(), TestCaseError> {
    let mounts = &plan.layout.mounts;
    let innermost = |path: &str| {
        let covering = mounts.iter().filter(|mount| inside(path, &mount.destination));
        covering.max_by_key(|mount| mount.destination.len())
    };
    let others = ["/pool", "/pool/other", "/pool/other/data", "/etc/redpak/policy.yaml"].map(str::to_owned);
    let all = (0..nodes.len()).flat_map(deciding).chain(others);
    for place in all {
        for mount in mounts {
            let MountKind::Bind { source, writable: true, .. } = &mount.kind else { continue };
            for name in shown(source).iter().filter(|name| inside(&place, name)) {
                let rest = &place[name.len()..];
                let path = format!("{}{rest}", mount.destination);
                let over = innermost(&path).map(|over| &over.kind);
                let kept = matches!(over, Some(MountKind::Bind { writable: false, .. }));
                prop_assert!(kept, "{place} can be written to at {path}");
                // Every directory from the export down to what is kept is a mount point.
                let kept = innermost(&path).map(|over| over.destination.clone()).unwrap_or_default();
                let mut way = kept.as_str();
                while way.len() > mount.destination.len() {
                    prop_assert!(mounts.iter().any(|mount| mount.destination == way), "{way} can be moved");
                    way = way.rsplit_once('/').map_or("", |(above, _)| above);
                }
            }
        }
    }
    Ok(())
}

/// A child writes in what is its own, what is nobody's, and what its elders give away; and no member of
/// the family lies in what an elder's containers may write to, now or as the leaf.
fn check_nesting(nodes: &[Generated], plan: &Plan) -> Result<(), TestCaseError> {
    let leaf = nodes.len() - 1;
    let expand = |source: usize, age: usize, leaf: usize| {
        SOURCES[source].replace("$NODE_PATH", &path_of(age)).replace("$LEAF_PATH", &path_of(leaf))
    };
    let writes = |mode: usize| ["Public", "PublicFile", "Private"].contains(&MODES[mode]);
    for (age, node) in nodes.iter().enumerate() {
        for (mode, _, source) in node.exports.iter().filter(|(mode, ..)| writes(*mode)) {
            for as_leaf in age..leaf {
                for place in shown(&expand(*source, age, as_leaf)) {
                    let member = (age + 1..nodes.len()).find(|member| inside(&path_of(*member), &place));
                    prop_assert!(
                        member.is_none(),
                        "n{age} gives {place} away ({}), and {member:?} is in it",
                        MODES[*mode]
                    );
                }
            }
        }
    }
    for mount in &plan.layout.mounts {
        let MountKind::Bind { source, writable: true, .. } = &mount.kind else { continue };
        let age = plan.merged.exports[mount.export].origin.layer.index();
        for place in shown(source).into_iter().filter(|place| inside(place, "/pool")) {
            let Some(owner) = (0..nodes.len()).rev().find(|owner| inside(&place, &path_of(*owner))) else {
                return Err(TestCaseError::fail(format!("n{age} writes to {place}, which no member has")));
            };
            let given = nodes[..=owner].iter().enumerate().any(|(elder, node)| {
                let mut shared = node.exports.iter().filter(|(mode, ..)| MODES[*mode].starts_with("Public"));
                shared.any(|(_, _, source)| {
                    (elder..=leaf).any(|leaf| {
                        shown(&expand(*source, elder, leaf)).iter().any(|given| inside(&place, given))
                    })
                })
            });
            prop_assert!(age <= owner || given, "n{age} writes to {place}, which is n{owner}'s");
        }
    }
    Ok(())
}

fn check_capabilities(nodes: &[Generated], plan: &Plan) -> Result<(), TestCaseError> {
    let granted: Vec<&str> =
        plan.merged.capabilities.granted().map(|(one, _)| capability_name(one)).collect();
    for name in &CAPABILITIES[1..] {
        let dropped = nodes.iter().any(|node| node.capability(name) == Some(false));
        prop_assert!(!dropped || !granted.contains(&format!("CAP_{name}").as_str()), "{name} is back");
    }
    Ok(())
}

fn check_shares(nodes: &[Generated], plan: &Plan) -> Result<(), TestCaseError> {
    for (tag, namespace) in Namespace::ALL {
        let value = &plan.merged.shares.get(namespace).value;
        let named: Vec<&str> = nodes.iter().filter_map(|node| node.share(tag)).collect();
        if named.contains(&"Disabled") {
            prop_assert_eq!(value, &Sharing::New, "{} was closed", tag);
        }
        if let Some(first) = named.iter().find(|value| value.starts_with('/')) {
            let same = matches!(value, Sharing::Join(path) if path.actual == *first);
            prop_assert!(same || *value == Sharing::New, "{tag} was {first} and is {value:?}");
        }
        // Closed for all before anybody opened it by name.
        let closed = nodes
            .iter()
            .position(|node| node.share("share_all") == Some("Disabled") && node.share(tag).is_none());
        let opened = nodes.iter().position(|node| node.share(tag).is_some());
        let first_closed = closed.is_some_and(|closed| opened.is_none_or(|opened| opened > closed));
        if first_closed && namespace != Namespace::Time {
            prop_assert_eq!(value, &Sharing::New, "{} was closed with all", tag);
        }
    }
    Ok(())
}

fn check_limits(nodes: &[Generated], plan: &Plan) -> Result<(), TestCaseError> {
    let memory = nodes.iter().filter_map(|node| node.memory).min().map(|max| Limit::Value(max << 20));
    let pids = nodes.iter().filter_map(|node| node.pids).min().map(Limit::Value);
    let limits = &plan.merged.tightest;
    prop_assert_eq!(limits.memory_max.as_ref().map(|limit| limit.value), memory);
    prop_assert_eq!(limits.pids_max.as_ref().map(|limit| limit.value), pids);
    let demanded = nodes.iter().any(|node| node.gpgcheck == Some(true));
    prop_assert_eq!(plan.merged.tags.gpgcheck.value, demanded);
    let oldest = nodes.iter().find_map(|node| node.inherit_env);
    prop_assert_eq!(plan.merged.tags.inherit_env.as_ref().map(|on| on.value), oldest);
    Ok(())
}

#[test]
fn a_child_never_exceeds_its_ancestors() {
    let (planned_count, refused) = (Cell::new(0_u32), Cell::new(0_u32));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&prop::collection::vec(node(), 2..5), |nodes| {
        let Some(plan) = planned(&nodes) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        planned_count.set(planned_count.get() + 1);
        check_writable(&nodes, &plan)?;
        check_deciding(&nodes, &plan)?;
        check_nesting(&nodes, &plan)?;
        check_capabilities(&nodes, &plan)?;
        check_shares(&nodes, &plan)?;
        check_limits(&nodes, &plan)
    });
    assert!(result.is_ok(), "{}", result.err().map(|error| error.to_string()).unwrap_or_default());
    // The property would hold of nothing if every family were refused, or none.
    assert!(
        planned_count.get() > 200 && refused.get() > 200,
        "{} planned, {} refused",
        planned_count.get(),
        refused.get()
    );
}

#[test]
fn an_admin_file_may_exceed_them() {
    let constrained = "config: {share_net: Disabled, capabilities: [{cap: NET_RAW, add: 0}]}\nexports: [{mode: Restricted, mount: /a, path: /x}]";
    let exceeding = "config: {share_net: Enabled, capabilities: [{cap: NET_RAW, add: 1}]}\nexports: [{mode: Public, mount: /a, path: /x}]";
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let normal = Maker::new().node(constrained).node(exceeding).family();
    let refused = plan(&normal, &request, launch(), &mut FakeHost::default(), None).report;
    assert_eq!(refused.count(Severity::Error), 3);
    let admin = Maker::new().node(constrained).node("").admin(exceeding).family();
    let plan = plan(&admin, &request, launch(), &mut FakeHost::default(), None).plan.expect("admin may");
    assert_eq!(plan.merged.shares.get(Namespace::Net).value, Sharing::Host);
    assert_eq!(plan.merged.capabilities.granted().count(), 1);
    assert!(matches!(plan.layout.mounts[0].kind, MountKind::Bind { writable: true, .. }));
}

#[test]
fn the_same_family_gives_the_same_bytes() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&prop::collection::vec(node(), 1..4), |nodes| {
        let (first, second) = (planned(&nodes), planned(&nodes));
        prop_assert_eq!(first.is_some(), second.is_some());
        if let (Some(first), Some(second)) = (first, second) {
            prop_assert_eq!(first.digest, second.digest);
            let bytes = |plan: &Plan| json::spec(&plan.spec).expect("always writable").to_string();
            prop_assert_eq!(bytes(&first), bytes(&second));
        }
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.err().map(|error| error.to_string()).unwrap_or_default());
}
