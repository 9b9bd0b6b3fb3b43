//! Who a task is: its user and groups, its capabilities, and what else it was given to start with.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use hotcell::bundle::{Bundle, spec};
use hotcell::launch::Stdio;

use crate::bed::{Bed, Ran, script};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(root_has_dockers_capabilities_and_no_more, Cells, Busybox),
        test!(another_user_has_the_bounding_set_alone, Cells, Busybox),
        test!(capabilities_are_added_and_dropped, Cells, Busybox),
        test!(capabilities_do_what_they_say, Cells, Busybox),
        test!(a_capability_that_cannot_be_had_is_refused_by_name, Cells, Busybox),
        test!(what_a_specification_asks_for_is_what_it_gets, Cells, Busybox),
        test!(other_runtimes_templates_run, Cells, Busybox),
        test!(capabilities_of_a_file_give_nothing, Cells, Busybox),
        test!(names_are_those_of_the_root, Cells, Busybox),
        test!(the_groups_are_exactly_these, Cells, Busybox),
        test!(what_is_no_user_is_refused_and_never_root, Cells, Busybox),
        test!(hostile_account_files_are_refused, Cells, Busybox),
        test!(a_umask_is_the_cells_own, Cells, Busybox),
        test!(an_out_of_memory_score_is_given_or_refused, Cells, Busybox),
        test!(core_files_are_asked_for, Cells, Busybox),
        test!(the_session_is_the_tasks_own, Cells, Busybox),
        test!(the_task_can_be_looked_into_and_the_init_cannot, Cells, Busybox),
    ]
}

const NONE: &str = "0000000000000000";
const DOCKERS: &str = "00000000a80425fb";
const STATUS: &str = "grep -E '^(Cap|Uid|Gid|Groups|NoNew)' /proc/self/status";

/// The script's answer as a table.
fn status(out: &str) -> BTreeMap<String, String> {
    let row = |line: &str| line.split_once(':').map(|(a, b)| (a.to_owned(), b.trim().to_owned()));
    out.lines().filter_map(row).collect()
}

/// The sets in the order bounding, permitted, effective, inheritable, ambient.
#[track_caller]
fn sets(bed: &Bed, flags: &[&str], want: [&str; 5]) {
    for more in [&["--init"][..], &[], &["--userns", "auto"]] {
        let flags: Vec<_> = flags.iter().chain(more).copied().collect();
        let status = status(&bed.sh(&flags, STATUS).ok());
        let got = ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"].map(|set| &status[set][..]);
        assert_eq!(got, want, "{flags:?}");
    }
}

fn root_has_dockers_capabilities_and_no_more(bed: &Bed) {
    sets(bed, &[], [DOCKERS, DOCKERS, DOCKERS, NONE, NONE]);
}

fn another_user_has_the_bounding_set_alone(bed: &Bed) {
    sets(bed, &["-u", "1000:1000"], [DOCKERS, NONE, NONE, NONE, NONE]);
    sets(
        bed,
        &["-u", "nobody", "--cap-add", "SYS_ADMIN"],
        ["00000000a82425fb", NONE, NONE, NONE, NONE],
    );
}

fn capabilities_are_added_and_dropped(bed: &Bed) {
    let rows: [(&[&str], &str); 7] = [
        (&["--cap-drop", "ALL"], NONE),
        (&["--cap-drop", "all", "--cap-add", "cap_kill"], "0000000000000020"),
        (&["--cap-add", "CAP_KILL", "--cap-drop", "All"], "0000000000000020"),
        (&["--cap-add", "net_admin"], "00000000a80435fb"),
        (&["--cap-drop", "NET_RAW", "--cap-drop", "CAP_MKNOD"], "00000000a00405fb"),
        (&["--cap-drop", "KILL", "--cap-add", "KILL"], DOCKERS),
        (&["--cap-drop", "ALL", "-u", "1000"], NONE),
    ];
    for (flags, want) in rows {
        let held = if flags.contains(&"-u") { NONE } else { want };
        sets(bed, flags, [want, held, held, NONE, NONE]);
    }
    // All there are: those of this process.
    let own = status(&std::fs::read_to_string("/proc/self/status").unwrap());
    let all = own["CapBnd"].as_str();
    sets(bed, &["--cap-add", "ALL"], [all, all, all, NONE, NONE]);
    let (ptrace, admin) = (1 << 19, 1 << 21);
    let without = u64::from_str_radix(all, 16).unwrap() & !ptrace & !admin;
    let without = format!("{without:016x}");
    let flags = ["--cap-add", "ALL", "--cap-drop", "SYS_ADMIN", "--cap-drop", "SYS_PTRACE"];
    sets(bed, &flags, [&without, &without, &without, NONE, NONE]);
    // It would reach for an init that stays, which holds more than it.
    assert_eq!(bed.sh(&["--cap-add", "SYS_PTRACE"], "echo alone").ok(), "alone\n");
    let ran = bed.sh(&["--init", "--cap-add", "SYS_PTRACE"], "true");
    assert!(ran.code == Some(125) && ran.err.contains("CAP_SYS_PTRACE"), "{ran:?}");
}

