//! What lies on the host and has to stay as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::archive::Archive;
use crate::hostile::watch;

/// The path of something in the canary, as links in images name it.
pub fn canary(below: &str) -> String {
    format!("/tmp/hotcell-canary-{}{below}", std::process::id())
}

/// The canary, up as long as this lives.
pub struct Canary {
    before: BTreeMap<String, String>,
}

/// What hostile names come to where they are taken for the host's.
const ABSENT: [&str; 8] = [
    "/pwn",
    "/tmp/pwn",
    "/evil",
    "/etc/pwn",
    "/smuggled",
    "/etc/cron.d/x",
    "/proc/self/cwd/pwn",
    "/tmp/evil",
];

impl Canary {
    /// One of everything that a link could spoil, and what images ask of it.
    pub fn raise() -> Canary {
        let at = |below: &str| PathBuf::from(canary(below));
        let _ = fs::remove_dir_all(at(""));
        fs::create_dir_all(at("/dir/inner")).unwrap();
        for name in ["/secret", "/dir/file", "/dir/inner/file"] {
            fs::write(at(name), "as it was").unwrap();
        }
        let image = Archive::small();
        fs::write(at("/index"), &image.index).unwrap();
        fs::write(at("/mark"), &image.marker).unwrap();
        fs::write(at("/config"), &image.blobs[image.config].1).unwrap();
        // So that a link from `blobs` to the canary would lead to all that is wanted.
        fs::create_dir_all(at("/sha256")).unwrap();
        for (name, bytes) in &image.blobs {
            let hex = name.trim_start_matches("sha256:");
            fs::write(at(&format!("/sha256/{hex}")), bytes).unwrap();
            fs::write(at(&format!("/{hex}")), bytes).unwrap();
        }
        fs::set_permissions(at("/secret"), fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::chown(at("/secret"), Some(12), Some(34)).unwrap();
        let _ = setxattr(at("/secret"), "user.canary", b"sings", XattrFlags::empty());
        fs::set_permissions(at("/dir"), fs::Permissions::from_mode(0o711)).unwrap();
        symlink("secret", at("/link")).unwrap();
        mknodat(CWD, at("/fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        Canary { before: look() }
    }

    /// The first thing that is not as it was.
    pub fn difference(&self) -> Option<String> {
        let now = look();
        let keys = self.before.keys().chain(now.keys());
        let mut changed = keys.filter(|key| self.before.get(*key) != now.get(*key));
        changed
            .next()
            .map(|key| format!("{key} was {:?} and is {:?}", self.before.get(key), now.get(key)))
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(canary(""));
    }
}

fn look() -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    watch::tree(Path::new(&canary("")), &mut seen);
    for file in ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc", "/var", "/"] {
        watch::one(Path::new(file), &mut seen);
    }
    watch::names(Path::new("/"), &mut seen);
    watch::names(Path::new("/etc"), &mut seen);
    for path in ABSENT {
        seen.insert(
            format!("{path} is there"),
            Path::new(path).symlink_metadata().is_ok().to_string(),
        );
    }
    seen
}
