//! What only engines' commands have: containers that lie in wait for `exec`, terminals, ids, places
//! of cgroups, state that somebody has tampered with.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio as Pipes;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode as Bits, mknodat};
use serde_json::{Value, json};

use super::super::case::{Case, Form, Mode, ONE, Upper};
use super::super::engine::{Engine, ID};
use super::super::judge::{INSIDE, Seen};
use super::super::spoil::{Spoil, dir, file, link, program};
use super::super::way::{By, Way};
use super::directories::FIFTY;
use super::together::swapping;
use crate::bed::{Ran, cgroup_parent};
use crate::host::soak;

/// One row, played once, with the commands that it calls itself.
fn case(name: &'static str, stands_for: &'static str) -> Case {
    Case::new(name, stands_for)
        .modes(ONE)
        .by(Way::Library, By::NotRun("of engines alone"))
        .no_peers("plays with hotcell-oci's commands")
}

pub fn cases() -> Vec<Case> {
    let first = By::NotRun("nobody enters");
    let further = By::NotRun("somebody enters");
    vec![
        case("a container that lies in wait for who enters", "CVE-2016-9962")
            .form(Form::engine(lies_in_wait))
            .by(Way::Create, further),
        case("overwriting what enters", "CVE-2019-5736")
            .forms(
                [
                    ("itself", vec![]),
                    ("a link", vec![link("/evil", "/proc/self/exe")]),
                    ("an interpreter", vec![program("/evil", "#!/proc/self/exe\n")]),
                ]
                .map(|(name, spoils)| Form::engine(overwrites).named(name).spoil(spoils)),
            )
            .by(Way::Create, further),
        case("exec --cwd in /proc/self/fd", "CVE-2024-21626")
            .form(Form::engine(enters_by_cwd))
            .by(Way::Create, further),
        case("a terminal on hostile devices", "CVE-2025-52565, CVE-2025-52881, CVE-2026-88264")
            .forms(
                [
                    ("console out", vec![link("/dev/console", "{canary}/console")]),
                    ("console to nowhere", vec![link("/dev/console", "{canary}/pwned")]),
                    ("console to /proc", vec![link("/dev/console", "/proc/self/attr/exec")]),
                    ("console a directory", vec![dir("/dev/console")]),
                    ("console a file", vec![file("/dev/console", "")]),
                    ("console a disk", vec![Spoil::Device("/dev/console".into(), true, 8, 0)]),
                    ("pts out", vec![link("/dev/pts", "{canary}/dir")]),
                    ("ptmx out", vec![link("/dev/ptmx", "{canary}/null")]),
                    ("all of it out", vec![link("/dev", "{canary}")]),
                ]
                .map(|(name, spoils)| Form::engine(has_a_terminal).named(name).spoil(spoils)),
            ),
        case("the root is a link", "umoci GHSA-9m95: a root replaced by a link")
            .form(Form::engine(root_is_a_link))
            .by(Way::Exec, first),
        case("ids that are paths or flags", "crun 1.28, GHSA-x7pf, moby 4f84bcb967")
            .form(Form::engine(ids_are_paths))
            .by(Way::Exec, first),
        case("a place for the cgroup that climbs", "runc 1.5.2: sub-cgroup prefix")
            .form(Form::engine(cgroups_climb))
            .by(Way::Exec, first),
        case("a state directory that somebody was at", "stale or forged state")
            .form(Form::engine(state_is_forged))
            .by(Way::Exec, first),
        case("directory and link change places under an engine", "CVE-2021-30465, CVE-2025-31133")
            .form(Form::engine(places_change))
            .by(Way::Exec, first),
    ]
}

fn fine() -> Seen {
    Seen { code: Some(0), out: INSIDE.to_owned(), err: String::new() }
}

/// What should not have been.
fn said(what: impl std::fmt::Debug) -> Seen {
    Seen { code: Some(0), out: format!("{INSIDE}\n{what:?}"), err: String::new() }
}

const PLAIN: Mode = Mode { init: false, upper: Upper::Disk, own_ids: false };

/// The specification of a shell script, with a system call filter.
fn script(engine: &Engine<'_>, text: &str) -> Value {
    engine.specification(&Form::script(text), PLAIN, true).unwrap()
}