fn capabilities_do_what_they_say(bed: &Bed) {
    let chown = "touch /f; chown 7 /f 2>/dev/null && echo yes || echo no";
    assert_eq!(bed.sh(&[], chown).ok(), "yes\n");
    assert_eq!(bed.sh(&["--cap-drop", "CHOWN"], chown).ok(), "no\n");
    assert_eq!(bed.sh(&["--cap-drop", "ALL", "--cap-add", "CHOWN"], chown).ok(), "yes\n");
    let up = "ifconfig lo down 2>/dev/null && echo yes || echo no";
    assert_eq!(bed.sh(&[], up).ok(), "no\n");
    assert_eq!(bed.sh(&["--cap-add", "NET_ADMIN"], up).ok(), "yes\n");
}

#[track_caller]
fn refused(ran: &Ran, text: &str) {
    assert!(ran.code == Some(125) && ran.out.is_empty(), "{ran:?}");
    assert!(ran.err.contains(text) && ran.err.lines().count() == 1, "{ran:?}");
}

fn a_capability_that_cannot_be_had_is_refused_by_name(bed: &Bed) {
    for name in ["NET-ADMIN", "", "CAP_ALL", "CAP_", "0"] {
        for flag in ["--cap-add", "--cap-drop"] {
            refused(&bed.sh(&[flag, name], "true"), &format!("capability {name:?}: is no name"));
        }
    }
    // A thread that lacks one can't give it away, whoever asks.
    let rootfs = fixture("busybox");
    let args = ["--rootfs", rootfs.to_str().unwrap(), "--cap-add", "SYS_TIME", "--", "true"];
    let inner = bed.command("run", args);
    let mut lacking = Command::new("setpriv");
    lacking.args(["--bounding-set", "-sys_time", "--inh-caps", "-all"]);
    lacking.arg(inner.get_program()).args(inner.get_args());
    lacking.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = Ran::from(lacking.output().unwrap());
    refused(&ran, "capability CAP_SYS_TIME is not held by the process that starts the cell");
}

/// Runs `config` with a changed specification; the script's output.
fn with_spec(bed: &Bed, text: &str, change: impl Fn(&mut serde_json::Value)) -> String {
    let out = bed.path("out");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir(&out).unwrap();
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut config = script(&format!("({text}) > /out/said"));
    config.volumes = vec![format!("{}:/out", out.display()).parse().unwrap()];
    let mut json = serde_json::to_value(spec(&config).unwrap()).unwrap();
    change(&mut json);
    let spec = serde_json::from_value(json).unwrap();
    let driver = bed.driver();
    let created = driver.create_from_spec(None, spec, None).unwrap();
    let mut running = created.run(Stdio::default()).unwrap();
    running.wait(None).unwrap();
    running.close().unwrap();
    std::fs::read_to_string(out.join("said")).unwrap()
}

