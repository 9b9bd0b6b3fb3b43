//! The driver in a container: the root of its cgroup namespace holds processes, itself among them.
//!
//! On a unified host that is in the way of all limits until the driver has moved; on a hybrid one,
//! whose controllers are v1, it is in nobody's. Each test's container is `scripts/container`'s.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio as Pipes};

use hotcell::cgroup::OwnPlace;
use hotcell::launch::Exit;
use hotcell::native::{Instance, Options};

use crate::bed::{Bed, PROGRAM, Ran, cgroup_parent, finish, script};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_driver_in_the_way_says_so_and_how_to_move_it, Unified, Cells, Busybox, Memory),
        test!(a_driver_that_may_move_enforces_limits, Unified, Cells, Debian, Memory, Cpu, Pids),
        test!(nobody_but_the_driver_is_moved, Unified, Cells, Busybox),
        test!(others_in_the_way_are_named_and_nobody_is_moved, Unified, Cells, Busybox),
        test!(a_driver_that_is_not_in_the_way_stays, Unified, Cells, Busybox),
        test!(an_embedder_moves_with_all_its_threads, Unified, Cells, Busybox, Pids),
        test!(nothing_is_in_the_way_on_a_hybrid_host, Hybrid, Cells, Busybox, Memory, Cpu, Pids),
    ]
}

/// Whether this process may move: `HOTCELL_TEST_MOVE_SELF=1`, in a container of its own.
pub fn may_move() -> bool {
    std::env::var("HOTCELL_TEST_MOVE_SELF").is_ok_and(|may| may == "1")
}

/// What scripts here start with. The shell has gone aside; `at_root` runs a program where a container's
/// first process would be.
const PRELUDE: &str = r#"
    root=/sys/fs/cgroup
    mkdir $root/shell
    echo 0 > $root/shell/cgroup.procs
    at_root() { echo 0 > $root/cgroup.procs; exec "$@"; }
    cell() { at_root "$HOTCELL" run --rootfs "$ROOT" "$@"; }
"#;

/// A shell script in a container of its own.
fn contained(bed: &Bed, script: &str) -> Ran {
    let options = bed.options();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(top.join("scripts/container"));
    command
        .args(["sh", "-ec", script])
        .env("HOTCELL_STATE_DIR", &options.state_dir)
        .env("HOTCELL_DATA_DIR", &options.data_dir)
        .env("HOTCELL_CGROUP_PARENT", &options.cgroup_parent)
        .env("PLAY_STATE", &options.state_dir)
        .env("PLAY_DATA", &options.data_dir)
        .env("PLAY_PARENT", &options.cgroup_parent)
        .env("PLAYER", std::env::current_exe().unwrap())
        .env("HOTCELL", PROGRAM)
        .env("ROOT", fixture("busybox"))
        .env("DEBIAN", fixture("debian"))
        .stdin(Pipes::null());
    Ran::from(command.output().unwrap())
}

