//! The same bundle under hotcell, runc and crun: what the three give is the same inside, or the
//! difference stands in a table with its reason.

use std::io::Read;
use std::path::Path;
use std::process::Stdio as Pipes;

use hotcell::bundle::Bundle;
use hotcell::launch::{Stdio, Stream};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::peers::Peer;
use crate::probe::order::{Side, compare};
use crate::probe::table::{Table, without_host};
use crate::probe::{blessing, host_namespaces, rootfs};
use crate::{Test, test};

mod known;

use known::KNOWN;

pub fn tests() -> Vec<Test> {
    vec![
        test!(runc_gives_the_same, Cells, Compiler, Runc),
        test!(crun_gives_the_same, Cells, Compiler, Crun),
        test!(what_runc_writes_is_taken_or_refused_by_name, Cells, Compiler, Runc),
        test!(the_page_shows_the_table),
    ]
}

/// What a bundle has that no flag gives.
type Change = fn(&mut Value);

/// A bundle of hotcell's: its name, the flags that it is made with, and what is changed then.
/// Sources stand in the bed.
fn bundles(bed: &Bed) -> Vec<(&'static str, Vec<String>, Change)> {
    let volume = bed.path("volume");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("file"), "content").unwrap();
    let shown = volume.display();
    let volumes = format!("-v {shown}:/mnt -v {shown}:/home:ro");
    let file = format!("-v {shown}/file:/etc/hosts:ro");
    let as_it_is: Change = |_| ();
    let bundle = |name, flags: &str, change| {
        let flags = ["--read-only"].into_iter().chain(flags.split_whitespace());
        (name, flags.map(str::to_owned).collect::<Vec<_>>(), change)
    };
    vec![
        bundle("root", "", as_it_is),
        ("copy-on-write", vec!["--upper=tmpfs".to_owned()], as_it_is),
        bundle("user", "-u 1000:1000 -w /tmp", as_it_is),
        bundle("volumes", &volumes, as_it_is),
        bundle("file", &file, as_it_is),
        bundle("tmpfs", "--tmpfs /tmp:size=1m,mode=700 --tmpfs /home:exec", as_it_is),
        bundle("limits", "--ulimit nofile=64:128 --ulimit core=0 --ulimit nproc=32:64", as_it_is),
        bundle("environment", "-e A=1 -e B= --hostname other --network host", as_it_is),
        bundle("groups", "-u 1000:1000", |config| {
            config["process"]["user"]["additionalGids"] = json!([5, 70_000, 1000]);
            config["process"]["user"]["umask"] = json!(0o27);
        }),
        bundle("privileges", "-u 1000:1000", |config| {
            let some = json!(["CAP_NET_BIND_SERVICE", "CAP_CHOWN"]);
            for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
                config["process"]["capabilities"][set] = some.clone();
            }
            config["process"]["noNewPrivileges"] = json!(false);
        }),
        bundle("devices", "", |config| {
            config["linux"]["devices"] = json!([
                {"path": "/dev/more", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "gid": 7},
                {"path": "/dev/dir/fifo", "type": "p", "fileMode": 0o600, "uid": 9},
            ]);
            config["linux"]["maskedPaths"] = json!(["/proc/version", "/home", "/no/such/path"]);
            config["linux"]["readonlyPaths"] = json!(["/dev/shm"]);
        }),
    ]
}

/// The `config.json` that `hotcell bundle` writes for the probe.
fn config(bed: &Bed, name: &str, flags: &[String]) -> Value {
    let root = rootfs(bed, &format!("root-{name}"));
    std::fs::write(root.join("etc/hosts"), "").unwrap();
    let dir = bed.path(&format!("bundle-{name}"));
    let namespaces = format!("HOST_NAMESPACES={}", host_namespaces());
    let fixed = [
        "--bundle-dir",
        dir.to_str().unwrap(),
        "--rootfs",
        root.to_str().unwrap(),
        "-e",
        &namespaces,
    ];
    let command = ["--", "/bin/probe", "state"].map(str::to_owned);
    let flags = fixed.map(str::to_owned).into_iter().chain(flags.iter().cloned()).chain(command);
    let written = bed.command("bundle", flags).output().unwrap();
    assert!(written.status.success() && written.stderr.is_empty(), "{written:?}");
    serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap()
}

