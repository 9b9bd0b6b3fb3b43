//! Who a command runs as: by number, or as people type it, where names wait for a root to give them
//! a meaning.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// The longest name that is looked up; the tools that make accounts allow 32 bytes.
const LONGEST_NAME: usize = 256;

/// A user and its group by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl FromStr for User {
    type Err = Error;

    /// `UID` or `UID:GID` in decimal digits, below 4294967295; the group is 0 when not given.
    fn from_str(text: &str) -> Result<User, Error> {
        let refuse =
            || Error::invalid("user", text, "must be UID or UID:GID, numbers below 4294967295");
        let id = |digits: &str| number(digits.as_bytes()).ok_or_else(refuse);
        match text.split_once(':') {
            Some((uid, gid)) => Ok(User { uid: id(uid)?, gid: id(gid)? }),
            None => Ok(User { uid: id(text)?, gid: 0 }),
        }
    }
}

/// A user or a group as it was named. One is never taken for the other: digits are a number, even
/// where an account has such a name, and a name has no number but its account's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// Its number, below 4294967295, which the kernel takes for "none".
    Id(u32),
    /// Its name, for the root's own files to resolve.
    Name(String),
}

impl FromStr for Principal {
    type Err = Error;

    /// Decimal digits, or a name: a letter or underscore first, and no colon, comma, white space or
    /// control character. What starts with a digit or a sign is a number or an error.
    fn from_str(text: &str) -> Result<Principal, Error> {
        let refuse = |why| Err(Error::invalid("user or group", text, why));
        match text.chars().next() {
            None => refuse("is empty"),
            Some('0'..='9' | '+' | '-') => match number(text.as_bytes()) {
                Some(id) => Ok(Principal::Id(id)),
                None => refuse("must be a number below 4294967295 in plain digits, or a name"),
            },
            Some(first) if first.is_alphabetic() || first == '_' => {
                let bad = |c: char| matches!(c, ':' | ',') || c.is_whitespace() || c.is_control();
                match text.contains(bad) || text.len() > LONGEST_NAME {
                    true => refuse("is neither a number nor a name"),
                    false => Ok(Principal::Name(text.to_owned())),
                }
            }
            Some(_) => refuse("is neither a number nor a name"),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Id(id) => id.fmt(f),
            Principal::Name(name) => name.fmt(f),
        }
    }
}

/// A user as people name it, before a root says who that is:
/// [`Account::look_up`](super::Account::look_up).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserSpec {
    /// Who.
    pub user: Principal,
    /// The group; `None`: the one of the user's account.
    pub group: Option<Principal>,
}

impl FromStr for UserSpec {
    type Err = Error;

    /// `USER` or `USER:GROUP`, each a number or a name.
    fn from_str(text: &str) -> Result<UserSpec, Error> {
        let part = |part: &str| {
            part.parse().map_err(|error| match error {
                Error::Invalid { why, .. } => Error::invalid("user", text, why),
                error => error,
            })
        };
        match text.split_once(':') {
            Some((_, group)) if group.contains(':') => {
                Err(Error::invalid("user", text, "must be USER or USER:GROUP"))
            }
            Some((user, group)) => Ok(UserSpec { user: part(user)?, group: Some(part(group)?) }),
            None => Ok(UserSpec { user: part(text)?, group: None }),
        }
    }
}

/// Plain decimal digits below the number that the kernel takes for "none".
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    text.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_user_is_a_number_or_an_error() {
        assert_eq!("1000:100".parse::<User>().unwrap(), User { uid: 1000, gid: 100 });
        assert_eq!("1".parse::<User>().unwrap(), User { uid: 1, gid: 0 });
        for bad in ["", "root", "0x0", "4294967295", "4294967296", "-1", "+0", "1:", ":1", "1:2:3"]
        {
            assert!(bad.parse::<User>().is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_and_names_are_told_apart_and_never_mixed_up() {
        let spec = |text: &str| text.parse::<UserSpec>().unwrap();
        let name = |text: &str| Principal::Name(text.to_owned());
        assert_eq!(spec("1"), UserSpec { user: Principal::Id(1), group: None });
        assert_eq!(spec("bob"), UserSpec { user: name("bob"), group: None });
        assert_eq!(spec("bob:100").group, Some(Principal::Id(100)));
        assert_eq!(spec("1000:staff").group, Some(name("staff")));
        assert_eq!(spec("_apt:www-data").user, name("_apt"));
        assert_eq!(spec("4294967294").user, Principal::Id(4_294_967_294));
        let bad = [
            "",
            ":",
            "a:",
            ":a",
            "a:b:c",
            "-1",
            "+0",
            "0x0",
            "0x",
            "1e3",
            "1000 ",
            " 1",
            "1_0",
            "4294967295",
            "4294967296",
            "99999999999",
            "99999999999999999999999",
            "1:4294967295",
            "a b",
            "a,b",
            "a\n",
            "a\0",
            "١",
            "1a",
            "-",
            "a:-1",
            "a:+1",
            "$x",
            "/",
            "..",
        ];
        for bad in bad {
            let error = bad.parse::<UserSpec>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("user {bad:?}: ")), "{error}");
        }
        assert!("a".repeat(257).parse::<UserSpec>().is_err());
    }

    proptest! {
        #[test]
        fn digits_are_that_number_or_an_error(digits in "[0-9]{1,24}") {
            let want = digits.parse::<u32>().ok().filter(|id| *id != u32::MAX).map(Principal::Id);
            prop_assert_eq!(digits.parse::<Principal>().ok(), want);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (text.parse::<User>().is_ok(), text.parse::<UserSpec>().is_ok());
        }
    }
}
