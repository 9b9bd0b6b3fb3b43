//! What a layer hides of those below, as overlayfs wants it told.

use rustix::fs::{AtFlags, FileType, Mode, mknodat, utimensat};
use rustix::io::Errno;

use super::super::error::Cause;
use super::Tree;
use super::attributes::times;
use super::below::{DIRECTORY, Found, at};
use super::name::Meaning;
use super::remove::{names, remove_whiteouts};
use super::walk::Missing;

impl Tree<'_> {
    /// Hides what lies below: in no case what this layer itself has, wherever in the archive it stands.
    pub(super) fn hide(&mut self, way: &[&[u8]], what: Meaning<'_>) -> Result<(), Cause> {
        if !self.walk.go(way, Missing::Leave)? {
            return Ok(());
        }
        match what {
            Meaning::Whiteout(name) => self.hide_name(name),
            Meaning::Opaque if way_is_root(self) => self.hide_all_of_root(),
            Meaning::Opaque => self.hide_all(),
            Meaning::Thing | Meaning::Nothing => Ok(()),
        }
    }

    fn hide_name(&mut self, name: &[u8]) -> Result<(), Cause> {
        let Some((_, below)) = self.walk.shown(name)? else {
            return Ok(());
        };
        match self.walk.stat(name)? {
            None => self.whiteout(name),
            Some(stat) => {
                let here = FileType::from_raw_mode(stat.st_mode);
                // Two directories would be one; all else hides what lies below.
                if here == FileType::Directory && matches!(below, Found::Directory { .. }) {
                    let mut way = self.walk.path();
                    way.push(b'/');
                    way.extend_from_slice(name);
                    let parts: Vec<_> =
                        way.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
                    self.walk.go(&parts, Missing::Leave)?;
                    self.hide_all()?;
                }
                Ok(())
            }
        }
    }

    /// Lets nothing show through in the last directory; once is enough however often it is said.
    fn hide_all(&mut self) -> Result<(), Cause> {
        if self.walk.layers()?.is_empty() {
            return Ok(());
        }
        remove_whiteouts(self.walk.touch())?;
        self.walk.seal()
    }

    /// Overlayfs always lets the root show through: so name by name.
    fn hide_all_of_root(&mut self) -> Result<(), Cause> {
        if std::mem::replace(&mut self.root_hidden, true) {
            return Ok(());
        }
        for layer in self.walk.below().all() {
            let root = self.walk.below().open(layer, b"", DIRECTORY);
            let root = root.map_err(|e| Cause::system("look into a layer below", e))?;
            for name in names(std::os::fd::AsFd::as_fd(&root))? {
                self.walk.go(&[], Missing::Leave)?;
                self.hide_name(&name)?;
            }
        }
        Ok(())
    }

    /// A device of number 0:0, which anybody may make and nobody open.
    pub(super) fn whiteout(&mut self, name: &[u8]) -> Result<(), Cause> {
        match mknodat(self.walk.touch(), at(name), FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Cause::system("make a whiteout", errno)),
        }
        // A layer comes out the same whenever it is unpacked.
        utimensat(self.walk.here(), at(name), &times(0, 0), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Cause::system("utimensat", errno))
    }
}

fn way_is_root(tree: &Tree<'_>) -> bool {
    tree.walk.path().is_empty()
}
