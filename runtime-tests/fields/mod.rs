//! The fields of a specification that no flag of the program gives: what they do, and that runc does
//! the same.

use std::io::Read;

use hotcell::bundle::Bundle;
use hotcell::launch::{Stdio, Stream};
use serde_json::{Value, json};

use crate::bed::{Bed, script};
use crate::host::fixture;
use crate::peers::Peer;
use crate::{Test, test};

mod malformed;
mod mounts;
mod mutations;

pub fn tests() -> Vec<Test> {
    let here = vec![
        test!(parameters_of_a_namespace_are_what_runc_makes_them, Cells, Busybox, Runc),
        test!(a_parameter_of_the_hosts_is_refused, Cells, Busybox),
        test!(a_parameter_reaches_its_namespace_whatever_the_image_holds, Cells, Busybox),
        test!(parameters_beside_the_hosts_processes_are_set_too, Cells, Busybox),
        test!(scheduling_and_domain_are_those_asked_for, Cells, Busybox),
        test!(memory_comes_from_the_nodes_asked_for, Cells, Busybox),
        test!(a_limit_twice_is_refused, Cells, Busybox),
        test!(labels_of_a_module_that_is_not_there_are_refused, Cells, Busybox),
    ];
    here.into_iter()
        .chain(mounts::tests())
        .chain(malformed::tests())
        .chain(mutations::tests())
        .collect()
}

/// The specification of a shell script as any runtime takes it: the root is the test's own, for
/// mount points are made in it.
pub fn config(bed: &Bed, text: &str) -> Value {
    let root = bed.path("own-root");
    if !root.exists() {
        let mut copy = std::process::Command::new("cp");
        assert!(copy.arg("-a").arg(fixture("busybox")).arg(&root).status().unwrap().success());
    }
    let mut config = script(text);
    config.init = false;
    config.upper = hotcell::bundle::Upper::ReadOnly;
    let mut config = serde_json::to_value(hotcell::bundle::spec(&config).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("annotations");
    config["root"] = json!({"path": root, "readonly": true});
    config
}

/// hotcell on a `config.json`: what the command wrote, or why it was never executed.
pub fn hotcell(bed: &Bed, config: &Value) -> Result<String, String> {
    let dir = bed.path("hotcell-bundle");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let bundle = Bundle::load(&dir).map_err(|error| error.to_string())?;
    let driver = bed.driver();
    let created = driver.create_from_spec(None, bundle.spec().clone(), None);
    let created = created.map_err(|error| chain(&error))?;
    let (mut read, write) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: Stream::Null,
        stdout: Stream::Fd(write.try_clone().unwrap().into()),
        stderr: Stream::Fd(write.into()),
    };
    let mut running = created.run(stdio).map_err(|error| chain(&error))?;
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    running.wait(None).unwrap();
    running.close().unwrap();
    driver.close().unwrap();
    Ok(text)
}

fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}

/// hotcell's output, which is runc's.
#[track_caller]
pub fn as_runc(bed: &Bed, name: &str, config: &Value) -> String {
    let ours = hotcell(bed, config).unwrap();
    let theirs = Peer::Runc.run(bed, name, config.clone());
    assert_eq!(ours, format!("{}{}", theirs.out, theirs.err), "{name}: hotcell, then runc");
    ours
}

/// A refusal in one line with `part`.
#[track_caller]
pub fn refused(bed: &Bed, config: &Value, part: &str) {
    let error = hotcell(bed, config).unwrap_err();
    assert!(error.contains(part) && !error.contains('\n'), "{error}");
}

fn parameters_of_a_namespace_are_what_runc_makes_them(bed: &Bed) {
    let mut config = config(
        bed,
        "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/ip_local_port_range kernel/shmmni \
         fs/mqueue/msg_max kernel/domainname kernel/msgmax net/ipv4/conf/lo/rp_filter",
    );
    config["linux"]["sysctl"] = json!({
        "net.ipv4.ip_forward": "1",
        "net.ipv4.ip_local_port_range": "2000 3000",
        "net.ipv4.conf.lo.rp_filter": "2",
        "kernel.shmmni": "77",
        "kernel.msgmax": "4096",
        "kernel.domainname": "cell",
        "fs.mqueue.msg_max": "9",
    });
    let said = as_runc(bed, "sysctl", &config);
    assert_eq!(said, "1\n2000\t3000\n77\n9\ncell\n4096\n2\n");
}

fn a_parameter_of_the_hosts_is_refused(bed: &Bed) {
    let mut config = config(bed, "true");
    for name in ["kernel.core_pattern", "vm.swappiness", "kernel.hostname", "net/../kernel/sysrq"] {
        config["linux"]["sysctl"] = json!({name: "1"});
        refused(bed, &config, &format!("linux.sysctl: {name}: is "));
    }
    config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "network");
    refused(bed, &config, "linux.sysctl: net.ipv4.ip_forward: needs a net namespace");
    // What the kernel refuses is told with the parameter.
    config["linux"]["sysctl"] = json!({"kernel.shmmni": "many"});
    refused(bed, &config, "set sysctl kernel.shmmni to \"many\": write: Invalid argument");
    config["linux"]["sysctl"] = json!({"fs.mqueue.no_such": "1"});
    refused(bed, &config, "set sysctl fs.mqueue.no_such to \"1\": openat2: No such file");
}

