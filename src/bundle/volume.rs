//! Host directories and files inside a cell: what can be said of one, and the short form
//! `SRC:DST:OPTIONS`.

use std::path::PathBuf;
use std::str::FromStr;

use super::Error;
use super::path::absolute;

/// A host directory or file inside the cell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Volume {
    /// On the host: absolute, and it must exist.
    pub source: PathBuf,
    /// In the cell: absolute.
    pub target: String,
    /// Whether the cell may write to it.
    pub writable: bool,
    /// What becomes of file systems mounted below the source.
    pub submounts: Submounts,
    /// Whether later mounts below the source are seen.
    pub propagation: Propagation,
    /// Whether set-uid programs gain what they would on the host, where the cell lets a process gain
    /// privileges at all.
    pub suid: bool,
    /// Whether device files work; which ones, the cell's device rules say.
    pub dev: bool,
    /// Whether programs can be executed.
    pub exec: bool,
}

impl Volume {
    /// A volume with the defaults: writable, with what is mounted below it, without set-uid programs
    /// and device files.
    #[must_use]
    pub fn new(source: impl Into<PathBuf>, target: impl Into<String>) -> Volume {
        Volume {
            source: source.into(),
            target: target.into(),
            writable: true,
            submounts: Submounts::Follow,
            propagation: Propagation::RPrivate,
            suid: false,
            dev: false,
            exec: true,
        }
    }

    /// The options of the specification's mount.
    pub(super) fn options(&self) -> Vec<String> {
        let read_only = match (self.writable, self.submounts) {
            (true, _) => "",
            (false, Submounts::Writable) => "ro",
            (false, Submounts::Follow | Submounts::LeftOut) => "rro",
        };
        let words = [
            if self.submounts == Submounts::LeftOut { "bind" } else { "rbind" },
            self.propagation.word(),
            if self.suid { "" } else { "rnosuid" },
            if self.dev { "" } else { "rnodev" },
            if self.exec { "" } else { "rnoexec" },
            read_only,
        ];
        words.into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// One word about attributes; `false` for a word that is not about them.
    pub(super) fn attribute(&mut self, word: &str) -> bool {
        match word {
            "suid" => self.suid = true,
            "nosuid" => self.suid = false,
            "dev" => self.dev = true,
            "nodev" => self.dev = false,
            "exec" => self.exec = true,
            "noexec" => self.exec = false,
            _ => return false,
        }
        true
    }
}

/// What becomes of file systems that are mounted below a volume's source.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Submounts {
    /// They come along, and are read-only in a read-only volume.
    #[default]
    Follow,
    /// They come along, and are as writable as on the host even in a read-only volume.
    Writable,
    /// They stay away: the cell sees what lies under them.
    LeftOut,
}

/// Whether mounts that the host makes below a volume's source later appear in the cell; see
/// `mount_namespaces(7)`. What is mounted in a cell never appears on the host.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Propagation {
    /// They don't, but for those below file systems mounted below the source.
    Private,
    /// They don't.
    #[default]
    RPrivate,
    /// They do, directly below the source.
    Slave,
    /// They do, anywhere below the source.
    RSlave,
    /// As [`Slave`](Propagation::Slave), and mount namespaces made inside the cell see each other's.
    Shared,
    /// As [`RSlave`](Propagation::RSlave), and mount namespaces made inside the cell see each
    /// other's.
    RShared,
}

impl Propagation {
    const ALL: [Propagation; 6] = [
        Propagation::Private,
        Propagation::RPrivate,
        Propagation::Slave,
        Propagation::RSlave,
        Propagation::Shared,
        Propagation::RShared,
    ];

    /// The specification's and Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Propagation::Private => "private",
            Propagation::RPrivate => "rprivate",
            Propagation::Slave => "slave",
            Propagation::RSlave => "rslave",
            Propagation::Shared => "shared",
            Propagation::RShared => "rshared",
        }
    }
}

impl FromStr for Propagation {
    type Err = Error;

    /// One of the six words.
    fn from_str(text: &str) -> Result<Propagation, Error> {
        Propagation::ALL.into_iter().find(|propagation| propagation.word() == text).ok_or_else(
            || {
                let why = "must be private, rprivate, slave, rslave, shared or rshared";
                Error::invalid("propagation", text, why)
            },
        )
    }
}

