//! What a kubelet mounts into each container, and the volumes of pods: there as sent, or refused, never dropped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use k8s_cri::v1::{ContainerConfig, Mount};
use red_tests::stage::Stage;
use tonic::Status;

use crate::pod::{Pod, bind, uid};
use crate::{assert_no_leftovers, setup};

/// Where a kubelet keeps pods; the runtime knows its files by that.
const PODS: &str = "/var/lib/kubelet/pods";

/// A pod's directory of a kubelet, taken away in the end.
struct Kubelet(PathBuf);

impl Kubelet {
    fn new(uid: &str) -> Self {
        let this = Self(Path::new(PODS).join(uid));
        let volume =
            |kind: &str, name: &str| this.0.join("volumes").join(format!("kubernetes.io~{kind}")).join(name);
        for (dir, file, text) in [
            (volume("projected", "token"), "token", "secret token\n"),
            (volume("configmap", "config"), "app.conf", "key = value\n"),
            (volume("secret", "key"), "key.pem", "secret key\n"),
        ] {
            // As the kubelet writes them: files behind two links, so that all of them change at once.
            let data = dir.join("..2026_11_30");
            fs::create_dir_all(&data).expect("test directory is writable");
            fs::write(data.join(file), text).expect("test directory is writable");
            symlink("..2026_11_30", dir.join("..data")).expect("test directory is writable");
            symlink(Path::new("..data").join(file), dir.join(file)).expect("test directory is writable");
        }
        for dir in [volume("empty-dir", "cache"), volume("empty-dir", "tmp"), this.0.join("containers/app")] {
            fs::create_dir_all(dir).expect("test directory is writable");
        }
        this.file("etc-hosts", "127.0.0.1 kubelet\n");
        this.file("containers/app/1a2b", "");
        this.file("volume-subpaths/config/app/0", "key = value\n");
        this
    }

    fn file(&self, below: &str, text: &str) {
        let path = self.0.join(below);
        fs::create_dir_all(path.parent().expect("parent directory")).expect("test directory is writable");
        fs::write(path, text).expect("test directory is writable");
    }

    /// What every container gets.
    fn own(&self) -> Vec<Mount> {
        let token = self.0.join("volumes/kubernetes.io~projected/token");
        vec![
            bind(&self.0.join("etc-hosts"), "/etc/hosts", false),
            bind(&self.0.join("containers/app/1a2b"), "/dev/termination-log", false),
            bind(&token, "/var/run/secrets/kubernetes.io/serviceaccount", true),
        ]
    }

    /// A volume, by the name of its row.
    fn volume(&self, row: &str) -> Mount {
        let (source, readonly) = match row.split(' ').next().unwrap_or_default() {
            "emptyDir" => ("volumes/kubernetes.io~empty-dir/cache", false),
            "configMap" => ("volumes/kubernetes.io~configmap/config", true),
            "secret" => ("volumes/kubernetes.io~secret/key", true),
            "subPath" => ("volume-subpaths/config/app/0", true),
            other => panic!("no volume `{other}`"),
        };
        bind(&self.0.join(source), row.split(' ').nth(1).unwrap_or_default(), readonly)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
        // Where there was no kubelet there is none afterwards.
        for dir in [PODS, "/var/lib/kubelet"] {
            drop(fs::remove_dir(dir));
        }
    }
}

