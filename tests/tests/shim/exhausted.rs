//! containerd, with a shim or a disk that has run out of something.

use red_tests::broom::{LimitedCgroup, Tmpfs};
use red_tests::remark;
use red_tests::stage::eventually;

use crate::limits::{limit_fds, open_fds};
use crate::{assert_no_leftovers, for_each_rootfs, setup};

/// Clients see what is missing, and after that the same shim goes on.
#[test]
fn descriptors_and_processes() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        let annotation = format!("io.containerd.runc.v2.group={}-g", root.name);
        let group = ["-d", "--annotation", &annotation];
        let second = format!("{}-b", root.name);
        containerd.run(&group, root, id, &["/usr/bin/sleep", "1000"]).good();
        containerd.run(&group, root, &format!("{}-g", root.name), &["/usr/bin/sleep", "1000"]).good();
        let shim = containerd.shim_pids();
        let [pid] = shim[..] else { panic!("{shim:?}") };
        let all_fail = |words: &str| {
            let output = containerd.run(&group, root, &second, &["/usr/bin/sleep", "1000"]);
            assert!(output.code != 0 && output.err.contains(words), "{words}: {}", output.err);
            containerd.ctr(&["container", "delete", &second]).good();
            let output = containerd.exec(id, "x", "exit 6");
            assert!(output.code != 0 && output.err.contains(words), "{words}: {}", output.err);
            assert_eq!(containerd.status(id), "RUNNING");
        };
        let used = open_fds(pid);
        limit_fds(pid, (0..).find(|fd| !used.contains(fd)).expect("a number"));
        all_fail("Too many open files");
        limit_fds(pid, 1024);
        if let Some(cgroup) = LimitedCgroup::enter("pids", pid) {
            cgroup.write("pids.max", &cgroup.read("pids.current").expect("exists"));
            all_fail("Resource temporarily unavailable");
            cgroup.write("pids.max", "max");
        } else {
            remark("no pids controller here");
        }
        let output = containerd.exec(id, "y", "exit 6");
        assert_eq!(output.code, 6, "{}", output.err);
        containerd.run(&group, root, &second, &["/usr/bin/sleep", "1000"]).good();
        assert_eq!(containerd.shim_pids(), [pid]);
        for id in [id, &second, &format!("{}-g", root.name)] {
            containerd.remove(id);
        }
    });
    assert_no_leftovers(&containerd);
}

/// A small disk for the bundles of containerd.
#[test]
fn disk_space() {
    let Some((stage, containerd)) = setup() else { return };
    let id = "full-a";
    let bundles = containerd.bundle(id).parent().expect("a directory of bundles").to_owned();
    std::fs::create_dir_all(&bundles).expect("root may write");
    let disk = Tmpfs::sized(&bundles, 512 << 10);
    for_each_rootfs(&stage, |root, _| {
        let create = |id: &str| {
            let output = containerd.run(&["-d"], root, id, &["/usr/bin/sleep", "1000"]);
            if output.code != 0 {
                containerd.ctr(&["container", "delete", id]);
            }
            output
        };
        create(id).good();
        let mut failures = 0;
        loop {
            disk.fill(failures * 4096);
            let output = create("full-b");
            if output.code == 0 {
                break;
            }
            // Words of containerd or of the shim.
            let words = output.err.to_lowercase();
            assert!(words.contains("no space left on device"), "{failures}: {}", output.err);
            assert_eq!(containerd.status(id), "RUNNING");
            failures += 1;
            assert!(failures < 100, "no success");
        }
        remark(&format!("`ctr run` succeeds at place {failures}"));
        assert!(failures > 0, "nothing was missing");
        disk.fill(0);
        let output = containerd.exec(id, "x", "exit 6");
        assert!(output.code != 0 && output.err.contains("No space left on device"), "{}", output.err);
        containerd.ctr(&["task", "kill", "--signal", "KILL", "full-b"]).good();
        containerd.wait_status("full-b", "STOPPED");
        assert_eq!(containerd.delete_stopped("full-b"), 137);
        disk.empty();
        let output = containerd.exec(id, "y", "exit 6");
        assert_eq!(output.code, 6, "{}", output.err);
        containerd.remove(id);
    });
    drop(disk);
    assert_no_leftovers(&containerd);
}

/// What the kernel kills is the runtime, then the shim goes on, or the shim, then containerd cleans up.
#[test]
fn memory() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        let annotation = format!("io.containerd.runc.v2.group={id}");
        let group = ["-d", "--annotation", &annotation];
        let sleep = ["/usr/bin/sleep", "1000"];
        containerd.run(&group, root, id, &sleep).good();
        let [pid] = containerd.shim_pids()[..] else { panic!("{:?}", containerd.shim_pids()) };
        let Some(cgroup) = LimitedCgroup::enter("memory", pid) else {
            containerd.remove(id);
            return remark("no memory controller here");
        };
        let v1 = cgroup.read("memory.limit_in_bytes").is_some();
        let max = if v1 { "memory.limit_in_bytes" } else { "memory.max" };
        cgroup.write(max, "262144");
        let second = format!("{}-b", root.name);
        let output = containerd.run(&group, root, &second, &sleep);
        assert_ne!(output.code, 0);
        drop(cgroup);
        containerd.ctr(&["container", "delete", &second]);
        if containerd.shim_pids() == [pid] {
            assert_eq!(containerd.status(id), "RUNNING");
            containerd.run(&group, root, &second, &sleep).good();
            containerd.remove(&second);
        } else {
            remark(&format!("the shim was killed: {}", output.err));
            eventually("containerd has seen it", || {
                ["", "STOPPED", "UNKNOWN"].contains(&containerd.status(id).as_str())
            });
        }
        containerd.remove(id);
    });
    assert_no_leftovers(&containerd);
}