fn idle(engine: &Engine<'_>) -> Value {
    let mut spec = script(engine, "");
    spec["process"]["args"] = json!(["/bin/busybox", "sleep", "1000"]);
    spec
}

/// A debugger's container, which may trace who appears beside it, against one `exec` after another.
fn lies_in_wait(engine: &Engine<'_>) -> Seen {
    crate::exec::build_lurker(&engine.scene.root().join("bin/lurker"));
    let mut spec = idle(engine);
    spec["process"]["args"] = json!(["/bin/lurker", "lurk"]);
    for set in ["bounding", "effective", "permitted"] {
        let set = &mut spec["process"]["capabilities"][set];
        set.as_array_mut().unwrap().push(json!("CAP_SYS_PTRACE"));
    }
    let (pid, ears) = match engine.start_heard(&spec) {
        Ok(started) => started,
        Err(seen) => return seen,
    };
    // On a busy machine many come and go unseen: then more have to come by.
    let until = Instant::now() + Duration::from_secs(30);
    let visits = if soak() { 1000 } else { 60 };
    let wanted = |done| done < visits || !ears.has_heard("early ") && Instant::now() < until;
    for _ in (0..).take_while(|done| wanted(*done)) {
        let mut visit = engine.command(&["exec", ID, "/bin/lurker", "visit"]);
        // Whoever is stopped or killed on the way harms itself alone.
        visit.stdout(Pipes::null()).stderr(Pipes::null()).status().unwrap();
    }
    engine.call(&["kill", ID, "TERM"]).ok();
    let code = engine.end(pid, Duration::from_secs(20));
    let (out, err) = ears.heard();
    let caught = |line: &str| line.strip_prefix("caught ").is_some_and(|count| count != "0");
    let counted = |line: &&str| crate::exec::counts(line) || line.starts_with("permitted ");
    let mut bad: Vec<_> = out.lines().filter(|line| !counted(line) && *line != "ready").collect();
    bad.retain(|line| !crate::exec::of_the_cell(line));
    match (code, bad.is_empty()) {
        (0, true) if out.lines().any(caught) => fine(),
        _ => said((code, bad, out.lines().last(), err)),
    }
}

/// While a container tries to write to every program that it sees, somebody runs what is the runtime
/// itself there.
fn overwrites(engine: &Engine<'_>) -> Seen {
    let evil = engine.scene.root().join("evil");
    let command = if evil.is_symlink() || evil.exists() { "/evil" } else { "/proc/self/exe" };
    let spec = script(
        engine,
        "while :; do
            for exe in /proc/[0-9]*/exe; do
                case $(readlink $exe) in
                    /bin/busybox|'') continue ;;
                esac
                (echo x >> $exe) 2>/dev/null && echo wrote $exe
            done
        done",
    );
    let (pid, ears) = match engine.start_heard(&spec) {
        Ok(started) => started,
        Err(seen) => return seen,
    };
    let mut wrong = None;
    for _ in 0..if soak() { 500 } else { 10 } {
        let ran = engine.call(&["exec", ID, command, "x"]);
        // The init begins anew, without a plan: it ends at once.
        if !matches!(ran.code, Some(127 | 255)) || !ran.out.is_empty() {
            wrong = Some(ran);
        }
    }
    engine.call(&["kill", "--all", ID, "KILL"]).ok();
    engine.end(pid, Duration::from_secs(20));
    match (wrong, ears.heard().0) {
        (None, out) if out == format!("{INSIDE}\n") => fine(),
        wrong => said(wrong),
    }
}

/// The way in that needs no file, with fifty descriptors of the caller's open.
fn enters_by_cwd(engine: &Engine<'_>) -> Seen {
    if let Err(seen) = engine.start(&idle(engine), &[]) {
        return seen;
    }
    let under = FIFTY.map(str::to_owned);
    for number in (3..16).chain([35, 60]) {
        let cwd = format!("/proc/self/fd/{number}");
        let exec = engine.command(&["exec", "--cwd", &cwd, ID, "/bin/busybox", "pwd"]);
        let ran = Ran::from(engine.under(&under, exec).output().unwrap());
        if ran.code != Some(255) || !ran.err.contains("/proc/self/fd/") {
            return said((cwd, ran));
        }
    }
    fine()
}

