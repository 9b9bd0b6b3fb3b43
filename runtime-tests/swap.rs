//! A neighbour that swaps directories for links to the host's while cells are mounted there.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hotcell::bundle::{CellConfig, Tmpfs, Volume};
use hotcell::launch::{Exit, Stdio};
use hotcell::native::Instance;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::bed::{Bed, listing, script};
use crate::escape::spoiled;
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_mount_below_a_swapped_directory_stays_inside, Cells, Busybox),
        test!(what_hides_below_a_swapped_directory_stays_inside, Cells, Busybox),
    ]
}

/// Exchanges two names, over and over, until it is dropped.
struct Swapper<'a> {
    stop: &'a AtomicBool,
}

impl Drop for Swapper<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs `body` while the directory and the link below `volume` change places all the time; gives
/// the number of times they did.
fn while_swapping(volume: &Path, body: impl FnOnce()) -> u64 {
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let (dir, link) = (volume.join("dir"), volume.join("link"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Stops the thread even if the body fails, or the scope would wait for ever.
        let _swapper = Swapper { stop: &stop };
        body();
    });
    swaps.into_inner()
}

/// A shared volume with a directory and a link to the host's canary.
fn shared_volume(bed: &Bed, climb: bool) -> [std::path::PathBuf; 2] {
    let name = if climb { "climbing" } else { "absolute" };
    let [volume, canary] = ["volume", "canary"].map(|part| bed.path(&format!("{name}-{part}")));
    std::fs::create_dir_all(volume.join("dir/inner")).unwrap();
    std::fs::create_dir_all(canary.join("inner")).unwrap();
    std::fs::write(canary.join("inner/file"), "as it was").unwrap();
    let target = match climb {
        true => Path::new("../../../../../../../..").join(canary.strip_prefix("/").unwrap()),
        false => canary.clone(),
    };
    symlink(target, volume.join("link")).unwrap();
    [volume, canary]
}

/// Starts `config` many times; it exits with how many mounts of the wanted kind it sees.
fn start_often(driver: &Instance, config: &CellConfig, wanted: u8) -> [u32; 2] {
    let [mut inside, mut refused] = [0, 0];
    for _ in 0..if soak() { 1000 } else { 50 } {
        let created = driver.create(None, config, None).unwrap();
        // A path that changes too often under the kernel's eyes is an error, and a cell that
        // doesn't start is contained.
        let Ok(mut running) = created.run(Stdio::default()) else {
            refused += 1;
            continue;
        };
        let exit = running.wait(None).unwrap().unwrap().exit;
        running.close().unwrap();
        // One that had gone elsewhere could not be seen from inside.
        assert_eq!(exit, Exit::Code(wanted), "a mount is missing");
        inside += 1;
    }
    [inside, refused]
}

fn a_mount_below_a_swapped_directory_stays_inside(bed: &Bed) {
    let driver = bed.driver();
    let nested = bed.path("nested-source");
    std::fs::create_dir(&nested).unwrap();
    for climb in [false, true] {
        let [volume, canary] = shared_volume(bed, climb);
        let before = listing(&canary);
        let mut config =
            script("exit $(grep -c -e /nested-source -e size=68k /proc/self/mountinfo)");
        config.volumes = vec![
            Volume::new(&volume, "/shared"),
            Volume::new(&nested, "/shared/dir/inner"),
            Volume::new(&nested, "/shared/dir/made/deep"),
        ];
        let mut memory = Tmpfs::new("/shared/link/memory");
        memory.size = Some(hotcell::bundle::Bytes(68 << 10));
        config.tmpfs = vec![memory];
        let mut counts = [0; 2];
        let swaps = while_swapping(&volume, || counts = start_often(&driver, &config, 3));
        assert_eq!(listing(&canary), before, "{counts:?}");
        assert!(counts[0] > 0 && swaps > 100, "{counts:?} among {swaps} swaps");
    }
}

fn what_hides_below_a_swapped_directory_stays_inside(bed: &Bed) {
    let driver = bed.driver();
    let [volume, canary] = shared_volume(bed, false);
    let before = listing(&canary);
    // The link leads to a place in the root too, so there is something to hide at any time.
    let root = spoiled(bed, "root", |root| {
        std::fs::create_dir_all(root.join(canary.strip_prefix("/").unwrap()).join("inner"))
            .unwrap();
    });
    let mut config = script("exit $(grep -c '/inner ro' /proc/self/mountinfo)");
    config.rootfs = root;
    config.volumes = vec![Volume::new(&volume, "/shared")];
    config.masked_paths = vec!["/shared/dir/inner".into()];
    let mut counts = [0; 2];
    let swaps = while_swapping(&volume, || counts = start_often(&driver, &config, 1));
    assert_eq!(listing(&canary), before, "{counts:?}");
    assert!(counts[0] > 0 && swaps > 100, "{counts:?} among {swaps} swaps");
}
