//! Using up what there is, and games with the process tree.

use hotcell::cgroup::{Controller, Hierarchies};

use super::super::case::{Case, EVERY, Expect, Form, ONE, WITH_INIT, WRITABLE};
use super::super::way::{By, Way};

const NO_LIMITS: &str = "they can't set the limit on this host's cgroups";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("a fork bomb", "moby#6479")
            .form(
                Form::script(
                    "b() { b | b & b | b & wait; }
                    (b) 2>/dev/null &
                    sleep 0.3
                    echo bombed >/dev/null; exit 0",
                )
                .flags(["--pids-limit=32", "--timeout=20"]),
            )
            .modes(EVERY)
            .no_peers(NO_LIMITS),
        Case::new("more descriptors than allowed", "RLIMIT_NOFILE").form(
            Form::script(
                "n=3; while [ $n -lt 2000 ]; do
                        (eval \"exec $n</\") 2>/dev/null || break; n=$((n + 1))
                    done
                    [ $n -le 64 ] || echo opened $n",
            )
            .flags(["--ulimit=nofile=64:64"]),
        ),
        Case::new("more memory than allowed", "memory.max")
            .form(Form::script("x=y; while true; do x=$x$x; done").flags(["--memory=24m"]))
            .modes(WRITABLE)
            .code(137)
            .no_peers(NO_LIMITS),
        Case::new("more in a tmpfs than allowed", "size and nr_inodes")
            .form(
                Form::script(
                    "dd if=/dev/zero of=/t/x bs=64k count=64 2>/dev/null && echo wrote 4 MB
                    n=0; while [ $n -lt 200 ]; do
                        (: > /t/f$n) 2>/dev/null || break; n=$((n + 1))
                    done
                    [ $n -lt 100 ] || echo made $n files",
                )
                .flags(["--tmpfs=/t:size=1m,nr_inodes=100"]),
            )
            .modes(EVERY),
        Case::new("more in the root than the memory allows", "a tmpfs is charged")
            .form(
                Form::script("dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null; true")
                    .flags(["--memory=24m"]),
            )
            .modes(WITH_INIT)
            // A unified hierarchy kills the cell as one, the old one the writer alone.
            .code(if killed_as_one() { 137 } else { 0 })
            .no_peers(NO_LIMITS),
        Case::new("limits that nothing can run in", "hostile rlimits")
            .by_engines(By::Ends(Expect::Either("file")))
            .forms(
                ["fsize=0", "nofile=3", "core=0", "memlock=0", "sigpending=0", "nproc=1", "cpu=1"]
                    .map(|limit| {
                        Form::script("true").named(limit).flags([format!("--ulimit={limit}")])
                    }),
            )
            // An init needs a descriptor more, and is refused by name without.
            .modes(ONE)
            .no_peers("limits that they need themselves"),
        Case::new("a cell without memory to start in", "memory.max")
            .no_entry()
            .form(Form::script("").flags(["--memory=4096"]))
            .modes(WRITABLE)
            .no_peers(NO_LIMITS)
            .refused("memory"),
        Case::new("daemons that stay behind", "containerd#2823: grandchildren hold the output")
            .form(
                Form::script(
                    "setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000' &
                    (setsid sleep 1000 &) &
                    nohup sleep 1000 >/dev/null 2>&1 </dev/null &
                    sh -c 'sleep 1000 & exec sleep 1000' &
                    true",
                )
                .flags(["--timeout=20"]),
            )
            .modes(EVERY),
        Case::new("stopped children", "frozen tricks: SIGSTOP, vfork")
            .form(
                Form::script(
                    "(sh -c 'kill -STOP $PPID; sleep 1000'; true) &
                    (kill -STOP $(cut -d' ' -f4 /proc/self/stat); true) &
                    sleep 0.1; true",
                )
                .flags(["--timeout=20"]),
            )
            .modes(EVERY),
        Case::new("a task that stops itself", "SIGSTOP, ends at its deadline")
            .form(
                Form::script("exec 2>/dev/null; kill -STOP $$; kill -STOP -1; sleep 1000")
                    .flags(["--timeout=0.5"]),
            )
            .modes(EVERY)
            .code(124)
            .no_peers("they know no deadline"),
        Case::new("killing PID 1 for good", "kill -9 1 from inside")
            .form(Form::script("kill -KILL 1; kill -STOP 1; sleep 0.05; true"))
            .modes(EVERY),
        Case::new("orphans by the hundred", "an init reaps")
            .by(Way::Exec, By::NotRun("nobody reaps there"))
            .form(Form::script(
                "n=0; while [ $n -lt 200 ]; do (true &) ; n=$((n + 1)); done
                sleep 0.2
                [ $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l) -lt 5 ] ||
                    echo zombies",
            ))
            .modes(WITH_INIT),
        Case::new("a shell that floods", "moby#22502: more output than anyone reads").form(
            Form::script("head -c 20000000 /dev/zero >&2; head -c 100000 /dev/urandom >&2; true"),
        ),
    ]
}

/// Whether a cell that meets its memory limit ends as a whole (`memory.oom.group`).
fn killed_as_one() -> bool {
    Hierarchies::detect().is_ok_and(|host| !host.v1.contains_key(&Controller::Memory))
}
