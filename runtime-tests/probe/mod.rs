//! What hostile code reaches from inside: a program that tries everything, in every kind of cell.
//!
//! ```text
//! *.c         the program; built by the tests, one line for each try
//! table.rs    its lines, without the host        rules.rs    what must hold whatever else changes
//! golden.rs   the tables in *.txt                docker.rs   the same tries in Docker's container
//! order.rs    which of two answers gives more    page.rs     the comparison, and docs/probe.md
//! x86_64.txt  the system calls, and Docker's word on each
//! ```
//!
//! `HOTCELL_BLESS=1 cargo test --all-features --test runtime -- probe` writes the golden tables and
//! `docs/probe.md` anew.

mod docker;
mod golden;
pub mod order;
mod page;
mod rules;
pub mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hotcell::contract::{Status, Task};

use crate::bed::Bed;
use crate::contract::tools::{driver, on_runtime, output};
use crate::{Test, test};
use table::{Table, without_host};

pub fn tests() -> Vec<Test> {
    vec![
        test!(the_programs_cell_is_as_tabled, Cells, Compiler),
        test!(the_programs_cell_with_an_init_is_as_tabled, Cells, Compiler),
        test!(fns_container_is_as_tabled, Cells, Compiler),
        test!(what_must_hold_holds, Cells, Compiler),
        test!(no_cell_gives_more_than_dockers_container, Cells, Compiler, Runc),
        test!(the_probe_can_tell_a_cell_from_none, Cells, Compiler, Runc),
        test!(a_line_that_gives_more_is_seen, Cells, Compiler),
    ]
}

/// Whether tables are to be written instead of compared.
pub fn blessing() -> bool {
    std::env::var("HOTCELL_BLESS").is_ok_and(|bless| bless == "1")
}

/// The probe, built once for a run of the tests.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime-tests/probe");
        let out =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("probe-{}", std::process::id()));
        let parts = ["probe", "state", "files", "capabilities", "sockets", "calls", "syscalls"];
        let sources = parts.map(|part| here.join(part).with_extension("c"));
        let built =
            Command::new("cc").args(["-O1", "-static", "-o"]).arg(&out).args(sources).status();
        assert!(built.unwrap().success(), "the probe does not build");
        out
    })
}

/// A root with nothing but the probe and places to mount on.
pub fn rootfs(bed: &Bed, name: &str) -> PathBuf {
    let root = bed.path(name);
    for dir in ["bin", "dev", "etc", "home", "mnt", "proc", "root", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&root, mode(0o755)).unwrap();
    std::fs::set_permissions(root.join("tmp"), mode(0o1777)).unwrap();
    std::fs::copy(program(), root.join("bin/probe")).unwrap();
    root
}

/// The namespaces of this process, for the probe to know them again.
pub fn host_namespaces() -> String {
    let kinds = ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"];
    let link = |kind| std::fs::read_link(format!("/proc/self/ns/{kind}")).ok();
    let links = kinds.iter().filter_map(link).map(|link| link.display().to_string());
    links.collect::<Vec<_>>().join(" ")
}

/// The cells of hotcell's that are looked into.
#[derive(Clone, Copy)]
enum Cell {
    /// Root, as `hotcell run` has it.
    Program,
    /// The same below an init.
    WithInit,
    /// fn's user in a container of the driver's.
    Fn,
}

/// What the probe finds in a cell; asked once for a run of the tests.
fn inside(bed: &Bed, cell: Cell) -> Table {
    static TABLES: [OnceLock<Table>; 3] = [const { OnceLock::new() }; 3];
    let find = || match cell {
        Cell::Program => in_program(bed, &[]),
        Cell::WithInit => in_program(bed, &["--init"]),
        Cell::Fn => in_fn(bed),
    };
    TABLES[cell as usize].get_or_init(find).clone()
}

fn in_program(bed: &Bed, flags: &[&str]) -> Table {
    let rootfs = rootfs(bed, "root-program");
    let namespaces = format!("HOST_NAMESPACES={}", host_namespaces());
    let fixed = ["--rootfs", rootfs.to_str().unwrap(), "--hostname", "probe", "-e", &namespaces];
    let all = fixed.iter().chain(flags).chain(&["--", "/bin/probe", "all"]);
    without_host(&Table::parse(&bed.run(all).ok()), "probe")
}