/// Whatever lies on the cell's /proc, the parameter is the kernel's.
fn a_parameter_reaches_its_namespace_whatever_the_image_holds(bed: &Bed) {
    let decoy = bed.path("decoy");
    std::fs::write(&decoy, "decoy").unwrap();
    let mut config = config(bed, "cat /proc/sys/kernel/shmmni /proc/sys/crypto/fips_enabled");
    let cover = json!({"destination": "/proc/sys/crypto/fips_enabled", "type": "bind",
        "source": decoy, "options": ["bind"]});
    config["mounts"].as_array_mut().unwrap().push(cover);
    config["linux"]["sysctl"] = json!({"kernel.shmmni": "78"});
    if std::path::Path::new("/proc/sys/crypto/fips_enabled").exists() {
        assert_eq!(hotcell(bed, &config).unwrap(), "78\ndecoy");
    }
    config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/proc");
    config["mounts"].as_array_mut().unwrap().pop();
    config["process"]["args"] = json!(["true"]);
    config["linux"]["maskedPaths"] = json!([]);
    config["linux"]["readonlyPaths"] = json!([]);
    // Not even a /proc is needed.
    assert_eq!(hotcell(bed, &config).unwrap(), "");
}

/// Ids of its own and the host's processes: nobody gives such a cell a proc file system.
fn parameters_beside_the_hosts_processes_are_set_too(bed: &Bed) {
    let mut config =
        config(bed, "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shmmni");
    let listed = config["linux"]["namespaces"].as_array_mut().unwrap();
    listed.retain(|namespace| namespace["type"] != "pid");
    listed.push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "proc");
    mounts.push(json!({"destination": "/proc", "type": "bind", "source": "/proc",
        "options": ["rbind"]}));
    config["linux"]["sysctl"] =
        json!({"net.ipv4.ip_local_port_range": "2000 3000", "kernel.shmmni": "77"});
    assert_eq!(hotcell(bed, &config).unwrap(), "2000\t3000\n77\n");
}

fn scheduling_and_domain_are_those_asked_for(bed: &Bed) {
    let text = "uname -m; cut -d' ' -f19,41 /proc/self/stat; ionice";
    let mut config = config(bed, text);
    let plain = hotcell(bed, &config).unwrap();
    let lines: Vec<_> = plain.lines().collect();
    assert_eq!(lines[1..], ["0 0", "none: prio 0"], "{plain}");
    config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
    config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
    config["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "0"});
    config["linux"]["personality"] = json!({"domain": "LINUX32"});
    let given = hotcell(bed, &config).unwrap();
    let lines: Vec<_> = given.lines().collect();
    assert_eq!(lines[1..], ["7 3", "best-effort: prio 6"], "{given}");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(lines[0], "i686");
    }
    config["process"]["scheduler"] = json!({"policy": "SCHED_FIFO", "priority": 200});
    refused(bed, &config, "set scheduling policy 1 (nice 0, priority 200): sched_setattr");
    config["process"]["scheduler"] = json!({"policy": "SCHED_FIFO", "nice": 1});
    refused(bed, &config, "process.scheduler.nice");
}

fn memory_comes_from_the_nodes_asked_for(bed: &Bed) {
    let mut config = config(bed, "head -1 /proc/self/numa_maps | cut -d' ' -f2");
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        // Without memory nodes the kernel refuses the call, and that is told.
        config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"});
        refused(bed, &config, "set memory policy 0x2 for nodes 0: set_mempolicy");
        return;
    }
    for (policy, said) in [
        (json!({"mode": "MPOL_BIND", "nodes": "0"}), "bind:0\n"),
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}), "interleave:0\n"),
        (json!({"mode": "MPOL_DEFAULT"}), "default\n"),
    ] {
        config["linux"]["memoryPolicy"] = policy;
        assert_eq!(hotcell(bed, &config).unwrap(), said);
    }
    config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "1023"});
    refused(bed, &config, "set memory policy 0x2 for nodes 1023: set_mempolicy");
}

fn a_limit_twice_is_refused(bed: &Bed) {
    let mut config = config(bed, "true");
    let limit = json!({"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64});
    config["process"]["rlimits"] = json!([limit, limit]);
    refused(bed, &config, "process.rlimits: RLIMIT_NOFILE stands there twice");
    config["process"]["rlimits"] = json!([{"type": "RLIMIT_MOON", "soft": 1, "hard": 1}]);
    refused(bed, &config, "process.rlimits[0].type: unknown variant `RLIMIT_MOON`");
}

fn labels_of_a_module_that_is_not_there_are_refused(bed: &Bed) {
    let mut config = config(bed, "echo ran");
    for pass in ["", "unconfined"] {
        config["process"]["apparmorProfile"] = json!(pass);
        config["process"]["selinuxLabel"] = json!("");
        config["linux"]["mountLabel"] = json!("");
        assert_eq!(hotcell(bed, &config).unwrap(), "ran\n");
    }
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    config["process"]["apparmorProfile"] = json!("no-such-profile");
    match enabled.is_ok_and(|text| text.starts_with('Y')) {
        true => refused(bed, &config, "set AppArmor label \"exec no-such-profile\": write"),
        false => {
            refused(bed, &config, "process.apparmorProfile \"no-such-profile\" is not supported")
        }
    }
    config["process"]["apparmorProfile"] = json!("");
    config["process"]["selinuxLabel"] = json!("a:b:c:s0");
    refused(bed, &config, "process.selinuxLabel");
    config["process"]["selinuxLabel"] = json!("");
    config["linux"]["mountLabel"] = json!("a:b:c:s0");
    refused(bed, &config, "linux.mountLabel");
}
