//! What a container of the contract is: limits, root, user, network, volumes, signals to PID 1.

use std::sync::Arc;

use hotcell::cgroup::Hierarchies;
use hotcell::contract::{Config, Driver, ErrorKind, Status};

use super::tools::{
    Sink, background, command, created, driver, driver_with, finished, on_runtime, output, shell,
    started,
};
use crate::bed::{Bed, cgroup_dirs};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_31_memory_has_a_limit_and_no_swap, Cells, Busybox, Memory),
        test!(row_32_cpu_has_a_quota, Cells, Busybox, Cpu),
        test!(row_33_the_51st_process_is_refused, Cells, Busybox, Pids),
        test!(row_34_rlimits_are_soft_and_hard, Cells, Busybox),
        test!(row_35_the_root_is_read_only_but_for_tmp_and_the_socket, Cells, Busybox),
        test!(row_36_tmp_has_its_size_and_inodes, Cells, Busybox),
        test!(row_37_an_unsized_tmp_is_a_tmpfs_all_the_same, Cells, Busybox),
        test!(row_38_a_writable_root_has_its_own_tmp, Cells, Busybox),
        test!(row_39_a_limit_on_a_writable_root_is_refused, Cells, Busybox),
        test!(row_40_volumes_directory_environment_and_command, Cells, Busybox),
        test!(row_41_the_task_is_unprivileged_unless_it_is_not, Cells, Busybox),
        test!(tasks_can_have_ids_of_their_own, Cells, Busybox),
        test!(row_42_the_init_reaps_and_hands_signals_on, Cells, Busybox),
        test!(row_43_the_host_name_is_the_hosts_on_the_default_network, Cells, Busybox),
        test!(row_44_without_a_network_only_loopback_is_there, Cells, Busybox),
    ]
}

/// What a script prints under fn's defaults.
async fn prints(driver: &dyn Driver, script: &str) -> String {
    let (result, out, err) = output(driver, shell(script)).await;
    assert_eq!(result.status(), Status::Success, "{script}: {result:?} {out} {err}");
    out
}

/// A value of the one running cell's cgroup, whatever the host's layout calls the file.
fn limit(names: &[&str]) -> String {
    let cells = cgroup_dirs().into_iter().flat_map(|dir| std::fs::read_dir(dir).into_iter());
    let cells: Vec<_> = cells.flatten().flatten().map(|entry| entry.path()).collect();
    let mut values = cells.iter().flat_map(|cell| names.iter().map(|name| cell.join(name)));
    let value = values.find_map(|path| std::fs::read_to_string(path).ok());
    value.unwrap_or_else(|| panic!("no {names:?} below {cells:?}")).trim().to_owned()
}

fn row_31_memory_has_a_limit_and_no_swap(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, _wait) = started(&driver, command("sleep 60").memory(64 << 20)).await;
        assert_eq!(limit(&["memory.max", "memory.limit_in_bytes"]), "67108864");
        // What swap may take: nothing more (v2), memory and swap together (v1).
        let cells = |name| {
            cgroup_dirs()
                .into_iter()
                .flat_map(std::fs::read_dir)
                .flatten()
                .flatten()
                .map(move |entry| entry.path().join(name))
                .find_map(|path| std::fs::read_to_string(path).ok())
        };
        for (name, value) in [("memory.swap.max", "0"), ("memory.memsw.limit_in_bytes", "67108864")]
        {
            // A host without swap accounting has neither file.
            assert!(
                cells(name).is_none_or(|text| text.trim() == value),
                "{name}: {:?}",
                cells(name)
            );
        }
        cookie.close(&background()).await.unwrap();
        let (cookie, _wait) = started(&driver, command("sleep 60")).await;
        let unlimited = limit(&["memory.max", "memory.limit_in_bytes"]);
        assert!(unlimited == "max" || unlimited.parse::<u64>().unwrap() > 1 << 60, "{unlimited}");
        cookie.close(&background()).await.unwrap();
    });
}

