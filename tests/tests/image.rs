//! `red-conf image`: an image that stands for a node or has its contents, and what engines make of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use red_tests::call::{Said, conf};
use red_tests::engine::Engine;
use red_tests::podman::{Podman, through_files};
use red_tests::skip;
use red_tests::stage::Stage;
use serde_json::{Value, json};

#[path = "image/full.rs"]
mod full;

/// A leaf with accounts of its own, in which a user has a name.
fn with_accounts() -> Stage {
    let leaf = "  - {mode: RestrictedFile, mount: /etc/passwd, path: $NODE_PATH/own/passwd}\n  - {mode: RestrictedFile, mount: /etc/group, path: $NODE_PATH/own/group}\n";
    let stage = Stage::with("", leaf);
    stage
        .pool
        .write("core/mid/app/own/passwd", "root:x:0:0::/:/bin/sh\nnavigator:x:1234:1235::/tmp:/bin/sh\n");
    stage.pool.write("core/mid/app/own/group", "root:x:0:\nships:x:1235:\nharbour:x:77:navigator\n");
    stage
}

fn image(stage: &Stage, name: &str, options: &[&str]) -> (PathBuf, Said) {
    let dir = stage.pool.join(name);
    let (leaf, output) = (stage.leaf.display().to_string(), dir.display().to_string());
    let said = conf(["image", &leaf, "--output", &output].iter().chain(options));
    (dir, said)
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for below in [dir.to_owned(), dir.join("blobs/sha256")] {
        for entry in fs::read_dir(below).expect("it was written").flatten() {
            if entry.path().is_file() {
                let name = entry.path().strip_prefix(dir).expect("it is below").to_owned();
                all.insert(name, fs::read(entry.path()).expect("it is there"));
            }
        }
    }
    all
}

/// A document of an image, by its descriptor.
fn document(files: &BTreeMap<PathBuf, Vec<u8>>, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().expect("it has one").replacen("sha256:", "blobs/sha256/", 1);
    serde_json::from_slice(&files[Path::new(&digest)]).expect("it is JSON")
}

#[test]
fn the_same_node_gives_the_same_small_image() {
    let stage = with_accounts();
    let (one, said) = image(&stage, "one", &["--cmd", "navigation", "--cmd", "--fast"]);
    let digest = said.good().out.trim().to_owned();
    let plan = conf(["plan", &stage.leaf.display().to_string(), "--json"]).good().json();
    assert_eq!(plan["digest"], json!(digest));
    let (two, said) = image(&stage, "two", &["--cmd", "navigation", "--cmd", "--fast", "--json"]);
    let said = said.good().json();
    assert_eq!((&said["digest"], &said["name"]), (&json!(digest), &json!("localhost/app:latest")));
    let all = files(&one);
    assert_eq!(all, files(&two));
    let size: usize = all.values().map(Vec::len).sum();
    assert!(all.len() == 5 && size < 3000, "{size} bytes in {} files", all.len());
    let index: Value = serde_json::from_slice(&all[Path::new("index.json")]).expect("it is JSON");
    let manifest = document(&all, &index["manifests"][0]);
    assert_eq!(manifest["annotations"]["bzh.redpesk.redpak.plan-digest"], json!(digest));
    let config = document(&all, &manifest["config"]);
    assert_eq!(config["config"]["Cmd"], json!(["navigation", "--fast"]));
    // Nothing of somebody's is overwritten.
    let (_, again) = image(&stage, "one", &[]);
    assert!(again.code == 1 && again.err.contains("is not an empty directory"), "{}", again.err);
    assert_eq!(files(&one), all);
    let (other, said) =
        image(&stage, "other", &["--arch", "arm64", "--name", "example.org/x/y:3", "--strict"]);
    said.good();
    let all = files(&other);
    let index: Value = serde_json::from_slice(&all[Path::new("index.json")]).expect("it is JSON");
    let names = &index["manifests"][0]["annotations"];
    assert_eq!(names["io.containerd.image.name"], "example.org/x/y:3");
    assert_eq!(names["org.opencontainers.image.ref.name"], "3");
    let config = document(&all, &document(&all, &index["manifests"][0])["config"]);
    assert_eq!((&config["architecture"], &config["config"]["Cmd"]), (&json!("arm64"), &json!(["sh"])));
}

