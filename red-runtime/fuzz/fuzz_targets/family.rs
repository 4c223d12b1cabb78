//! From texts to a plan. Files are separated by lines `---`: redmain, its admin file, then each
//! node and its admin file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use red_runtime::node::diagnostic::Severity;
use red_runtime::node::render;
use red_runtime::spec::identity::Caller;
use red_runtime::spec::layout::MountKind;
use red_runtime::spec::plan::{Plan, Request, plan};
use red_runtime::spec::provenance::{Provenance, Show};
use red_runtime::spec::{access, diff, json};
use red_runtime_fuzz::{Machine, family, launch};

fuzz_target!(|data: &str| {
    let Some(family) = family(data) else { return };
    let uid = if data.len() % 2 == 0 { 0 } else { 1000 };
    let request = Request::new(Caller { uid, gid: uid });
    let mut planned = plan(&family, &request, launch(), &mut Machine, None);
    let _shown = render::text(&planned.report, &family.sources, Severity::Note, false);
    let Some(first) = planned.plan.take() else {
        assert!(planned.report.has_errors(), "no plan, and nobody says why");
        return;
    };
    well_formed(&first);
    let second = plan(&family, &request, launch(), &mut Machine, None).plan.expect("it went once");
    assert_eq!(first.digest, second.digest);
    let bytes = |plan: &Plan| serde_json::to_vec(&json::spec(&plan.spec).expect("a spec is JSON"));
    assert_eq!(bytes(&first).expect("a value"), bytes(&second).expect("a value"));
    assert_eq!(diff::more(&first, &second), []);
    for mount in &first.layout.mounts {
        let found = access::access(&family, &first, &mount.destination);
        if let MountKind::Bind { writable, .. } = mount.kind {
            assert_eq!(found.write, writable, "{found:?}");
        }
    }
    let _shown =
        serde_json::to_value(Provenance::of(&family, &first.merged, Show::Expanded)).expect("it is JSON");
});

/// What holds in every plan (docs/src/security.md).
fn well_formed(plan: &Plan) {
    let spec = &plan.spec;
    let clean = |path: &str| {
        path == "/"
            || path
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
    };
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    assert_eq!(mounts.len(), plan.layout.mounts.len());
    for (mount, laid) in mounts.iter().zip(&plan.layout.mounts) {
        let destination = mount.destination().to_str().expect("it came from text");
        assert!(clean(destination) && destination != "/", "{destination:?}");
        let has = |option: &str| mount.options().iter().flatten().any(|one| one == option);
        assert!(has("nosuid"), "{mount:?}");
        match &laid.kind {
            MountKind::Bind { writable, dir, .. } => {
                assert!(*writable != has("ro") && (*writable || !dir || has("rro")), "{mount:?}");
            }
            MountKind::File(_) => assert!(has("ro"), "{mount:?}"),
            _ => {}
        }
    }
    let process = spec.process().as_ref().expect("there is a process");
    assert_eq!(process.no_new_privileges(), Some(true));
    let capabilities = process.capabilities().as_ref().expect("capabilities are explicit");
    assert!(capabilities.effective().is_some() && capabilities.ambient().is_some());
    let names: Vec<&str> =
        process.env().iter().flatten().filter_map(|one| one.split_once('=').map(|(name, _)| name)).collect();
    assert!(names.contains(&"PATH"));
    assert!(clean(process.cwd().to_str().expect("it came from text")));
    let linux = spec.linux().as_ref().expect("it is for Linux");
    let devices = linux.resources().as_ref().and_then(|all| all.devices().as_ref()).expect("there are rules");
    assert!(!devices[0].allow() && devices[0].access().as_deref() == Some("rwm"));
}
