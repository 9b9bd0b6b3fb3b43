//! A state directory with no room: every start works or says so, and leaves nothing.

use hotcell::native::{Instance, Options};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::story::TELLINGS;
use super::{left, own_mounts};
use crate::bed::Bed;
use crate::embedder::played;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(a_full_state_directory_is_told_and_stays_clean, Cells, Busybox, Pids)]
}

fn a_full_state_directory_is_told_and_stays_clean(bed: &Bed) {
    let out = played(bed, "fault-full");
    let count = |what: &str| out.lines().filter(|line| line.contains(what)).count();
    for kind in ["inodes", "size"] {
        let full = format!("{kind} full");
        let fine = format!("{kind} fine");
        assert!(count(&full) >= 4 && count(&fine) >= 4, "{out}");
    }
    assert_eq!(count("full") + count("fine"), out.lines().count(), "{out}");
}

/// From no room to enough: so many inodes, so many pages.
const ROOMS: [(&str, &str, std::ops::Range<u32>); 2] =
    [("inodes", "nr_inodes", 1..12), ("size", "size", 0..4)];

/// Each story on a file system with a little more room than the last.
pub fn play(options: Options) {
    own_mounts();
    std::fs::create_dir_all(&options.state_dir).unwrap();
    std::fs::create_dir_all(&options.data_dir).unwrap();
    for dir in [&options.state_dir, &options.data_dir] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(dir, mode).unwrap();
    }
    for (kind, option, rooms) in ROOMS {
        for room in rooms {
            for telling in TELLINGS {
                // One page is taken: no size at all would be no limit.
                let bytes = if kind == "size" { (room + 1) * 4096 } else { room };
                let data = std::ffi::CString::new(format!("mode=700,{option}={bytes}")).unwrap();
                let flags = MountFlags::empty();
                mount("tmpfs", &options.state_dir, "tmpfs", flags, data.as_c_str()).unwrap();
                let filler = options.state_dir.join("filler");
                if kind == "size" {
                    std::fs::write(&filler, "x").unwrap();
                }
                let troubles = telling.tell(options.clone(), || ());
                let about = |text: &str| text.contains("No space left on device");
                let first = troubles.first();
                assert!(first.is_none_or(|t| about(&t.text)), "{kind} {room}: {troubles:?}");
                let made = troubles.iter().all(|t| ["open", "create", "run"].contains(&t.phase));
                assert!(made, "{kind} {room}: it could not be removed: {troubles:?}");
                let _ = std::fs::remove_file(&filler);
                assert_eq!(left(&options), [""; 0], "{kind} {room}: {troubles:?}");
                println!("{kind} {} {room}", if troubles.is_empty() { "fine" } else { "full" });
                unmount(&options.state_dir, UnmountFlags::empty()).unwrap();
            }
        }
    }
    // Nothing of all that is in the way.
    drop(Instance::open(options).unwrap());
}
