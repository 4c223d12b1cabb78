//! Compiled filters beside a reference of what profiles mean, over every call that either names.
//!
//! The reference reads the configuration alone: a call that no rule names gets the default action; one rule
//! applies when all its conditions hold, and several about one argument are rules of their own.

use libseccomp::{ScmpArch, ScmpSyscall};
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use super::{Compiled, compile};

/// What a filter is asked about: `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u32,
    arch: u32,
    args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 => {
                let arg = self.args[(offset as usize - 16) / 8];
                // Little-endian machines have the lower half first.
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
            _ => 0,
        }
    }
}

/// Runs a filter as the kernel does (Documentation/networking/filter.rst).
fn interpret(filter: &Compiled, call: &Call) -> u32 {
    let (mut at, mut held) = (0_usize, 0_u32);
    loop {
        let insn = filter.program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { insn.jt } else { insn.jf });
        match u32::from(insn.code) {
            0x20 => held = call.word(insn.k),
            0x54 => held &= insn.k,
            0x05 => at += insn.k as usize,
            0x15 => at += jump(held == insn.k),
            0x25 => at += jump(held > insn.k),
            0x35 => at += jump(held >= insn.k),
            0x45 => at += jump(held & insn.k != 0),
            0x06 => return insn.k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

/// What the kernel returns for an action (linux/seccomp.h).
fn returned(action: &str, number: Option<u64>) -> u32 {
    let data = number.unwrap_or(1) as u32;
    match action {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | data,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        other => panic!("{other}"),
    }
}

fn holds(condition: &Value, args: &[u64; 6]) -> bool {
    let number = |key: &str| condition[key].as_u64().unwrap_or(0);
    let (arg, value) = (args[number("index") as usize], number("value"));
    match condition["op"].as_str().unwrap() {
        "SCMP_CMP_NE" => arg != value,
        "SCMP_CMP_LT" => arg < value,
        "SCMP_CMP_LE" => arg <= value,
        "SCMP_CMP_EQ" => arg == value,
        "SCMP_CMP_GE" => arg >= value,
        "SCMP_CMP_GT" => arg > value,
        // Both are masked (seccomp_rule_add(3)).
        "SCMP_CMP_MASKED_EQ" => arg & value == number("valueTwo") & value,
        other => panic!("{other}"),
    }
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// What a profile says of a call.
fn meant(profile: &Value, name: &str, args: &[u64; 6]) -> u32 {
    let default = returned(profile["defaultAction"].as_str().unwrap(), profile["defaultErrnoRet"].as_u64());
    for rule in
        list(profile, "syscalls").iter().filter(|rule| list(rule, "names").iter().any(|one| one == name))
    {
        let conditions = list(rule, "args");
        let mut indices: Vec<&Value> = conditions.iter().map(|one| &one["index"]).collect();
        indices.sort_by_key(|index| index.as_u64());
        indices.dedup();
        let applies = if indices.len() < conditions.len() {
            conditions.iter().any(|one| holds(one, args))
        } else {
            conditions.iter().all(|one| holds(one, args))
        };
        let action = returned(rule["action"].as_str().unwrap(), rule["errnoRet"].as_u64());
        if applies && action != default {
            return action;
        }
    }
    default
}

/// Numbers around the edges of what a condition tells apart.
fn edges(condition: &Value) -> Vec<u64> {
    let number = |key: &str| condition[key].as_u64().unwrap_or(0);
    let (value, second) = (number("value"), number("valueTwo"));
    let mut all = vec![0, 1, u64::MAX, 1 << 31, 1 << 32, u64::from(u32::MAX)];
    all.extend([value, value.wrapping_sub(1), value.wrapping_add(1), value ^ (1 << 32), value << 32, !value]);
    all.extend([second, second | !value, second ^ (value & value.wrapping_neg()), value & second]);
    all
}

/// Arguments that show what the rules about a call tell apart: each condition at each of its edges, while
/// the others of its rule hold as far as one number can see to that.
fn probes(profile: &Value, name: &str) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6], [1, 2, 3, 4, 5, 6]];
    for rule in
        list(profile, "syscalls").iter().filter(|rule| list(rule, "names").iter().any(|one| one == name))
    {
        let conditions = list(rule, "args");
        let mut base = [0_u64; 6];
        for condition in conditions {
            let index = condition["index"].as_u64().unwrap() as usize;
            let good = edges(condition).into_iter().find(|value| {
                let mut args = base;
                args[index] = *value;
                conditions
                    .iter()
                    .filter(|one| one["index"] == condition["index"])
                    .all(|one| holds(one, &args))
            });
            base[index] = good.unwrap_or(0);
        }
        all.push(base);
        for condition in conditions {
            for value in edges(condition) {
                let mut args = base;
                args[condition["index"].as_u64().unwrap() as usize] = value;
                all.push(args);
            }
        }
    }
    all
}

