//! What root in a cell tries with nothing but a shell.

use super::super::case::{Case, EVERY, Expect, Form, ONE, WITH_INIT};
use super::super::spoil::Spoil;
use super::super::way::{By, OWN_FIRST, Way};

/// `try COMMAND...` says what worked; a command that isn't there would prove nothing.
const TRY: &str = "
try() {
    command -v $1 >/dev/null || echo \"no $1 here\"
    \"$@\" >/dev/null 2>&1 && echo \"did: $*\"
}
# Writes back what is there, so that success harms nobody.
rewrite() {
    [ -e $1 ] || return
    value=$(cat $1 2>/dev/null)
    (echo \"$value\" > $1) 2>/dev/null && echo wrote $1
}
";

fn script(text: &str) -> Form {
    Form::script(&format!("{TRY}{text}\ntrue"))
}

const NO_SETTINGS: &str = "would write settings of this machine if they let it";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("writing the kernel's settings", "CVE-2019-19921, CVE-2025-52881")
            .form(script(
                "for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern \
                    /proc/sys/kernel/modprobe /proc/sys/kernel/hotplug /proc/sys/kernel/panic \
                    /proc/sys/vm/overcommit_memory /proc/sys/vm/drop_caches \
                    /proc/sys/fs/binfmt_misc/register /proc/sys/fs/file-max \
                    /proc/irq/default_smp_affinity /proc/mtrr /sys/kernel/uevent_helper \
                    /sys/kernel/mm/transparent_hugepage/enabled /sys/power/state \
                    /sys/module/*/parameters/* /proc/sys/net/ipv4/ip_forward; do
                    rewrite $f
                done
                [ -r /proc/sys/kernel/core_pattern ] || echo blind",
            ))
            .modes(EVERY)
            .no_peers(NO_SETTINGS),
        Case::new("what is hidden", "CVE-2025-31133, CVE-2025-62161")
            .form(script(
                "for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug \
                    /proc/latency_stats /proc/interrupts /proc/acpi /proc/scsi \
                    /proc/dynamic_debug /sys/firmware /sys/devices/virtual/powercap; do
                    [ -e $f ] || continue
                    [ -z \"$(head -c 1 $f 2>/dev/null)$(ls -A $f 2>/dev/null | grep -v ^/)\" ] ||
                        echo $f tells
                    rm $f 2>/dev/null && echo removed $f
                    try umount $f
                done
                [ -e /proc/keys ] || [ -e /proc/interrupts ] || echo nothing to look at",
            ))
            .modes(EVERY),
        Case::new("writing to the cgroups", "CVE-2023-25809, CVE-2022-0492")
            .form(script(
                "n=0
                for d in $(find /sys/fs/cgroup -type d); do
                    n=$((n + 1))
                    try mkdir $d/new
                    for f in cgroup.procs tasks release_agent notify_on_release cgroup.freeze \
                        cgroup.subtree_control memory.max memory.limit_in_bytes pids.max \
                        devices.allow; do
                        [ -e $d/$f ] && (: >> $d/$f) 2>/dev/null && echo opened $d/$f
                    done
                done
                [ $n -gt 0 ] || echo no cgroups",
            ))
            .modes(EVERY),
        Case::new("other cgroups", "the view is the cell's own")
            .form(script(
                "grep -q '/\\.\\.' /proc/self/cgroup && cat /proc/self/cgroup
                grep -qE ':/.+' /proc/self/cgroup && cat /proc/self/cgroup
                grep -q : /proc/self/cgroup || echo blind",
            ))
            .modes(EVERY),
        Case::new("devices made inside", "GO-2022-0396")
            .form(script(
                "for d in 'b 8 0' 'b 254 0' 'b 7 0' 'c 1 1' 'c 1 2' 'c 1 4' 'c 1 11' 'c 10 232' \
                    'c 10 229' 'c 10 237' 'c 4 0' 'c 4 64' 'c 10 200' 'c 13 64'; do
                    mknod /tmp/d $d 2>/dev/null || continue
                    (head -c 1 /tmp/d >/tmp/got) 2>/dev/null && [ -s /tmp/got ] && echo read $d
                    (: >> /tmp/d) 2>/dev/null && echo opened $d
                    rm /tmp/d
                done
                mknod /tmp/d c 1 5 && [ $(head -c 9 /tmp/d | wc -c) = 9 ] || echo no zeros",
            )),
        Case::new("mounting", "CAP_SYS_ADMIN is not there")
            .by_filter()
            .form(script(
                "mkdir -p /tmp/m /tmp/n
                try mount -t tmpfs none /tmp/m
                try mount -t proc proc /tmp/m
                try mount -t sysfs sysfs /tmp/m
                try mount -t cgroup2 none /tmp/m
                try mount -t cgroup -o memory none /tmp/m
                try mount -t overlay -o lowerdir=/bin:/etc overlay /tmp/m
                try mount --bind / /tmp/m
                try mount -o remount,rw /proc/sys
                try mount -o remount,rw,bind /sys
                try mount -o remount,rw /sys/fs/cgroup
                try mount --make-rshared /
                try umount /proc/sys
                try umount -l /sys
                try umount /dev
                try pivot_root /tmp/m /tmp/n
                try unshare -m true
                try unshare -Ur true",
            ))
            .modes(EVERY),
        Case::new("climbing out of a chroot", "the classic breakout")
            .form(script(
                "mkdir -p /tmp/jail/bin; cp /bin/busybox /tmp/jail/bin/
                cat ../../../../../../../../../..{canary}/secret 2>/dev/null
                chroot /tmp/jail /bin/busybox sh -c 'cd ../../../../../..; ls .{canary}' 2>/dev/null
                chroot /proc/1/root /bin/busybox cat {canary}/secret 2>/dev/null
                chroot /proc/1/cwd/../../../../.. /bin/busybox cat {canary}/secret 2>/dev/null",
            )),
        Case::new("the way through PID 1", "CVE-2016-9962").by_engines(OWN_FIRST)
            .form(script(
                "for f in root cwd exe fd/0 fd/3 fd/4 ns/mnt ns/pid; do
                    readlink /proc/1/$f >/dev/null && echo followed $f
                done
                for f in environ maps auxv mem stack syscall; do
                    (head -c 1 /proc/1/$f) >/dev/null 2>&1 && echo read $f
                done
                (: >> /proc/1/mem) 2>/dev/null && echo opened mem
                cat /proc/1/root{canary}/secret 2>/dev/null
                try nsenter -t 1 -m true
                try nsenter -t 1 -p true
                readlink /proc/self/cwd >/dev/null || echo blind",
            ))
            .modes(WITH_INIT)
            .no_peers("their PID 1 is the task itself"),
        Case::new("every other process's descriptors", "CVE-2016-9962")
            .form(script(
                "n=0
                while [ $n -lt 10 ]; do
                    n=$((n + 1))
                    (exec true) &
                    for fd in /proc/[0-9]*/fd/*; do
                        [ -d $fd/ ] && [ -e $fd{canary} ] && echo $fd leads out
                        cat $fd/..{canary}/secret 2>/dev/null
                    done
                done
                wait",
            ))
            .modes(EVERY),
        Case::new("paths of the host in the mount table", "what a cell may know")
            .form(script(
                "grep -F '{canary}' /proc/self/mountinfo
                grep -F '{share}' /proc/self/mountinfo | grep -v ' /data '
                grep -q ' - proc ' /proc/self/mountinfo || echo blind",
            )
            .flags(["-v", "{share}:/data"]))
            .modes(ONE),
        Case::new("killing everybody", "own PID namespace").by(Way::Exec, By::Ends(Expect::Contained(143)))
            .form(script(
                "(trap '' TERM; kill -TERM -1) 2>/dev/null
                kill -9 1 2>/dev/null; kill -STOP 1 2>/dev/null; kill -9 2 2>/dev/null
                for p in $(seq 100 200); do kill -9 $p 2>/dev/null && [ $p != $$ ] && echo killed $p; done",
            ))
            .modes(ONE),
        Case::new("the machine's own matters", "CAP_SYS_BOOT, CAP_SYS_TIME, CAP_SYS_MODULE")
            .form(script(
                "try hostname other
                date -s 2001-01-01 >/dev/null 2>&1; [ $(date +%Y) != 2001 ] || echo another time
                try adjtimex -t 10001
                try reboot -f
                try poweroff -f
                try swapoff -a
                try swapon /tmp/none
                try insmod /tmp/none
                try losetup /dev/loop0 /bin/busybox
                try dmesg -c
                try dmesg",
            ))
            .no_peers("a peer that let them would stop this machine"),
        Case::new("the host's network", "own network namespace")
            .form(script(
                "[ \"$(ls /sys/class/net)\" = lo ] || ls /sys/class/net
                grep -v 'lo:' /proc/net/dev | grep : && echo more than loopback
                [ $(wc -l < /proc/net/route) -le 1 ] || cat /proc/net/route
                try ip link add dummy0 type dummy
                try ip addr add 10.9.9.9/8 dev lo
                try ip route add default dev lo
                try ping -c 1 -W 1 169.254.169.254
                grep @ /proc/net/unix",
            ))
            .modes(EVERY),
        Case::new("control sockets on the host's network", "CVE-2020-15257")
            .form(
                script("grep -i -E '@.*(hotcell|runc|crun)' /proc/net/unix")
                    .flags(["--network=host"]),
            )
            .modes(ONE),
        Case::new("what others leave in shared memory", "own IPC namespace")
            .form(script(
                "for f in shm msg sem; do
                    [ $(wc -l < /proc/sysvipc/$f) = 1 ] || cat /proc/sysvipc/$f
                done
                [ -z \"$(ls -A /dev/shm /dev/mqueue | grep -v :)\" ] || ls /dev/shm /dev/mqueue",
            ))
            .modes(EVERY),
        Case::new("a program of the host's that listens in the root", "Docker's socket in a root")
            .by_engines(By::NotRun("a plain root keeps its sockets"))
            .form(
                script(
                    "[ -S /run/it.sock ] || echo no socket
                    # Nobody answers: who is let in waits until the time is over.
                    echo x | timeout 2 nc local:/run/it.sock >/dev/null 2>&1
                    [ $? = 1 ] || echo connected",
                )
                .spoil([Spoil::Listener("/run/it.sock".into())]),
            )
            .no_peers("a plain root keeps its sockets"),
    ]
}