/// With devices of its own, and with those that the image has, which are hostile.
fn has_a_terminal(engine: &Engine<'_>) -> Seen {
    for own in [true, false] {
        let mut spec = script(engine, "[ -t 0 ] || echo no terminal");
        spec["process"]["terminal"] = json!(true);
        if !own {
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        }
        let ran = match engine.way {
            Way::Exec => {
                let process = spec["process"].clone();
                spec["process"] = idle(engine)["process"].clone();
                match engine.start(&spec, &[]) {
                    Ok(_) => engine.enter(&process),
                    Err(seen) => Ran { code: Some(1), out: String::new(), err: seen.err },
                }
            }
            _ => engine.run_whole(&spec),
        };
        engine.call(&["delete", "--force", ID]).ok();
        let ended = ran.code == Some(0) && ran.out.trim() == INSIDE;
        let refused = matches!(ran.code, Some(1 | 255)) && ran.err.contains("unable to start");
        if !ended && !refused {
            return said((own, ran));
        }
    }
    fine()
}

fn root_is_a_link(engine: &Engine<'_>) -> Seen {
    for to in [engine.scene.canary(), engine.scene.root(), Path::new("/").to_owned()] {
        let root = engine.path("bundle/rootfs");
        let _ = fs::remove_file(&root);
        symlink(&to, &root).unwrap();
        for path in ["rootfs", "rootfs/", "rootfs/."] {
            let mut spec = idle(engine);
            spec["root"]["path"] = json!(path);
            match engine.start(&spec, &[]) {
                Err(seen) if seen.code == Some(125) && seen.err.contains("is a symbolic link") => {}
                other => return said((path, to, other.is_ok())),
            }
        }
    }
    fine()
}

fn ids_are_paths(engine: &Engine<'_>) -> Seen {
    engine.write(&idle(engine));
    let bundle = engine.path("bundle");
    let long = "n".repeat(300);
    for id in ["../x", "..", ".", "a/b", "/etc", "", "a b", "a\nb", "-rf", "ü", "a\u{7f}", &long] {
        // One with a dash is taken for flags, which there are none of.
        let behind: &[&str] = if id.starts_with('-') { &[id] } else { &["--", id] };
        for verb in [
            &["create", "--bundle", bundle.to_str().unwrap()][..],
            &["run", "--bundle", bundle.to_str().unwrap()],
            &["start"],
            &["state"],
            &["kill"],
            &["delete", "--force"],
            &["exec"],
            &["pause"],
            &["resume"],
            &["update", "--pids-limit=9"],
            &["events", "--stats"],
            &["ps"],
        ] {
            let line = [verb, behind].concat();
            let ran = engine.call(&line);
            let refused = matches!(ran.code, Some(1 | 255)) && ran.out.is_empty();
            if !refused || ran.err.lines().count() != 1 {
                return said((line, ran));
            }
        }
    }
    fine()
}

/// `..` leads to the root of all cgroups, and no further.
fn cgroups_climb(engine: &Engine<'_>) -> Seen {
    let parent = cgroup_parent();
    for (place, held) in [
        (format!("/../../../{parent}/climbs"), true),
        (format!("/{parent}/a/../climbs"), true),
        (format!("/{parent}/../{parent}/./climbs//"), true),
        ("/".to_owned(), false),
        ("/..".to_owned(), false),
        (format!("/{parent}/.."), false),
        (format!("/{parent}/a\nb"), false),
        (format!("/{parent}/a\0b"), false),
    ] {
        let mut spec = idle(engine);
        spec["linux"]["cgroupsPath"] = json!(place);
        let started = engine.start(&spec, &[]);
        let inside = started.as_ref().is_ok_and(|pid| {
            let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_pid())).unwrap();
            cgroups.lines().all(|line| line.ends_with(&format!("/{parent}/climbs")))
        });
        engine.call(&["delete", "--force", ID]).ok();
        let refused = matches!(&started, Err(seen) if seen.code == Some(125));
        if (held && !inside) || (!held && !refused) {
            return said((place, started.is_ok()));
        }
    }
    fine()
}