fn row_32_cpu_has_a_quota(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let hybrid = Hierarchies::detect().unwrap().is_hybrid();
        // v2 has both numbers in one file.
        for (milli, both, quota, period) in [
            (500, "50000 100000", "50000", "100000"),
            (8000, "800000 100000", "800000", "100000"),
            // fn asks for 100 µs in 100 ms, which the kernel refuses; this is the same share.
            (1, "1000 1000000", "1000", "1000000"),
            (0, "max 100000", "-1", "100000"),
        ] {
            let cookie = created(&driver, command("sleep 60").cpus(milli)).await;
            // There it is written while the cell builds itself; elsewhere before it is born, and with a
            // thousandth of a processor a birth takes its time.
            let _wait = match hybrid {
                true => Some(cookie.run(&background()).await.unwrap()),
                false => None,
            };
            let value = limit(&["cpu.max", "cpu.cfs_quota_us"]);
            if value.contains(' ') {
                assert_eq!(value, both, "{milli}");
            } else {
                assert_eq!(
                    (value.as_str(), limit(&["cpu.cfs_period_us"]).as_str()),
                    (quota, period)
                );
            }
            cookie.close(&background()).await.unwrap();
        }
    });
}

fn row_33_the_51st_process_is_refused(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        // The init and the shell are two of the fifty.
        let script =
            "i=0; while [ $i -lt 48 ]; do sleep 60 & i=$((i+1)); done; echo 48; sleep 1 & wait $!";
        let (out, err) = (Sink::default(), Sink::default());
        let task = shell(script).pids(50).stdout(out.clone()).stderr(err.clone());
        let result = finished(&driver, task).await;
        assert_ne!(result.status(), Status::Success, "the 51st process was started");
        assert_eq!(out.text(), "48\n", "{}", err.text());
        assert!(err.text().contains("fork"), "{}", err.text());
    });
}

fn row_34_rlimits_are_soft_and_hard(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let task = shell("cat /proc/self/limits")
            .open_files(350)
            .locked_memory(65536)
            .pending_signals(500)
            .message_queue(u64::MAX);
        let (_, out, err) = output(&driver, task).await;
        let row = |name: &str| {
            let line = out.lines().find(|line| line.starts_with(name)).expect(&err);
            let values = line[name.len()..].split_whitespace().take(2);
            values.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("Max open files"), ["350", "350"]);
        assert_eq!(row("Max locked memory"), ["65536", "65536"]);
        assert_eq!(row("Max pending signals"), ["500", "500"]);
        // Above 2^63-1 it is left alone, as is what isn't named.
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let same = |name: &str| {
            own.lines()
                .chain(out.lines())
                .filter(|line| line.starts_with(name))
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        for name in ["Max msgqueue size", "Max processes"] {
            let lines = same(name);
            assert_eq!(lines[0], lines[1]);
        }
    });
}

fn row_35_the_root_is_read_only_but_for_tmp_and_the_socket(bed: &Bed) {
    let iofs = bed.path("iofs");
    std::fs::create_dir(&iofs).unwrap();
    std::os::unix::fs::chown(&iofs, Some(1000), Some(1000)).unwrap();
    on_runtime(async {
        let driver = driver(bed);
        let script = "touch /x; touch /etc/x; touch /tmp/x && touch /tmp/iofs/x && echo written";
        let path = iofs.to_str().unwrap();
        let task = shell(script).uds(path, path, "/tmp/iofs");
        let (result, out, err) = output(&driver, task).await;
        assert_eq!((result.status(), out.as_str()), (Status::Success, "written\n"), "{err}");
        assert_eq!(err.matches("Read-only file system").count(), 2, "{err}");
    });
    assert!(iofs.join("x").exists());
}

