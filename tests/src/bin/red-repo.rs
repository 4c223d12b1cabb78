//! Makes what the demonstration needs: repositories of packages that Debian ships, for three nodes,
//! signed, and the database of a core OS.
//!
//! `red-repo DIR` makes them, `red-repo DIR update` adds a newer release of the broker.

use std::path::PathBuf;
use std::process::ExitCode;

use red_tests::packages::Maker;

/// Libraries of the broker and its clients that belong to the platform.
const PLATFORM: [&str; 5] = ["libcjson1", "libdlt2", "libdlt3", "libwrap0", "strace"];
const MIDDLEWARE: [&str; 2] = ["libmosquitto1", "mosquitto"];
const APP: [&str; 1] = ["mosquitto-clients"];
const KEY: &str = "red-demo";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(dir) = args.next().map(PathBuf::from) else { return ExitCode::FAILURE };
    let maker = Maker::new(&dir.join("making"));
    let repo = |name: &str| dir.join("repos").join(name);
    if args.next().as_deref() == Some("update") {
        let package = maker.debian(&repo("middleware"), "mosquitto", "2");
        maker.sign(KEY, &[package]);
        maker.index(&repo("middleware"));
        return ExitCode::SUCCESS;
    }
    maker.core(&dir.join("core-db"), &["libmosquitto", "libcjson", "libdlt", "libwrap"]);
    let known = [PLATFORM.as_slice(), MIDDLEWARE.as_slice(), APP.as_slice()].concat();
    let needed = maker.missing(&known);
    // What else this machine lacks goes to the platform.
    let elsewhere = [MIDDLEWARE.as_slice(), APP.as_slice()].concat();
    let platform: Vec<&str> =
        needed.iter().map(String::as_str).filter(|name| !elsewhere.contains(name)).collect();
    for (name, packages) in
        [("platform", platform.as_slice()), ("middleware", MIDDLEWARE.as_slice()), ("app", APP.as_slice())]
    {
        let made: Vec<PathBuf> =
            packages.iter().map(|package| maker.debian(&repo(name), package, "1")).collect();
        maker.sign(KEY, &made);
        maker.index(&repo(name));
    }
    ExitCode::SUCCESS
}
