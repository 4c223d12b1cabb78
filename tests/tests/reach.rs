//! How far a launch reaches: what a child calls itself, what differs from launch to launch, what another
//! mode reads, what is not there yet, and what maintenance may write to.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use red_tests::call::{Said, built, red_wrap, run};
use red_tests::skip;
use red_tests::stage::{CORE, Stage};

/// A node of a stage gets settings and exports besides the usual ones.
fn write(stage: &Stage, node: &str, config: &str, exports: &[&str]) {
    let core = if node == "core" { CORE.replace("exports:\n", "") } else { String::new() };
    let path = if node == "core" { "path: /usr/bin:/usr/sbin, hostname: box, " } else { "" };
    let list: String = exports.iter().map(|one| format!("  - {one}\n")).collect();
    let exports = format!("exports:\n{core}{list}");
    let exports = if core.is_empty() && list.is_empty() { "exports: []\n".to_owned() } else { exports };
    stage.pool.node(node, &format!("config: {{{path}{config}}}\n{exports}"));
}

/// `red-wrap` of a node with more options and variables.
fn wrap_with(stage: &Stage, node: &str, options: &[&str], variables: &[(&str, &str)], script: &str) -> Said {
    let mut command = red_wrap(&stage.root);
    command.arg(format!("--redpath={}", stage.pool.join(node).display())).args(options);
    command.args(["--", "sh", "-c", script]).envs(variables.iter().copied());
    run(&mut command)
}

fn wrap(stage: &Stage, node: &str, script: &str) -> Said {
    wrap_with(stage, node, &[], &[], script)
}

