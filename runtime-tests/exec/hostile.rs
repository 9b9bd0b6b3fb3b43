//! A cell that lies in wait for whoever enters it.

use std::io::{Read, pipe};
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Upper, spec};
use hotcell::launch::{Cell, Exit, Place, Stdio, Stream};
use hotcell::oci_spec::runtime::Capability;

use super::scene::{Scene, idle, proc};
use crate::bed::Bed;
use crate::ear::Ear;
use crate::life::Made;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_lies_in_wait_gets_nothing_of_the_host, Cells, Compiler),
        test!(what_lies_in_wait_gets_nothing_of_a_cell_that_joins, Cells, Compiler),
        test!(a_command_that_is_the_init_itself_is_harmless, Cells, Busybox),
    ]
}

/// Builds the lurker into a root of its own.
fn lurking(bed: &Bed, name: &str) -> CellConfig {
    let root = bed.path(name);
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    build_lurker(&root.join("bin/lurker"));
    let mut config = CellConfig::new(root, ["/bin/lurker"]);
    config.init = false;
    config.upper = Upper::Tmpfs;
    config
}

pub fn build_lurker(program: &std::path::Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/runtime-tests/exec/lurker.c");
    let mut cc = std::process::Command::new("cc");
    let built = cc.args(["-O1", "-static", "-o"]).arg(program).arg(source).status();
    assert!(built.unwrap().success(), "the lurker does not build");
}

/// What the lurker says of those that came by: each a line, the last how many. More come by until it has
/// said a line that begins as the one awaited does: on a busy machine, or one with many CPUs, it sees few.
fn lurk(scene: &Scene, visits: usize, awaited: &str, visit: impl Fn() -> Option<Cell>) -> String {
    let (mut out, out_end) = pipe().unwrap();
    let stdio = Stdio { stdout: Stream::Fd(out_end.into()), ..Stdio::default() };
    let lurker = scene.start(scene.process(&["/bin/lurker", "lurk"]), stdio).unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    let ear = Ear::new(out);
    let until = Instant::now() + Duration::from_secs(30);
    let wanted = |done| done < visits || !ear.has_heard(awaited) && Instant::now() < until;
    for _ in (0..).take_while(|done| wanted(*done)) {
        // Whoever is stopped or killed on the way harms itself alone.
        if let Some(visitor) = visit() {
            visitor.wait(None).unwrap();
        }
    }
    lurker.signal(rustix::process::Signal::TERM).unwrap();
    lurker.wait(None).unwrap();
    ear.heard()
}

/// Lines that say how many there were, and nothing of what was seen.
pub fn counts(line: &str) -> bool {
    ["early ", "seen ", "caught "].iter().any(|word| line.starts_with(word))
}

/// What may be seen of a visitor: the cell's own, the sealed init, the streams it was given.
pub fn of_the_cell(line: &str) -> bool {
    let (what, target) = line.split_once(' ').unwrap();
    match what {
        "exe" => ["/bin/lurker", "/memfd:hotcell-init (deleted)"].contains(&target),
        "cwd" | "root" => target == "/",
        // Its own pidfd, by which it tells its parent who it is.
        "fd" | "opened" if target == "anon_inode:[pidfd]" => true,
        // The control socket, of no use to anybody but its own process's parent.
        "fd" => target == "/dev/null" || target.starts_with("socket:["),
        _ => false,
    }
}