fn row_36_tmp_has_its_size_and_inodes(bed: &Bed) {
    on_runtime(async {
        let config = Config { max_tmpfs_inodes: 1025, ..Config::default() };
        let driver = driver_with(bed, config);
        let script = "grep ' /tmp ' /proc/self/mountinfo; dd if=/dev/zero of=/tmp/x bs=1M count=4";
        let (result, out, err) = output(&driver, shell(script).tmp_fs_size(1)).await;
        assert!(out.contains("size=1024k") && out.contains("nr_inodes=1025"), "{out}");
        for option in ["rw", "nosuid", "nodev", "noexec"] {
            assert!(out.contains(option), "{option}: {out}");
        }
        assert_eq!(result.status(), Status::Error);
        assert!(err.contains("No space left"), "{err}");
    });
}

fn row_37_an_unsized_tmp_is_a_tmpfs_all_the_same(bed: &Bed) {
    on_runtime(async {
        let line = prints(&driver(bed), "grep ' /tmp ' /proc/self/mountinfo").await;
        for option in ["rw", "nosuid", "nodev", "noexec", "- tmpfs"] {
            assert!(line.contains(option), "{option}: {line}");
        }
        assert!(!line.contains("size=") && !line.contains("nr_inodes="), "{line}");
    });
}

fn writable() -> Config {
    Config {
        enable_readonly_rootfs: false,
        disable_unprivileged_containers: true,
        ..Config::default()
    }
}

fn row_38_a_writable_root_has_its_own_tmp(bed: &Bed) {
    on_runtime(async {
        let driver = driver_with(bed, writable());
        let out =
            prints(&driver, "grep -c ' /tmp ' /proc/self/mountinfo; touch /tmp/x /y && echo ok")
                .await;
        assert_eq!(out, "0\nok\n");
    });
    assert!(!crate::host::fixture("busybox").join("y").exists());
}

fn row_39_a_limit_on_a_writable_root_is_refused(bed: &Bed) {
    on_runtime(async {
        let task = || Arc::new(command("true").fs_size(10).build());
        let refused = driver_with(bed, writable()).create_cookie(&background(), task()).await;
        let error = refused.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("10 MB"), "{error}");
        // Nothing can be written to a read-only root, so its limit holds.
        let read_only = driver(bed).create_cookie(&background(), task()).await;
        read_only.unwrap().close(&background()).await.unwrap();
    });
}

fn row_40_volumes_directory_environment_and_command(bed: &Bed) {
    let data = bed.path("data-volume");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("in"), "from the host").unwrap();
    std::os::unix::fs::chown(&data, Some(1000), Some(1000)).unwrap();
    on_runtime(async {
        let driver = driver(bed);
        let script = "pwd; echo \"$GREETING|$EMPTY|\"; cat /data/in; echo back > /data/out";
        let task = shell(script)
            .work_dir("/etc")
            .env("GREETING", "two  words=x")
            .env("EMPTY", "")
            .volume(data.to_str().unwrap(), "/data");
        let (result, out, err) = output(&driver, task).await;
        assert_eq!(result.status(), Status::Success, "{err}");
        assert_eq!(out, "/etc\ntwo  words=x||\nfrom the host");
        // Any white space separates, nothing quotes.
        for (line, printed) in [
            ("echo a  b\tc \n d", "a b c d\n"),
            ("  echo 'a b'  ", "'a b'\n"),
            ("echo $HOME", "$HOME\n"),
            ("echo", "\n"),
        ] {
            assert_eq!(output(&driver, command(line)).await.1, printed, "{line:?}");
        }
        let empty = driver.create_cookie(&background(), Arc::new(command(" \t ").build())).await;
        let empty = empty.unwrap();
        empty.validate_image(&background()).await.unwrap();
        let error = empty.create_container(&background()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidTask, "a directory has no command of its own");
    });
    assert_eq!(std::fs::read_to_string(data.join("out")).unwrap(), "back\n");
}

