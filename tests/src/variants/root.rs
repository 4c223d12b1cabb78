//! What containers of command lines run on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::pool::Pool;

pub(super) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Directories of podman, volumes, and a root with the programs of the machine and some of its own.
pub(super) fn root(pool: &Pool, programs: &[(&str, &str)]) {
    for below in ["storage", "runroot", "tmp", "home", "prefix", "vol/sub", "rootfs/root/link.d"] {
        pool.mkdir(below);
    }
    // With what podman mounts there: whom a mapping makes root may not make anything in it.
    for dir in ["proc", "sys", "dev", "tmp", "run/secrets", "usr", "var/tmp", "etc", "data", "v"] {
        pool.mkdir(format!("rootfs/{dir}"));
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), pool.join("rootfs").join(link)).expect("it is ours");
    }
    for (name, text) in programs {
        mode(&pool.write(format!("rootfs/{name}"), text), 0o755);
    }
    for (file, text, bits) in [
        ("rootfs/data/plain", "text\n", 0o644),
        ("rootfs/data/broken", "#!/no/such/program\n", 0o755),
        (
            "rootfs/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nworker:x:1001:1002::/home/worker:/bin/sh\n",
            0o644,
        ),
        ("rootfs/etc/group", "root:x:0:\nworker:x:1002:\nextra:x:1003:worker\nmore:x:1004:\n", 0o644),
        ("rootfs/etc/hosts", "", 0o644),
        ("rootfs/etc/hostname", "", 0o644),
        ("rootfs/etc/resolv.conf", "", 0o644),
        ("rootfs/run/.containerenv", "", 0o644),
        ("vol/in", "from outside\n", 0o644),
        ("vol/run", "#!/bin/sh\necho ran\n", 0o755),
    ] {
        mode(&pool.write(file, text), bits);
    }
    mode(&pool.join("rootfs/tmp"), 0o1777);
}