fn names(profile: &Value) -> Vec<String> {
    let rules = list(profile, "syscalls").iter().flat_map(|rule| list(rule, "names"));
    let mut all: Vec<String> = rules.map(|name| name.as_str().unwrap().to_owned()).collect();
    all.extend(["getpid", "reboot", "read"].map(str::to_owned));
    all.sort();
    all.dedup();
    all
}

/// Compares a filter with its profile. Returns how many calls were asked about.
fn compare(profile: &Value) -> usize {
    let seccomp: LinuxSeccomp = serde_json::from_value(profile.clone()).unwrap();
    let filter = compile(&seccomp).unwrap_or_else(|error| panic!("{error}\n{profile}"));
    let mut asked = 0;
    // AUDIT_ARCH_X86_64 and AUDIT_ARCH_I386 (linux/audit.h); x32 has numbers with a bit of its own.
    let named = |arch: &str| list(profile, "architectures").iter().any(|one| one == arch);
    let mut archs = vec![(ScmpArch::X8664, 0xc000_003e_u32, true)];
    archs.push((ScmpArch::X32, 0xc000_003e, named("SCMP_ARCH_X32")));
    archs.push((ScmpArch::X86, 0x4000_0003, named("SCMP_ARCH_X86")));
    for (arch, audit, filtered) in archs {
        let rules = list(profile, "syscalls").iter().flat_map(|rule| list(rule, "names"));
        let named = rules.filter_map(|name| ScmpSyscall::from_name_by_arch(name.as_str()?, arch).ok());
        let named = named.filter_map(|call| u32::try_from(call.as_raw_syscall()).ok());
        let last = named.max().unwrap_or(u32::MAX);
        for name in names(profile) {
            // One call for many there, with conditions of its own (socketcall(2), ipc(2)).
            if arch == ScmpArch::X86 && ["socketcall", "ipc"].contains(&&*name) {
                continue;
            }
            let number = ScmpSyscall::from_name_by_arch(&name, arch).map(ScmpSyscall::as_raw_syscall);
            let Some(number) = number.ok().and_then(|number| u32::try_from(number).ok()) else { continue };
            for args in probes(profile, &name) {
                // Of the ABIs with 32 bits libseccomp compares those only, of x32 too.
                let args = if arch == ScmpArch::X8664 { args } else { args.map(|arg| arg & 0xffff_ffff) };
                let call = Call { number, arch: audit, args };
                // An architecture that is not named has nothing (SCMP_FLTATR_ACT_BADARCH).
                let wanted = if filtered { meant(profile, &name, &args) } else { 0 };
                let newer = filtered && number > last && profile["defaultAction"] == "SCMP_ACT_ERRNO";
                let wanted = if newer { 0x0005_0026 } else { wanted };
                let got = interpret(&filter, &call);
                assert_eq!(got, wanted, "{name} {call:x?}: {got:#x}, meant {wanted:#x}\n{profile}");
                asked += 1;
            }
        }
    }
    asked
}

const ARCHES: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

/// New namespaces of clone(2) but that for cgroups, in one mask.
const NAMESPACES: u64 = 0x7e02_0000;

/// Every call of this machine that libseccomp knows.
fn known() -> Vec<String> {
    (0..460).filter_map(|number| ScmpSyscall::from(number).get_name().ok()).collect()
}

