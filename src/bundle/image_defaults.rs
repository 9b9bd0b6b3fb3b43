//! What an image says of the cells that are made of it, where a wish leaves it open.

use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use super::config::{CellConfig, Tmpfs, Upper};
use super::{Account, Error, merged};

/// The annotation in which an image's stop signal stands, as engines write it.
pub const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

/// An image's configuration, as far as it concerns a cell: words as they stand there, nothing checked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ImageDefaults {
    /// What the command's arguments are given to.
    pub entrypoint: Vec<String>,
    /// The command, or its default arguments.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// `USER` or `USER:GROUP`, numbers or names; empty: root.
    pub user: String,
    /// The working directory; empty: the root.
    pub working_dir: String,
    /// Directories that can be written to, whatever the root is.
    pub volumes: Vec<String>,
    /// The signal that asks the command to end, by name or number.
    pub stop_signal: Option<String>,
}

/// What a wish leaves to the image. The environment always is: what the wish says of a variable
/// counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeftOpen {
    /// The entry point; and the command, where the wish has no arguments. They come before those.
    pub entrypoint: bool,
    /// The user and its groups.
    pub user: bool,
    /// The working directory.
    pub cwd: bool,
}

impl LeftOpen {
    /// All of it.
    pub const ALL: LeftOpen = LeftOpen { entrypoint: true, user: true, cwd: true };
}

impl ImageDefaults {
    /// Fills in what `config`, whose root is the image's, leaves open. As under Docker, but:
    ///
    /// * A volume of the image's is memory that starts with a copy of what the image has there, where
    ///   the root is read-only or the image has no such directory; in a writable root it is one like
    ///   others. One for which the wish has a volume or a memory file system of its own is that.
    /// * Its labels say nothing of a cell: they would stand among the annotations, where runtimes
    ///   obey some.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a user that the root does not know, and as
    /// [`Account::look_up`].
    pub fn fill_in(&self, config: &mut CellConfig, open: LeftOpen) -> Result<(), Error> {
        if open.entrypoint {
            let given = std::mem::take(&mut config.args);
            let arguments = if given.is_empty() { self.cmd.clone() } else { given };
            config.args = self.entrypoint.iter().cloned().chain(arguments).collect();
        }
        // The last one of a name wins. Without a value, as under Docker, there is no such variable.
        let env = self.env.iter().filter(|variable| variable.contains('='));
        config.env.splice(..0, env.cloned());
        if open.cwd && !self.working_dir.is_empty() {
            config.cwd = absolute(&self.working_dir);
        }
        if open.user && !self.user.is_empty() {
            let account =
                Account::look_up_in_layers(&config.layer_dirs()?, &self.user.parse()?, &[])?;
            config.run_as(account);
        }
        for volume in &self.volumes {
            let writable = config.upper != Upper::ReadOnly && is_directory(config, volume)?;
            if !writable && !is_taken(config, volume) {
                config.tmpfs.push(volume_of(volume));
            }
        }
        if let Some(signal) = &self.stop_signal {
            config.annotations.insert(STOP_SIGNAL.to_owned(), signal.clone());
        }
        Ok(())
    }
}

