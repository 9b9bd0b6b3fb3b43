//! Capabilities as people name them, and Docker's rules for adding and dropping them.

use std::str::FromStr;

use oci_spec::runtime::Capability;

use super::Error;

/// One capability, or all there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapabilityName {
    /// Every one.
    All,
    /// This one.
    One(Capability),
}

impl FromStr for CapabilityName {
    type Err = Error;

    /// `ALL`, or a name of capabilities(7) with or without `CAP_`, in any case.
    fn from_str(text: &str) -> Result<CapabilityName, Error> {
        let name = text.to_ascii_uppercase();
        match name.as_str() {
            "ALL" => Ok(CapabilityName::All),
            name => match Capability::from_str(name.strip_prefix("CAP_").unwrap_or(name)) {
                Ok(capability) => Ok(CapabilityName::One(capability)),
                Err(_) => Err(Error::invalid("capability", text, "is no name that Linux knows")),
            },
        }
    }
}

/// What is left of the capabilities `base` when some are added and some dropped, where `all` are
/// all there are. Docker's rules, in which the order of typing means nothing:
///
/// * `ALL` added: all but those dropped by name.
/// * Else `ALL` dropped: those added.
/// * Else those dropped go first and those added come after, so that what is both is there.
#[must_use]
pub fn adjust_capabilities(
    base: &[Capability],
    add: &[CapabilityName],
    drop: &[CapabilityName],
    all: &[Capability],
) -> Vec<Capability> {
    let dropped = |one: &Capability| drop.contains(&CapabilityName::One(*one));
    if add.contains(&CapabilityName::All) {
        return all.iter().copied().filter(|one| !dropped(one)).collect();
    }
    let none_kept = drop.contains(&CapabilityName::All);
    let mut kept: Vec<_> = base.iter().copied().filter(|one| !none_kept && !dropped(one)).collect();
    for name in add {
        if let CapabilityName::One(one) = name
            && !kept.contains(one)
        {
            kept.push(*one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::CAPABILITIES;
    use Capability::{Chown, Kill, NetAdmin, SysAdmin};

    #[test]
    fn a_name_is_known_in_any_case_with_or_without_its_prefix() {
        for text in ["net_admin", "NET_ADMIN", "cap_net_admin", "CAP_Net_Admin"] {
            assert_eq!(text.parse::<CapabilityName>().unwrap(), CapabilityName::One(NetAdmin));
        }
        assert_eq!("all".parse::<CapabilityName>().unwrap(), CapabilityName::All);
        for bad in ["", "CAP_", "CAP_ALL", "NET-ADMIN", "NETADMIN", " KILL", "CAP_CAP_KILL", "0"] {
            let error = bad.parse::<CapabilityName>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("capability {bad:?}: ")), "{error}");
        }
    }

    #[test]
    fn every_capability_of_the_specification_has_a_name() {
        for known in caps::all() {
            assert!(known.to_string().parse::<CapabilityName>().is_ok(), "{known}");
        }
    }

    #[test]
    fn adding_and_dropping_follow_docker() {
        let all = [Chown, Kill, NetAdmin, SysAdmin];
        let rows: [(&[&str], &[&str], &[Capability]); 9] = [
            (&[], &[], &[Chown, Kill]),
            (&["NET_ADMIN"], &[], &[Chown, Kill, NetAdmin]),
            (&["KILL"], &[], &[Chown, Kill]),
            (&[], &["KILL"], &[Chown]),
            (&[], &["ALL"], &[]),
            (&["KILL", "SYS_ADMIN"], &["ALL"], &[Kill, SysAdmin]),
            (&["KILL"], &["KILL"], &[Chown, Kill]),
            (&["ALL"], &["SYS_ADMIN"], &[Chown, Kill, NetAdmin]),
            (&["ALL"], &["ALL"], &all),
        ];
        let parse = |names: &[&str]| -> Vec<CapabilityName> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        for (add, drop, want) in rows {
            let got = adjust_capabilities(&[Chown, Kill], &parse(add), &parse(drop), &all);
            assert_eq!(got, want, "{add:?} {drop:?}");
        }
        assert_eq!(adjust_capabilities(&CAPABILITIES, &[], &[], &all), CAPABILITIES);
    }
}
