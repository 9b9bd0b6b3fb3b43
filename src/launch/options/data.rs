//! The options that a file system reads itself: which ones each type has, and what their values
//! look like.

/// The form of a value.
#[derive(Clone, Copy)]
enum Form {
    /// None: the word stands alone.
    Word,
    /// Decimal, below 2^32 - 1.
    Id,
    Count,
    /// Bytes, with k, m, g, t, p or e behind; a share of the memory with %.
    Size,
    /// Octal, up to 7777.
    Mode,
    OneOf(&'static [&'static str]),
    /// A memory policy: words, numbers and what joins them.
    Policy,
}

use Form::*;

const TMPFS: &[(&str, Form)] = &[
    ("size", Size),
    ("nr_blocks", Size),
    ("nr_inodes", Size),
    ("mode", Mode),
    ("uid", Id),
    ("gid", Id),
    ("huge", OneOf(&["never", "always", "within_size", "advise"])),
    ("mpol", Policy),
    ("inode32", Word),
    ("inode64", Word),
    ("noswap", Word),
];

const PROC: &[(&str, Form)] = &[
    ("hidepid", OneOf(&["0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"])),
    ("gid", Id),
    ("subset", OneOf(&["pid"])),
];

const DEVPTS: &[(&str, Form)] = &[
    ("newinstance", Word),
    ("ptmxmode", Mode),
    ("mode", Mode),
    ("uid", Id),
    ("gid", Id),
    ("max", Count),
];

/// Checks one option; `Err` says what is wrong with it. What a type unknown here is given goes to
/// the kernel as it is.
pub(super) fn check(kind: &str, bind: bool, option: &str) -> Result<(), String> {
    let known = match kind {
        _ if bind => &[],
        "tmpfs" => TMPFS,
        "proc" => PROC,
        "devpts" => DEVPTS,
        "sysfs" | "mqueue" | "cgroup" | "cgroup2" => &[],
        _ => return Ok(()),
    };
    let kind = if bind { "a bind mount" } else { kind };
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let form = known.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
    let Some(form) = form else {
        return Err(format!("is not known for {kind}"));
    };
    match (form, value) {
        (Word, None) => Ok(()),
        (Word, Some(_)) => Err("takes no value".to_owned()),
        (form, value) if value.is_some_and(|value| form.fits(value)) => Ok(()),
        (form, _) => Err(format!("the value must be {}", form.describe())),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Form {
    fn fits(self, value: &str) -> bool {
        match self {
            Word => false,
            Id => is_number(value) && value.parse().is_ok_and(|id: u32| id != u32::MAX),
            Count => is_number(value) && value.parse::<u32>().is_ok(),
            Size => {
                let unit = |last: char| "kmgtpe%".contains(last.to_ascii_lowercase());
                let number = value.strip_suffix(unit).unwrap_or(value);
                is_number(number) && number.parse::<u64>().is_ok()
            }
            Mode => {
                is_number(value) && u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777)
            }
            OneOf(words) => words.contains(&value),
            Policy => {
                let fine = |byte: u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"=:-".contains(&byte)
                };
                !value.is_empty() && value.bytes().all(fine)
            }
        }
    }

    fn describe(self) -> String {
        match self {
            Word => "left out".to_owned(),
            Id => "a number below 4294967295".to_owned(),
            Count => "a number".to_owned(),
            Size => "a number, with k, m, g or % behind or without".to_owned(),
            Mode => "an octal mode up to 7777".to_owned(),
            OneOf(words) => format!("one of {}", words.join(", ")),
            Policy => "a memory policy without commas".to_owned(),
        }
    }
}