fn a_driver_in_the_way_says_so_and_how_to_move_it(bed: &Bed) {
    let ran = contained(bed, &format!("{PRELUDE} (cell --memory 64m -- echo ran)"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(125), ""), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    for part in [
        "+memory",
        "/sys/fs/cgroup/cgroup.subtree_control",
        "this process lives in this cgroup itself",
        "--cgroup-move-self",
        "busy",
    ] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
}

fn a_driver_that_may_move_enforces_limits(bed: &Bed) {
    let values = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max";
    let ran = contained(
        bed,
        &format!(
            "{PRELUDE} limits='--memory 64m --cpus 0.5 --pids-limit 12'
             (cell --cgroup-move-self $limits -- sh -c '{values}')
             hog='b = bytearray(1024) * 1024 * 500'
             $HOTCELL run --rootfs $DEBIAN $limits -- python3 -c \"$hog\""
        ),
    );
    assert_eq!(ran.out, "67108864\n50000 100000\n12\n", "{ran:?}");
    assert_eq!(ran.code, Some(137), "{ran:?}");
    assert!(ran.err.contains("memory limit") && ran.err.lines().count() == 1, "{ran:?}");
}

fn nobody_but_the_driver_is_moved(bed: &Bed) {
    let script = r#"
        sleep 100 & bystander=$!
        mkdir $root/other
        echo $bystander > $root/other/cgroup.procs
        look() { cat /proc/1/cgroup /proc/$$/cgroup /proc/$bystander/cgroup; }
        look
        (cell --cgroup-move-self --init -- sh -c 'echo up; exec sleep 100') > "$OUT" & driver=$!
        until grep -q up "$OUT"; do sleep 0.1; done
        look
        echo "at the root: $(wc -l < $root/cgroup.procs)"
        cat /proc/$driver/cgroup
        [ "$(cat $root/$HOTCELL_CGROUP_PARENT.driver/cgroup.procs)" = $driver ] && echo alone there
        echo "in the cell: $(cat $root/$HOTCELL_CGROUP_PARENT/*/cgroup.procs | wc -l)"
        kill $driver; wait $driver || echo "ended with $?"
        kill $bystander"#;
    let out = bed.path("out");
    let ran = contained(bed, &format!("{PRELUDE} OUT={}; {script}", out.display()));
    let bystanders = "0::/pid1\n0::/shell\n0::/other\n";
    let driver = format!("0::/{}.driver", cgroup_parent());
    assert_eq!(
        ran.out,
        format!(
            "{bystanders}{bystanders}at the root: 0\n{driver}\nalone there\nin the cell: 2\n\
             ended with 143\n"
        ),
        "{ran:?}"
    );
}

fn others_in_the_way_are_named_and_nobody_is_moved(bed: &Bed) {
    let script = r#"
        (at_root sleep 100) & other=$!
        until grep -q $other $root/cgroup.procs; do sleep 0.1; done
        (cell --cgroup-move-self -- echo ran) || echo "ended with $?, other is $other"
        ls -d $root/*/ | wc -l
        [ "$(cat $root/cgroup.procs)" = $other ] && echo still there
        kill $other"#;
    let ran = contained(bed, &format!("{PRELUDE} {script}"));
    let mut lines = ran.out.lines();
    let other = lines.next().and_then(|line| line.strip_prefix("ended with 125, other is "));
    let other = other.unwrap_or_else(|| panic!("{ran:?}"));
    // PID 1's and the shell's.
    assert_eq!(lines.collect::<Vec<_>>(), ["2", "still there"], "{ran:?}");
    let named = format!("must be moved to a child of it: {other} (sleep); with --cgroup-move-self");
    assert!(ran.err.contains(&named) && ran.err.lines().count() == 1, "{ran:?}");
}

fn a_driver_that_is_not_in_the_way_stays(bed: &Bed) {
    let script = r#"
        "$HOTCELL" run --rootfs "$ROOT" --cgroup-move-self --init -- sh -c 'exec sleep 100' & driver=$!
        until cat $root/$HOTCELL_CGROUP_PARENT/*/cgroup.procs 2>/dev/null | grep -q .; do
            sleep 0.1
        done
        cat /proc/$driver/cgroup
        kill $driver; wait $driver || true"#;
    let ran = contained(bed, &format!("{PRELUDE} {script}"));
    assert_eq!(ran.out, "0::/shell\n", "{ran:?}");
}

fn an_embedder_moves_with_all_its_threads(bed: &Bed) {
    let ran = contained(bed, &format!("{PRELUDE} (at_root \"$PLAYER\" --play=move-aside)"));
    let place = format!("0::/{}.driver", cgroup_parent());
    assert_eq!(ran.ok(), format!("{{\"{place}\"}}\n[\"pids.max\"]\nCode(0)\n"));
}

/// The embedder's side.
pub fn play(mut options: Options) {
    for _ in 0..3 {
        std::thread::spawn(std::thread::park);
    }
    options.own_place = OwnPlace::MoveAside;
    let driver = Instance::open(options).unwrap();
    let places: BTreeSet<String> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("cgroup")).unwrap())
        .map(|text| text.trim_end().to_owned())
        .collect();
    println!("{places:?}");
    let mut config = script("[ $(cat /sys/fs/cgroup/pids.max) = 7 ]");
    config.limits.pids = Some(7);
    let outcome = finish(&driver, &config);
    let enforced: Vec<_> = outcome.enforced.iter().map(|limit| limit.file.as_ref()).collect();
    println!("{enforced:?}\n{:?}", outcome.exit);
    assert_eq!(outcome.exit, Exit::Code(0));
}

fn nothing_is_in_the_way_on_a_hybrid_host(bed: &Bed) {
    let script = r#"
        root=/sys/fs/cgroup
        limits='--memory 64m --cpus 0.5 --pids-limit 12'
        for flag in --init --cgroup-move-self; do
            "$HOTCELL" run --rootfs "$ROOT" $flag $limits -- sh -c "
                cd /sys/fs/cgroup
                cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max"
        done
        grep -v ':/$' /proc/$$/cgroup || echo "where it was"
        ls -d $root/*/*.driver 2>/dev/null || echo "nothing made""#;
    let out = contained(bed, script).ok();
    let values = "67108864\n50000\n12\n";
    assert_eq!(out, format!("{values}{values}where it was\nnothing made\n"));
}