/// What a node has at `etc/passwd` is foreign: a link there does not lead into the host, and nothing waits.
#[test]
fn accounts_of_an_image_are_the_nodes_own_files_or_none() {
    let leaf = "  - {mode: Restricted, mount: /etc, path: $NODE_PATH/own}\n";
    let stage = Stage::with("", leaf);
    let secret = stage.pool.write("secret", "the host's\n");
    // The core's own is a file of the launch; the leaf's directory covers the rest of /etc.
    let group = stage.pool.join("core/mid/app/own/group");
    stage.pool.write("core/mid/app/own/passwd", "root:x:0:0::/:/bin/sh\n");
    let mut number = 0;
    let mut write = || {
        number += 1;
        let (dir, said) = image(&stage, &format!("image{number}"), &[]);
        let layers = if dir.exists() { files(&dir) } else { BTreeMap::new() };
        let archive = stage.pool.join("layer.tar.gz");
        let layer = layers.into_values().find(|bytes| bytes.starts_with(&[0x1f, 0x8b])).unwrap_or_default();
        fs::write(&archive, layer).expect("it is ours");
        let mut tar = std::process::Command::new("tar");
        let group = red_tests::call::run(tar.arg("-xOzf").arg(&archive).arg("etc/group")).out;
        (said, group)
    };
    let (said, none) = write();
    said.good();
    assert_eq!(none, "root:x:0:\n");
    for target in [secret.display().to_string(), "/etc/shadow".to_owned(), "../../../../secret".to_owned()] {
        std::os::unix::fs::symlink(&target, &group).expect("it is ours");
        let (said, group_of) = write();
        said.good();
        assert_eq!(group_of, none, "{target}");
        fs::remove_file(&group).expect("it is ours");
    }
    for kind in ["fifo", "directory", "large"] {
        match kind {
            "fifo" => {
                red_tests::call::run(std::process::Command::new("mkfifo").arg(&group)).good();
            }
            "directory" => fs::create_dir(&group).expect("it is ours"),
            _ => {
                fs::File::create(&group).and_then(|file| file.set_len((1 << 20) + 1)).expect("it is ours");
            }
        }
        let (said, _) = write();
        let words = if kind == "large" { "more than 1048576" } else { "not a regular file" };
        assert!(said.code == 1 && said.err.contains(words), "{kind}: {}{}", said.out, said.err);
        assert!(said.err.contains(&group.display().to_string()), "{kind}: {}", said.err);
        if kind == "directory" { fs::remove_dir(&group) } else { fs::remove_file(&group) }
            .expect("it is ours");
    }
}

#[test]
fn a_name_that_no_registry_takes_is_refused() {
    let stage = with_accounts();
    let (dir, said) = image(&stage, "port", &["--name", "example.org:5000/app"]);
    said.good();
    let index: Value = serde_json::from_slice(&files(&dir)[Path::new("index.json")]).expect("it is JSON");
    let names = &index["manifests"][0]["annotations"];
    assert_eq!(names["io.containerd.image.name"], "example.org:5000/app:latest");
    assert_eq!(names["org.opencontainers.image.ref.name"], "latest");
    let digest = format!("example.org/app@sha256:{}", "0".repeat(64));
    for name in [&*digest, "example.org//app", "example.org/app:", "example.org:port/app", "App", ""] {
        let (dir, said) = image(&stage, "refused", &["--name", name]);
        assert!(said.code == 2 && said.err.contains("--name"), "{name}: {} {}", said.code, said.err);
        assert!(!dir.exists(), "{name}");
    }
}

#[test]
fn podman_runs_the_image_as_the_node_and_knows_its_users() {
    let stage = with_accounts();
    let Some(podman) = Podman::new(&stage.pool, None) else { return skip("podman is not installed") };
    let (dir, said) = image(&stage, "image", &["--cmd", "sh", "--cmd", "-c", "--cmd", "echo $WHO"]);
    said.good();
    // podman names it by its path as it is given, and takes no capital letters.
    let mut pull = podman.command();
    pull.args(["pull", "--quiet", "oci:image"]).current_dir(dir.parent().expect("it has one"));
    let pulled = through_files(stage.pool.path(), pull);
    assert_eq!(pulled.code, 0, "{}", pulled.err);
    let id = pulled.out.trim().to_owned();
    let said = podman.call(["run", "--rm", "--network", "none", &id]);
    assert_eq!((said.code, said.out.as_str()), (0, "app\n"), "{}", said.err);
    for (user, wanted) in [
        ("navigator", "1234 1235 1235 77\n"),
        ("navigator:ships", "1234 1235 1235\n"),
        ("0:harbour", "0 77 77\n"),
    ] {
        let said = podman.call([
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            user,
            &id,
            "sh",
            "-c",
            "echo $(id -u) $(id -g) $(id -G)",
        ]);
        assert_eq!((said.code, said.out.as_str()), (0, wanted), "{user}: {}", said.err);
    }
    // Another node than the image's is not started because somebody says so beside it.
    let annotation = format!("bzh.redpesk.redpak.redpath={}", stage.pool.join("core/mid").display());
    let said = podman.call(["run", "--rm", "--network", "none", "--annotation", &annotation, &id]);
    assert!(
        said.code == 126 && said.err.contains("the root's .redpath.yaml:1:10 refers to node"),
        "{}",
        said.err
    );
    // Nor one that has changed.
    let config = stage.leaf.join("etc/redpak.yaml");
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, text.replace("key: WHO", "key: WHOSE")).expect("it is ours");
    let said = podman.call(["run", "--rm", "--network", "none", &id]);
    for words in ["plan digest mismatch for ", "; it differs in: environment"] {
        assert!(said.code == 126 && said.err.contains(words), "{}", said.err);
    }
}

