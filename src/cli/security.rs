//! `--security-opt`: Docker's words for system calls and privileges.

use std::path::PathBuf;
use std::str::FromStr;

use super::Failure;
use crate::bundle::{CellConfig, Seccomp};
use crate::seccomp::Profile;

/// One option, as typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SecurityOption {
    Unconfined,
    Profile(PathBuf),
    SeccompLog,
    NoNewPrivileges(bool),
}

impl FromStr for SecurityOption {
    type Err = String;

    fn from_str(text: &str) -> Result<SecurityOption, String> {
        // Docker took a colon first and still does.
        let (name, value) = match text.split_once(['=', ':']) {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match (name, value) {
            ("seccomp", Some("unconfined")) => Ok(SecurityOption::Unconfined),
            ("seccomp", Some(file)) if !file.is_empty() => Ok(SecurityOption::Profile(file.into())),
            ("seccomp", _) => Err("needs a file or `unconfined`".to_owned()),
            ("seccomp-log", None) => Ok(SecurityOption::SeccompLog),
            ("no-new-privileges", None | Some("true")) => Ok(SecurityOption::NoNewPrivileges(true)),
            ("no-new-privileges", Some("false")) => Ok(SecurityOption::NoNewPrivileges(false)),
            ("no-new-privileges", Some(_)) => Err("must be true or false".to_owned()),
            _ => Err("is not known: seccomp, seccomp-log and no-new-privileges are".to_owned()),
        }
    }
}

impl SecurityOption {
    /// Files are read here. Of two that contradict each other, the last one counts.
    pub(super) fn apply(&self, config: &mut CellConfig) -> Result<(), Failure> {
        match self {
            SecurityOption::Unconfined => config.seccomp = Seccomp::Unconfined,
            SecurityOption::Profile(path) => {
                config.seccomp = Seccomp::Profile(Profile::read(path)?.into());
            }
            SecurityOption::SeccompLog => config.seccomp_log = true,
            SecurityOption::NoNewPrivileges(on) => config.no_new_privileges = *on,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_dockers() {
        let parse = |text: &str| text.parse::<SecurityOption>();
        for text in ["no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"] {
            assert_eq!(parse(text), Ok(SecurityOption::NoNewPrivileges(true)), "{text}");
        }
        for text in ["no-new-privileges=false", "no-new-privileges:false"] {
            assert_eq!(parse(text), Ok(SecurityOption::NoNewPrivileges(false)), "{text}");
        }
        for text in ["seccomp=unconfined", "seccomp:unconfined"] {
            assert_eq!(parse(text), Ok(SecurityOption::Unconfined), "{text}");
        }
        assert_eq!(parse("seccomp=/a:b"), Ok(SecurityOption::Profile("/a:b".into())));
        assert_eq!(parse("seccomp-log"), Ok(SecurityOption::SeccompLog));
    }

    #[test]
    fn others_are_refused() {
        for text in
            ["", "seccomp", "seccomp=", "apparmor=x", "no-new-privileges=1", "seccomp-log=x"]
        {
            assert!(text.parse::<SecurityOption>().is_err(), "{text}");
        }
    }
}
