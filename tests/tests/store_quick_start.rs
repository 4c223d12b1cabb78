//! The quick starts of the founding document and of README, as they are written: in `/var/redpesk` itself,
//! with the tools on the path, in a mount namespace of the test's own.

use std::fs;
use std::path::Path;
use std::process::Command;

use red_tests::call::run;
use red_tests::places::private_root;
use red_tests::store::{Ground, Served};

/// Steps 0 to 10 of the founding document, with a public program for its private packages. `sudo` is
/// left out, and who is not asked agrees with `-y`.
const SEED: &str = r#"
red-dnf --redpath=/var/redpesk/agl-redpesk9 red-manager --create --alias=agl-core
red-dnf --redpath=/var/redpesk/agl-redpesk9 red-manager --add-repo $URL/main
red-dnf --redpath=/var/redpesk/agl-redpesk9 red-search mosquitto
red-dnf --redpath=/var/redpesk/agl-redpesk9 -y red-install mosquitto
red-wrap --redpath=/var/redpesk/agl-redpesk9 mosquitto -h | grep 'mosquitto version'
red-wrap --redpath=/var/redpesk/agl-redpesk9 --force bash <<'INSIDE'
set -e
ls /
ls /nodes/agl-core/usr/sbin/
mosquitto -h | grep 'mosquitto version'
ldd /nodes/agl-core/usr/sbin/mosquitto | grep /nodes/agl-core/usr/lib64/libwrap.so.0
rpm -qa | grep libmosquitto1-
INSIDE
red-dnf --redpath=/var/redpesk/agl-redpesk9/agl-demo red-manager --create --alias=agl-demo
red-dnf --redpath=/var/redpesk/agl-redpesk9/agl-demo red-manager --add-repo $URL/extra/
red-dnf --redpath=/var/redpesk/agl-redpesk9/agl-demo red-search clients
red-dnf --redpath=/var/redpesk/agl-redpesk9/agl-demo -y red-install mosquitto-clients
red-wrap --redpath=/var/redpesk/agl-redpesk9/agl-demo --force bash <<'INSIDE'
set -e
ls /nodes | grep agl-core
ls /nodes/agl-core/usr/sbin/mosquitto
mosquitto_pub --help | grep 'mosquitto_pub is'
INSIDE
rm -rf /var/redpesk/agl-redpesk9/agl-demo
red-dnf --redpath=/var/redpesk/agl-redpesk9 red-check
echo "all of the seed"
"#;

/// README's, from the first command that is not about building to the last that needs no engine.
const README: &str = r#"
red-dnf --redpath=/var/redpesk/core red-manager --create --alias=core
red-dnf --redpath=/var/redpesk/core red-manager --add-repo $URL/main
red-dnf --redpath=/var/redpesk/core red-search mosquitto
red-dnf --redpath=/var/redpesk/core -y red-install mosquitto
red-wrap --redpath=/var/redpesk/core mosquitto -h | grep 'mosquitto version'
red-dnf --redpath=/var/redpesk/core/app red-manager --create --alias=app
echo 'mosquitto -h | grep "mosquitto version"' | red-wrap --redpath=/var/redpesk/core/app bash
red-dnf --redpath=/var/redpesk/core -y red-update
red-conf mergeconfig --expand /var/redpesk/core/app
red-rpm --redpath=/var/redpesk/core/app whence /nodes/core/usr/sbin/mosquitto
red-dnf --redpath=/var/redpesk/core red-check
red-conf check /var/redpesk/core/app
rm -rf /var/redpesk/core/app
echo "all of README"
"#;

/// The core OS's layer as `red-conf create` ships it, with a database of this machine.
fn core_os(ground: &Ground) {
    fs::create_dir_all("/etc/redpak").expect("a root of the test's own");
    fs::write("/etc/redpak/main.yaml", ground.core_os()).expect("a root of the test's own");
}

/// Runs the steps of a quick start on a machine with nothing but the tools.
fn steps(ground: &Ground, url: &str, steps: &str, end: &str) {
    private_root(ground, true);
    core_os(ground);
    let bin = Path::new("/opt/bin");
    fs::create_dir_all(bin).expect("a root of the test's own");
    for (tool, program) in [
        ("red-dnf", "red-dnf"),
        ("red-rpm", "red-dnf"),
        ("red-wrap", "red-runtime"),
        ("red-conf", "red-runtime"),
    ] {
        std::os::unix::fs::symlink(ground.pool.join(program), bin.join(tool)).expect("there is room");
    }
    // Step 0.
    fs::create_dir("/var/redpesk").expect("there is none");
    fs::create_dir_all("/run/user/x").expect("a root of the test's own");
    let mut shell = match &ground.user {
        Some(user) => {
            for place in ["/var/redpesk", "/run/user/x"] {
                std::os::unix::fs::chown(place, Some(user.uid), Some(user.uid))
                    .expect("root gives files away");
            }
            user.command("bash")
        }
        None => Command::new("bash"),
    };
    fs::set_permissions("/run/user/x", std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("it is ours");
    shell.args(["-eu", "-c", steps]).env("URL", url).env("XDG_RUNTIME_DIR", "/run/user/x");
    shell.env("PATH", "/opt/bin:/usr/sbin:/usr/bin").env("LANG", "C.UTF-8").env_remove("NODE_PREFIX");
    let said = run(&mut shell);
    assert!(said.code == 0 && said.out.ends_with(&format!("{end}\n")), "{}\n{}", said.out, said.err);
}

fn quick_starts(ground: &Ground) {
    let served = Served::start(&ground.pool.join("repos"));
    ground.pool.install("red-runtime", "red-runtime");
    ground.pool.install("red-dnf", "red-dnf");
    for (text, end) in [(SEED, "all of the seed"), (README, "all of README")] {
        let done = std::thread::scope(|scope| scope.spawn(|| steps(ground, &served.url, text, end)).join());
        assert!(done.is_ok(), "{end}");
    }
}

#[test]
fn the_quick_starts_as_they_are_written_as_root_and_as_a_user() {
    let ground = Ground::of_this_machine(&["libmosquitto", "libcjson", "libdlt", "libwrap"]);
    for name in ground.maker.missing(&["mosquitto", "libmosquitto1", "libcjson1", "libdlt2", "libwrap0"]) {
        if name != "mosquitto-clients" {
            ground.maker.debian(&ground.repo("main"), &name, "1");
        }
    }
    ground.maker.debian(&ground.repo("extra"), "mosquitto-clients", "1");
    ground.maker.index(&ground.repo("main"));
    ground.maker.index(&ground.repo("extra"));
    quick_starts(&ground);
    quick_starts(&ground.for_user());
}
