//! Reading profiles: what they say is kept, and what makes no sense is named.

use super::*;

const DOCKERS: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "defaultErrno": "EPERM",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}
    ],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "always",
         "includes": {}, "excludes": {}},
        {"name": "ptrace", "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["bpf"], "action": "SCMP_ACT_ALLOW",
         "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
         "excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"], "arches": ["s390"]}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW",
         "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
         "excludes": {"minKernel": "9.0"}}
    ]
}"#;

fn names(held: &[Capability], native: Architecture, kernel: Kernel) -> Vec<String> {
    let profile: Profile = DOCKERS.parse().unwrap();
    let resolved = profile.resolve(held, native, kernel);
    resolved.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
}

#[test]
fn conditions_mean_what_dockers_mean() {
    let (x86, six) = (Architecture::X86_64, Kernel(6, 18));
    let none = names(&[], x86, six);
    assert_eq!(none, ["read", "write", "ptrace", "clone3", "arch_prctl", "clone"]);
    // All of the included, any of the excluded.
    let one = [Capability::Bpf];
    assert!(!names(&one, x86, six).contains(&"bpf".to_owned()));
    assert!(!names(&one, x86, six).contains(&"clone3".to_owned()));
    let both = [Capability::Bpf, Capability::SysAdmin];
    assert!(names(&both, x86, six).contains(&"bpf".to_owned()));
    assert!(!names(&[], Architecture::Aarch64, six).contains(&"arch_prctl".to_owned()));
    assert!(!names(&[], x86, Kernel(4, 7)).contains(&"ptrace".to_owned()));
    assert!(names(&[], x86, Kernel(4, 10)).contains(&"ptrace".to_owned()));
    assert!(!names(&[], x86, Kernel(9, 0)).contains(&"clone".to_owned()));
}

#[test]
fn architectures_are_the_native_ones() {
    let profile: Profile = DOCKERS.parse().unwrap();
    let of = |native| profile.resolve(&[], native, Kernel(6, 1)).architectures().clone();
    let expected = vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86];
    assert_eq!(of(Architecture::X86_64), Some(expected));
    assert_eq!(of(Architecture::Aarch64), None);
    let listed: Profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_ARM"],
            "flags":["SECCOMP_FILTER_FLAG_LOG"]}"#
        .parse()
        .unwrap();
    let resolved = listed.resolve(&[], Architecture::X86_64, Kernel(6, 1));
    assert_eq!(resolved.architectures(), &Some(vec![Arch::ScmpArchArm]));
    assert_eq!(resolved.flags(), &Some(vec![LinuxSeccompFilterFlag::SeccompFilterFlagLog]));
    assert_eq!(resolved.default_action(), LinuxSeccompAction::ScmpActAllow);
}

#[test]
fn nonsense_is_refused_by_its_place() {
    let rule = |rest: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rest}]}}"#);
    let read =
        |rest: &str| rule(&format!(r#"{{"names":["read"],"action":"SCMP_ACT_ALLOW"{rest}}}"#));
    let cases = [
        (r#"{"defaultAction":"SCMP_ACT_ERRNO""#.to_owned(), "EOF"),
        (r#"{}"#.to_owned(), "defaultAction"),
        (r#"{"defaultAction":"ALLOW"}"#.to_owned(), r#"defaultAction: "ALLOW" is unknown"#),
        (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#.to_owned(), "SCMP_ACT_NOTIFY is not supported"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#.to_owned(), "takes no errno"),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EPERM"}"#.to_owned(),
            "defaultErrnoRet",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscall":[]}"#.to_owned(),
            "unknown field `syscall`",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_VAX"]}"#.to_owned(),
            r#"architectures[0]: "SCMP_ARCH_VAX" is unknown"#,
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],
               "archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#
                .to_owned(),
            "exclude each other",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_X"]}"#.to_owned(),
            "flags[0]",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/x"}"#.to_owned(),
            "listenerPath is not supported",
        ),
        (rule(r#"{"names":[],"action":"SCMP_ACT_ALLOW"}"#), "syscalls[0].names"),
        (rule(r#"{"names":["a"],"name":"b","action":"SCMP_ACT_ALLOW"}"#), "both name and names"),
        (rule(r#"{"names":["a"],"action":"SCMP_ACT_MAYBE"}"#), "syscalls[0].action"),
        (rule(r#"{"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}"#), "4096 is too large"),
        (rule(r#"{"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":-1}"#), "line 1"),
        (read(r#","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]"#), "args[0].index: 6"),
        (read(r#","args":[{"index":0,"value":0,"op":"SCMP_CMP_IS"}]"#), "syscalls[0].args[0].op"),
        (read(r#","args":[{"index":0,"op":"SCMP_CMP_EQ"}]"#), "missing field `value`"),
        (read(r#","includes":{"caps":["SYS_ADMIN"]}"#), "syscalls[0].includes.caps[0]"),
        (read(r#","excludes":{"caps":["CAP_FLY"]}"#), r#"excludes.caps[0]: "CAP_FLY""#),
        (read(r#","includes":{"arches":["vax"]}"#), r#"includes.arches[0]: "vax""#),
        (read(r#","includes":{"minKernel":"four"}"#), "includes.minKernel"),
        (read(r#","includes":{"maxKernel":"5.0"}"#), "unknown field `maxKernel`"),
        (format!("{}{}", " ".repeat(1 << 20), DOCKERS), "more than 1048576 bytes"),
    ];
    for (text, expected) in cases {
        let error = text.parse::<Profile>().unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let line = format!("{error}: {}", source.unwrap_or_default());
        assert!(line.contains(expected), "{line} lacks {expected}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn a_file_that_is_not_there_or_too_large_is_named() {
    let missing = Profile::read(Path::new("/nowhere/profile.json")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/profile.json"), "{missing}");
    let endless = Profile::read(Path::new("/dev/zero")).unwrap_err();
    assert!(endless.to_string().contains("more than"), "{endless}");
}

#[test]
fn the_running_kernel_is_newer_than_the_floor() {
    assert!(Kernel::running() >= Kernel(5, 14), "{:?}", Kernel::running());
}