/// Whatever lies where a container's state should: an error, and nothing elsewhere is touched.
fn state_is_forged(engine: &Engine<'_>) -> Seen {
    let canary = engine.scene.canary();
    let home = engine.state().join(ID);
    let fresh = || {
        engine.call(&["delete", "--force", ID]).ok();
        engine.create(&idle(engine), &[]).map(drop).map_err(|seen| said(seen.err))
    };
    let verbs: [&[&str]; 6] = [
        &["state", ID],
        &["start", ID],
        &["kill", ID, "KILL"],
        &["exec", ID, "true"],
        &["pause", ID],
        &["delete", ID],
    ];
    // The directory is a link: not even by force does anybody go there.
    fs::create_dir_all(engine.state()).unwrap();
    symlink(&canary, &home).unwrap();
    for verb in verbs.into_iter().chain([&["delete", "--force", ID][..]]) {
        let ran = engine.call(verb);
        if !matches!(ran.code, Some(1 | 255)) {
            return said((verb, ran));
        }
    }
    fs::remove_file(&home).unwrap();
    // A record that names another's process or cgroup, or is none.
    let me = std::process::id();
    let forge: [fn(&mut Value, u32); 5] = [
        |record, me| record["process"] = json!({ "pid": me, "start": 1 }),
        |record, _| record["id"] = json!("another"),
        |record, _| record["cgroup"][""] = json!("/sys/fs/cgroup/.."),
        |record, _| record["cgroup"] = json!({}),
        |record, _| *record = json!([]),
    ];
    for forge in forge {
        if let Err(seen) = fresh() {
            return seen;
        }
        let path = home.join("state.json");
        let honest = fs::read(&path).unwrap();
        let mut record: Value = serde_json::from_slice(&honest).unwrap();
        forge(&mut record, me);
        fs::write(&path, record.to_string()).unwrap();
        for verb in verbs.iter().filter(|verb| verb[0] != "delete" && verb[0] != "state") {
            let ran = engine.call(verb);
            if !matches!(ran.code, Some(1 | 255)) {
                return said((verb, record, ran));
            }
        }
        fs::write(&path, honest).unwrap();
    }
    // Its files are links, FIFOs that nobody reads, directories.
    for name in ["state.json", "config.json", "start"] {
        for kind in ["link", "fifo", "directory"] {
            if let Err(seen) = fresh() {
                return seen;
            }
            let (path, kept) = (home.join(name), home.join("kept"));
            fs::rename(&path, &kept).unwrap();
            match kind {
                "link" => symlink(canary.join("config.json"), &path).unwrap(),
                "fifo" => {
                    mknodat(CWD, &path, FileType::Fifo, Bits::from_raw_mode(0o600), 0).unwrap()
                }
                _ => fs::create_dir(&path).unwrap(),
            }
            // Who starts it needs no config.json, and who enters it no FIFO.
            let verb: &[&str] =
                if name == "config.json" { &["exec", ID, "true"] } else { &["start", ID] };
            let ran = engine.call(verb);
            if !matches!(ran.code, Some(1 | 255)) {
                return said((name, kind, verb, ran));
            }
            match fs::symlink_metadata(&path).unwrap().is_dir() {
                true => fs::remove_dir(&path).unwrap(),
                false => fs::remove_file(&path).unwrap(),
            }
            fs::rename(&kept, &path).unwrap();
        }
    }
    fine()
}

/// Volumes and hidden paths below a directory that a neighbour swaps for a link meanwhile.
fn places_change(engine: &Engine<'_>) -> Seen {
    let mut spec = idle(engine);
    let share = engine.scene.share();
    let mounts = spec["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/data", "type": "bind", "source": share,
        "options": ["rbind", "rw"] }));
    mounts.push(json!({ "destination": "/data/sub/mnt", "type": "tmpfs", "source": "tmpfs" }));
    for list in ["maskedPaths", "readonlyPaths"] {
        spec["linux"][list].as_array_mut().unwrap().push(json!("/data/sub/mnt"));
    }
    swapping(engine.scene, || {
        let started = engine.start(&spec, &[]);
        engine.call(&["delete", "--force", ID]).ok();
        match started {
            Ok(_) => None,
            Err(seen) if seen.code == Some(125) && seen.err.contains("/data/sub") => None,
            Err(seen) => Some(format!("{seen:?}")),
        }
    })
    .map_or_else(fine, said)
}
