//! The process that unpacks: what it has, and what there is without it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use hotcell::image::unpack::{Confinement, Limits, Source, Target, Unpacker, layer};

use super::build::Tar;
use super::place::Place;
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_helper_has_nothing_but_the_layer, Cells),
        test!(a_program_that_does_not_serve_is_told_so, Cells),
    ]
}

fn a_helper_has_nothing_but_the_layer(_: &Bed) {
    let place = Place::new();
    let (read, write) = std::io::pipe().unwrap();
    std::fs::create_dir(place.path("layer")).unwrap();
    let upper = File::open(place.path("layer")).unwrap().into();
    let target = Target { upper, lowers: vec![] };
    let source = Source::stream(read);
    std::thread::scope(|scope| {
        let work =
            scope.spawn(|| layer(&source, &target, &Limits::default(), &Unpacker::ThisProgram));
        let mut write = write;
        write.write_all(&Tar::new().file("first", b"").0).unwrap();
        let helper = helper();
        let status = std::fs::read_to_string(helper.join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(':').unwrap().1.trim().to_owned()
        };
        assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".to_owned(), "2".to_owned()));
        // chown, dac_override, fowner, fsetid, setfcap.
        assert_eq!(field("CapEff"), format!("{:016x}", 1 << 31 | 0b11011));
        assert!(field("NSpid").ends_with('1'), "{status}");
        for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let [own, its] = [Path::new("/proc/self"), &helper]
                .map(|proc| std::fs::read_link(proc.join("ns").join(namespace)).unwrap());
            assert_ne!(own, its, "{namespace}");
        }
        assert_eq!(std::fs::read_dir(helper.join("root")).unwrap().count(), 0);
        let mounts = std::fs::read_to_string(helper.join("mountinfo")).unwrap();
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        write.write_all(&[0; 1024]).unwrap();
        drop(write);
        let done = work.join().unwrap().unwrap();
        assert!(matches!(done.confinement, Confinement::Process { .. }), "{done:?}");
        assert!(!helper.exists());
    });
}

/// The directory in /proc of the one helper of this process, once it has confined itself.
fn helper() -> PathBuf {
    for _ in 0..2000 {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let is =
                std::fs::read(path.join("cmdline")).is_ok_and(|line| line == b"hotcell-unpack\0");
            let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
            if is && status.contains("Seccomp:\t2") {
                return path;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("no helper is there");
}

fn a_program_that_does_not_serve_is_told_so(_: &Bed) {
    let place = Place::new();
    let archive = Tar::new().file("f", b"").end();
    let none = Unpacker::Program("/nonexistent".into());
    let error = place.unpack("missing", &[], &archive, &none).unwrap_err();
    assert!(error.contains("start it"), "{error}");
    // It ends at once without a word.
    let silent = Unpacker::Program("/bin/true".into());
    let error = place.unpack("silent", &[], &archive, &silent).unwrap_err();
    assert!(error.contains("it died") || error.contains("give it"), "{error}");
    let ours = Unpacker::Program(env!("CARGO_BIN_EXE_hotcell").into());
    place.unpack("ours", &[], &archive, &ours).unwrap();
}