/// A directory of an image's, which may have left out that it starts at the root.
fn absolute(path: &str) -> String {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whether the root has this directory.
fn is_directory(config: &CellConfig, path: &str) -> Result<bool, Error> {
    let dirs = config.layer_dirs()?;
    let io = |path: &Path, errno: Errno| Error::Io {
        op: "look at the image's",
        path: path.to_owned(),
        source: errno.into(),
    };
    let open = |dir: &PathBuf| merged::open_layer(dir).map_err(|errno| io(dir, errno));
    let layers = dirs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    match merged::find(&layers, path, false) {
        Ok(found) => {
            let status = fstat(&found).map_err(|errno| io(Path::new(path), errno))?;
            Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory)
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(io(Path::new(path), errno)),
    }
}

fn is_taken(config: &CellConfig, volume: &str) -> bool {
    let target = absolute(volume);
    let mut taken = config.tmpfs.iter().map(|tmpfs| tmpfs.target.as_str());
    let mut binds = config.volumes.iter().map(|volume| volume.target.as_str());
    taken.any(|taken| absolute(taken) == target) || binds.any(|taken| absolute(taken) == target)
}

fn volume_of(volume: &str) -> Tmpfs {
    let mut tmpfs = Tmpfs::new(absolute(volume));
    (tmpfs.copy, tmpfs.exec) = (true, true);
    tmpfs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{User, spec};

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/root:/bin/sh\napp:x:500:501::/srv/app:/bin/sh\n";
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.path().join("etc/group"), "disk:x:6:app\n").unwrap();
        root
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn image() -> ImageDefaults {
        ImageDefaults {
            entrypoint: words(&["/bin/app", "--serve"]),
            cmd: words(&["--port", "80"]),
            env: words(&["PATH=/app", "A=image", "B=image", "UNSET"]),
            user: "app".to_owned(),
            working_dir: "srv/../data".to_owned(),
            volumes: words(&["/data", "var/lib/x/"]),
            stop_signal: Some("SIGQUIT".to_owned()),
        }
    }

    #[test]
    fn what_is_left_open_is_the_images() {
        let root = root();
        let mut config = CellConfig::new(root.path(), [""; 0]);
        config.upper = Upper::ReadOnly;
        config.env = words(&["B=own"]);
        image().fill_in(&mut config, LeftOpen::ALL).unwrap();
        assert_eq!(config.args, ["/bin/app", "--serve", "--port", "80"]);
        assert_eq!((config.user, &config.groups[..]), (User { uid: 500, gid: 501 }, &[6][..]));
        assert_eq!(config.cwd, "/data");
        assert_eq!(config.annotations[STOP_SIGNAL], "SIGQUIT");
        let targets: Vec<_> = config.tmpfs.iter().map(|tmpfs| tmpfs.target.as_str()).collect();
        assert_eq!(targets, ["/data", "/var/lib/x"]);
        let spec = spec(&config).unwrap();
        let env = spec.process().as_ref().unwrap().env().clone().unwrap();
        assert_eq!(env, ["PATH=/app", "HOME=/srv/app", "HOSTNAME=cell", "A=image", "B=own"]);
        let mounts = spec.mounts().clone().unwrap();
        let data = mounts.iter().find(|mount| mount.destination() == Path::new("/data")).unwrap();
        assert_eq!(data.options().as_ref().unwrap(), &["nosuid", "nodev", "tmpcopyup"]);
    }

    #[test]
    fn what_the_wish_says_counts() {
        let root = root();
        let mut config = CellConfig::new(root.path(), ["x", "y"]);
        (config.cwd, config.upper) = ("/own".to_owned(), Upper::ReadOnly);
        config.tmpfs = vec![Tmpfs::new("/data/")];
        config.volumes = vec!["/srv:/var/lib/x".parse().unwrap()];
        config.env = words(&["HOME=/x"]);
        let open = LeftOpen { cwd: false, user: false, ..LeftOpen::ALL };
        image().fill_in(&mut config, open).unwrap();
        assert_eq!(config.args, ["/bin/app", "--serve", "x", "y"]);
        assert_eq!((config.cwd.as_str(), config.user.uid), ("/own", 0));
        assert_eq!(config.tmpfs.len(), 1);
        let mut config = CellConfig::new(root.path(), ["x"]);
        config.upper = Upper::Disk;
        image().fill_in(&mut config, LeftOpen { entrypoint: false, ..open }).unwrap();
        assert_eq!(config.args, ["x"]);
        let targets: Vec<_> = config.tmpfs.iter().map(|tmpfs| tmpfs.target.as_str()).collect();
        assert_eq!(targets, ["/data", "/var/lib/x"], "the root has none of them");
        std::fs::create_dir_all(root.path().join("var/lib/x")).unwrap();
        config.tmpfs.clear();
        image().fill_in(&mut config, LeftOpen { entrypoint: false, ..open }).unwrap();
        let targets: Vec<_> = config.tmpfs.iter().map(|tmpfs| tmpfs.target.as_str()).collect();
        assert_eq!(targets, ["/data"], "a directory of a writable root is one like others");
    }

    #[test]
    fn an_image_that_says_nothing_changes_nothing() {
        let config = CellConfig::new("/srv/rootfs", ["x"]);
        let mut filled = config.clone();
        ImageDefaults::default().fill_in(&mut filled, LeftOpen::ALL).unwrap();
        assert_eq!(filled, config);
    }

    #[test]
    fn a_user_that_nobody_is_is_refused() {
        let root = root();
        for (user, why) in [
            ("nobody", "user \"nobody\": is not in the root's /etc/passwd"),
            ("0:wheel", "group \"wheel\": is not in the root's /etc/group"),
            ("-1", "user \"-1\": must be a number"),
            (":", "user \":\": is empty"),
        ] {
            let mut config = CellConfig::new(root.path(), ["x"]);
            let image = ImageDefaults { user: user.to_owned(), ..ImageDefaults::default() };
            let error = image.fill_in(&mut config, LeftOpen::ALL).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn a_volume_can_hide_nothing_of_the_cells_own() {
        for volume in ["/", "..", "/proc", "/sys/firmware", "/dev"] {
            let mut config = CellConfig::new("/srv/rootfs", ["x"]);
            config.upper = Upper::ReadOnly;
            let image = ImageDefaults { volumes: words(&[volume]), ..ImageDefaults::default() };
            image.fill_in(&mut config, LeftOpen::ALL).unwrap();
            // "/" is refused when it is compiled.
            assert!(spec(&config).is_err() || absolute(volume) == "/", "{volume}");
        }
    }
}