/// What becomes of a mount.
enum Then {
    /// It is there and may be read.
    Read,
    /// It is there and may be written to.
    Written,
    /// The container does not start, and the message has these words.
    Refused(&'static str),
}
use Then::{Read, Refused, Written};

/// Volumes and, for each root of [`roots`], what becomes of them.
const TABLE: [(&str, [Then; 4]); 10] = [
    ("emptyDir /tmp", [Written, Written, Written, Written]),
    ("emptyDir /cache", [Written, Written, Written, Written]),
    ("configMap /cache/conf", [Read, Read, Read, Read]),
    ("configMap /config", [Read, Read, Read, Read]),
    ("secret /srv/key", [Read, Read, Read, Read]),
    ("subPath /etc/app.conf", [Read, Read, Refused("/etc/app.conf"), Read]),
    ("emptyDir /var/cache/app", [Written, Written, Written, Written]),
    ("emptyDir /data/cache", [Written, Written, Written, Refused("/data/cache")]),
    ("configMap /usr/share", [Read, Refused("/usr/share"), Refused("/usr/share"), Refused("/usr/share")]),
    ("emptyDir /data", [Written, Written, Written, Refused("/data")]),
];

/// A plain image, a node without directories of its own, one that exports /etc, one that exports /data and /var.
fn roots(stage: &Stage) -> [(&'static str, Option<PathBuf>); 4] {
    let pool = &stage.pool;
    // Its /etc has no place for a kubelet's files.
    pool.write("core/mid/etc/own/passwd", "the node's\n");
    pool.mkdir("core/mid/data/data");
    let etc = pool.node("core/mid/etc", "exports: [{mode: Restricted, mount: /etc, path: $NODE_PATH/own}]");
    let data = pool.node(
        "core/mid/data",
        "exports: [{mode: Private, mount: /data, path: $NODE_PATH/data}, {mode: Anonymous, mount: /var}]",
    );
    [("plain", None), ("app", Some(stage.leaf.clone())), ("etc", Some(etc)), ("data", Some(data))]
}

fn container(pod: &Pod, kubelet: &Kubelet, node: Option<&PathBuf>, rows: &[&str]) -> ContainerConfig {
    let mut config = match node {
        Some(node) => pod.node("app", node, "sleep 1000"),
        None => pod.plain("app", "sleep 1000"),
    };
    config.mounts.extend(kubelet.own());
    config.mounts.extend(rows.iter().map(|row| kubelet.volume(row)));
    config
}

#[test]
fn what_is_mounted_is_there_or_refused() {
    let Some((cri, _)) = setup() else { return };
    let roots = roots(&cri.stage);
    let pod = Pod::run(&cri, "red", "mounts");
    let kubelet = Kubelet::new(&uid("mounts", "red"));
    let mut faults = Vec::new();
    for (column, (name, node)) in roots.iter().enumerate() {
        let root = Root { pod: &pod, kubelet: &kubelet, node: node.as_ref() };
        let whole =
            |(row, then): &(&'static str, [Then; 4])| (!matches!(then[column], Refused(_))).then_some(*row);
        // Something at /data is no place for what is in it.
        let (over, beside): (Vec<_>, Vec<_>) =
            TABLE.iter().filter_map(whole).partition(|row| *row == "emptyDir /data");
        for rows in [beside, over].into_iter().filter(|rows| !rows.is_empty()) {
            faults.extend(root.there(&rows).into_iter().map(|fault| format!("{name}: {fault}")));
        }
        for (row, all) in &TABLE {
            if let Refused(message) = all[column] {
                faults.extend(root.refused(row, message).map(|fault| format!("{name}: {row}: {fault}")));
            }
        }
    }
    pod.end();
    assert_eq!(faults, Vec::<String>::new());
    assert_no_leftovers(&cri);
}

/// A container's root, and a kubelet's pod for it.
struct Root<'a> {
    pod: &'a Pod<'a>,
    kubelet: &'a Kubelet,
    node: Option<&'a PathBuf>,
}

impl Root<'_> {
    /// Does something with a container that has these mounts, or with what is said when it does not start.
    fn with<T>(&self, rows: &[&str], what: impl FnOnce(&str, Result<(), Status>) -> T) -> T {
        let config = container(self.pod, self.kubelet, self.node, rows);
        let id = self.pod.create(config).expect("CRI does not validate mounts");
        let done = what(&id, self.pod.start(&id));
        self.pod.stop(&id, 0);
        self.pod.remove(&id);
        done
    }

    fn there(&self, rows: &[&str]) -> Vec<String> {
        self.with(rows, |id, started| match started {
            Ok(()) => there(self.pod, self.kubelet, id, rows),
            Err(status) => vec![format!("{rows:?}: {}", status.message())],
        })
    }

    fn refused(&self, row: &str, message: &str) -> Option<String> {
        self.with(&[row], |_, started| match started {
            Err(status) if status.message().contains(message) => None,
            Err(status) => Some(status.message().to_owned()),
            Ok(()) => Some("it has started".into()),
        })
    }
}

/// What of a container's mounts is not as it was sent.
fn there(pod: &Pod, kubelet: &Kubelet, id: &str, rows: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let sh = |script: &str| {
        let output =
            pod.exec(id, &["sh", "-c", script]).unwrap_or_else(|status| panic!("{script}: {status}"));
        (
            output.exit_code,
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let mut holds = |what: &str, script: &str, expected: &str| {
        let output = sh(script);
        if output != (0, expected.to_owned()) {
            faults.push(format!("{what}: `{script}`: {output:?}"));
        }
    };
    holds("hosts", "cat /etc/hosts", "127.0.0.1 kubelet\n");
    let resolv = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    holds("resolv.conf", "cat /etc/resolv.conf", &resolv);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs");
    holds("hostname", "cat /etc/hostname", &hostname);
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    holds("token", &format!("cat {token}"), "secret token\n");
    holds("token", &format!("! echo x 2>/dev/null >{token}"), "");
    holds("termination log", "echo word >/dev/termination-log", "");
    for row in rows {
        let (kind, at) = row.split_once(' ').unwrap_or_default();
        match kind {
            "emptyDir" => holds(row, &format!("echo word >{at}/word; cat {at}/word; rm {at}/word"), "word\n"),
            "configMap" => {
                holds(row, &format!("cat {at}/app.conf; ! echo x 2>/dev/null >{at}/x"), "key = value\n")
            }
            "secret" => {
                holds(row, &format!("cat {at}/key.pem; ! echo x 2>/dev/null >{at}/x"), "secret key\n")
            }
            _ => holds(row, &format!("cat {at}; ! echo x 2>/dev/null >{at}"), "key = value\n"),
        }
    }
    let log = kubelet.0.join("containers/app/1a2b");
    if fs::read_to_string(&log).unwrap_or_default() != "word\n" {
        faults.push("termination log: nothing is in it".into());
    }
    fs::write(log, "").expect("test directory is writable");
    faults
}
