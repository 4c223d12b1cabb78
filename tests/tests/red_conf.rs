//! `red-conf`, command by command.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, built, conf, red_conf, run};
use red_tests::pool::Pool;
use serde_json::Value;

/// A small family in which everything is overridden once.
fn family() -> (Pool, PathBuf) {
    let pool = Pool::new();
    pool.mkdir("data");
    pool.node(
        "base",
        &format!(
            "config: {{hostname: $NODE_ALIAS, umask: 027, share_all: Disabled, share_net: Enabled, path: '/bin:/nodes/$NODE_ALIAS/bin',
  cgroups: {{mem: {{max: 64M}}, pids: {{max: 30}}}}, capabilities: [{{cap: NET_RAW, add: 1, warn: needed by ping}}]}}
environ: [{{key: HOME, value: /home/$LEAF_ALIAS, warn: think twice}}, {{key: LANG, mode: Static, value: C}}]
exports:
  - {{mode: Public, mount: /data, path: {}, warn: shared}}
  - {{mode: Anonymous, mount: /run}}
  - {{mode: Private, mount: /mine, path: $NODE_PATH/mine}}
  - {{mode: Execfd, mount: /etc/passwd, path: getent passwd $UID}}",
            pool.join("data").display()
        ),
    );
    let leaf = pool.node(
        "base/app",
        "config: {hostname: other, share_net: Disabled, path: /nodes/$NODE_ALIAS/bin, cgroups: {mem: {max: 128M}}, capabilities: [{cap: NET_RAW, add: 0}]}
environ: [{key: HOME, value: /root}]
exports:
  - {mode: Restricted, mount: /data, path: /usr/share}
  - {mode: Private, mount: /mine, path: $NODE_PATH/mine}
  - {mode: Symlink, mount: /home/$LEAF_ALIAS, path: /mine}",
    );
    pool.admin("base/app", "config: {hostname: maintenance}\nexports: [{mode: Private, mount: $NODE_PATH}]");
    (pool, leaf)
}

fn on(pool: &Pool, args: &[&str], path: &Path) -> (Said, String) {
    let said = run(red_conf().args(args).arg(path));
    let shown = format!("{}{}", pool.plain(&said.out), pool.plain(&said.err));
    (said, shown)
}

#[test]
fn what_people_see() {
    let (pool, leaf) = family();
    for (name, args) in [
        ("config", vec!["config"]),
        ("config_admin", vec!["config", "--admin"]),
        ("mergeconfig", vec!["mergeconfig"]),
        ("mergeconfig_expand", vec!["mergeconfig", "--expand"]),
        ("mergeconfig_admin", vec!["mergeconfig", "--admin", "--expand"]),
        ("mergeconfig_yaml", vec!["mergeconfig", "--yaml"]),
        ("plan", vec!["plan"]),
        ("check", vec!["check"]),
        ("check_verbose", vec!["check", "--verbose"]),
    ] {
        let (said, shown) = on(&pool, &args, &leaf);
        assert_eq!(said.code, 0, "{name}: {shown}");
        // The digest covers the path of the pool, which is another one each time.
        let shown: Vec<&str> = shown.lines().filter(|line| !line.starts_with("sha256:")).collect();
        insta::assert_snapshot!(name, shown.join("\n"));
    }
}

#[test]
fn every_json_document_names_its_schema() {
    let (pool, leaf) = family();
    let leaf_text = leaf.display().to_string();
    for (args, schema) in [
        (vec!["tree", "--json", &*pool.path().to_string_lossy()], "red/tree/v1"),
        (vec!["config", "--json", &leaf_text], "red/config/v1"),
        (vec!["mergeconfig", "--json", &leaf_text], "red/mergeconfig/v1"),
        (vec!["check", "--json", &leaf_text], "red/diagnostics/v1"),
        (vec!["plan", "--json", &leaf_text], "red/plan/v1"),
        (vec!["access", "--json", &leaf_text, "/data/x"], "red/access/v1"),
        (vec!["diff", "--json", &leaf_text, &leaf_text], "red/diff/v1"),
        (vec!["bundle", "--json", &leaf_text, &pool.join("out").display().to_string()], "red/bundle/v1"),
        (
            vec!["image", "--json", &leaf_text, "-o", &pool.join("image").display().to_string()],
            "red/image/v1",
        ),
        (vec!["plan", "--json", "/nowhere"], "red/diagnostics/v1"),
    ] {
        let said = conf(&args);
        assert_eq!(said.json()["schema"], schema, "{args:?}");
        assert_eq!(said.err, "", "{args:?}: everything is in the document");
    }
}

