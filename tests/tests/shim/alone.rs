//! The program itself, without containerd.

use std::process::{Command, Stdio};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::shim::DeleteResponse;
use containerd_shim_protos::types::introspection::RuntimeInfo;
use red_tests::broom::User;
use red_tests::call::{Said, built, run};
use red_tests::stage::Stage;

fn shim() -> Command {
    let mut command = Command::new(built("containerd-shim-red-v2"));
    command.env_clear().stdin(Stdio::null()).current_dir("/");
    command
}

fn run_shim(args: &[&str]) -> Said {
    run(shim().args(args))
}

#[test]
fn version_and_info() {
    assert!(run_shim(&["-v"]).good().out.starts_with("containerd-shim-red-v2:\n  Version:  "));
    let output = shim().arg("-info").output().expect("spawn");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let info = RuntimeInfo::parse_from_bytes(&output.stdout).expect("valid message");
    assert_eq!(info.name, "io.containerd.red.v2");
    assert_eq!(info.features.type_url, "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
    let features: serde_json::Value = serde_json::from_slice(&info.features.value).expect("valid JSON");
    let own = run(Command::new(built("red-runtime")).arg("features")).good().json();
    assert_eq!(features, own);
    // Options that name another runtime are heard.
    let mut with = shim();
    let mut with = with
        .arg("-info")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    let options = containerd_shim_protos::shim::oci::Options {
        binary_name: "/no/runtime".into(),
        ..Default::default()
    };
    let any = containerd_shim_protos::protobuf::well_known_types::any::Any {
        type_url: "containerd.runc.v1.Options".into(),
        value: options.write_to_bytes().expect("complete message"),
        ..Default::default()
    };
    let mut to = with.stdin.take().expect("stdio is piped");
    any.write_to_writer(&mut to).expect("write");
    drop(to);
    let output = with.wait_with_output().expect("wait");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/runtime"));
}

#[test]
fn version_and_info_need_no_privilege() {
    let stage = Stage::new();
    let user = User::make();
    let shim = stage.pool.install("containerd-shim-red-v2", "containerd-shim-red-v2");
    stage.pool.install("red-runtime", "red-runtime");
    for flag in ["-v", "-info"] {
        run(user.command(&shim).arg(flag).env_remove("PATH")).good();
    }
}

#[test]
fn wrong_calls() {
    for (args, message) in [
        (&[][..], "start"),
        (&["start"], "missing flag: -namespace is required"),
        (&["-namespace", "n", "start"], "missing flag: -id is required"),
        (&["-namespace", "", "-id", "a", "delete"], "missing flag: -namespace is required"),
        (&["-namespace", "n", "-id", "a/b", "start"], "`a/b`"),
        (&["-namespace", "n", "-id", "a", "-frobnicate", "start"], "unknown flag: -frobnicate"),
        (&["-namespace", "n", "-id", "a", "restart"], "unknown command: restart"),
        // Not a bundle.
        (&["-namespace", "n", "-id", "a", "start"], "/config.json"),
    ] {
        let output = run_shim(args);
        assert_eq!((output.code, output.out.as_str()), (1, ""), "{args:?}");
        assert!(
            output.err.starts_with("containerd-shim-red-v2: ") && output.err.contains(message),
            "{args:?}: {}",
            output.err
        );
        assert_eq!(output.err.lines().count(), 1, "{}", output.err);
    }
}

#[test]
fn delete_without_a_daemon() {
    let stage = Stage::new();
    let bundle = stage.bundle("b", &["true"]);
    let namespace = format!("red-test-{}-alone", std::process::id());
    for _ in 0..2 {
        let output = shim()
            .args(["-namespace", &namespace, "-address", "/no/sock", "-publish-binary", "/no/containerd"])
            .args(["-id", "red-alone", "-bundle"])
            .arg(&bundle)
            .arg("delete")
            .output()
            .expect("spawn");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty());
        let response = DeleteResponse::parse_from_bytes(&output.stdout).expect("valid message");
        assert_eq!((response.exit_status, response.exited_at.seconds > 0), (137, true));
    }
    let states = std::path::Path::new("/run/containerd/red").join(namespace);
    assert!(!states.exists() || std::fs::remove_dir_all(states).is_ok());
}
