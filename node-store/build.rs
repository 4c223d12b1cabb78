//! Refuses to build against anything but the system's libsolv: without it, `libsolv-sys` would
//! quietly take a copy of its own that has been configured for another package format.

fn main() {
    for library in ["libsolv", "libsolvext"] {
        if let Err(error) =
            pkg_config::Config::new().atleast_version("0.7.20").cargo_metadata(false).probe(library)
        {
            println!(
                "cargo:error={library} of the system is missing (Debian: libsolv-dev libsolvext-dev): {error}"
            );
            std::process::exit(1);
        }
    }
}
