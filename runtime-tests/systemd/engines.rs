//! podman, dockerd and containerd on a host with systemd, where they let it make cgroups: a container's
//! life with limits, and its unit at each step.

use std::process::Command;

use crate::bed::{Bed, Ran};
use crate::clients::{image, runtime};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(podmans_containers_are_scopes, Cells, Busybox, Podman, Systemd),
        test!(dockers_containers_are_scopes, Cells, Busybox, Dockerd, Systemd),
        test!(
            containerds_containers_are_scopes_if_it_is_told_so,
            Cells,
            Busybox,
            Containerd,
            Systemd
        ),
    ]
}

/// What the scripts have in common. Each runs in a mount and a network namespace of its own, so that
/// what an engine mounts goes with it.
const COMMON: &str = r#"
set -eu
show() { # UNIT PROPERTY...
    local unit=$1 property; shift
    for property; do echo "$property=$(systemctl show --value --property "$property" "$unit")"; done
}
LIMITS="-m 64m --memory-swap 64m --pids-limit 20 --cpus 0.5"
FILES="cd /sys/fs/cgroup; echo \$(cat memory.max pids.max cpu.max)"
"#;

/// What the script printed.
#[track_caller]
fn play(bed: &Bed, script: &str) -> String {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "-k", "5", "300", "unshare", "--mount", "--net"]);
    command.args(["--propagation", "private", "bash", "-c", &format!("{COMMON}{script}")]);
    let dir = bed.path("engine");
    std::fs::create_dir(&dir).unwrap();
    command.env("DIR", dir).env("IMAGE", image::archive(bed)).env("RUNTIME", runtime());
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

fn podmans_containers_are_scopes(bed: &Bed) {
    let out = play(
        bed,
        r#"
        cat >"$DIR/containers.conf" <<END
[containers]
log_driver = "k8s-file"
[engine]
events_logger = "none"
runtime = "ours"
[engine.runtimes]
ours = ["$RUNTIME"]
END
        export CONTAINERS_CONF=$DIR/containers.conf
        podman() {
            command podman --root "$DIR/root" --runroot "$DIR/run" --tmpdir "$DIR/tmp" \
                --storage-driver overlay "$@"
        }
        run() { podman run --network none "$@"; }
        podman info --format '{{.Host.CgroupManager}} {{.Host.CgroupsVersion}}'
        podman load --quiet --input "$IMAGE" >/dev/null
        run --rm busybox:local sh -c 'exit 7' || echo "code $?"
        id=$(run --detach --name held $LIMITS busybox:local sleep 1000)
        unit=libpod-$id.scope
        show $unit Slice Delegate MemoryMax MemorySwapMax TasksMax CPUQuotaPerSecUSec
        podman exec held sh -c "$FILES"
        podman update --memory 96m --cpus 0.25 held >/dev/null
        show $unit MemoryMax CPUQuotaPerSecUSec
        systemctl daemon-reload
        podman exec held sh -c "$FILES"
        # Podman 4.3 remembers the first limit.
        podman stats --no-stream --format '{{.MemLimit}} {{.PIDs}}' held
        podman rm --force --time 0 held >/dev/null
        show $unit LoadState
        umount "$DIR/root/overlay" 2>/dev/null || :
        "#,
    );
    let want = "systemd v2\ncode 7\nSlice=machine.slice\nDelegate=yes\nMemoryMax=67108864\n\
        MemorySwapMax=0\nTasksMax=20\nCPUQuotaPerSecUSec=500ms\n67108864 20 50000 100000\n\
        MemoryMax=100663296\nCPUQuotaPerSecUSec=250ms\n100663296 20 25000 100000\n67108864 1\n\
        LoadState=not-found\n";
    assert_eq!(out, want);
}

fn dockers_containers_are_scopes(bed: &Bed) {
    let out = play(
        bed,
        r#"
        export DOCKER_HOST=unix://$DIR/docker.sock
        dockerd --iptables=false --ip6tables=false --bridge=none --storage-driver=overlay2 \
            --data-root="$DIR/data" --exec-root="$DIR/exec" --pidfile="$DIR/pid" \
            --host="$DOCKER_HOST" --add-runtime="ours=$RUNTIME" --default-runtime=ours \
            >"$DIR/log" 2>&1 &
        daemon=$!
        trap 'tail -n 20 "$DIR/log" >&2; kill $daemon; wait $daemon || :' EXIT
        until docker version >/dev/null 2>&1; do sleep 0.2; kill -0 $daemon; done
        run() { docker run --network none "$@"; }
        docker info --format '{{.CgroupDriver}} {{.CgroupVersion}}'
        docker load --quiet --input "$IMAGE" >/dev/null
        run --rm busybox:local sh -c 'exit 7' || echo "code $?"
        id=$(run --detach --name held $LIMITS busybox:local sleep 1000)
        unit=docker-$id.scope
        show $unit Slice Delegate MemoryMax MemorySwapMax TasksMax CPUQuotaPerSecUSec
        docker exec held sh -c "$FILES"
        docker update --memory 96m --memory-swap 96m --cpus 0.25 held >/dev/null
        show $unit MemoryMax CPUQuotaPerSecUSec
        systemctl daemon-reload
        docker exec held sh -c "$FILES"
        docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' held | sed 's|.* / ||'
        docker rm --force held >/dev/null
        show $unit LoadState
        "#,
    );
    let want = "systemd 2\ncode 7\nSlice=system.slice\nDelegate=yes\nMemoryMax=67108864\n\
        MemorySwapMax=0\nTasksMax=20\nCPUQuotaPerSecUSec=500ms\n67108864 20 50000 100000\n\
        MemoryMax=100663296\nCPUQuotaPerSecUSec=250ms\n100663296 20 25000 100000\n96MiB 1\n\
        LoadState=not-found\n";
    assert_eq!(out, want);
}

fn containerds_containers_are_scopes_if_it_is_told_so(bed: &Bed) {
    let out = play(
        bed,
        r#"
        cat >"$DIR/config.toml" <<END
version = 2
root = "$DIR/data"
state = "$DIR/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$DIR/containerd.sock"
END
        export CONTAINERD_ADDRESS=$DIR/containerd.sock
        containerd --config "$DIR/config.toml" >"$DIR/log" 2>&1 &
        daemon=$!
        trap 'tail -n 20 "$DIR/log" >&2; kill $daemon; wait $daemon || :' EXIT
        until ctr version >/dev/null 2>&1; do sleep 0.2; kill -0 $daemon; done
        ctr image import "$IMAGE" >/dev/null
        run() {
            ctr run --runc-binary "$RUNTIME" --runc-systemd-cgroup \
                --cgroup "hotcelltest.slice:ctr:$name" "$@"
        }
        name=one run --rm docker.io/library/busybox:local one sh -c 'exit 7' || echo "code $?"
        name=two run --detach --memory-limit 67108864 docker.io/library/busybox:local two sleep 1000
        show ctr-two.scope Slice ActiveState MemoryMax
        ctr task exec --exec-id more two echo inside
        ctr task metrics two | grep -q 67108864 && echo measured
        ctr task kill --signal KILL two
        until ctr task delete two >/dev/null 2>&1; do sleep 0.2; done
        ctr container delete two
        show ctr-two.scope LoadState
        systemctl stop hotcelltest.slice
        "#,
    );
    let want = "code 7\nSlice=hotcelltest.slice\nActiveState=active\nMemoryMax=67108864\n\
        inside\nmeasured\nLoadState=not-found\n";
    assert_eq!(out, want);
}