/// hotcell on a bundle, from inside this process: its output or the refusal.
fn hotcell(bed: &Bed, name: &str, config: &Value) -> Result<String, String> {
    let dir = bed.path(&format!("hotcell-{name}"));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let bundle = Bundle::load(&dir).map_err(|error| error.to_string())?;
    let driver = bed.driver();
    let created = driver.create_from_spec(None, bundle.spec().clone(), None);
    let created = created.map_err(|error| error.to_string())?;
    let (mut read, write) = std::io::pipe().unwrap();
    let (_, errors) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: Stream::Null,
        stdout: Stream::Fd(write.into()),
        stderr: Stream::Fd(errors.into()),
    };
    let mut running = created.run(stdio).map_err(|error| chain(&error))?;
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    let code = running.wait(None).unwrap().unwrap().exit.shell_code();
    running.close().unwrap();
    driver.close().unwrap();
    assert_eq!(code, 0, "{text}");
    Ok(text)
}

fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}

fn runc_gives_the_same(bed: &Bed) {
    gives_the_same(bed, Peer::Runc);
}

fn crun_gives_the_same(bed: &Bed) {
    gives_the_same(bed, Peer::Crun);
}

fn gives_the_same(bed: &Bed, peer: Peer) {
    let mut unknown = Vec::new();
    for (name, flags, change) in bundles(bed) {
        let mut config = config(bed, name, &flags);
        change(&mut config);
        let ours = hotcell(bed, name, &config).unwrap();
        let ran = peer.run(bed, name, config);
        if ran.code != Some(0) {
            let unable = known::UNABLE.iter().any(|(this, bundle, error, _)| {
                *this == peer && *bundle == name && ran.err.contains(error)
            });
            assert!(unable, "{name}: {ran:?}");
            continue;
        }
        unknown.extend(differences(name, peer, &ours, &ran.out));
    }
    assert!(unknown.is_empty(), "{} lines:\n  {}", unknown.len(), unknown.join("\n  "));
}

/// The lines that differ without a reason in the table.
fn differences(name: &str, peer: Peer, ours: &str, theirs: &str) -> Vec<String> {
    let table = |text: &str| {
        without_host(&Table::parse(text), "").filtered(|key, _| {
            // A hybrid host's hierarchies look different to runtimes that know unified ones alone.
            !key.contains("/sys/fs/cgroup") && !key.starts_with("cgroup ")
        })
    };
    let (ours, theirs) = (table(ours), table(theirs));
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
    let mut unknown = Vec::new();
    for difference in compare(&ours, &theirs) {
        let (ours, theirs) = (value(&difference.ours), value(&difference.theirs));
        let known =
            KNOWN.iter().any(|known| known.covers(peer, name, &difference.key, &ours, &theirs));
        if !known {
            let side = if difference.side == Side::Looser { " LOOSER" } else { "" };
            unknown.push(format!(
                "{name}: {}: hotcell {ours}, {} {theirs}{side}",
                difference.key,
                peer.name()
            ));
        }
    }
    unknown
}

/// `runc spec`, a field at a time made to what hotcell does today; what it refuses is on the page.
fn what_runc_writes_is_taken_or_refused_by_name(bed: &Bed) {
    let dir = bed.path("spec");
    std::fs::create_dir(&dir).unwrap();
    let written = std::process::Command::new("runc")
        .arg("spec")
        .current_dir(&dir)
        .stdout(Pipes::null())
        .status();
    assert!(written.unwrap().success());
    let text = std::fs::read(dir.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&text).unwrap();
    config["root"]["path"] = json!(rootfs(bed, "root-spec"));
    config["process"]["args"] = json!(["/bin/probe", "state"]);
    let env = config["process"]["env"].as_array_mut().unwrap();
    env.push(json!(format!("HOST_NAMESPACES={}", host_namespaces())));
    let mut refused = Vec::new();
    let ours = loop {
        match hotcell(bed, &format!("spec-{}", refused.len()), &config) {
            Ok(text) => break text,
            Err(why) => {
                assert!(refused.len() < known::REFUSED.len(), "{why}, after {refused:?}");
                let (field, make) = known::REFUSED[refused.len()];
                assert!(why.contains(field), "{why}, not {field}");
                make(&mut config);
                refused.push(field);
            }
        }
    };
    assert_eq!(refused.len(), known::REFUSED.len(), "{refused:?}: the rest is taken now");
    for peer in [Peer::Runc, Peer::Crun].into_iter().filter(|peer| peer.version().is_some()) {
        let ran = peer.run(bed, "spec", config.clone());
        assert!(ran.code == Some(0), "{ran:?}");
        let unknown = differences("spec", peer, &ours, &ran.out);
        assert!(unknown.is_empty(), "{} lines:\n  {}", unknown.len(), unknown.join("\n  "));
    }
}

fn the_page_shows_the_table(_: &Bed) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md");
    let page = known::page();
    if blessing() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page, "HOTCELL_BLESS=1 writes it");
}