#[test]
fn plans_are_the_same_bytes_but_for_the_launch() {
    let (_pool, leaf) = family();
    let plan = || {
        let mut value = run(red_conf().args(["plan", "--json"]).arg(&leaf)).good().json();
        value["launch"]["pid"] = Value::Null;
        value.to_string()
    };
    assert_eq!(plan(), plan());
    let canonical = run(red_conf().args(["plan", "--canonical"]).arg(&leaf)).good().out;
    let mut sum =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("coreutils");
    std::io::Write::write_all(&mut sum.stdin.take().expect("piped"), canonical.as_bytes()).expect("it reads");
    let sum = String::from_utf8(sum.wait_with_output().expect("it ends").stdout).expect("hex");
    let digest = run(red_conf().args(["plan", "--digest"]).arg(&leaf)).good().out;
    assert_eq!(Some(digest.trim()), sum.split(' ').next().map(|sum| format!("sha256:{sum}")).as_deref());
}

#[test]
fn the_merged_file_amounts_to_the_same() {
    let (pool, leaf) = family();
    pool.mkdir("base/app/mine");
    let yaml = run(red_conf().args(["mergeconfig", "--yaml", "--expand"]).arg(&leaf)).good().out;
    let spec = |path: &Path| {
        let mut plan = run(red_conf().args(["plan", "--json"]).arg(path)).good().json();
        plan["spec"]["annotations"] = Value::Null;
        plan["spec"].to_string()
    };
    let family = spec(&leaf);
    // Alone, at the same place: what the leaf exports writable is the leaf's own, and no other node may.
    std::fs::remove_file(pool.join("base/.rednode.yaml")).expect("it is ours");
    pool.write("base/app/etc/redpak.yaml", yaml);
    assert_eq!(spec(&leaf), family);
}

#[test]
fn tree_draws_what_is_there() {
    let (pool, _) = family();
    pool.node("base/sibling", "");
    pool.status("base/sibling", "Disable");
    pool.node("base/usr", "");
    pool.node("base/usr/share/not-looked-for", "");
    pool.write("base/broken/.rednode.yaml", "state: Enable\n");
    let tree = |command: &mut Command| pool.plain(&run(command.arg("tree").arg(pool.path())).out);
    insta::assert_snapshot!("tree", tree(&mut red_conf()));
    let said = run(red_conf().arg("tree").arg(pool.path()));
    assert_eq!(said.code, 1, "a node that cannot be read");
    assert!(said.err.contains("has a `.rednode.yaml` but no"), "{}", said.err);
    let of_node = run(red_conf().args(["tree", "-r"]).arg(pool.join("base"))).out;
    assert!(
        of_node.starts_with(&format!("{}  base  Enable  name-base\n", pool.join("base").display())),
        "{of_node}"
    );
    let json = run(red_conf().args(["tree", "--json"]).arg(pool.path())).json();
    assert_eq!(json["nodes"][0]["children"].as_array().map(Vec::len), Some(4));
}

#[test]
fn create_makes_nodes_that_check() {
    let pool = Pool::new();
    let made = |args: &[&str]| {
        run(red_conf()
            .env("USER", "me")
            .env("LOGNAME", "me")
            .env("HOSTNAME", "here")
            .arg("create")
            .args(args))
    };
    let text = |below: &str| std::fs::read_to_string(pool.join(below)).expect("it was written");
    let path = |below: &str| pool.join(below).display().to_string();
    made(&["-a", "core", &path("core")]).good();
    made(&["--alias=app", &path("core/app")]).good();
    made(&["-c", "root", "-C", "root", &path("root")]).good();
    made(&["-c", "default", "-C", "admin", &path("old")]).good();
    for below in ["core", "core/app", "root", "old"] {
        for admin in ["", "--admin"] {
            let said = run(red_conf()
                .arg("check")
                .args(Some(admin).filter(|one| !one.is_empty()))
                .arg(pool.join(below)));
            assert_eq!(said.code, 0, "{below} {admin}: {}", said.err);
        }
    }
    assert!(
        text("core/etc/redpak.yaml").contains("share_all: Disabled"),
        "alone it brings the core OS's view"
    );
    assert!(!text("core/app/etc/redpak.yaml").contains("share_all"), "below another node it does not");
    assert!(text("core/app/etc/redpak.yaml").contains("alias: app\n"));
    assert!(text("core/app/etc/redpak.yaml").contains("info: \"Node created by me(here) the "));
    let status = text("core/app/.rednode.yaml");
    assert!(status.starts_with(&format!("realpath: \"{}\"\ntimestamp: 1", path("core/app"))), "{status}");
    assert!(status.contains("state: Enable\ninfo: \"created by me(here) on "), "{status}");
    let config = |below: &str| run(red_conf().args(["config", "--json"]).arg(pool.join(below))).good().json();
    let names: std::collections::BTreeSet<String> = ["core", "core/app", "root"]
        .iter()
        .map(|below| config(below)["config"]["headers"]["name"].to_string())
        .collect();
    assert_eq!(names.len(), 3, "each has a name of its own: {names:?}");
    let mode = |below: &str| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(pool.join(below)).expect("it is there"))
            & 0o7777
    };
    assert_eq!((mode("core"), mode("core/etc"), mode("core/etc/redpak.yaml")), (0o755, 0o755, 0o644));
}