/// A profile in the shape of those that engines bring: whatever is not named fails, some calls depend on
/// their arguments, and one is told to be missing.
fn engine_like(denied: &[&str]) -> Value {
    let conditional = ["clone", "clone3", "personality", "socket"];
    let plain: Vec<String> = known()
        .into_iter()
        .filter(|name| !denied.contains(&name.as_str()) && !conditional.contains(&name.as_str()))
        .collect();
    let mut rules = vec![
        json!({"names": plain, "action": "SCMP_ACT_ALLOW"}),
        json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}),
        json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}),
        json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]}),
    ];
    for value in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff_u64] {
        let args = json!([{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]);
        rules.push(json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": args}));
    }
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ARCHES, "syscalls": rules})
}

#[test]
fn a_mask_is_the_mask_and_not_the_value() {
    let profile = engine_like(&["mount"]);
    let seccomp: LinuxSeccomp = serde_json::from_value(profile).unwrap();
    let filter = compile(&seccomp).unwrap();
    let clone =
        |flags| interpret(&filter, &Call { number: 56, arch: 0xc000_003e, args: [flags, 0, 0, 0, 0, 0] });
    assert_eq!(clone(0x11), 0x7fff_0000, "SIGCHLD alone");
    for (namespace, name) in
        [(0x1000_0000, "user"), (0x0002_0000, "mount"), (0x2000_0000, "pid"), (0x4000_0000, "net")]
    {
        assert_eq!(clone(0x11 | namespace), 0x0005_0001, "a {name} namespace");
    }
}

#[test]
fn filters_of_engines_are_what_they_say() {
    let admin = ["mount", "umount2", "pivot_root", "setns", "unshare", "bpf", "fsopen", "fsmount"];
    let kernel = ["reboot", "init_module", "finit_module", "delete_module", "kexec_load", "ptrace"];
    let mut asked = compare(&engine_like(&[&admin[..], &kernel[..]].concat()));
    asked += compare(&engine_like(&kernel));
    let mut all = engine_like(&admin);
    all["architectures"] = json!(["SCMP_ARCH_X86_64"]);
    asked += compare(&all);
    assert!(asked > 5000, "{asked}");
}

/// Hundreds of values of one argument fit, on three ABIs.
#[test]
fn many_values_of_one_argument_are_a_list() {
    let rule = |name: &str, value: u64, number: u64| {
        json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": number,
            "args": [{"index": 1, "value": value, "op": "SCMP_CMP_EQ"}]})
    };
    let mut rules: Vec<Value> = (0..300).map(|value| rule("getpid", value, 20 + value % 100)).collect();
    rules.extend((1000..1400).map(|value| rule("getuid", value, 20)));
    let many = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ARCHES, "syscalls": rules});
    let filter = compile(&serde_json::from_value(many).unwrap()).unwrap();
    // getpid and getuid of x86-64 and of i386.
    for (arch, getpid, getuid) in [(0xc000_003e, 39, 102), (0x4000_0003, 20, 24)] {
        let of = |number: u32, second: u64| {
            interpret(&filter, &Call { number, arch, args: [7, second, 0, 0, 0, 0] })
        };
        for value in 0..300 {
            assert_eq!(of(getpid, value), 0x0005_0000 | u32::try_from(20 + value % 100).unwrap());
        }
        for (value, denied) in [(999, false), (1000, true), (1234, true), (1399, true), (1400, false)] {
            assert_eq!(of(getuid, value) == 0x0005_0014, denied, "{value}");
        }
        assert_eq!(of(getpid, 300), 0x7fff_0000);
    }
    // Values of all sizes, in no order, with ends of ranges.
    let mut rules: Vec<Value> = (0..40).rev().map(|value| rule("getpid", value * 7, 1 + value % 2)).collect();
    for value in [0, 1, 2, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 32, u64::MAX - 1, u64::MAX] {
        rules.push(rule("getuid", value, 5));
    }
    let wide =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules});
    assert!(compare(&wide) > 300);
}

