//! The node store beside plain rpm and dnf, in turn in one run, and what it needs for a large
//! distribution. Prints medians. `cargo build --release -p node-store` builds what is measured; an
//! argument is the number of runs, RED_ONLY a part of it: `install`, `list`, `many` or `update`.

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
    let only = std::env::var("RED_ONLY").ok();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("install") {
        bench.install();
    }
    if wanted("list") {
        bench.list();
    }
    if wanted("many") {
        bench.many();
    }
    if wanted("update") {
        bench.update();
    }
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

/// What commands use, one after another: the mean of their processor time, by getrusage(2), and the median of the time that
/// they take.
fn used(commands: impl Iterator<Item = Command>) -> String {
    // Whatever started python3 may have had children of its own.
    let script = "\
import json, resource, subprocess, sys, time
def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime, used.ru_stime
wall, before = [], spent()
for command in json.loads(sys.argv[1]):
    begun = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall.append(time.time() - begun)
user, system = [(now - then) * 1000 / len(wall) for now, then in zip(spent(), before)]
print('%.0f ms (%.0f user, %.0f system), %.0f ms' % (user + system, user, system, sorted(wall)[len(wall) // 2] * 1000))";
    let commands: Vec<Command> = commands.collect();
    let mut measured = Command::new("python3");
    for (name, value) in commands.iter().flat_map(Command::get_envs) {
        value.map(|value| measured.env(name, value));
    }
    let words = commands.iter().map(|command| {
        let args = std::iter::once(command.get_program()).chain(command.get_args());
        args.map(|word| word.to_str().expect("text").to_owned()).collect::<Vec<_>>()
    });
    measured.args(["-c", script, &serde_json::json!(words.collect::<Vec<_>>()).to_string()]);
    run(&mut measured).good().out.trim().to_owned()
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

    /// Updates of a package of two files in nodes of several sizes, beside rpm and dnf: processor time of all processes, what
    /// a generation takes.
    fn update(&self) {
        let maker = Maker::new(&self.pool.join("packages"));
        let repo = self.pool.mkdir("updates");
        for version in 1..=9 {
            let files = [("/usr/bin/tiny", "x"), ("/usr/share/tiny/data", "y")];
            maker.small(
                &repo,
                &Small { name: "tiny", version: &version.to_string(), files: &files, ..Small::default() },
            );
        }
        // 500 files each, in 20 directories.
        let names: Vec<String> = (0..120).map(|at| format!("big{at}")).collect();
        for name in &names {
            let paths: Vec<String> =
                (0..500).map(|at| format!("/usr/share/{name}/d{}/f{at}", at / 25)).collect();
            let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "x")).collect();
            maker.small(&repo, &Small { name, version: "1", files: &files, ..Small::default() });
        }
        maker.index(&repo);
        let package = |name: &str, version: usize| repo.join(format!("{name}-{version}-1.noarch.rpm"));
        println!("update of a package of two files: processor time of all processes, and wall time");
        for files in [1_000, 10_000, 60_000] {
            let big: Vec<&str> = names.iter().take(files / 500).map(String::as_str).collect();
            let node = self.node(&format!("node{files}"), &repo);
            timed(&mut self.dnf(&node, &[&["-y", "-C", "-q", "install", "tiny-1"], big.as_slice()].concat()));
            let words = |version: usize| {
                ["-y", "-C", "-q", "install"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain([format!("tiny-{version}")])
            };
            let ours = |version: usize| {
                let words: Vec<String> = words(version).collect();
                self.dnf(&node, &words.iter().map(String::as_str).collect::<Vec<_>>())
            };
            // The first ones have no generation to remove.
            for version in 2..=4 {
                timed(&mut ours(version));
            }
            println!("  {files} files: red-dnf {}", used((5..=9).map(ours)));
            let generation = run(Command::new("du")
                .args(["-s", "--block-size=1K"])
                .args((6..=9).map(|number| node.join(format!(".red/gen/{number}")))));
            let last = generation
                .out
                .lines()
                .last()
                .and_then(|line| line.split_whitespace().next())
                .map(str::to_owned);
            println!("    a generation takes {} KiB beside those before it", last.unwrap_or_default());
            let root = self.pool.mkdir(format!("root{files}"));
            let rpm = |version: usize| {
                let mut command = Command::new("rpm");
                command
                    .arg("--root")
                    .arg(&root)
                    .args(["--dbpath", "/var/lib/rpm", "-U", "--nodeps"])
                    .arg(package("tiny", version));
                command
            };
            timed(rpm(1).args(big.iter().map(|name| package(name, 1))));
            println!("    rpm -U {}", used((2..=9).map(rpm)));
            let dnf = |version: usize| {
                let mut command = Command::new("dnf");
                command.args([
                    "-y",
                    "-q",
                    "--releasever=1",
                    "--setopt=reposdir=/nonexistent",
                    "--nogpgcheck",
                    "--repo=main",
                ]);
                command.arg(format!("--installroot={}", root.display()));
                command.arg(format!("--repofrompath=main,{}", repo.display()));
                command.args(["install", &format!("tiny-{version}")]);
                command
            };
            timed(rpm(1).arg("--oldpackage"));
            println!("    dnf install {}", used((2..=4).map(dnf)));
            [node, root].iter().for_each(|path| fs::remove_dir_all(path).expect("it is ours"));
        }
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