#[test]
fn create_warns_of_a_directory_for_which_the_node_does_not_start() {
    let pool = Pool::new();
    let shared = pool.mkdir("shared");
    let mode =
        |mode| std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    // As Debian's umask 0002 makes it.
    mode(0o775);
    let said = conf(["create".as_ref(), shared.join("node").as_os_str()]).good();
    let message =
        format!("the node does not start: {} can be written by others (mode 0775)", shared.display());
    assert!(said.err.contains(&message) && said.err.contains("chmod go-w"), "{}", said.err);
    let mut dnf = Command::new(built("red-dnf"));
    dnf.arg(format!("--redpath={}", shared.join("packages").display())).args(["red-manager", "--create"]);
    let said = run(dnf.stdin(Stdio::null())).good();
    assert!(said.err.contains(&message) && said.err.contains("chmod go-w"), "{}{}", said.out, said.err);
    mode(0o755);
    assert_eq!(conf(["create".as_ref(), shared.join("other").as_os_str()]).good().err, "");
}

#[test]
fn create_overwrites_nothing_and_leaves_nothing_half_done() {
    let pool = Pool::new();
    let fails = |args: &[&str], below: &str, word: &str| {
        let said = run(red_conf().arg("create").args(args).arg(pool.join(below)));
        assert!(said.code == 1 && said.err.contains(word), "{args:?} {below}: {}", said.err);
    };
    run(red_conf().args(["create", "-a", "n"]).arg(pool.join("n"))).good();
    let before = std::fs::read_to_string(pool.join("n/etc/redpak.yaml")).expect("it is there");
    fails(&["-a", "n"], "n", "exists: `--update`");
    pool.write("taken/etc/redpak.yaml", "mine\n");
    fails(&["-a", "n"], "taken", "taken/etc/redpak.yaml exists");
    fails(&["-a", "n"], "no/where", "missing (ENOENT)");
    fails(&["-a", "../x"], "bad", "`../x` is not an alias");
    fails(&[], "b d", "`b d` is not an alias");
    fails(&["-c", "fancy"], "bad", "there is no template `fancy`");
    fails(&["-c", "./nowhere"], "bad", "there is no template `./nowhere`");
    fails(&["--update"], "bad", "is not a node yet");
    pool.write("templates/wrong.yaml", "headers: {alias: x}\nexports: [{mode: Publik, mount: /x}]\n");
    fails(
        &["-t", &pool.join("templates").display().to_string(), "-c", "wrong"],
        "bad",
        "did you mean `Public`?",
    );
    assert!(!pool.join("bad").exists() && !pool.join("b d").exists());
    assert_eq!(std::fs::read_to_string(pool.join("n/etc/redpak.yaml")).expect("it is there"), before);
    let left = run(Command::new("find").arg(pool.path()).args(["-name", "*.tmp"]));
    assert_eq!(left.out, "");
}

#[test]
fn create_follows_templates_of_the_machine() {
    let pool = Pool::new();
    pool.write(
        "prefix/etc/redpak/templates.d/leaf-normal.yaml",
        "# ours\nheaders:\n    alias: x # the name\n    name: $UUID\nconfig: {umask: 077}\n",
    );
    pool.write("prefix/etc/redpak/templates.d/flow.yaml", "headers: {alias: x, info: 'old'}\n");
    pool.write(
        "prefix/etc/redpak/templates.d/long.yaml",
        "headers:\n  alias: x\n  info: >\n    folded\n    text\n",
    );
    let create = |template: &str, below: &str| {
        let mut command = red_conf();
        command.env("NODE_PREFIX", pool.join("prefix")).args(["create", "-c", template, "-a", "n"]);
        run(command.arg(pool.join(below)))
    };
    create("leaf", "a").good();
    let text = std::fs::read_to_string(pool.join("a/etc/redpak.yaml")).expect("it was written");
    assert!(
        text.starts_with("# ours\nheaders:\n    alias: n # the name\n    info: \"Node created"),
        "{text}"
    );
    assert!(text.ends_with("\nconfig: {umask: 077}\n"), "{text}");
    create("flow", "b").good();
    let text = std::fs::read_to_string(pool.join("b/etc/redpak.yaml")).expect("it was written");
    assert!(text.starts_with("headers: {name: \""), "{text}");
    let said = create("long", "c");
    assert!(said.code == 1 && said.err.contains("its headers cannot be filled in"), "{}", said.err);
    create(&pool.join("prefix/etc/redpak/templates.d/flow").display().to_string(), "d").good();
}