/// A call that is newer than a profile is missing, and not denied.
#[test]
fn what_a_profile_is_too_old_for_is_missing() {
    let compiled = |profile: &Value| compile(&serde_json::from_value(profile.clone()).unwrap()).unwrap();
    let of =
        |filter: &Compiled, arch: u32, number: u32| interpret(filter, &Call { number, arch, args: [0; 6] });
    let mut profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ARCHES,
        "syscalls": [{"names": ["read", "getcpu", "unheard_of"], "action": "SCMP_ACT_ALLOW"},
                     {"names": ["openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]});
    let filter = compiled(&profile);
    let (missing, denied, allowed) = (0x0005_0026, 0x0005_0001, 0x7fff_0000);
    for (arch, base) in [(0xc000_003e, 0), (0xc000_003e, 0x4000_0000), (0x4000_0003, 0)] {
        // openat2 is 437 everywhere.
        for (number, wanted) in [(437, denied), (436, denied), (438, missing), (1000, missing)] {
            assert_eq!(of(&filter, arch, base + number), wanted, "{arch:x} {number}");
        }
        assert_eq!(of(&filter, arch, base + if arch == 0x4000_0003 { 3 } else { 0 }), allowed);
    }
    // Whoever has others killed has newer ones killed too, and what is allowed is allowed.
    for (default, wanted) in [("SCMP_ACT_KILL_PROCESS", 0x8000_0000), ("SCMP_ACT_ALLOW", allowed)] {
        profile["defaultAction"] = json!(default);
        assert_eq!(of(&compiled(&profile), 0xc000_003e, 1000), wanted, "{default}");
    }
}

/// Calls of i386 that were part of another one are that part too, and its version is no way around a rule.
#[test]
fn sockets_and_queues_of_i386_have_two_names() {
    let rule = |name: &str, action: &str| {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ARCHES,
            "syscalls": [{"names": [name], "action": action}]});
        compile(&serde_json::from_value(profile).unwrap()).unwrap()
    };
    let denied = |filter: &Compiled, number: u32, first: u64| {
        let call = Call { number, arch: 0x4000_0003, args: [first, 0, 0, 0, 0, 0] };
        interpret(filter, &call) == 0x0005_0001
    };
    let socket = rule("socket", "SCMP_ACT_ERRNO");
    assert!(denied(&socket, 359, 2) && denied(&socket, 102, 1) && !denied(&socket, 102, 2));
    let queue = rule("msgget", "SCMP_ACT_ERRNO");
    assert!(denied(&queue, 399, 0) && denied(&queue, 117, 13) && denied(&queue, 117, 0x1_000d));
    assert!(!denied(&queue, 117, 12));
}

/// podman's own profile is in a form that says for which capabilities and architectures a rule is.
#[test]
fn the_filter_of_podman_is_what_it_says() {
    let Ok(text) = std::fs::read_to_string("/usr/share/containers/seccomp.json") else { return };
    let whole: Value = serde_json::from_str(&text).unwrap();
    for capabilities in [&[][..], &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_ADMIN"]] {
        let has = |rule: &Value, when: &str, nothing: bool| {
            let caps = list(&rule[when], "caps");
            let arches = list(&rule[when], "arches");
            let cap = caps.iter().any(|cap| capabilities.iter().any(|one| cap == one));
            let arch = arches.iter().any(|arch| arch == "amd64");
            if caps.is_empty() && arches.is_empty() { nothing } else { cap || arch }
        };
        let rules: Vec<Value> = list(&whole, "syscalls")
            .iter()
            .filter(|rule| has(rule, "includes", true) && !has(rule, "excludes", false))
            .map(|rule| {
                let mut rule = rule.clone();
                for key in ["comment", "includes", "excludes", "errno"] {
                    rule.as_object_mut().unwrap().remove(key);
                }
                rule
            })
            .collect();
        let default = &whole["defaultAction"];
        let number = &whole["defaultErrnoRet"];
        let profile = json!({"defaultAction": default, "defaultErrnoRet": number, "architectures": ARCHES, "syscalls": rules});
        assert!(compare(&profile) > 1000);
    }
}

/// Default profiles of containerd, as `ctr run --seccomp` wrote them for a container of few rights and of all.
#[test]
fn the_filters_of_containerd_are_what_they_say() {
    let whole: Value = serde_json::from_str(include_str!("containerd.json")).unwrap();
    for kind in ["plain", "privileged"] {
        let asked = compare(&whole[kind]);
        assert!(asked > 1000, "{kind}: {asked}");
    }
}

/// Numbers by a fixed rule (xorshift), so that a failure is found again.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next(all.len() as u64) as usize]
    }

    fn value(&mut self) -> u64 {
        match self.next(5) {
            0 => self.next(4),
            1 => 1 << self.next(64),
            2 => self.next(u64::from(u32::MAX)),
            3 => u64::MAX - self.next(3),
            _ => self.next(1 << 53) << self.next(11),
        }
    }

    fn condition(&mut self, wide: bool) -> Value {
        const OPS: [&str; 7] = [
            "SCMP_CMP_NE",
            "SCMP_CMP_LT",
            "SCMP_CMP_LE",
            "SCMP_CMP_EQ",
            "SCMP_CMP_GE",
            "SCMP_CMP_GT",
            "SCMP_CMP_MASKED_EQ",
        ];
        // Where an architecture has 32 bits, numbers that it cannot have are left out.
        let fit = |value: u64| if wide { value } else { value & 0x7fff_ffff };
        let (op, value, second) = (self.of(&OPS), fit(self.value()), fit(self.value()));
        let second = if self.next(4) == 0 { second } else { second & value };
        json!({"index": self.next(6), "value": value, "valueTwo": second, "op": op})
    }
}

