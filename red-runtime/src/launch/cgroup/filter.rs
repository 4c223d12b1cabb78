//! Which devices a container may open or make: everything is denied that no rule allows.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{Mode, OFlags, open};

use super::{Cgroups, Layout, MOUNT, write};
use crate::launch::error::{Doing, LaunchError};
use crate::sys::bpf::{Insn, attach_device_filter};

/// Devices every container may use (runtime specification, config-linux.md, "Default Devices";
/// 136 are the terminals).
const DEFAULT: [(i32, Option<i32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// One rule, plain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Rule {
    allow: bool,
    /// `b` or `c`; `None` is both.
    kind: Option<char>,
    /// Within [`MAJOR`]; `None` is all.
    major: Option<i32>,
    /// Within [`MINOR`]; `None` is all.
    minor: Option<i32>,
    /// Bits as the kernel's filter has them (linux/bpf.h, BPF_DEVCG_ACC_…).
    access: i32,
}

const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ALL: i32 = MKNOD | READ | WRITE;

/// The largest numbers that a device can have (linux/kdev_t.h: 12 and 20 bits).
const MAJOR: i32 = 0xfff;
const MINOR: i32 = 0xf_ffff;

/// Reads a rule. What it says is compared in full or refused: a number that was left out would turn one
/// device into all of them.
fn rule(said: &LinuxDeviceCgroup) -> Result<Rule, String> {
    // The specification's -1 is a wildcard in all runtimes.
    let number = |name: &str, number: Option<i64>, most: i32| match number {
        None | Some(-1) => Ok(None),
        Some(number) => match i32::try_from(number) {
            Ok(fits) if (0..=most).contains(&fits) => Ok(Some(fits)),
            _ => Err(format!("invalid {name} number: {number} (0 to {most}, or -1 for all)")),
        },
    };
    let mut access = 0;
    for letter in said.access().as_deref().unwrap_or("rwm").chars() {
        access |= match letter {
            'm' => MKNOD,
            'r' => READ,
            'w' => WRITE,
            other => return Err(format!("invalid access: `{other}` (`r`, `w` and `m`)")),
        };
    }
    if access == 0 {
        return Err("invalid access: empty (`r`, `w` and `m`)".to_owned());
    }
    Ok(Rule {
        allow: said.allow(),
        kind: match said.typ() {
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some('c'),
            Some(LinuxDeviceType::B) => Some('b'),
            Some(LinuxDeviceType::P) => return Err("invalid type: a FIFO is not a device".to_owned()),
            Some(LinuxDeviceType::A) | None => None,
        },
        major: number("major", said.major(), MAJOR)?,
        minor: number("minor", said.minor(), MINOR)?,
        access,
    })
}

/// Every rule, in the order they override each other.
///
/// # Errors
/// One of them cannot be compared as it is written.
fn rules(said: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, LaunchError> {
    let deny = Rule { allow: false, kind: None, major: None, minor: None, access: ALL };
    let default = DEFAULT.map(|(major, minor)| Rule {
        allow: true,
        kind: Some('c'),
        major: Some(major),
        minor,
        access: ALL,
    });
    let said = said.iter().enumerate().map(|(index, one)| {
        rule(one).map_err(|why| LaunchError::refused(format!("linux.resources.devices[{index}]"), why))
    });
    std::iter::once(Ok(deny)).chain(said).chain(default.map(Ok)).collect()
}

/// Sets the filter of a container's cgroups.
///
/// # Errors
/// A rule is refused, or the kernel refuses the filter. A container without one does not start.
pub(super) fn apply(cgroups: &Cgroups, said: &[LinuxDeviceCgroup]) -> Result<(), LaunchError> {
    let rules = rules(said)?;
    match cgroups.layout {
        Layout::None => Ok(()),
        Layout::V2 => {
            let Some(path) = cgroups.unified() else { return Ok(()) };
            let what = || format!("device filter of cgroup {}", cgroups.path);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = open(&path, flags, Mode::empty()).doing(what)?;
            attach_device_filter(&directory, &program(&rules)).doing(what)
        }
        Layout::V1 => {
            let leaf = std::path::Path::new(MOUNT).join("devices").join(cgroups.path.trim_start_matches('/'));
            is_there(&leaf)?;
            for rule in rules {
                let file = if rule.allow { "devices.allow" } else { "devices.deny" };
                for line in v1(&rule) {
                    write(&leaf.join(file), &line)?;
                }
            }
            Ok(())
        }
    }
}

/// Refuses to go on where there are cgroups of version 1, and none that keep devices.
///
/// # Errors
/// The controller is missing.
pub(super) fn is_there(leaf: &std::path::Path) -> Result<(), LaunchError> {
    if leaf.join("devices.deny").exists() {
        return Ok(());
    }
    Err(LaunchError::refused(
        "linux.resources.devices",
        "controller `devices` is missing, without which a container of root can use every device; mount it below \
         /sys/fs/cgroup, or accept that with `--cgroups=disabled` of podman, `--cgroup-manager disabled` of ours",
    ))
}

/// Keeps the device rules of a running container out of libcgroups' reach, in a mount namespace of this
/// process: on version 1 it adds rules of its own (every `mknod`, `/dev/net/tun`) whatever it is to set.
/// Taking them away again would leave a moment with them.
///
/// # Errors
/// unshare(2) or mount(2) failed for somebody who may write the rules.
pub(crate) fn keep(cgroups: &Cgroups) -> Result<(), LaunchError> {
    use rustix::fs::{Access, access};
    use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
    if cgroups.layout != Layout::V1 {
        return Ok(());
    }
    let leaf = std::path::Path::new(MOUNT).join("devices").join(cgroups.path.trim_start_matches('/'));
    let files = ["devices.allow", "devices.deny"].map(|name| leaf.join(name));
    if files.iter().all(|file| access(file, Access::WRITE_OK).is_err()) {
        return Ok(());
    }
    let what = || format!("device filter of cgroup {}", cgroups.path);
    crate::sys::namespace::unshare(libc::CLONE_NEWNS).doing(what)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).doing(what)?;
    files.iter().try_for_each(|file| mount_bind("/dev/null", file).doing(what))
}

/// A rule as version 1 has it (devices.rst).
fn v1(rule: &Rule) -> Vec<String> {
    if rule.kind.is_none() && rule.major.is_none() && rule.minor.is_none() && rule.access == ALL {
        return vec!["a".to_owned()];
    }
    let number = |number: Option<i32>| number.map_or("*".to_owned(), |number| number.to_string());
    let letters: String = [('r', READ), ('w', WRITE), ('m', MKNOD)]
        .iter()
        .filter(|(_, bit)| rule.access & bit != 0)
        .map(|(letter, _)| letter)
        .collect();
    let kinds = rule.kind.map_or(vec!['b', 'c'], |kind| vec![kind]);
    let line = |kind| format!("{kind} {}:{} {letters}", number(rule.major), number(rule.minor));
    kinds.into_iter().map(line).collect()
}

// Operations of the kernel's filter machine (linux/bpf.h, instruction-set.rst).
const LOAD: u8 = 0x61;
const MOVE_IMM: u8 = 0xb7;
const MOVE32: u8 = 0xbc;
const AND32: u8 = 0x54;
const SHIFT_RIGHT32: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

fn insn(code: u8, to: u8, from: u8, off: i16, imm: i32) -> Insn {
    Insn { code, regs: to | from << 4, off, imm }
}

/// The filter: the last rule that speaks of an access decides, so they are asked from the end.
/// Register 2 holds the type, 3 the access, 4 and 5 the numbers.
fn program(rules: &[Rule]) -> Vec<Insn> {
    let mut all = vec![
        insn(LOAD, 2, 1, 0, 0),
        insn(MOVE32, 3, 2, 0, 0),
        insn(SHIFT_RIGHT32, 3, 0, 0, 16),
        insn(AND32, 2, 0, 0, 0xffff),
        insn(LOAD, 4, 1, 4, 0),
        insn(LOAD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let mut checks: Vec<Insn> = Vec::new();
        if let Some(kind) = rule.kind {
            let number = if kind == 'b' { 1 } else { 2 };
            checks.push(insn(JUMP_NOT_EQUAL, 2, 0, 0, number));
        }
        if rule.access != ALL {
            checks.push(insn(MOVE32, 6, 3, 0, 0));
            // An allowance covers an access that it names wholly, a denial any part of it.
            let (mask, jump) =
                if rule.allow { (!rule.access & ALL, JUMP_NOT_EQUAL) } else { (rule.access, JUMP_EQUAL) };
            checks.push(insn(AND32, 6, 0, 0, mask));
            checks.push(insn(jump, 6, 0, 0, 0));
        }
        for (register, number) in [(4, rule.major), (5, rule.minor)] {
            if let Some(number) = number {
                checks.push(insn(JUMP_NOT_EQUAL, register, 0, 0, number));
            }
        }
        let verdict = [insn(MOVE_IMM, 0, 0, 0, i32::from(rule.allow)), insn(EXIT, 0, 0, 0, 0)];
        let length = checks.len();
        for (index, mut check) in checks.into_iter().enumerate() {
            if matches!(check.code, JUMP_NOT_EQUAL | JUMP_EQUAL) {
                // Over the checks that follow and the verdict.
                check.off = i16::try_from(length - index - 1 + verdict.len()).unwrap_or(i16::MAX);
            }
            all.push(check);
        }
        all.extend(verdict);
        if length == 0 {
            // It decides whatever is asked; the kernel refuses a program with more behind it.
            return all;
        }
    }
    all.extend([insn(MOVE_IMM, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with a program: the few operations that [`program`] uses.
    fn run(program: &[Insn], context: [u32; 3]) -> bool {
        let mut registers = [0_i64; 10];
        let mut at = 0;
        loop {
            let insn = program[at];
            let (to, from) = (usize::from(insn.regs & 15), usize::from(insn.regs >> 4));
            at += 1;
            match insn.code {
                LOAD => registers[to] = i64::from(context[usize::try_from(insn.off).unwrap() / 4]),
                MOVE_IMM => registers[to] = i64::from(insn.imm),
                MOVE32 => registers[to] = registers[from],
                AND32 => registers[to] &= i64::from(insn.imm),
                SHIFT_RIGHT32 => registers[to] >>= insn.imm,
                JUMP_NOT_EQUAL if registers[to] != i64::from(insn.imm) => {
                    at += usize::try_from(insn.off).unwrap()
                }
                JUMP_EQUAL if registers[to] == i64::from(insn.imm) => {
                    at += usize::try_from(insn.off).unwrap()
                }
                EXIT => return registers[0] != 0,
                _ => {}
            }
        }
    }

    fn asks(rules: &[Rule], kind: char, access: i32, major: u32, minor: u32) -> bool {
        let number = if kind == 'b' { 1 } else { 2 };
        run(&program(rules), [u32::try_from(access << 16).unwrap() | number, major, minor])
    }

    #[test]
    fn default_devices_and_nothing_else() {
        let rules = rules(&[]).unwrap();
        for (major, minor) in [(1, 3), (1, 5), (1, 9), (5, 0), (5, 2), (136, 0), (136, 77)] {
            assert!(asks(&rules, 'c', READ | WRITE, major, minor), "{major}:{minor}");
        }
        for (kind, major, minor) in [('c', 1, 1), ('b', 1, 3), ('c', 10, 200), ('b', 8, 0), ('c', 4, 1)] {
            assert!(!asks(&rules, kind, READ, major, minor), "{kind} {major}:{minor}");
        }
    }

    #[test]
    fn the_last_rule_decides() {
        let allow = Rule { allow: true, kind: Some('b'), major: Some(8), minor: None, access: READ };
        let deny = Rule { allow: false, kind: Some('b'), major: Some(8), minor: Some(1), access: ALL };
        let both = [allow, deny];
        assert!(asks(&both, 'b', READ, 8, 0));
        assert!(!asks(&both, 'b', READ, 8, 1));
        assert!(!asks(&both, 'b', READ | WRITE, 8, 0), "an allowance of reading is none of writing");
        assert!(asks(&[deny, allow], 'b', READ, 8, 1));
        let some = Rule { allow: false, kind: None, major: None, minor: None, access: WRITE };
        assert!(!asks(&[allow, some], 'b', READ | WRITE, 8, 0), "a denial of a part denies the whole");
        assert!(asks(&[allow, some], 'b', READ, 8, 0));
    }

    #[test]
    fn a_rule_is_compared_in_full_or_refused() {
        let read = |value: serde_json::Value| rule(&serde_json::from_value(value).unwrap());
        for (wrong, words) in [
            (
                serde_json::json!({"allow": true, "type": "b", "major": 4_294_967_296_i64, "minor": 0}),
                "major",
            ),
            (
                serde_json::json!({"allow": true, "type": "b", "major": 8, "minor": 4_294_967_296_i64}),
                "minor",
            ),
            (serde_json::json!({"allow": true, "type": "b", "major": 4096}), "major"),
            (serde_json::json!({"allow": true, "type": "b", "minor": 1_048_576}), "minor"),
            (serde_json::json!({"allow": true, "type": "b", "major": -2}), "major"),
            (serde_json::json!({"allow": true, "type": "b", "major": i64::MAX}), "major"),
            (serde_json::json!({"allow": false, "type": "b", "major": 8, "access": "rx"}), "access"),
            (serde_json::json!({"allow": false, "type": "b", "major": 8, "access": ""}), "access"),
            (serde_json::json!({"allow": true, "type": "p", "access": "rwm"}), "type"),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(error.contains(&format!("invalid {words}")), "{wrong}: {error}");
            let said = serde_json::from_value(wrong).unwrap();
            let error = rules(std::slice::from_ref(&said)).unwrap_err().to_string();
            assert!(error.contains("linux.resources.devices[0]"), "{error}");
        }
        let widest = read(serde_json::json!({"allow": true, "type": "b", "major": 4095, "minor": 1_048_575}));
        let widest = [widest.unwrap()];
        assert!(asks(&widest, 'b', READ, 4095, 1_048_575));
        assert!(!asks(&widest, 'b', READ, 4095, 1_048_574));
        let all = read(serde_json::json!({"allow": true, "type": "c", "major": -1, "minor": -1})).unwrap();
        assert_eq!((all.major, all.minor), (None, None));
    }

    /// The kernel's own judgement, where version 2 is mounted and the caller may ask.
    #[test]
    fn the_kernel_takes_the_program() {
        let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .find(|mount| std::path::Path::new(mount).join("cgroup.controllers").exists());
        let Some(mount) = mount.filter(|_| rustix::process::geteuid().is_root()) else {
            let must = std::env::var_os("RED_MUST_WORK").is_some_and(|value| value == "1");
            assert!(!must, "RED_MUST_WORK=1, but this needs root and a cgroup file system of version 2");
            return;
        };
        let directory = std::path::Path::new(mount).join(format!("red-test-filter-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let cgroup = open(&directory, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let rule = Rule { allow: true, kind: Some('b'), major: Some(8), minor: None, access: READ };
        let partial = Rule { allow: false, kind: None, major: None, minor: Some(1), access: WRITE };
        let results = [rules(&[]).unwrap(), vec![rule], vec![], vec![rule, partial]]
            .map(|rules| attach_device_filter(&cgroup, &program(&rules)));
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!(results, [Ok(()), Ok(()), Ok(()), Ok(())]);
    }

    #[test]
    fn version_one_has_its_own_words() {
        let words: Vec<String> = rules(&[]).unwrap().iter().take(3).flat_map(v1).collect();
        assert_eq!(words, ["a", "c 1:3 rwm", "c 1:5 rwm"]);
        let mknod = Rule { allow: true, kind: Some('b'), major: None, minor: None, access: MKNOD };
        assert_eq!(v1(&mknod), ["b *:* m"]);
        assert_eq!(v1(&Rule { kind: None, ..mknod }), ["b *:* m", "c *:* m"]);
    }
}
