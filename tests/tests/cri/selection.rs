//! Which container of a pod is a node, and which one: annotations of a pod, which Kubernetes gives to all of its
//! containers, and images that `red-conf image` writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use k8s_cri::v1::{ContainerConfig, ImageSpec, LinuxContainerSecurityContext};
use red_tests::call::{conf, run};
use red_tests::stage::{Stage, eventually};

use crate::daemon::Cri;
use crate::images::PLAIN;
use crate::pod::{Pod, REDPATH};
use crate::{assert_no_leftovers, setup};

const DIGEST: &str = "bzh.redpesk.redpak.plan-digest";
const WAITS: &str = "echo I am ${WHO:-plain}; exec sleep 1000";

/// Runs a sandbox with annotations.
fn annotated<'c>(cri: &'c Cri, handler: &str, name: &str, all: &[(String, String)]) -> Pod<'c> {
    Pod::configured(cri, handler, name, |config| config.annotations.extend(all.iter().cloned()))
}

/// What a container says of itself, and whether it has the directories of a node.
fn assert_is(pod: &Pod, name: &str, who: &str, config: ContainerConfig) {
    let id = pod.started(config);
    eventually(&format!("{name} tells who it is"), || pod.log(name, "stdout") == format!("I am {who}\n"));
    let nodes = format!("/proc/{}/root/nodes/mid", pod.pid(&id));
    assert_eq!(Path::new(&nodes).exists(), who != "plain", "{name}: {nodes}");
}

fn refusal(pod: &Pod, config: ContainerConfig) -> String {
    let id = pod.create(config).unwrap_or_else(|status| panic!("{status}"));
    let Err(status) = pod.start(&id) else { panic!("it has started") };
    assert_eq!(pod.status(&id).message, status.message());
    pod.remove(&id);
    status.message().to_owned()
}

fn key(key: &str, container: &str) -> String {
    format!("{key}.{container}")
}

#[test]
fn annotations_of_a_pod_name_a_node_per_container() {
    let Some((cri, other)) = setup() else { return };
    let leaf = cri.stage.leaf.display().to_string();
    let digest = conf(["plan", "--digest", &leaf]).good().out.trim().to_owned();
    let other = other.display().to_string();
    for handler in ["red", "stock"] {
        let named = [
            (key(REDPATH, "app"), leaf.clone()),
            (key(DIGEST, "app"), digest.clone()),
            (key(REDPATH, "other"), other.clone()),
            (key(REDPATH, "wrong"), other.clone()),
            (key(DIGEST, "wrong"), digest.clone()),
            // Of no container: nobody's.
            (key(REDPATH, "nobody"), "/none".to_owned()),
        ];
        let pod = annotated(&cri, handler, "per-container", &named);
        // The image is the same for all of them.
        for (name, who) in [("app", "app"), ("other", "other"), ("side", "plain")] {
            let config =
                if who == "plain" { pod.plain(name, WAITS) } else { pod.container(name, PLAIN, WAITS) };
            assert_is(&pod, name, who, config);
        }
        let message = refusal(&pod, pod.container("wrong", PLAIN, WAITS));
        assert!(message.contains(&digest) && message.contains("plan digest mismatch"), "{message}");
        pod.end();
        assert_no_leftovers(&cri);
    }
    // Without a name it is for all, but for those that have their own.
    let own = ["other", "reference"].map(|name| (key(REDPATH, name), other.clone()));
    let all = [&[(REDPATH.to_owned(), leaf)], &own[..]].concat();
    let pod = annotated(&cri, "red", "for-all", &all);
    for (name, who) in [("app", "app"), ("side", "app"), ("other", "other")] {
        assert_is(&pod, name, who, pod.container(name, PLAIN, WAITS));
    }
    let message = refusal(&pod, pod.reference("reference", WAITS));
    assert!(message.contains(".redpath.yaml") && message.contains("/other"), "both are told: {message}");
    pod.end();
    assert_no_leftovers(&cri);
}

/// A leaf with accounts of its own, in which a user has a name.
fn with_accounts() -> Stage {
    let leaf = "  - {mode: RestrictedFile, mount: /etc/passwd, path: $NODE_PATH/own/passwd}\n  \
                - {mode: RestrictedFile, mount: /etc/group, path: $NODE_PATH/own/group}\n";
    let stage = Stage::with(", share_net: Enabled", leaf);
    let passwd = "root:x:0:0::/:/bin/sh\nnavigator:x:1234:1235::/tmp:/bin/sh\n";
    stage.pool.write("core/mid/app/own/passwd", passwd);
    stage.pool.write("core/mid/app/own/group", "root:x:0:\nships:x:1235:\nharbour:x:77:navigator\n");
    stage
}

/// Writes an image with `red-conf image`, and imports it.
fn import(cri: &Cri, name: &str, command: &[&str]) {
    let dir = cri.stage.pool.join("written");
    let (leaf, output) = (cri.stage.leaf.display().to_string(), dir.display().to_string());
    let words = command.iter().flat_map(|word| ["--cmd", word]);
    conf(["image", &leaf, "--output", &output, "--name", name].into_iter().chain(words)).good();
    let archive = cri.stage.pool.join("written.tar").display().to_string();
    run(Command::new("tar").args(["-cf", &archive, "-C", &output, "."])).good();
    cri.ctr(&["image", "import", &archive]).good();
    eventually(&format!("CRI knows {name}"), || cri.cri().has_image(name));
}

#[test]
fn an_image_of_red_conf_is_a_container_of_a_pod() {
    let Some(cri) = Cri::start(with_accounts()) else { return };
    let name = "red.test/navigation:1";
    import(&cri, name, &["sh", "-c", "echo I am $WHO $(id -u) $(id -g) $(id -G); exec sleep 1000"]);
    let pod = Pod::run(&cri, "red", "image");
    // A pod need not name a command, and its user may have a name, which is looked up in the image.
    let written = |container: &str, change: &dyn Fn(&mut LinuxContainerSecurityContext)| {
        let mut config = pod.container(container, name, "");
        config.command = Vec::new();
        let context = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut());
        change(context.expect("sent by a kubelet"));
        config
    };
    for (container, user, expected) in
        [("app", "", "I am app 0 0 0\n"), ("named", "navigator", "I am app 1234 1235 1235 77\n")]
    {
        pod.started(written(container, &|context| context.run_as_username = user.into()));
        eventually(&format!("{container} tells who it is"), || !pod.log(container, "stdout").is_empty());
        assert_eq!(pod.log(container, "stdout"), expected);
    }
    let image = Some(ImageSpec { image: name.into(), ..ImageSpec::default() });
    assert_eq!(
        pod.status(&pod.started(written("again", &|_| {}))).image.map(|one| one.image),
        image.map(|one| one.image)
    );
    // The node has changed since: its digest is in the image.
    let file = cri.stage.leaf.join("etc/redpak.yaml");
    let text = fs::read_to_string(&file).expect("exists");
    fs::write(&file, text.replace("key: WHO", "key: WHOSE")).expect("test directory is writable");
    let message = refusal(&pod, written("changed", &|_| {}));
    assert!(
        message.contains("plan digest mismatch") && message.contains("; it differs in: environment"),
        "{message}"
    );
    pod.end();
    assert_no_leftovers(&cri);
}