#[test]
fn update_keeps_what_it_is_not_asked_to_change() {
    let pool = Pool::new();
    let node = pool.join("n");
    let update =
        |args: &[&str]| run(red_conf().args(["create", "--update"]).args(args).arg(&node)).good().out;
    let read = |below: &str| std::fs::read_to_string(node.join(below)).unwrap_or_default();
    run(red_conf().args(["create", "-a", "first", "-c", "leaf"]).arg(&node)).good();
    let name = |text: &str| text.lines().find(|line| line.contains("name: ")).map(str::to_owned);
    let (config, admin) = (read("etc/redpak.yaml"), read("etc/redpak-admin.yaml"));
    pool.status("n", "Disable");
    assert!(update(&[]).ends_with(": .rednode.yaml\n"));
    assert_eq!((read("etc/redpak.yaml"), read("etc/redpak-admin.yaml")), (config.clone(), admin));
    assert!(read(".rednode.yaml").contains("state: Disable"), "switched off stays switched off");
    update(&["-c", "full"]);
    assert!(
        read("etc/redpak.yaml").contains("alias: first\n") && read("etc/redpak.yaml").contains("share_all")
    );
    assert_eq!(name(&read("etc/redpak.yaml")), name(&config), "it is still the same node");
    update(&["-a", "second", "-c", "leaf"]);
    assert!(read("etc/redpak.yaml").contains("alias: second\n"));
    std::fs::remove_file(node.join("etc/redpak.yaml")).expect("it is ours");
    update(&[]);
    assert!(read("etc/redpak.yaml").contains("alias: n\n"), "what is missing is written");
}

#[test]
fn diff_tells_what_the_second_may() {
    let (pool, leaf) = family();
    let base = pool.join("base");
    let said = run(red_conf().arg("diff").arg(&base).arg(&leaf));
    assert_eq!(said.code, 1);
    insta::assert_snapshot!("diff", pool.plain(&said.out));
    let same = run(red_conf().arg("diff").arg(&leaf).arg(&leaf)).good().out;
    assert!(same.contains("may touch nothing that"), "{same}");
    let back = run(red_conf().args(["diff", "--json"]).arg(&leaf).arg(&base)).json();
    let kinds: Vec<&str> =
        back["more"].as_array().expect("a list").iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["capability", "namespace", "write", "write"]);
}

#[test]
fn access_names_the_entry_that_decides() {
    let (pool, leaf) = family();
    for (path, read, write, through) in [
        ("/data/x", true, false, Some("/data")),
        ("/mine/x", true, true, Some("/mine")),
        ("/home/app/x", true, true, Some("/mine")),
        ("/run/x", true, true, Some("/run")),
        ("/etc/passwd", true, false, Some("/etc/passwd")),
        ("/elsewhere", true, true, None),
    ] {
        let answer = run(red_conf().args(["access", "--json"]).arg(&leaf).arg(path)).good().json();
        assert_eq!((&answer["read"], &answer["write"]), (&read.into(), &write.into()), "{path}");
        assert_eq!(answer["through"].as_str(), through, "{path}");
    }
    let text = run(red_conf().arg("access").arg(&leaf).arg("/home/app/x")).good().out;
    insta::assert_snapshot!("access", pool.plain(&text));
    assert_eq!(run(red_conf().arg("access").arg(&leaf).arg("relative")).code, 1);
}