fn in_fn(bed: &Bed) -> Table {
    let image = format!("rootfs:{}", rootfs(bed, "root-fn").display());
    let task = Task::builder(image).command("/bin/probe all");
    let task = task.env("HOST_NAMESPACES", host_namespaces());
    let (result, out, err) = on_runtime(async { output(&driver(bed), task).await });
    assert!(result.status() == Status::Success && err.is_empty(), "{result:?}: {err}");
    without_host(&Table::parse(&out), "")
}

fn the_programs_cell_is_as_tabled(bed: &Bed) {
    golden::check("program.txt", &inside(bed, Cell::Program));
}

fn the_programs_cell_with_an_init_is_as_tabled(bed: &Bed) {
    golden::check_against("program.txt", "program-init.txt", &inside(bed, Cell::WithInit));
}

fn fns_container_is_as_tabled(bed: &Bed) {
    golden::check("fn.txt", &inside(bed, Cell::Fn));
}

fn what_must_hold_holds(bed: &Bed) {
    let mut broken = Vec::new();
    for (name, table, who) in [
        ("program", inside(bed, Cell::Program), rules::ROOT),
        ("program --init", inside(bed, Cell::WithInit), rules::ROOT),
        ("fn", inside(bed, Cell::Fn), rules::FN),
    ] {
        broken
            .extend(rules::broken(&table, &who).into_iter().map(|rule| format!("{name}: {rule}")));
    }
    assert!(broken.is_empty(), "{} broken:\n  {}", broken.len(), broken.join("\n  "));
}

fn no_cell_gives_more_than_dockers_container(bed: &Bed) {
    let pairs = [
        page::Pair {
            title: "`hotcell run`, against `docker run`",
            ours: inside(bed, Cell::Program),
            theirs: docker::container(bed, &docker::DEFAULT),
        },
        page::Pair {
            title: "fn's container, against `docker run` with fn's settings",
            ours: inside(bed, Cell::Fn),
            theirs: docker::container(bed, &docker::FN),
        },
    ];
    page::check(&pairs);
}

/// The teeth: where nothing is filtered, the same probe reports that it got through.
fn the_probe_can_tell_a_cell_from_none(bed: &Bed) {
    let open = docker::container(bed, &docker::UNCONFINED);
    let broken = rules::broken(&open, &rules::ROOT);
    for word in ["SYS_ADMIN", "bpf-map", "unshare-NEWNS", "i386", "vsock", "keyctl", "core_pattern"]
    {
        assert!(broken.iter().any(|rule| rule.contains(word)), "{word} is missed in {broken:#?}");
    }
}

/// The comparisons' own teeth: each line alone must be seen, by the golden table and by the order.
fn a_line_that_gives_more_is_seen(bed: &Bed) {
    let table = table::named(&inside(bed, Cell::Program));
    let fourteen_and_more = format!("{},SYS_ADMIN", rules::ROOT.capabilities[0]);
    let more = [
        ("syscall 250-keyctl", "reached"),
        ("x32 0", "reached"),
        ("capabilities effective", fourteen_and_more.as_str()),
        ("capabilities ambient", "CHOWN"),
        ("process NoNewPrivs", "0"),
        ("descriptor 3", "directory,read"),
        ("mount /dev", "tmpfs,root=/,rw,super=rw,size=65536k,mode=755,private"),
        ("writable /sys", "done"),
        ("remount /proc/sys", "done"),
        ("namespace unshare-NEWUSER", "done"),
        ("mount-call mount-bind", "EBUSY"),
        ("node vda-254", "ENXIO"),
        ("node not-forbidden-block", "7:0"),
        ("write /sys/kernel/mm/ksm/run", "opens"),
        ("use SYS_NICE", "done"),
    ];
    for (key, value) in more {
        let others = table.lines.iter().filter(|(name, _)| name != key).cloned();
        let worse = table::Table::new(others.chain([(key.to_owned(), value.to_owned())]));
        let [golden, found] = [&table, &worse].map(table::golden);
        assert_eq!(golden::differences(&golden, &found).len(), 1, "{key}");
        let sides: Vec<_> = order::compare(&worse, &table).iter().map(|one| one.side).collect();
        assert_eq!(sides, [order::Side::Looser], "{key}");
        let sides: Vec<_> = order::compare(&table, &worse).iter().map(|one| one.side).collect();
        assert_eq!(sides, [order::Side::Stricter], "{key}");
    }
}
