//! The commands of `docs/src/kubernetes.md`, as they are written, on a machine of the test's own: with its own /etc, /var
//! and /usr/bin. Here stands a CRI client for the kubelet, and nothing is built or installed from an archive.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use red_tests::call::{built, run};
use red_tests::places::{overlay, private_root_below};
use red_tests::pool::Pool;
use red_tests::skip;
use red_tests::stage::{Stage, eventually};

use crate::configuration::docs;
use crate::daemon::{Cri, possible};
use crate::images::{self, PAUSE};
use crate::manifest::{Manifest, PodSpec, RuntimeClass, read};
use crate::network::{Bridge, plugins};
use crate::pod::{Pod, own_network};

/// Configuration of Debian's containerd.
const CONFIG: &str = "/etc/containerd/config.toml";
/// Commands of the page that others answer: `apt-get`, `systemctl` and `kubectl` do no more than note their arguments.
const NOTED: [&str; 3] = ["apt-get", "systemctl", "kubectl"];

/// The blocks of a page that are run.
fn blocks(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1);
    blocks.filter_map(|rest| rest.split_once("```")).map(|(block, _)| block.to_owned()).collect()
}

/// A clone of the repository in which everything is built.
fn clone(ground: &Pool) {
    let clone = ground.mkdir("clone");
    run(Command::new("cp").arg("-r").arg(docs("")).arg(clone.join("docs"))).good();
    for name in ["setup", "static"] {
        program(&ground.write(format!("clone/.ci/{name}"), "#!/bin/sh\n"));
    }
    let release = ground.mkdir("clone/target/release");
    for name in ["red-runtime", "containerd-shim-red-v2"] {
        symlink(built(name), release.join(name)).expect("test directory is writable");
    }
    for name in NOTED {
        let script = format!("#!/bin/sh\necho {name} \"$@\" >>{}\n", ground.join("noted").display());
        program(&ground.write(format!("noted-commands/{name}"), script));
    }
}

fn program(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("test directory is writable");
}

/// Debian's configuration, with what keeps the daemon of a test from that of the machine, and from scores below those of
/// the machine's processes.
fn configure(dir: &Path) -> bool {
    let section = "[plugins.\"io.containerd.grpc.v1.cri\"]\n";
    let text = fs::read_to_string(CONFIG).unwrap_or_default();
    if !text.starts_with("version = 2\n") || !text.contains(section) {
        return false;
    }
    let own = format!("{section}restrict_oom_score_adj = true\nnetns_mounts_under_state_dir = true\n");
    let places = format!(
        "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n[grpc]\naddress = \"{0}/sock\"\n\
         [ttrpc]\naddress = \"{0}/sock.ttrpc\"\n[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = true\n",
        dir.display()
    );
    let text = text.replace(section, &own).replacen("version = 2\n", &places, 1);
    // One table may not be there twice.
    let text = text.replacen("\n[plugins]\n", "\n", 1);
    fs::write(CONFIG, text).expect("the test has its own /etc");
    true
}

/// Image that containerd takes for sandboxes unless told otherwise.
fn sandbox_image() -> String {
    let dump = run(Command::new("containerd").args(["--config", CONFIG, "config", "dump"])).good().out;
    let line = dump.lines().find(|line| {
        let key = line.split('=').next().unwrap_or_default().trim();
        key == "sandbox_image" || key == "sandbox"
    });
    let value = line.and_then(|line| line.split('=').nth(1)).expect("there is a default");
    value.trim().trim_matches(['"', '\'']).to_owned()
}

/// Runs the page's blocks up to the pod, and then the pod, in a root that lies in `ground`: so what is there may be
/// removed only from outside.
fn follow(page: &str, ground: &Pool, pause: &Path) {
    let clone = ground.join("clone");
    private_root_below(ground, true);
    overlay("/usr/bin", "/usr/bin");
    let stage = Stage::new();
    let dir = stage.pool.mkdir("containerd");
    if !configure(&dir) {
        return skip("containerd's configuration is not Debian's");
    }
    let addresses = dir.join("addresses");
    let Some(bridge) = Bridge::configured(Path::new("/etc/cni/net.d"), &addresses) else { return };
    let path = format!("{}:/usr/sbin:/usr/bin", ground.join("noted-commands").display());
    let sh = |block: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", block]).current_dir(&clone);
        run(bash.env_remove("NODE_PREFIX").env("PATH", &path)).good();
        fs::read_to_string(ground.join("noted")).unwrap_or_default()
    };
    let blocks = blocks(page);
    let [programs, nodes, containerd, pods] = &blocks[..] else { panic!("blocks: {blocks:?}") };
    sh(programs);
    sh(nodes);
    assert!(sh(containerd).ends_with("systemctl restart containerd\n"));
    let cri = Cri::installed(stage, dir, Path::new(CONFIG));
    cri.import(pause, PAUSE);
    let class: RuntimeClass = read(&clone.join("docs/kubernetes/runtimeclass.yaml"), "RuntimeClass");
    let manifest: Manifest<PodSpec> = read(&clone.join("docs/kubernetes/pod.yaml"), "Pod");
    for name in manifest.spec.images().chain([&sandbox_image()]) {
        // Two containers may have the same.
        cri.ctr(&["image", "tag", "--force", PAUSE, name]).good();
        eventually(&format!("CRI knows {name}"), || cri.cri().has_image(name));
    }
    let noted = sh(pods);
    for file in ["runtimeclass", "pod"] {
        assert!(noted.contains(&format!("kubectl apply -f docs/kubernetes/{file}.yaml\n")), "{noted}");
    }
    assert_eq!(manifest.spec.runtime_class_name.as_ref(), Some(class.name()));
    runs(&cri, &class.handler, &manifest);
    crate::assert_no_leftovers(&cri);
    drop(cri);
    drop(bridge);
}

/// The pod of the manifest: what `kubectl logs` and `kubectl exec` of the page show.
fn runs(cri: &Cri, handler: &str, manifest: &Manifest<PodSpec>) {
    let pod = Pod::configured(cri, handler, &manifest.metadata.name, |config| {
        own_network(config);
        config.annotations.extend(manifest.metadata.annotations.clone());
    });
    let start = |name: &str| {
        let container =
            manifest.spec.containers.iter().find(|container| container.name == name).expect("declared");
        pod.started(container.config(&manifest.spec, &pod, Path::to_owned))
    };
    let [_writer, reader] = ["writer", "reader"].map(start);
    let year = run(Command::new("date").arg("+%Y")).good().out;
    eventually("the reader sees what the writer writes", || {
        pod.log("reader", "stdout").contains(year.trim())
    });
    let output = pod.exec(&reader, &["ls", "/nodes"]).expect("running");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        listed.contains("core\n") && listed.contains("reader\n") && !listed.contains("writer"),
        "{listed}"
    );
    assert_eq!(pod.sh(&reader, "grep CapEff /proc/self/status"), "CapEff:\t0000000000000000\n");
    pod.end();
}

#[test]
fn the_page_is_true() {
    if !possible() {
        return;
    }
    // Debian's containerd looks for them there.
    if plugins() != Some("/usr/lib/cni") {
        return skip("Debian's package of the CNI plugins is not installed");
    }
    let ground = Pool::new();
    let Some(pause) = images::pause(&ground.mkdir("images")) else {
        return skip("there is no C compiler for the pause program");
    };
    clone(&ground);
    let page = fs::read_to_string(ground.join("clone/docs/src/kubernetes.md")).expect("exists");
    let done = std::thread::scope(|scope| scope.spawn(|| follow(&page, &ground, &pause)).join());
    assert!(done.is_ok(), "see above");
}
