//! The short forms people type for tmpfs, networks and limits. Unknown words are errors.

use std::str::FromStr;

use oci_spec::runtime::PosixRlimitType;

use super::Error;
use super::config::{Network, Tmpfs};
use super::limits::Rlimit;
use super::path::absolute;
use super::units::Bytes;

impl FromStr for Tmpfs {
    type Err = Error;

    /// `DST` or `DST:OPTION,…` with `size=64m`, `nr_inodes=N`, `mode=1777`, `exec`, `noexec`, `ro`,
    /// `rw`; `nosuid` and `nodev` always hold.
    fn from_str(text: &str) -> Result<Tmpfs, Error> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut tmpfs = Tmpfs::new(absolute("tmpfs target", target)?);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let refuse = |why: &str| Error::invalid("tmpfs option", option, why);
            match option.split_once('=').unwrap_or((option, "")) {
                // To the kernel, 0 is "as much as there is".
                ("size" | "nr_inodes", "0") => return Err(refuse("must be more than 0")),
                ("size", size) => tmpfs.size = Some(size.parse::<Bytes>()?),
                ("nr_inodes", count) => {
                    let count = count.parse().map_err(|_| refuse("must be a whole number"))?;
                    tmpfs.inodes = Some(count);
                }
                ("mode", mode) => tmpfs.mode = octal_mode("tmpfs mode", mode)?,
                ("exec", "") => tmpfs.exec = true,
                ("noexec", "") => tmpfs.exec = false,
                ("ro", "") => tmpfs.read_only = true,
                ("rw", "") => tmpfs.read_only = false,
                ("nosuid" | "nodev", "") => {}
                _ => return Err(refuse("is not known")),
            }
        }
        Ok(tmpfs)
    }
}

impl FromStr for Network {
    type Err = Error;

    /// `none` or `host`.
    fn from_str(text: &str) -> Result<Network, Error> {
        match text {
            "none" => Ok(Network::None),
            "host" => Ok(Network::Host),
            _ => Err(Error::invalid("network", text, "must be none or host")),
        }
    }
}

impl FromStr for Rlimit {
    type Err = Error;

    /// `NAME=SOFT` or `NAME=SOFT:HARD` with the names of `prlimit(1)` in lower case (`nofile`,
    /// `nproc`, `core`, …); `-1` and `unlimited` are no limit.
    fn from_str(text: &str) -> Result<Rlimit, Error> {
        let refuse = |why: &str| Error::invalid("ulimit", text, why);
        let (name, value) =
            text.split_once('=').ok_or_else(|| refuse("must be NAME=SOFT or NAME=SOFT:HARD"))?;
        let resource = PosixRlimitType::from_str(&format!("RLIMIT_{}", name.to_uppercase()))
            .map_err(|_| refuse("names no resource limit of Linux"))?;
        let number = |text: &str| match text {
            "-1" | "unlimited" => Ok(u64::MAX),
            digits => digits.parse().map_err(|_| refuse("must be a number, -1 or unlimited")),
        };
        let (soft, hard) = match value.split_once(':') {
            Some((soft, hard)) => (number(soft)?, number(hard)?),
            None => (number(value)?, number(value)?),
        };
        if soft > hard {
            return Err(refuse("the soft limit is above the hard one"));
        }
        Ok(Rlimit { resource, soft, hard })
    }
}

/// The mode bits of a file, in octal digits.
pub(super) fn octal_mode(what: &'static str, text: &str) -> Result<u32, Error> {
    let digits = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777);
    mode.ok_or_else(|| Error::invalid(what, text, "must be an octal mode"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tmpfs() {
        let tmpfs: Tmpfs = "/tmp:size=64m,mode=700,nr_inodes=10,exec,ro".parse().unwrap();
        assert_eq!((tmpfs.size, tmpfs.inodes), (Some(Bytes(64 << 20)), Some(10)));
        assert_eq!((tmpfs.mode, tmpfs.exec, tmpfs.read_only), (0o700, true, true));
        for bad in
            ["tmp", "/tmp:size=x", "/tmp:size=0", "/tmp:mode=9", "/tmp:huge", "/tmp:exec=1", "/:ro"]
        {
            assert!(bad.parse::<Tmpfs>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ulimits() {
        let limit: Rlimit = "nofile=1024:2048".parse().unwrap();
        assert_eq!((limit.soft, limit.hard), (1024, 2048));
        assert_eq!("core=-1".parse::<Rlimit>().unwrap().hard, u64::MAX);
        for bad in ["nofile", "nofile=", "nofile=2:1", "tea=1", "nofile=a:b"] {
            assert!(bad.parse::<Rlimit>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (text.parse::<Tmpfs>().is_ok(), text.parse::<Rlimit>().is_ok());
        }
    }
}