#[test]
fn bundle_wants_an_empty_place_and_makes_what_is_missing_in_nodes() {
    let (pool, leaf) = family();
    let out = pool.join("out");
    let bundle = |extra: &[&str]| run(red_conf().arg("bundle").args(extra).arg(&leaf).arg(&out));
    pool.write("out/file", "mine\n");
    assert!(bundle(&[]).err.contains("exists and is not an empty directory"));
    assert!(!pool.join("base/app/mine").exists(), "nothing was made for a bundle that was not");
    std::fs::remove_file(pool.join("out/file")).expect("it is ours");
    assert!(bundle(&["--strict"]).err.contains("mine is missing from node `app`"));
    bundle(&[]).good();
    let made = std::fs::metadata(pool.join("base/app/mine")).expect("it was made");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&made) & 0o7777, 0o775);
    assert!(!pool.join("base/mine").exists(), "a private export of an ancestor is not looked at");
    let left: Vec<String> = std::fs::read_dir(pool.path())
        .expect("it can be read")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("tmp"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let validator = |file: &str| {
        let schema = conf(["schema", file]).good().json();
        jsonschema::validator_for(&schema).expect("it is a JSON Schema")
    };
    let value = |text: &str| -> Value { serde_saphyr::from_str(text).expect("it is YAML") };
    let (config, status, policy) = (validator("config"), validator("status"), validator("policy"));
    let pool = Pool::new();
    for template in ["full", "leaf", "root"] {
        let path = pool.join(template);
        run(red_conf().args(["create", "-a", "node", "-c", template, "-C", template]).arg(&path)).good();
        for file in ["etc/redpak.yaml", "etc/redpak-admin.yaml"] {
            let text = std::fs::read_to_string(path.join(file)).expect("it was written");
            let errors: Vec<String> =
                config.iter_errors(&value(&text)).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{template} {file}");
        }
        let text = std::fs::read_to_string(path.join(".rednode.yaml")).expect("it was written");
        assert!(status.is_valid(&value(&text)), "{text}");
    }
    assert!(policy.is_valid(&value("pools: [{path: /a, owner: me}]\nexecfd: {nodes: [/a/b/]}")));
    for wrong in [
        "config: {}",
        "headers: {alias: a b}",
        "headers: {alias: a}\nexports: [{mode: Publik, mount: /a}]",
        "headers: {alias: a}\nexports: [{mode: Public}]",
        "headers: {alias: a}\nconfig: {umask: 9z}",
        "headers: {alias: a}\nconfig: {colour: red}",
        "headers: {alias: a}\nconfig: {share_net: host}",
        "headers: {alias: a}\nconfig: {capabilities: [{cap: CAP_NOPE, add: 1}]}",
        "headers: {alias: a}\nconfig: {cgroups: {mem: {max: lots}}}",
        "headers: {alias: a}\nenviron: [{value: x}]",
    ] {
        assert!(!config.is_valid(&value(wrong)), "{wrong}");
    }
    assert!(!status.is_valid(&value("realpath: /a\ntimestamp: 1\nstate: Enabled")));
}

#[test]
fn it_answers_to_its_names() {
    let (_pool, leaf) = family();
    let digest = |name: &str, args: &[&str]| {
        let mut command = Command::new(built("red-runtime"));
        command.arg0(name).args(args).args(["plan", "--digest"]).arg(&leaf);
        run(&mut command).good().out
    };
    let reference = digest("red-conf", &[]);
    assert_eq!(digest("/usr/bin/redconf", &[]), reference);
    assert_eq!(digest("red-runtime", &["conf"]), reference);
    for option in ["-r", "--redpath", "--rpath", "--rp"] {
        let said = run(red_conf().args(["plan", "--digest", option]).arg(&leaf));
        assert_eq!(said.good().out, reference, "{option}");
    }
}

#[test]
fn calls_that_are_wrong_say_so_with_status_2() {
    assert!(conf::<&str>([]).err.contains("Usage:"));
    for args in [
        vec!["nonsense"],
        vec!["plan"],
        vec!["plan", "a", "-r", "b"],
        vec!["tree", "--colour"],
        vec!["access", "a"],
        vec!["plan", "--strict=perhaps", "a"],
    ] {
        let said = conf(&args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}");
        assert!(said.err.contains("--help"), "{args:?}: {}", said.err);
    }
    let help = conf(["--help"]);
    assert!(help.code == 0 && help.err.is_empty() && help.out.contains("mergeconfig"));
    assert!(conf(["--version"]).good().out.starts_with("red-conf "));
}

#[test]
fn colour_comes_only_where_it_is_wanted() {
    let pool = Pool::new();
    let node = pool.node("a", "config: {umask: 9z}");
    let colored = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = red_conf();
        command.arg("check").arg(&node).args(args).envs(env.iter().copied());
        run(&mut command).err.contains('\u{1b}')
    };
    assert!(!colored(&[], &[]), "not into a pipe");
    assert!(colored(&["--color=always"], &[]));
    assert!(!colored(&["--color=never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(colored(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1"), ("TERM", "dumb")]));
}
