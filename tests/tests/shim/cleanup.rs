//! Root mounts, signals to the shim, and its command `delete`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::types::mount::Mount;
use red_tests::call::{built, run};
use red_tests::containerd::Rootfs;
use red_tests::daemon::signal;
use red_tests::stage::{Stage, eventually};
use rustix::process::Signal;

use crate::client::{Shim, binary_option, mounts, runtime_wrapper};
use crate::{assert_no_leftovers, setup};

/// A bundle with its root file system in another directory, from which it is to be mounted.
fn unmounted_bundle(stage: &Stage) -> (std::path::PathBuf, std::path::PathBuf) {
    let bundle = stage.plain("b", &["/usr/bin/sleep", "1000"], |_| {});
    let image = stage.pool.join("image");
    fs::rename(bundle.join("rootfs"), &image).expect("test directory is writable");
    for name in ["usr", "proc", "dev", "sub"] {
        fs::create_dir_all(image.join(name)).expect("test directory is writable");
    }
    (bundle, image)
}

fn mount(fs_type: &str, source: &Path, target: &str, options: &[&str]) -> Mount {
    Mount {
        type_: fs_type.into(),
        source: source.display().to_string(),
        target: target.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

#[test]
fn links_of_the_image_do_not_lead_mounts_out_of_it() {
    let stage = Stage::new();
    let ((bundle, image), id) = (unmounted_bundle(&stage), "mount-a");
    let outside = stage.pool.mkdir("outside");
    symlink(&outside, image.join("link")).expect("test directory is writable");
    symlink("/sub", image.join("inside")).expect("test directory is writable");
    let shim = Shim::start(&stage, &bundle, id);
    let root = mount("bind", &image, "", &["rbind", "ro"]);
    let rootfs = |target: &str| vec![root.clone(), mount("tmpfs", Path::new("tmpfs"), target, &["nosuid"])];
    let create = |target: &str| api::CreateTaskRequest { rootfs: rootfs(target), ..shim.create(id, &bundle) };
    let (_, message) = shim.wrong("Create", &create("link"));
    assert!(message.contains("cannot mount tmpfs on "), "{message}");
    assert!(mounts(stage.pool.path()).is_empty());
    shim.run(&create("/inside"));
    let bundle_root = bundle.join("rootfs");
    let [at_root, at_sub] = ["", "sub"].map(|name| bundle_root.join(name).display().to_string());
    assert_eq!(mounts(stage.pool.path()), [at_root.trim_end_matches('/').to_owned(), at_sub]);
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
    assert!(mounts(stage.pool.path()).is_empty());
}

#[test]
fn overlays_of_many_layers_are_mounted_with_their_flags() {
    let stage = Stage::new();
    let ((bundle, image), id) = (unmounted_bundle(&stage), "mount-b");
    let layers: Vec<String> = (0..200)
        .map(|number| {
            stage.pool.mkdir(format!("a-long-name-of-a-snapshot/{number}/fs")).display().to_string()
        })
        .collect();
    fs::write(Path::new(&layers[199]).join("lowest"), "").expect("test directory is writable");
    let lowest = stage.pool.join("a-long-name-of-a-snapshot/200");
    fs::rename(&image, &lowest).expect("test directory is writable");
    let lower = format!("lowerdir={}:{}", layers.join(":"), lowest.display());
    assert!(lower.len() > 4096);
    let (upper, work) = (stage.pool.mkdir("upper"), stage.pool.mkdir("work"));
    let upper = [format!("upperdir={}", upper.display()), format!("workdir={}", work.display())];
    let options = ["nodev", "nosuid", "nodiratime", &lower, &upper[0], &upper[1]];
    let rootfs = vec![mount("overlay", Path::new("overlay"), "", &options)];
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&api::CreateTaskRequest { rootfs, ..shim.create(id, &bundle) });
    assert!(bundle.join("rootfs/lowest").exists() && bundle.join("rootfs/sub").exists());
    let text = fs::read_to_string("/proc/self/mounts").expect("procfs");
    let line = text.lines().find(|line| line.contains(&format!(" {}/rootfs ", bundle.display())));
    let flags = line.and_then(|line| line.split(' ').nth(3)).expect("mounted").to_owned();
    for flag in ["nodev", "nosuid", "nodiratime"] {
        assert!(flags.split(',').any(|one| one == flag), "{flag}: {flags}");
    }
    let cwd = fs::read_link(format!("/proc/{}/cwd", shim.pid)).expect("running");
    assert_eq!(cwd, Path::new("/"));
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
}

#[test]
fn delete_cleans_up_though_the_configuration_is_damaged() {
    let stage = Stage::new();
    let ((bundle, image), id) = (unmounted_bundle(&stage), "clean-a");
    let shim = Shim::start(&stage, &bundle, id);
    let rootfs = vec![mount("bind", &image, "", &["rbind"])];
    let pid = shim.run(&api::CreateTaskRequest { rootfs, ..shim.create(id, &bundle) });
    shim.kill_shim();
    fs::write(bundle.join("red-shim.json"), r#"{"program": "/us"#).expect("test directory is writable");
    let output = shim.delete_command(id).output().expect("spawn");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("red-shim.json: ") && log.contains("using the default runtime"), "{log}");
    assert!(
        api::DeleteResponse::parse_from_bytes(&output.stdout)
            .is_ok_and(|response| response.exit_status == 137)
    );
    assert!(mounts(stage.pool.path()).is_empty() && !shim.socket.exists());
    assert!(!shim.state_dir().join(id).exists() && !Path::new(&format!("/proc/{pid}/root/usr")).exists());
}

#[test]
fn the_runtime_never_gets_the_environment_of_the_daemon() {
    let stage = Stage::new();
    let (bundle, id) = (stage.plain("b", &["/usr/bin/true"], |_| {}), "clean-b");
    let environments = stage.pool.join("environments");
    let script = format!(r#"echo "$* $SECRET" >>{}; exec $runtime "$@""#, environments.display());
    let options = binary_option(&runtime_wrapper(&stage, "environment", &script));
    let secret = [("SECRET", "word-of-the-daemon")];
    let shim = Shim::with_env(&stage, &bundle, id, &secret);
    shim.run(&api::CreateTaskRequest { options: options.clone(), ..shim.create(id, &bundle) });
    shim.kill_shim();
    run(shim.delete_command(id).envs(secret)).good();
    let mut info = Command::new(built("containerd-shim-red-v2"));
    info.arg("-info").envs(secret).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut info = info.spawn().expect("spawn");
    let mut stdin = info.stdin.take().expect("stdio is piped");
    options.write_to_writer(&mut stdin).expect("write");
    drop(stdin);
    assert!(info.wait().expect("wait").success());
    let text = fs::read_to_string(environments).expect("exists");
    for subcommand in ["create", "start", "delete", "features"] {
        assert!(text.contains(subcommand), "{subcommand}: {text}");
    }
    assert!(!text.contains("word-of-the-daemon"), "{text}");
}

#[test]
fn signals_end_the_shim_and_containerd_cleans_up() {
    let Some((stage, containerd)) = setup() else { return };
    let roots = Rootfs::both(&stage);
    for number in [Signal::TERM, Signal::INT] {
        for root in &roots {
            let id = format!("{}-s", root.name);
            containerd.run_detached(root, &id, "trap '' TERM; sleep 1000 & sleep 1000");
            for pid in containerd.shim_pids() {
                signal(pid, number);
            }
            eventually("the shim exits", || containerd.shim_pids().is_empty());
            eventually("containerd has noticed", || {
                ["", "STOPPED", "UNKNOWN"].contains(&containerd.status(&id).as_str())
            });
            containerd.ctr(&["task", "delete", "--force", &id]);
            containerd.ctr(&["container", "delete", &id]).good();
            assert_no_leftovers(&containerd);
        }
    }
}