/// Nothing started, for this reason, and the message names these places.
fn refused(said: &Said, code: &str, words: &[&str]) {
    assert_eq!(said.code, 125, "{}{}", said.out, said.err);
    assert_eq!(said.out, "", "it ran");
    assert!(said.err.contains(&format!("error[{code}]")), "{code}: {}", said.err);
    for word in words {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
}

/// A script that makes a node at `inside`, which is `real` on the host.
fn node_at(inside: &str, real: &Path) -> String {
    format!(
        "mkdir -p {inside}/etc && printf 'headers: {{alias: x}}\\nexports: []\\n' > {inside}/etc/redpak.yaml && \
         printf 'realpath: {}\\ntimestamp: 1\\nstate: Enable\\n' > {inside}/.rednode.yaml && echo written",
        real.display()
    )
}

#[test]
fn where_a_path_leads_in_one_launch_is_known_in_all() {
    let stage = Stage::new();
    stage.pool.mkdir("core/mid/data");
    stage.pool.mkdir("lnk");
    symlink(stage.pool.join("core/mid/data"), stage.pool.join("lnk/data")).expect("it is ours");
    let lnk = stage.pool.join("lnk").display().to_string();
    for path in ["'$(echo $NODE_PATH/data)'", "$NODE_PATH$SUB", "$WHERE/data", &format!("{lnk}/$FOO")] {
        write(&stage, "core/mid", "", &[&format!("{{mode: Private, mount: /d, path: {path}}}")]);
        let mid = stage.pool.join("core/mid").display().to_string();
        let variables = [("SUB", "/data"), ("WHERE", mid.as_str()), ("FOO", "data")];
        let said = wrap_with(&stage, "core/mid", &[], &variables, "echo ran");
        refused(&said, "export-decides", &["core/mid/etc/redpak.yaml:", "in other launches nobody can tell"]);
    }
    // A name in a directory of the node may be any, by whatever name of the directory.
    symlink(stage.pool.join("core/mid"), stage.pool.join("link")).expect("it is ours");
    let link = stage.pool.join("link").display().to_string();
    write(&stage, "core/mid", "", &[&format!("{{mode: Private, mount: /d, path: {link}/$FOO}}")]);
    let node = stage.pool.join("core/mid/data/x");
    let said = wrap_with(&stage, "core/mid", &[], &[("FOO", "data")], &node_at("/d/x", &node));
    assert_eq!(said.good().out, "written\n");
    for foo in ["data", "else"] {
        let said = wrap_with(&stage, "core/mid/data/x", &[], &[("FOO", foo)], "echo ran");
        refused(&said, "node-writable", &["core/mid/etc/redpak.yaml:"]);
    }
    // What is fixed first is as it was.
    for path in ["$NODE_PATH/home/$USER", "'$NODE_PATH/home/$(id -un)'", "$NODE_PATH/$UID"] {
        write(&stage, "core/mid", "", &[&format!("{{mode: Private, mount: /d, path: {path}}}")]);
        assert_eq!(wrap(&stage, "core/mid", "touch /d/x && echo ran").good().out, "ran\n");
        assert_eq!(wrap(&stage, "core/mid/app", "echo ran").good().out, "ran\n");
    }
}

#[test]
fn a_leaf_is_one_name_in_paths_of_its_elders() {
    let stage = Stage::new();
    stage.pool.mkdir("core/mid/usr");
    let leaf = |alias: &str, name: &str| {
        let text = format!("headers: {{alias: {alias}, name: '{name}', info: '{name}'}}\nexports: []\n");
        stage.pool.write("core/mid/app/etc/redpak.yaml", text);
    };
    let places = ["core/mid/etc/redpak.yaml:", "core/mid/app/etc/redpak.yaml:1:"];
    for variable in ["LEAF_NAME", "LEAF_INFO"] {
        let export = format!("{{mode: Public, mount: /s, path: $NODE_PATH/shared/${variable}}}");
        write(&stage, "core/mid", "", &[&export]);
        for name in ["../usr", "../app", "..", "."] {
            leaf("app", name);
            refused(&wrap(&stage, "core/mid/app", "echo ran"), "bad-path", &places);
        }
        leaf("app", "My App");
        assert_eq!(wrap(&stage, "core/mid/app", "echo ran").good().out, "ran\n");
        assert!(stage.pool.join("core/mid/shared/My App").is_dir());
    }
    leaf("app", "../../proc/1/ns/net");
    write(&stage, "core/mid", "share_net: /run/netns/$LEAF_NAME", &[]);
    refused(&wrap(&stage, "core/mid/app", "echo ran"), "bad-path", &places);
    // Whom a command runs as is the elder's to say, or the leaf's own file's.
    leaf("root", "x");
    write(&stage, "core/mid", "set-user: $LEAF_ALIAS", &[]);
    refused(&wrap(&stage, "core/mid/app", "echo ran"), "bad-user", &places);
    write(&stage, "core/mid", "", &[]);
    write(&stage, "core/mid/root", "set-user: $LEAF_ALIAS", &[]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(wrap(&stage, "core/mid/root", "echo ran").good().out, "ran\n");
    }
}

#[test]
fn what_another_mode_reads_is_out_of_reach() {
    let stage = Stage::new();
    stage.pool.mkdir("core/mid/app/conf");
    stage.pool.mkdir("core/mid/app/etc/yum.repos.d");
    let export = "{mode: Private, mount: /x, path: $NODE_PATH/conf}";
    for (link, target) in [
        ("etc/redpak-admin.yaml", "../conf/adm.yaml"),
        ("etc/redpack.yaml", "../conf/adm.yaml"),
        ("etc/yum.repos.d/a.repo", "../../conf/adm.yaml"),
        (".red", "conf/store"),
    ] {
        write(&stage, "core/mid/app", "", &[export]);
        let link = stage.pool.join("core/mid/app").join(link);
        symlink(target, &link).expect("it is ours");
        for there in [false, true] {
            if there {
                stage.pool.write("core/mid/app/conf/adm.yaml", "headers: {alias: a}\n");
                stage.pool.mkdir("core/mid/app/conf/store");
            }
            let said =
                wrap(&stage, "core/mid/app", "echo PWN > /x/adm.yaml; echo PWN > /x/store/f; echo ran");
            refused(&said, "export-decides", &["core/mid/app/etc/redpak.yaml:", "/conf/"]);
        }
        fs::remove_file(&link).expect("it is ours");
        fs::remove_dir_all(stage.pool.join("core/mid/app/conf")).expect("it is ours");
        stage.pool.mkdir("core/mid/app/conf");
        assert_eq!(wrap(&stage, "core/mid/app", "echo ran").good().out, "ran\n", "without the link");
    }
}

#[test]
fn what_the_host_decides_by_is_out_of_reach_before_it_is_there() {
    let stage = Stage::new();
    let data = stage.pool.mkdir("outside/data");
    let redpak = stage.pool.mkdir("prefix/etc/redpak");
    let prefix = stage.pool.join("prefix").display().to_string();
    let export = format!("{{mode: Public, mount: /x, path: {}}}", data.display());
    write(&stage, "core/mid/app", "", &[&export]);
    let start = || wrap_with(&stage, "core/mid/app", &[], &[("NODE_PREFIX", &prefix)], "echo ran");
    assert_eq!(start().good().out, "ran\n");
    let exported = ("export-decides", "core/mid/app/etc/redpak.yaml:");
    for (link, target, (code, place)) in [
        // What is read by any launch has to be there.
        ("main.yaml", "main.yaml", ("unreadable", "etc/redpak/main.yaml")),
        ("main-admin.yaml", "a.yaml", exported),
        ("templates.d", "tpl", exported),
    ] {
        symlink(data.join(target), redpak.join(link)).expect("it is ours");
        refused(&start(), code, &[place, target]);
        fs::remove_file(redpak.join(link)).expect("it is ours");
    }
    fs::create_dir(redpak.join("templates.d")).expect("it is ours");
    symlink(data.join("t.yaml"), redpak.join("templates.d/leaf.yaml")).expect("it is ours");
    refused(&start(), "export-decides", &["core/mid/app/etc/redpak.yaml:", "t.yaml"]);
}

#[test]
fn maintenance_reaches_its_own_node_and_what_is_below() {
    let stage = Stage::new();
    stage.pool.mkdir("core/mid/usr/bin");
    stage.pool.mkdir("core/mid/app/usr");
    stage.pool.node("core/mid/sibling", "exports: []");
    stage.pool.node("other", "exports: []");
    let start = |path: &Path, script: &str| {
        let text = format!(
            "headers: {{alias: app}}\nexports: [{{mode: Public, mount: /x, path: {}}}]\n",
            path.display()
        );
        stage.pool.write("core/mid/app/etc/redpak-admin.yaml", text);
        wrap_with(&stage, "core/mid/app", &["--admin"], &[], script)
    };
    for path in ["core/mid/sibling", "core/mid/sibling/etc", "core/mid/usr/bin", "other", "other/etc"] {
        let said = start(&stage.pool.join(path), "echo ran");
        refused(&said, "export-decides", &["core/mid/app/etc/redpak-admin.yaml:", path]);
    }
    assert_eq!(start(&stage.pool.join("core/mid/app/usr"), "touch /x/f && echo ran").good().out, "ran\n");
    // A lock at a place that stays read-only does not uncover it.
    let text = "headers: {alias: mid}\nexports:\n  - {mode: Private, mount: /n, path: $NODE_PATH}\n  - {mode: Lock, mount: /n/etc/redpak.yaml}\n  - {mode: Lock, mount: /n/.rednode.yaml}\n";
    stage.pool.write("core/mid/etc/redpak-admin.yaml", text);
    let script = "for f in /n/etc/redpak.yaml /n/.rednode.yaml; do echo '#PWN' >> $f; done; echo ran";
    let said = wrap_with(&stage, "core/mid", &["--admin"], &[], script);
    assert_eq!(said.good().out, "ran\n");
    for file in ["etc/redpak.yaml", ".rednode.yaml"] {
        let text = fs::read_to_string(stage.pool.join("core/mid").join(file)).expect("it is there");
        assert!(!text.contains("PWN"), "{file}");
    }
}

#[test]
fn a_namespace_is_not_where_contents_lead_it() {
    let stage = Stage::new();
    stage.pool.mkdir("core/mid/data");
    symlink("/proc/1/ns/net", stage.pool.join("core/mid/data/net")).expect("it is ours");
    let export = "{mode: Public, mount: /d, path: $NODE_PATH/data}";
    write(&stage, "core/mid", "share_net: $NODE_PATH/data/net", &[export]);
    for node in ["core/mid", "core/mid/app"] {
        let words = ["core/mid/etc/redpak.yaml:", "contents could put another one there"];
        refused(&wrap(&stage, node, "readlink /proc/self/ns/net"), "export-decides", &words);
    }
}

#[test]
fn records_of_what_runs_are_made_before_contents_make_them() {
    let stage = Stage::new();
    let home = stage.pool.mkdir("home");
    stage.pool.mkdir("home/.local");
    let export = format!("{{mode: Public, mount: /h, path: {}/.local}}", home.display());
    write(&stage, "core/mid/app", "", &[&export]);
    let script = "mkdir -p /h/state/red-runtime/b/forged || echo kept; mv /h/state /h/away || echo stays; echo x > /h/file && echo wrote";
    let home = home.display().to_string();
    let said = wrap_with(&stage, "core/mid/app", &[], &[("HOME", &home)], script);
    assert_eq!(said.good().out, "kept\nstays\nwrote\n");
    let made = fs::metadata(stage.pool.join("home/.local/state/red-runtime")).expect("it was made");
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_an_elder_has_read_only_is_not_made_by_a_child() {
    let stage = Stage::new();
    let par = stage.pool.mkdir("outside/par");
    let link = stage.pool.join("outside/link");
    symlink(&par, &link).expect("it is ours");
    for (elder, younger) in [(&link, &par), (&par, &link), (&link, &link)] {
        let elder = format!("{{mode: Restricted, mount: /ro, path: {}/conf}}", elder.display());
        write(&stage, "core/mid", "", &[&elder]);
        let younger = format!("{{mode: Public, mount: /x, path: {}}}", younger.display());
        write(&stage, "core/mid/app", "", &[&younger]);
        let said = wrap(&stage, "core/mid/app", "mkdir /x/conf; echo ran");
        refused(&said, "export-writable", &["core/mid/etc/redpak.yaml:", "core/mid/app/etc/redpak.yaml:"]);
    }
}

#[test]
fn a_child_has_nothing_made_between_nodes() {
    let stage = Stage::new();
    let between = stage.pool.mkdir("core/between");
    write(&stage, "core/between/good", "", &[]);
    let exports = [".rednode.yaml", "new"].map(|name| {
        let path = between.join(name).display().to_string();
        format!("{{mode: Restricted, mount: /{}, path: {path}}}", name.trim_start_matches('.'))
    });
    write(&stage, "core/between/evil", "", &[&exports[0], &exports[1]]);
    assert_eq!(wrap(&stage, "core/between/evil", "echo ran").good().out, "ran\n");
    assert!(!between.join(".rednode.yaml").exists() && !between.join("new").exists());
    assert_eq!(wrap(&stage, "core/between/good", "echo ran").good().out, "ran\n");
}

#[test]
fn a_service_that_is_mounted_into_a_node_is_one() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let stage = Stage::new();
    let svc = stage.pool.mkdir("core/mid/app/svc");
    write(&stage, "core/mid/app", "", &["{mode: Restricted, mount: /x, path: $NODE_PATH/svc}"]);
    let prepare =
        format!("mount -t tmpfs t /run && mkdir /run/podman && mount --bind /run/podman {}", svc.display());
    let all = format!("{prepare} && exec -a red-wrap {} \"$@\"", built("red-runtime").display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", &all, "red-wrap", "--root"]).arg(&stage.root);
    command.arg(format!("--redpath={}", stage.pool.join("core/mid/app").display())).args(["--", "ls", "/x"]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("XDG_RUNTIME_DIR", &stage.root);
    let said = run(command.stdin(std::process::Stdio::null()));
    refused(&said, "export-privileged", &["core/mid/app/etc/redpak.yaml:", "podman"]);
}