/// A profile in which each call has one action: what the order of two would mean no specification says.
fn random(dice: &mut Dice, known: &[String]) -> Value {
    const ACTIONS: [(&str, u64); 8] = [
        ("SCMP_ACT_ALLOW", 1),
        ("SCMP_ACT_LOG", 1),
        ("SCMP_ACT_ERRNO", 1),
        ("SCMP_ACT_ERRNO", 38),
        ("SCMP_ACT_TRACE", 7),
        ("SCMP_ACT_TRAP", 1),
        ("SCMP_ACT_KILL_PROCESS", 1),
        ("SCMP_ACT_KILL", 1),
    ];
    let wide = dice.next(3) != 0;
    let (default, number) = dice.of(&ACTIONS);
    let mut rules = Vec::new();
    let mut left: Vec<&String> = known.iter().collect();
    for _ in 0..=dice.next(10) {
        let (action, number) = dice.of(&ACTIONS);
        let count = 1 + dice.next(4);
        let names: Vec<&String> =
            (0..count).map(|_| left.swap_remove(dice.next(left.len() as u64) as usize)).collect();
        for _ in 0..=dice.next(3) {
            let args: Vec<Value> = (0..dice.next(4)).map(|_| dice.condition(wide)).collect();
            rules.push(json!({"names": names, "action": action, "errnoRet": number, "args": args}));
        }
    }
    let arches = if wide { &["SCMP_ARCH_X86_64"][..] } else { &ARCHES };
    json!({"defaultAction": default, "defaultErrnoRet": number, "architectures": arches, "syscalls": rules})
}

#[test]
fn random_filters_are_what_they_say() {
    let mut dice = Dice(0x5eed_0011_2026_1130);
    // Of these an architecture of 32 bits makes several, or one for many.
    let odd = ["ipc", "socketcall", "write"];
    let known: Vec<String> = known().into_iter().filter(|name| !odd.contains(&name.as_str())).collect();
    assert!(known.len() > 300, "{}", known.len());
    let asked: usize = (0..500).map(|_| compare(&random(&mut dice, &known))).sum();
    assert!(asked > 100_000, "{asked}");
}

#[test]
fn what_no_filter_can_do_is_refused() {
    let refusal = |profile: Value| {
        let seccomp: LinuxSeccomp = serde_json::from_value(profile).unwrap();
        compile(&seccomp).map(drop).unwrap_err().to_string()
    };
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    for (profile, words) in [
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "defaultAction"),
        (rule(json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"})), "write"),
        (rule(json!({"names": ["mkdir", "sendmsg"], "action": "SCMP_ACT_NOTIFY"})), "sendmsg"),
        (rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})), "listenerPath"),
        (rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 65536})), "errnoRet"),
        (
            rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]})),
            "args.index",
        ),
    ] {
        let said = refusal(profile);
        assert!(said.contains("linux.seccomp") && said.contains(words), "{words}: {said}");
    }
}