fn what_a_specification_asks_for_is_what_it_gets(bed: &Bed) {
    let ambient = serde_json::json!({
        "bounding": ["CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_KILL"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_KILL"],
    });
    let said = with_spec(bed, STATUS, |spec| {
        let process = &mut spec["process"];
        process["capabilities"] = ambient.clone();
        process["user"] =
            serde_json::json!({"uid": 7, "gid": 8, "additionalGids": [9, 3], "umask": 63});
    });
    let said = status(&said);
    let got =
        ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb", "Groups"].map(|row| &said[row][..]);
    let (kill, both) = ("0000000000000020", "0000000000002020");
    assert_eq!(got, [both, kill, kill, both, kill, "3 9"]);
    // Without any groups there are none, whatever the embedder has.
    let said = with_spec(bed, STATUS, |spec| {
        let process = &mut spec["process"];
        process["user"] = serde_json::json!({"uid": 7, "gid": 8});
    });
    assert_eq!(status(&said)["Groups"], "");
    let said = with_spec(bed, "umask", |spec| spec["process"]["user"]["umask"] = 63.into());
    assert_eq!(said, "0077\n");
    let said = with_spec(bed, "cat /proc/self/oom_score_adj", |spec| {
        let process = &mut spec["process"];
        process["oomScoreAdj"] = 321.into();
    });
    assert_eq!(said, "321\n");
}

/// They ask for ambient capabilities that are not inheritable, which the kernel does not know.
fn other_runtimes_templates_run(bed: &Bed) {
    let three = serde_json::json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let said = with_spec(bed, STATUS, |spec| {
        let process = &mut spec["process"];
        let sets = ["bounding", "effective", "permitted", "ambient"];
        let sets = sets.map(|set| (set.to_owned(), three.clone()));
        process["capabilities"] = sets.into_iter().collect::<serde_json::Map<_, _>>().into();
    });
    let said = status(&said);
    assert_eq!((&said["CapEff"][..], &said["CapAmb"][..]), ("0000000020000420", NONE));
}

/// A copy of the busybox root to change.
fn copy(bed: &Bed, name: &str) -> PathBuf {
    let root = bed.path(name);
    let copied = Command::new("cp").arg("-a").arg(fixture("busybox")).arg(&root).status();
    assert!(copied.unwrap().success());
    root
}

fn run_in(bed: &Bed, root: &Path, flags: &[&str], text: &str) -> Ran {
    let rootfs = ["--rootfs", root.to_str().unwrap()];
    bed.run(rootfs.iter().chain(flags).chain(&["--", "sh", "-c", text]))
}

/// `security.capability`, second version: effective, CAP_NET_RAW permitted and inheritable.
const FILE_CAPABILITIES: [u32; 5] = [0x0200_0001, 1 << 13, 1 << 13, 0, 0];

fn capabilities_of_a_file_give_nothing(bed: &Bed) {
    let root = copy(bed, "root");
    let value: Vec<u8> = FILE_CAPABILITIES.iter().flat_map(|word| word.to_le_bytes()).collect();
    let (shell, name) = (root.join("bin/busybox"), "security.capability");
    rustix::fs::setxattr(&shell, name, &value, rustix::fs::XattrFlags::empty()).unwrap();
    for init in [&["--init"][..], &[]] {
        let flags: Vec<_> = ["-u", "1000:1000"].iter().chain(init).copied().collect();
        let status = status(&run_in(bed, &root, &flags, STATUS).ok());
        let rows = ["CapPrm", "CapEff", "CapInh", "CapAmb", "NoNewPrivs"];
        assert_eq!(rows.map(|row| &status[row][..]), [NONE, NONE, NONE, NONE, "1"], "{flags:?}");
    }
    // It would where new privileges are allowed.
    let said = with_spec(bed, STATUS, |spec| {
        spec["root"]["path"] = root.to_str().unwrap().into();
        spec["process"]["noNewPrivileges"] = false.into();
        spec["process"]["user"] = serde_json::json!({"uid": 1000, "gid": 1000});
    });
    assert_eq!(status(&said)["CapEff"], "0000000000002000", "{said}");
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100::/home/bob:/bin/sh\n\
                      1:x:0:0::/root:/bin/sh\n99999999999:x:0:0::/root:/bin/sh\n";
const GROUP: &str =
    "root:x:0:root\nusers:x:100:\naudio:x:29:bob,root\nvideo:x:44:bob\n1:x:0:\nstaff:x:50:\n";

fn with_accounts(bed: &Bed, name: &str) -> PathBuf {
    let root = copy(bed, name);
    std::fs::write(root.join("etc/passwd"), PASSWD).unwrap();
    std::fs::write(root.join("etc/group"), GROUP).unwrap();
    root
}

fn names_are_those_of_the_root(bed: &Bed) {
    let root = with_accounts(bed, "root");
    let text = "echo $(id -u):$(id -g) $HOME";
    let rows: [(&[&str], &str); 11] = [
        (&[], "0:0 /root\n"),
        (&["-u", "root"], "0:0 /root\n"),
        (&["-u", "bob"], "1000:100 /home/bob\n"),
        (&["-u", "1000"], "1000:100 /home/bob\n"),
        (&["-u", "bob:staff"], "1000:50 /home/bob\n"),
        (&["-u", "bob:7"], "1000:7 /home/bob\n"),
        (&["-u", "1000:staff"], "1000:50 /home/bob\n"),
        (&["-u", "7"], "7:0 /\n"),
        (&["-u", "1:1"], "1:1 /\n"),
        (&["-u", "bob", "-e", "HOME=/x"], "1000:100 /x\n"),
        (&["-u", "4294967294"], "4294967294:0 /\n"),
    ];
    for upper in ["tmpfs", "disk"] {
        for (flags, want) in rows {
            let flags: Vec<_> = flags.iter().chain(&["--upper", upper]).copied().collect();
            assert_eq!(run_in(bed, &root, &flags, text).ok(), want, "{flags:?}");
        }
    }
    assert_eq!(
        run_in(bed, &root, &["-u", "bob", "--read-only"], text).ok(),
        "1000:100 /home/bob\n"
    );
    // Without the files numbers still work.
    for file in ["passwd", "group"] {
        std::fs::remove_file(root.join("etc").join(file)).unwrap();
    }
    assert_eq!(run_in(bed, &root, &[], text).ok(), "0:0 /root\n");
    assert_eq!(run_in(bed, &root, &["-u", "1000:7"], text).ok(), "1000:7 /\n");
    refused(&run_in(bed, &root, &["-u", "bob"], text), "user \"bob\": is not in the root's");
}

fn the_groups_are_exactly_these(bed: &Bed) {
    let root = with_accounts(bed, "root");
    let rows: [(&[&str], &str); 7] = [
        (&[], "0 29"),
        (&["-u", "0:0"], "0"),
        (&["-u", "bob"], "29 44 100"),
        (&["-u", "1000"], "29 44 100"),
        (&["-u", "1000:1000"], "1000"),
        (&["-u", "1000:1000", "--group-add", "staff", "--group-add", "9"], "9 50 1000"),
        (&["-u", "7", "--group-add", "0"], "0"),
    ];
    for (flags, want) in rows {
        for more in [&["--init"][..], &[], &["--userns", "auto"]] {
            let flags: Vec<_> = flags.iter().chain(more).copied().collect();
            let said = run_in(bed, &root, &flags, STATUS).ok();
            assert_eq!(status(&said)["Groups"], want, "{flags:?}");
        }
    }
    refused(
        &run_in(bed, &root, &["--group-add", "nobodys"], "id"),
        "group \"nobodys\": is not in the root's /etc/group",
    );
}

fn what_is_no_user_is_refused_and_never_root(bed: &Bed) {
    let root = with_accounts(bed, "root");
    let bad = [
        "",
        "4294967295",
        "4294967296",
        "99999999999",
        "0x0",
        "+0",
        "-1",
        "a:b:c",
        ":",
        "bob:",
        ":0",
        "1:4294967295",
        "1:-1",
        "1:0x0",
        " 0",
        "0 ",
        "0\n",
        "bob ",
    ];
    for user in bad {
        let user_flag = format!("--user={user}");
        let ran = run_in(bed, &root, &[&user_flag], "id");
        refused(&ran, &format!("user {user:?}: "));
    }
}

/// Each in a second and in little memory: reading one of them for ever would end the machine.
fn hostile_account_files_are_refused(bed: &Bed) {
    type Put = fn(&Path);
    let outside = bed.path("outside");
    std::fs::write(&outside, PASSWD).unwrap();
    let puts: [(Put, &str); 4] = [
        (|path| std::fs::File::create(path).unwrap().set_len(5 << 30).unwrap(), "is larger than"),
        (|path| make(path, "p"), "is not a regular file"),
        (|path| make(path, "c"), "is not a regular file"),
        (|path| symlink("/dev/zero", path).unwrap(), "is a link to nowhere in the root"),
    ];
    for (at, (put, why)) in puts.into_iter().enumerate() {
        for file in ["etc/passwd", "etc/group"] {
            let root = with_accounts(bed, &format!("root-{at}-{}", file.len()));
            std::fs::remove_file(root.join(file)).unwrap();
            put(&root.join(file));
            for user in ["bob", "0"] {
                for upper in ["tmpfs", "disk"] {
                    let args = ["--rootfs", root.to_str().unwrap(), "-u", user, "--upper", upper];
                    let inner = bed.command("run", args.iter().chain(&["--", "id"]));
                    // Half a gigabyte of address space holds the program, and no such file.
                    let mut bounded = Command::new("timeout");
                    bounded.args(["10", "prlimit", "--as=536870912"]);
                    bounded.arg(inner.get_program()).args(inner.get_args());
                    bounded.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
                    refused(&Ran::from(bounded.output().unwrap()), why);
                }
            }
        }
    }
    let root = with_accounts(bed, "linked");
    std::fs::remove_file(root.join("etc/passwd")).unwrap();
    symlink(&outside, root.join("etc/passwd")).unwrap();
    refused(&run_in(bed, &root, &["-u", "bob"], "id"), "is a link to nowhere in the root");
}

/// A FIFO, or the device that gives zeros for ever.
fn make(path: &Path, kind: &str) {
    let numbers: &[&str] = if kind == "c" { &["1", "5"] } else { &[] };
    let made = Command::new("mknod").arg(path).arg(kind).args(numbers).status();
    assert!(made.unwrap().success());
}

fn a_umask_is_the_cells_own(bed: &Bed) {
    let text = "umask; touch /tmp/f; stat -c %a /tmp/f";
    assert_eq!(bed.sh(&[], text).ok(), "0022\n644\n");
    assert_eq!(bed.sh(&["--umask", "0077", "--init"], text).ok(), "0077\n600\n");
    assert_eq!(bed.sh(&["--umask", "0"], text).ok(), "0000\n666\n");
    for bad in ["1000", "8", "", "-1", "0o22", "rwx"] {
        refused(&bed.sh(&[&format!("--umask={bad}")], "true"), "must be octal");
    }
}

fn an_out_of_memory_score_is_given_or_refused(bed: &Bed) {
    let text = "cat /proc/self/oom_score_adj";
    assert_eq!(bed.sh(&[], text).ok(), "0\n");
    for more in [&["--init"][..], &[], &["--userns", "auto"]] {
        let flags: Vec<_> = ["--oom-score-adj", "700"].iter().chain(more).copied().collect();
        assert_eq!(bed.sh(&flags, text).ok(), "700\n");
    }
    let lowered = bed.sh(&["--oom-score-adj", "-700"], text);
    let own = status(&std::fs::read_to_string("/proc/self/status").unwrap());
    match u64::from_str_radix(&own["CapEff"], 16).unwrap() & 1 << 24 {
        0 => refused(&lowered, "set oom_score_adj to -700 (less than this process's own takes"),
        _ => assert_eq!(lowered.ok(), "-700\n"),
    }
    for bad in ["1001", "-1001", "x", ""] {
        refused(&bed.sh(&[&format!("--oom-score-adj={bad}")], "true"), "--oom-score-adj");
    }
    // A bundle says so itself.
    let dir = bed.path("kept");
    let flags = ["--oom-score-adj", "5", "--bundle-dir", dir.to_str().unwrap()];
    bed.sh(&flags, "true").ok();
    let bundle = Bundle::load(&dir).unwrap();
    assert_eq!(bundle.spec().process().as_ref().unwrap().oom_score_adj(), Some(5));
}

fn core_files_are_asked_for(bed: &Bed) {
    let text = "ulimit -c; ulimit -Hc";
    assert_eq!(bed.sh(&[], text).ok(), "0\n0\n");
    // In the shell's unit of 512 bytes.
    assert_eq!(bed.sh(&["--ulimit", "core=512:1024"], text).ok(), "1\n2\n");
}

fn the_session_is_the_tasks_own(bed: &Bed) {
    for init in [&["--init"][..], &[]] {
        // Process, group, session, terminal.
        let out = bed.sh(init, "echo $$; cut -d' ' -f1,5,6,7 /proc/$$/stat").ok();
        let (pid, stat) = out.split_once('\n').unwrap();
        assert_eq!(stat, format!("{pid} {pid} {pid} 0\n"));
    }
}

/// The kernel gives the files of a process that is not dumpable to root.
fn the_task_can_be_looked_into_and_the_init_cannot(bed: &Bed) {
    let flags = ["--init", "-u", "1000:1000"];
    let out = bed.sh(&flags, "stat -c %u /proc/1/mem /proc/$$/mem").ok();
    assert_eq!(out, "0\n1000\n");
}
