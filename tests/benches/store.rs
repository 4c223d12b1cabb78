//! The node store beside plain rpm and dnf, in turn in one run, and what it needs for a large
//! distribution. Prints medians. `cargo build --release -p node-store` builds what is measured; an
//! argument is the number of runs.

#![allow(clippy::print_stdout, reason = "what it measured goes to whoever asked")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use red_tests::call::run;
use red_tests::packages::{Maker, Small, many};
use red_tests::pool::Pool;

struct Bench {
    pool: Pool,
    program: PathBuf,
    runs: usize,
}

fn main() {
    let own = std::env::current_exe().expect("a bench knows its own path");
    let release = own
        .parent()
        .and_then(Path::parent)
        .and_then(Path::parent)
        .expect("it stands in target/")
        .join("release/red-dnf");
    assert!(release.is_file(), "build what is measured first: cargo build --release -p node-store");
    let runs = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(7);
    let bench = Bench { pool: Pool::new(), program: release, runs };
    bench.pool.write(
        "prefix/etc/redpak/main.yaml",
        "headers: {alias: core-os, name: core-os}\nconfig: {rpmdir: /nonexistent}\n",
    );
    bench.install();
    bench.list();
    bench.many();
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn timed(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let took = begun.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

impl Bench {
    fn dnf(&self, node: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--redpath={}", node.display()))
            .args(args)
            .env("NODE_PREFIX", self.pool.join("prefix"));
        command
    }

    fn node(&self, name: &str, repo: &Path) -> PathBuf {
        let node = self.pool.join(name);
        run(&mut self.dnf(&node, &["red-manager", "--create", "--template=leaf-normal"])).good();
        run(&mut self.dnf(&node, &["red-manager", "--add-repo", &repo.to_string_lossy(), "--id=main"]))
            .good();
        run(&mut self.dnf(&node, &["makecache"])).good();
        node
    }

    /// 200 packages with 20 files of 8 kB each, into an empty node.
    fn install(&self) {
        let maker = Maker::new(&self.pool.join("packages"));
        let repo = self.pool.mkdir("repo");
        let text = "0123456789abcde\n".repeat(512);
        let names: Vec<String> = (0..200).map(|at| format!("p{at}")).collect();
        for name in &names {
            let paths: Vec<String> = (0..20).map(|at| format!("/usr/share/{name}/f{at}")).collect();
            let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), text.as_str())).collect();
            maker.small(&repo, &Small { name, version: "1", files: &files, ..Small::default() });
        }
        maker.index(&repo);
        let files: Vec<PathBuf> =
            names.iter().map(|name| repo.join(format!("{name}-1-1.noarch.rpm"))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let pristine = self.node("pristine", &repo);
        let (mut ours, mut rpm, mut dnf) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..self.runs {
            let node = self.pool.join("node");
            run(Command::new("cp").arg("--archive").arg(&pristine).arg(&node)).good();
            run(Command::new("sync").arg("-f").arg(&node)).good();
            ours.push(timed(
                &mut self.dnf(&node, &[&["-y", "-C", "-q", "install"], names.as_slice()].concat()),
            ));
            fs::remove_dir_all(&node).expect("it is ours");
            let root = self.pool.mkdir("root");
            run(Command::new("sync").arg("-f").arg(&root)).good();
            let mut install = Command::new("rpm");
            install
                .arg("--root")
                .arg(&root)
                .args(["--dbpath", "/var/lib/rpm", "-U", "--nodeps"])
                .args(&files);
            rpm.push(timed(&mut install));
            fs::remove_dir_all(&root).expect("it is ours");
            let root = self.pool.mkdir("root");
            let mut install = Command::new("dnf");
            install.args([
                "-y",
                "-q",
                "--releasever=1",
                "--setopt=reposdir=/nonexistent",
                "--setopt=keepcache=0",
            ]);
            install
                .arg(format!("--installroot={}", root.display()))
                .arg(format!("--repofrompath=main,{}", repo.display()));
            install.args(["--repo=main", "--nogpgcheck", "install"]).args(&names);
            if at < 3 {
                dnf.push(timed(&mut install));
            }
            fs::remove_dir_all(&root).expect("it is ours");
        }
        let (ours, rpm, dnf) = (median(ours), median(rpm), median(dnf));
        println!("200 packages, 4000 files: red-dnf {ours:.2?}, rpm -U {rpm:.2?}, dnf {dnf:.2?}");
        println!("  red-dnf / rpm -U = {:.2}", ours.as_secs_f64() / rpm.as_secs_f64());
    }

    /// `red-list` of a node with 500 packages.
    fn list(&self) {
        let maker = Maker::new(&self.pool.join("packages"));
        let repo = self.pool.mkdir("repo500");
        let names: Vec<String> = (0..500).map(|at| format!("q{at}")).collect();
        for name in &names {
            let paths: Vec<String> = (0..10).map(|at| format!("/usr/share/{name}/f{at}")).collect();
            let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "x")).collect();
            maker.small(&repo, &Small { name, version: "1", files: &files, ..Small::default() });
        }
        maker.index(&repo);
        let node = self.node("node500", &repo);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        timed(&mut self.dnf(&node, &[&["-y", "-C", "-q", "install"], names.as_slice()].concat()));
        let first = timed(&mut self.dnf(&node, &["list"]));
        let all = (0..self.runs * 3).map(|_| timed(&mut self.dnf(&node, &["list"]))).collect();
        println!("red-list of 500 packages: {:.1?} (the first after a change {first:.1?})", median(all));
    }

    /// Loading 60,000 packages and solving for one of them.
    fn many(&self) {
        let repo = self.pool.mkdir("many");
        many(&repo, 60_000);
        let node = self.pool.join("nodemany");
        run(&mut self.dnf(&node, &["red-manager", "--create", "--template=leaf-normal"])).good();
        run(&mut self.dnf(&node, &["red-manager", "--add-repo", &repo.to_string_lossy(), "--id=main"]))
            .good();
        let cold = timed(&mut self.dnf(&node, &["makecache"]));
        let solve = ["-y", "-C", "--assumeno", "-q", "install", "pkg59999", "pkg41234", "pkg30001"];
        let all = (0..self.runs).map(|_| timed(&mut self.dnf(&node, &solve))).collect();
        let mut measured = Command::new("python3");
        let script = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL); \
                      print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
        measured
            .args(["-c", script])
            .arg(&self.program)
            .arg(format!("--redpath={}", node.display()))
            .args(solve);
        measured.env("NODE_PREFIX", self.pool.join("prefix"));
        let peak: f64 = run(&mut measured).good().out.trim().parse().expect("kilobytes");
        println!(
            "60,000 packages: load and solve {:.0?}, peak {:.0} MB; metadata taken in {cold:.1?}",
            median(all),
            peak / 1024.0
        );
    }
}