fn row_41_the_task_is_unprivileged_unless_it_is_not(bed: &Bed) {
    const SCRIPT: &str = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status";
    on_runtime(async {
        let out = prints(&driver(bed), SCRIPT).await;
        let value = |out: &str, key: &str| {
            let line = out.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
            line[key.len()..].trim_start_matches(':').trim().to_owned()
        };
        assert_eq!(value(&out, "Uid"), "1000\t1000\t1000\t1000");
        assert_eq!(value(&out, "Gid"), "1000\t1000\t1000\t1000");
        assert_eq!(value(&out, "Groups"), "1000", "as under Docker: its own, and no other");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(value(&out, set), "0000000000000000", "{set}");
        }
        assert_eq!(value(&out, "NoNewPrivs"), "1");
        let out = prints(&driver_with(bed, writable()), SCRIPT).await;
        assert_eq!(value(&out, "Uid"), "0\t0\t0\t0");
        assert_eq!(value(&out, "CapEff"), "00000000a80425fb", "Docker's fourteen");
    });
}

/// What fn's agent has no word for: user 1000 inside is nobody's number outside.
fn tasks_can_have_ids_of_their_own(bed: &Bed) {
    on_runtime(async {
        let mut options = bed.options();
        options.user_namespace = hotcell::bundle::UserNamespace::Auto;
        let driver = hotcell::native::NativeDriver::open(Config::default(), options).unwrap();
        let script = "id -u; head -1 /proc/self/uid_map; echo x > /tmp/x && stat -c %u /tmp/x; \
                      echo named > /dev/stdout; grep CapBnd /proc/self/status";
        let out = prints(&driver, script).await;
        let lines: Vec<_> = out.lines().collect();
        let map: Vec<u64> = lines[1].split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert!(map[0] == 0 && map[1] >= 1 << 30 && map[2] == 65536, "{out}");
        let rest = ["1000", "named", "CapBnd:\t0000000000000000"];
        assert_eq!([lines[2], lines[3], lines[4]], rest);
        assert_eq!(lines[0], "1000");
        driver.close().await.unwrap();
    });
}

fn row_42_the_init_reaps_and_hands_signals_on(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        // Fifty orphans become the init's children and end there.
        let script = "i=0; while [ $i -lt 50 ]; do (true &); i=$((i+1)); done; sleep 0.3
            grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
        assert_eq!(prints(&driver, script).await.trim(), "0");
        let (out, task) = (
            Sink::default(),
            "trap 'echo got it; exit 9' TERM; echo up; while :; do sleep 0.02; done",
        );
        let (cookie, wait) = started(&driver, shell(task).stdout(out.clone())).await;
        out.has("up").await;
        cookie.signal(&background(), 15).await.unwrap();
        let result = wait.wait(&background()).await;
        assert_eq!(result.error().unwrap().to_string(), "container exit code 9");
        assert!(out.text().contains("got it"), "{}", out.text());
        cookie.close(&background()).await.unwrap();
    });
}

fn row_43_the_host_name_is_the_hosts_on_the_default_network(bed: &Bed) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let networks = |name: &str| Config { docker_networks: name.to_owned(), ..Config::default() };
    on_runtime(async {
        for (config, disabled, name) in [
            (networks(""), false, host.trim()),
            (networks("host"), false, host.trim()),
            (networks("none"), false, "t43"),
            (networks(""), true, "t43"),
        ] {
            let driver = driver_with(bed, config);
            let task = shell("hostname; echo $HOSTNAME").id("t43").disable_net(disabled);
            let out = output(&driver, task).await.1;
            assert_eq!(out, format!("{name}\n{name}\n"));
            driver.close().await.unwrap();
        }
    });
}

fn row_44_without_a_network_only_loopback_is_there(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let script = "tail -n +3 /proc/net/dev | cut -d: -f1; nc -w 1 192.0.2.1 80 2>&1";
        let (_, out, _) = output(&driver, shell(script).disable_net(true)).await;
        let lines: Vec<_> = out.lines().map(str::trim).collect();
        assert_eq!(lines[0], "lo");
        assert!(lines[1..].concat().contains("unreachable"), "{out}");
        let cookie = created(&driver, command("true").disable_net(true)).await;
        cookie.close(&background()).await.unwrap();
    });
}