#[test]
fn a_unit_of_podman_runs_the_node() {
    let stage = Stage::with(", share_net: Enabled", "");
    let leaf = stage.leaf.display().to_string();
    let unit = conf(["quadlet", &leaf, "--cmd", "sh", "--cmd", "-c", "--cmd", "echo $WHO"]).good().out;
    let digest = conf(["plan", &leaf, "--json"]).good().json()["digest"].clone();
    let lines = [
        "[Container]".to_owned(),
        "ContainerName=app".to_owned(),
        format!("Rootfs={leaf}:O"),
        "PodmanArgs=--runtime=red-runtime".to_owned(),
        format!("Annotation=bzh.redpesk.redpak.plan-digest={}", digest.as_str().expect("it has one")),
        "Network=host".to_owned(),
        "Exec=sh -c \"echo $$WHO\"".to_owned(),
    ];
    for line in &lines {
        assert!(unit.lines().any(|one| one == line), "{line}:\n{unit}");
    }
    assert!(unit.starts_with("# Needs podman 4.5 or newer"), "{unit}");
    for (word, why) in [(";", "end of a command"), ("", "empty word"), ("a\nb", "control characters")] {
        let said = conf(["quadlet", &leaf, "--cmd", "sh", "--cmd", word]);
        assert!(said.code == 1 && said.out.is_empty(), "{word:?}: {}", said.out);
        assert!(said.err.contains("--cmd `") && said.err.contains(why), "{word:?}: {}", said.err);
    }
    let generator = ["/usr/libexec/podman/quadlet", "/usr/lib/podman/quadlet"];
    let Some(generator) = generator.iter().find(|path| Path::new(path).exists()) else {
        return without_generator();
    };
    stage.pool.write("units/app.container", &unit);
    let mut command = std::process::Command::new(generator);
    let said =
        red_tests::call::run(command.arg("-dryrun").env("QUADLET_UNIT_DIRS", stage.pool.join("units")));
    for word in ["--runtime=red-runtime", &format!("--rootfs {leaf}:O"), "plan-digest=sha256:"] {
        assert!(said.out.contains(word), "{word}: {}{}", said.out, said.err);
    }
}

/// Says why no generator reads the unit: podman has one from 4.4 on, and one that knows `Rootfs=` from 4.5 on.
fn without_generator() {
    let Ok(said) = std::process::Command::new("podman").arg("--version").output() else {
        return skip("podman is not installed");
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.split_whitespace().last().unwrap_or_default();
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(4), Some(5)) {
        return red_tests::remark(&format!("podman {version} has no generator that reads Rootfs="));
    }
    skip("podman's generator is not installed");
}

#[test]
fn a_node_that_differs_from_its_image_is_told_with_what_differs() {
    let engine = Engine::new(with_accounts());
    let stage = &engine.stage;
    let (dir, said) = image(stage, "image", &["--strict"]);
    said.good();
    // The layer is the largest of what is compressed.
    let layer = files(&dir).into_values().find(|bytes| bytes.starts_with(&[0x1f, 0x8b])).expect("it has one");
    let root = stage.pool.mkdir("root");
    fs::write(stage.pool.join("layer.tar.gz"), layer).expect("it is ours");
    let archive = stage.pool.join("layer.tar.gz");
    red_tests::call::run(std::process::Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&root))
        .good();
    let run = || {
        engine.run(&engine.node("b", &["sh", "-c", "echo $WHO"], |spec| spec["root"]["path"] = json!(root)))
    };
    assert_eq!(run().good().out, "app\n");
    let config = stage.leaf.join("etc/redpak.yaml");
    let text = fs::read_to_string(&config).expect("it is there");
    for (change, words) in [
        (text.replace("/nodes/app/private", "/nodes/app/other"), "it differs in: exports"),
        (format!("config: {{umask: 077, share_net: Enabled}}\n{text}"), "it differs in: namespaces, process"),
        (
            text.replace(
                "- {mode: RestrictedFile, mount: /etc/group",
                "- {mode: PrivateFile, mount: /etc/group",
            ),
            "it differs in: exports",
        ),
    ] {
        fs::write(&config, change).expect("it is ours");
        let said = run();
        assert!(said.code == 1 && said.err.contains(words), "{words}: {}{}", said.out, said.err);
    }
}
