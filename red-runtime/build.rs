//! Compiles `red-init`, the first process of the containers that we launch ourselves (`src/sys/init/`), into a
//! program of its own that red-runtime carries. Where that cannot be done red-runtime is that process itself:
//! slower, and the same otherwise.

use std::env::{var, var_os};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 5] = ["main.rs", "arch.rs", "kernel.rs", "life.rs", "link.ld"];

/// Architectures that `arch.rs` knows, with their widths of pointers: x32 is another ABI.
const KNOWN: [(&str, &str); 4] = [("x86_64", "64"), ("aarch64", "64"), ("riscv64", "64"), ("arm", "32")];

fn main() {
    println!("cargo:rustc-check-cfg=cfg(red_init)");
    for name in SOURCES {
        println!("cargo:rerun-if-changed=src/sys/init/{name}");
    }
    let of_target = |name: &str| var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let (os, arch, width) = (of_target("OS"), of_target("ARCH"), of_target("POINTER_WIDTH"));
    if var_os("CARGO_FEATURE_LAUNCH").is_none() || os != "linux" || !KNOWN.contains(&(&arch, &width)) {
        return;
    }
    match compile() {
        Ok(()) => println!("cargo:rustc-cfg=red_init"),
        Err(why) => {
            // A file that is never there: what was missing may be installed when it is built again.
            println!("cargo:rerun-if-changed=src/sys/init/not-built");
            println!("cargo:warning=red-init could not be built, and launches are slower without it: {why}");
        }
    }
}

/// Compiles it into the directory of what build scripts make.
fn compile() -> Result<(), String> {
    let of_cargo = |name: &str| var_os(name).ok_or_else(|| format!("cargo does not say {name}"));
    let sources = PathBuf::from(of_cargo("CARGO_MANIFEST_DIR")?).join("src/sys/init");
    let mut rustc = Command::new(of_cargo("RUSTC")?);
    rustc.args(["--edition=2024", "--crate-type=bin", "--crate-name=red_init", "--target"]);
    rustc.arg(of_cargo("TARGET")?).arg("-o").arg(PathBuf::from(of_cargo("OUT_DIR")?).join("red-init"));
    for option in ["opt-level=s", "codegen-units=1", "debuginfo=0", "strip=symbols", "panic=abort"] {
        rustc.args(["-C", option]);
    }
    // Everything is where the script has it, and nothing of a C library's start is linked.
    if var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "musl") {
        rustc.args(["-C", "link-self-contained=no"]);
    }
    rustc.args(["-C", "relocation-model=static", "-C", "force-unwind-tables=no"]);
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none"] {
        rustc.args(["-C", &format!("link-arg={argument}")]);
    }
    let mut script = OsString::from("link-arg=");
    script.push(sources.join("link.ld"));
    rustc.args(["-C", "link-arg=-T", "-C"]).arg(script);
    if let Some(linker) = linker() {
        let mut option = OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    let output = rustc.arg(sources.join("main.rs")).output();
    let output = output.map_err(|error| format!("{}: {error}", rustc.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    // A warning of cargo's is one line.
    Err(String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The linker that cargo is told to use, by its configuration or among the flags of the compiler.
fn linker() -> Option<OsString> {
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut named = None;
    let mut flags = flags.split('\u{1f}');
    while let Some(flag) = flags.next() {
        let option = if flag == "-C" { flags.next() } else { flag.strip_prefix("-C") };
        named = option.and_then(|option| option.strip_prefix("linker=")).map(OsString::from).or(named);
    }
    named.or_else(|| var_os("RUSTC_LINKER"))
}