impl FromStr for Volume {
    type Err = Error;

    /// `SRC:DST` or `SRC:DST:OPTION,…`, each option once: `ro` or `rw`; a propagation; `suid`,
    /// `dev`, `noexec` and their opposites. A source that starts with a dot is relative to the
    /// current directory, and is left so.
    fn from_str(text: &str) -> Result<Volume, Error> {
        let refuse = |why: &str| Error::invalid("volume", text, why);
        let parts: Vec<_> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [source, target] => (source, target, None),
            [source, target, options] => (source, target, Some(options)),
            _ => return Err(refuse("must be SRC:DST or SRC:DST:OPTIONS")),
        };
        if !source.starts_with(['/', '.']) {
            return Err(refuse("the source must be a path: start it with / or ./"));
        }
        let mut volume = Volume::new(source, absolute("volume target", target)?);
        let mut seen = Vec::new();
        for option in options.into_iter().flat_map(|options| options.split(',')) {
            let about = volume.option(option)?;
            if seen.contains(&about) {
                return Err(refuse(&format!("says twice {about}")));
            }
            seen.push(about);
        }
        Ok(volume)
    }
}

impl Volume {
    /// Takes one option of the short form; says what it is about.
    fn option(&mut self, option: &str) -> Result<&'static str, Error> {
        let refuse = |why: &str| Err(Error::invalid("volume option", option, why));
        match option {
            "ro" | "rw" => {
                self.writable = option == "rw";
                Ok("whether it is read-only")
            }
            "z" | "Z" => refuse("files are not relabelled for SELinux; use chcon"),
            "nocopy" => refuse("nothing is ever copied into a volume"),
            _ if self.attribute(option) => Ok(match option.trim_start_matches("no") {
                "suid" => "whether set-uid programs work",
                "dev" => "whether device files work",
                _ => "whether programs can be executed",
            }),
            word => match word.parse() {
                Ok(propagation) => {
                    self.propagation = propagation;
                    Ok("how mounts propagate")
                }
                Err(_) => refuse("is not known"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_volume_has_neither_devices_nor_set_uid_programs_unless_asked() {
        let options = |text: &str| text.parse::<Volume>().unwrap().options().join(",");
        assert_eq!(options("/a:/b"), "rbind,rprivate,rnosuid,rnodev");
        assert_eq!(options("/a:/b:rw"), options("/a:/b"));
        assert_eq!(options("/a:/b:ro"), "rbind,rprivate,rnosuid,rnodev,rro");
        assert_eq!(options("/a:/b:rslave,suid,dev,noexec"), "rbind,rslave,rnoexec");
        let mut volume = Volume::new("/a", "/b");
        (volume.writable, volume.submounts) = (false, Submounts::Writable);
        assert_eq!(volume.options().join(","), "rbind,rprivate,rnosuid,rnodev,ro");
        volume.submounts = Submounts::LeftOut;
        assert_eq!(volume.options().join(","), "bind,rprivate,rnosuid,rnodev,rro");
    }

    #[test]
    fn a_source_is_a_path_and_a_target_absolute() {
        let volume: Volume = "./a:/b:ro".parse().unwrap();
        assert_eq!((volume.source, volume.target.as_str()), ("./a".into(), "/b"));
        for bad in ["", "/a", "a:/b", ":/b", "/a:b", "/a:/", "/a:/x/../..", "/a:/b:ro:rw", "/a:"] {
            assert!(bad.parse::<Volume>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_option_is_known_and_said_once() {
        for bad in ["", "rx", "RO", "ro,", "ro,rw", "ro,ro", "exec,noexec", "private,rslave"] {
            let error = format!("/a:/b:{bad}").parse::<Volume>().unwrap_err().to_string();
            assert!(error.contains("volume") && !error.contains('\n'), "{error}");
        }
        for (option, part) in [("z", "SELinux"), ("Z", "SELinux"), ("nocopy", "copied")] {
            let error = format!("/a:/b:{option}").parse::<Volume>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_climbs(text in "[/.a:rwo,x]{0,24}") {
            if let Ok(volume) = text.parse::<Volume>() {
                prop_assert!(volume.target.starts_with('/'));
                prop_assert!(!volume.target.split('/').any(|part| part == ".."));
                prop_assert!(volume.options().iter().all(|option| !option.contains(',')));
            }
        }
    }
}