fn what_lies_in_wait_gets_nothing_of_the_host(bed: &Bed) {
    let driver = bed.driver();
    let visits = if crate::host::soak() { 5000 } else { 100 };
    for (name, traces, gains) in [
        ("plain", false, false),
        // A debugger's cell: it reaches into whatever appears beside it.
        ("traces", true, false),
        // Loading a filter takes more rights than the task has.
        ("gains", false, true),
        ("both", true, true),
    ] {
        let mut config = lurking(bed, name);
        config.no_new_privileges = !gains;
        if traces {
            config.capabilities.push(Capability::SysPtrace);
        }
        let scene = Scene::new(&driver, &config);
        let own = permitted(&scene);
        let visit = || scene.start(scene.process(&["/bin/lurker", "visit"]), Stdio::default()).ok();
        let said = lurk(&scene, visits, if traces { "early " } else { "exe " }, visit);
        let number = |word: &str| -> usize {
            let mut found = said.lines().filter_map(|line| line.strip_prefix(word));
            found.next().unwrap().trim().parse().unwrap()
        };
        let (seen, caught) = (number("seen "), number("caught "));
        // Or it has looked elsewhere.
        assert!(seen > 0, "{name}: {said}");
        // Without the right to trace nobody sees what it is before it is the command.
        assert_eq!(caught > 0, traces, "{name}: {said}");
        // To have less than the command, on its way there, is nothing to gain.
        let less = |set: &str| u64::from_str_radix(set, 16).is_ok_and(|set| set & !own == 0);
        let fine = |line: &&str| {
            counts(line) || of_the_cell(line) || line.strip_prefix("permitted ").is_some_and(less)
        };
        let bad: Vec<_> = said.lines().filter(|line| !fine(line)).collect();
        assert!(bad.is_empty(), "{name}: {bad:#?}");
        scene.close();
    }
}

/// What may be seen of the process that begins a proc file system: one right in a user namespace of its
/// own, in which nothing is.
fn of_the_helper(line: &str) -> bool {
    const SYS_ADMIN: &str = "permitted 0000000000200000";
    ["root empty", "cwd empty", "fd anon_inode:[fscontext]", SYS_ADMIN].contains(&line)
}

/// Another cell that joins the lurker's PID namespace is built out of its sight: what appears there has
/// the command's rights, and the cell's own root.
fn what_lies_in_wait_gets_nothing_of_a_cell_that_joins(bed: &Bed) {
    let driver = bed.driver();
    let visits = if crate::host::soak() { 2000 } else { 40 };
    for (name, gains) in [("joined", false), ("joined-gains", true)] {
        let mut config = lurking(bed, name);
        config.capabilities.push(Capability::SysPtrace);
        let scene = Scene::new(&driver, &config);
        let own = permitted(&scene);
        config.no_new_privileges = !gains;
        config.args = ["/bin/lurker", "visit"].map(str::to_owned).to_vec();
        let mut json = serde_json::to_value(spec(&config).unwrap()).unwrap();
        let all = json["linux"]["namespaces"].as_array_mut().unwrap();
        all.retain(|namespace| namespace["type"] != "pid");
        let path = format!("/proc/{}/ns/pid", scene.running.cell().pid());
        all.push(serde_json::json!({"type": "pid", "path": path}));
        let made = Made::of(&driver, serde_json::from_value(json).unwrap());
        let visit = || made.launch(Place::default()).ok().map(|(launched, _)| launched.cell);
        let said = lurk(&scene, visits, "exe ", visit);
        assert!(!said.contains("seen 0\n"), "{name}: {said}");
        let less = |set: &str| u64::from_str_radix(set, 16).is_ok_and(|set| set & !own == 0);
        let fine = |line: &&str| {
            let stream = line.starts_with("fd pipe:[") || line.starts_with("opened pipe:[");
            let own = ["root alike", "cwd alike"].contains(line);
            counts(line)
                || stream
                || own
                || of_the_cell(line)
                || of_the_helper(line)
                || line.strip_prefix("permitted ").is_some_and(less)
        };
        let bad: Vec<_> = said.lines().filter(|line| !fine(line)).collect();
        assert!(bad.is_empty(), "{name}: {bad:#?}");
        made.close();
        scene.close();
    }
}

/// The capabilities of the cell's first process.
fn permitted(scene: &Scene) -> u64 {
    let status = proc(scene.running.cell().pid(), "status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).unwrap();
    u64::from_str_radix(line, 16).unwrap()
}

/// A cell that names its runtime as the command gets the sealed init, without a plan.
fn a_command_that_is_the_init_itself_is_harmless(bed: &Bed) {
    let driver = bed.driver();
    let mut config = idle();
    config.upper = Upper::Tmpfs;
    let scene = Scene::new(&driver, &config);
    scene.sh("ln -s /proc/self/exe /me; printf '#!/proc/self/exe\\n' > /script; chmod 755 /script");
    for command in ["/proc/self/exe", "/me", "/script"] {
        let done = scene.run(scene.process(&[command])).unwrap();
        assert_eq!((done.exit, done.out.as_str()), (Exit::Code(127), ""), "{command}: {done:?}");
    }
    scene.close();
}
