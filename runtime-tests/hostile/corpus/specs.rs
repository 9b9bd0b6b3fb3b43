//! Specifications that no flag can express. The reader trusts the embedder's specification no
//! further than it has to: what is not acted on is refused by name.

use serde_json::{Value, json};

use super::super::case::{Case, EVERY, Expect, Form, ONE, WRITABLE};
use super::super::cell::field;
use super::super::spoil::{Spoil, dir, fifo, file, link};
use super::super::way::{By, Way};

/// A form whose `path` in the specification becomes `value`.
fn set(name: &str, path: &'static str, value: Value) -> Form {
    Form::script("true").named(name).edit(move |spec| *field(spec, path) = value.clone())
}

/// A form with one more mount, behind all others.
fn mount(name: &str, mount: Value) -> Form {
    Form::script("true").named(name).edit(move |spec| push(spec, "mounts", mount.clone()))
}

fn push(spec: &mut Value, path: &'static str, value: Value) {
    let list = field(spec, path);
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(value);
}

fn masks(name: &str, paths: &'static str, spoils: Vec<Spoil>, script: &str) -> Form {
    let form = Form::script(script).named(name).spoil(spoils);
    form.edit(move |spec| push(spec, paths, json!("/masked")))
}

/// Drops the mount on `target` and all below it.
fn without(spec: &mut Value, target: &str) {
    let mounts = spec["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with(target));
}

fn without_dev(name: &str, spoils: Vec<Spoil>) -> Form {
    let script = "[ -f /proc/interrupts ] && grep CPU0 /proc/interrupts; true";
    let form = Form::script(script).named(name).spoil(spoils);
    form.edit(|spec| without(spec, "/dev"))
}

fn bind_share(to: &str) -> Form {
    let options = ["rbind"];
    let bind =
        json!({ "destination": to, "type": "bind", "source": "{share}", "options": options });
    mount(to, bind)
}

pub fn cases() -> Vec<Case> {
    let hidden = ["linux.maskedPaths", "linux.readonlyPaths"];
    vec![
        Case::new("a hidden path is a link", "CVE-2025-31133, CVE-2023-28642")
            .forms(hidden.into_iter().flat_map(|list| {
                [
                    masks("out", list, vec![link("/masked", "{canary}")], "true"),
                    masks("out to a file", list, vec![link("/masked", "{canary}/secret")], "true"),
                    masks("climbing", list, vec![link("/masked", "../../../..{canary}")], "true"),
                    masks("inside", list, vec![link("/masked", "/etc")], "touch /etc/x; true"),
                ]
            }))
            .modes(EVERY),
        Case::new("a hidden path leads to the root itself", "CVE-2025-31133")
            .by(Way::Exec, By::Ends(Expect::Refused("exec: ")))
            .forms(
                hidden.map(|list| masks(list, list, vec![link("/masked", "/var/../..")], "true")),
            ),
        Case::new("a hidden path leads to nowhere", "CVE-2025-31133")
            .no_entry()
            .forms(hidden.into_iter().flat_map(|list| {
                [
                    masks("loop", list, vec![link("/masked", "masked")], ""),
                    masks("magic", list, vec![link("/masked", "/proc/self/fd/3")], ""),
                    masks("root", list, vec![link("/masked", "/proc/self/root")], ""),
                ]
            }))
            .refused("/masked"),
        Case::new("no /dev of its own, and /dev/null leads elsewhere", "CVE-2025-31133")
            .no_entry()
            .form(without_dev("to a file", vec![link("/dev/null", "{canary}/null")]))
            .form(without_dev("to /proc", vec![link("/dev/null", "/proc/self/comm")]))
            .form(without_dev("directory above", vec![link("/dev", "{canary}")]))
            .form(without_dev("directory", vec![dir("/dev/null")]))
            .form(without_dev("disk", vec![Spoil::Device("/dev/null".into(), true, 8, 0)]))
            .form(without_dev("file", vec![file("/dev/null", "")]))
            .form(without_dev("FIFO", vec![fifo("/dev/null")]))
            .refused("set-up step"),
        Case::new("a bind mount on /proc", "CVE-2019-16884, CVE-2019-19921")
            .no_entry()
            .form(bind_share("/proc"))
            .refused("/proc"),
        Case::new("a bind mount on /sys", "CVE-2019-16884").form(bind_share("/sys")),
        Case::new("mount targets that are none", "Docker CVE-2014-9356")
            .no_entry()
            .forms(["/", "", "/a/../..", "..", "/data/..", "/a\u{0}b"].map(|to| {
                let tmpfs = json!({ "destination": to, "type": "tmpfs", "source": "tmpfs" });
                mount(to, tmpfs)
            }))
            .form(mount(
                "5000 bytes",
                json!({ "destination": format!("/{}", "long/".repeat(1000)), "type": "tmpfs",
                    "source": "tmpfs" }),
            ))
            .modes(ONE)
            .refused(""),
        Case::new("mount options that reach out", "CVE-2024-1753")
            .no_entry()
            .forms(["bind-propagation=../..", "src=/etc", "idmap=x"].map(|option| {
                let bind = json!({ "destination": "/data", "type": "bind", "source": "{share}",
                    "options": ["rbind", option] });
                mount(option, bind)
            }))
            .modes(ONE)
            .refused("of the mount on /data"),
        Case::new("mounts of a cell reach nobody", "rootfs propagation, moby#34672")
            .forms(["rshared", "shared", "rslave"].map(|propagation| {
                let script = "mkdir -p /data/sub; mount -t tmpfs none /data/sub || echo no mount
                    touch /data/sub/x; umount /data/sub || echo no umount
                    mount -t tmpfs none /data/sub; true";
                Form::script(script).named(propagation).edit(move |spec| {
                    let bind = json!({ "destination": "/data", "type": "bind",
                        "source": "{share}", "options": ["rbind", propagation] });
                    push(spec, "mounts", bind);
                    // Its profile knows the capabilities that the cell had without this change.
                    spec["linux"].as_object_mut().unwrap().remove("seccomp");
                    for set in ["bounding", "effective", "permitted"] {
                        push_capability(spec, set, "CAP_SYS_ADMIN");
                    }
                })
            }))
            .no_peers("a mount that they let out would reach the namespace of the test"),
        Case::new("devices in odd places", "CVE-2026-41579")
            .no_entry()
            .form(device("climbing", "/dev/../../pwned"))
            .form(device("through a link", "/data/null").spoil([link("/data", "{canary}")]))
            .form(device("relative", "pwned"))
            .form(device("the root", "/"))
            .refused(""),
        Case::new("a device where the image has a file", "CVE-2026-41579")
            .no_entry()
            .form(device("link out", "/dv/x").spoil([dir("/dv"), link("/dv/x", "{canary}/pwned")]))
            .form(device("file", "/dv/x").spoil([file("/dv/x", "")]))
            .refused("/dv"),
        Case::new("a disk among the devices", "GO-2022-0396").form(
            Form::script(
                "(head -c 1 /dev/disk > /tmp/got) 2>/dev/null; [ -s /tmp/got ] && echo read; true",
            )
            .edit(|spec| {
                let disk = json!({ "path": "/dev/disk", "type": "b", "major": 254, "minor": 0 });
                push(spec, "linux.devices", disk);
            }),
        ),
        Case::new("hooks", "programs that run on the host")
            .forms(["prestart", "createRuntime", "createContainer", "poststop"].map(|when| {
                Form::script("").named(when).edit(move |spec| {
                    let touch = json!([{ "path": "{canary}/tool" }]);
                    *field(spec, "hooks") = json!({ when: touch });
                })
            }))
            .modes(ONE)
            .by_engines(By::NotRun("they run, as they should"))
            .no_peers("they run hooks, as they should")
            .refused("hooks"),
        Case::new("namespaces of others", "no isolation by path")
            .forms(["mount", "pid", "network", "ipc", "uts"].map(|kind| {
                let file = match kind {
                    "mount" => "mnt",
                    "network" => "net",
                    other => other,
                };
                set(
                    kind,
                    "linux.namespaces",
                    json!([{ "type": kind, "path": format!("/proc/1/ns/{file}") }]),
                )
            }))
            .form(set("none at all", "linux.namespaces", json!([])))
            .modes(ONE)
            .by_engines(By::NotRun("they are joined, as they should"))
            .no_peers("they join them, as they should")
            .refused("linux.namespaces"),
        Case::new("a place in somebody's cgroup", "runc 1.5.2: sub-cgroup prefix")
            .forms(
                ["../../..", "/../../other", "/", "a/../../b"]
                    .map(|path| set(path, "linux.cgroupsPath", json!(path))),
            )
            .by_engines(By::NotRun("the place is an engine's to choose"))
            .no_peers("they would make cgroups outside the test's"),
        Case::new("a host name of 70 000 bytes", "CVE-2021-43784")
            .no_entry()
            .form(set("70 000 bytes", "hostname", json!("h".repeat(70_000))))
            .form(set("65 bytes", "hostname", json!("h".repeat(65))))
            .refused(""),
        Case::new("the user that means nobody", "setresuid(-1) changes nothing")
            .form(set("user", "process.user.uid", json!(u32::MAX)))
            .form(set("group", "process.user.gid", json!(u32::MAX)))
            .form(set("further group", "process.user.additionalGids", json!([u32::MAX])))
            .refused("4294967295"),
        Case::new("numbers beyond a user's", "CVE-2026-30892, CVE-2024-40635")
            .by(Way::Exec, By::Ends(Expect::Refused("user.uid")))
            .forms(["4294967296", "99999999999", "-1"].map(|id| {
                let value: Value = serde_json::from_str(id).unwrap();
                set(id, "process.user.uid", value)
            }))
            .modes(ONE)
            .refused("config.json"),
        Case::new("working directories that are none", "CVE-2024-21626")
            .forms(
                ["", "relative", "..", "/a/../..", "/proc/self/fd/7"]
                    .map(|cwd| set(cwd, "process.cwd", json!(cwd))),
            )
            .modes(WRITABLE)
            .refused(""),
        Case::new("a root that is none", "the root of a bundle")
            .form(set("relative", "root.path", json!("../../..")))
            .form(set("missing", "root.path", json!("{canary}/nothing")))
            .form(set("a file", "root.path", json!("{canary}/secret")))
            .modes(ONE)
            .by_engines(By::NotRun("a root is relative to the bundle"))
            .no_peers("their root is relative to the bundle")
            .refused(""),
        Case::new("what hotcell does not do", "a field that is ignored")
            .no_entry()
            .form(set("devices of a net", "linux.netDevices", json!({ "../x": {} })))
            .form(set(
                "personality",
                "linux.personality",
                json!({ "domain": "LINUX", "flags": ["x"] }),
            ))
            .form(set("label", "process.apparmorProfile", json!("none-such")))
            .form(set("mount label", "linux.mountLabel", json!("x")))
            .form(set("rdt", "linux.intelRdt", json!({ "closID": "../../x" })))
            .modes(ONE)
            .no_peers("they do it, or refuse for reasons of their own")
            .refused("is not supported"),
    ]
}

fn device(name: &str, path: &'static str) -> Form {
    let null = json!({ "path": path, "type": "c", "major": 1, "minor": 3 });
    Form::script("").named(name).edit(move |spec| push(spec, "linux.devices", null.clone()))
}

fn push_capability(spec: &mut Value, set: &str, capability: &str) {
    let set = &mut spec["process"]["capabilities"][set];
    set.as_array_mut().unwrap().push(json!(capability));
}
