//! The long form of a volume or memory file system: `type=bind,source=…,target=…`, as Docker's
//! `--mount` has it.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::Error;
use super::config::Tmpfs;
use super::grammar::octal_mode;
use super::path::absolute;
use super::volume::{Submounts, Volume};

/// What `--mount` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MountFlag {
    /// `type=bind`.
    Bind(Volume),
    /// `type=tmpfs`.
    Tmpfs(Tmpfs),
}

/// The fields, each with its value or none, under the first of its names.
struct Fields {
    given: Vec<(String, Option<String>)>,
}

impl FromStr for MountFlag {
    type Err = Error;

    /// Fields with commas between them; a field with a comma in it stands in double quotes, as in
    /// CSV.
    ///
    /// For all: `type=bind` or `type=tmpfs`, `target` (`dst`, `destination`), `readonly` (`ro`).
    /// For binds: `source` (`src`), `bind-propagation`, `bind-recursive=enabled`, `disabled`,
    /// `writable` or `readonly`, `bind-nonrecursive`; `suid`, `dev`, `noexec`.
    /// For tmpfs: `tmpfs-size`, `tmpfs-mode`; `exec`.
    fn from_str(text: &str) -> Result<MountFlag, Error> {
        let mut fields = Fields::read(text)?;
        let refuse = |why: &str| Error::invalid("mount", text, why);
        let kind = fields.text("type")?;
        let target = fields.text("target")?.ok_or_else(|| refuse("the target is missing"))?;
        let target = absolute("mount target", &target)?;
        let read_only = fields.flag("readonly")?;
        let flag = match kind.as_deref() {
            Some("bind") => {
                let source = fields.text("source")?;
                let source = source.ok_or_else(|| refuse("the source is missing"))?;
                if !source.starts_with(['/', '.']) {
                    return Err(refuse("the source must be a path: start it with / or ./"));
                }
                let mut volume = Volume::new(source, target);
                volume.writable = !read_only;
                bind(&mut volume, &mut fields)?;
                MountFlag::Bind(volume)
            }
            Some("tmpfs") => {
                let mut tmpfs = Tmpfs::new(target);
                tmpfs.read_only = read_only;
                memory(&mut tmpfs, &mut fields)?;
                MountFlag::Tmpfs(tmpfs)
            }
            None | Some("volume") => {
                return Err(refuse("there are no named volumes: say type=bind or type=tmpfs"));
            }
            Some(_) => return Err(refuse("the type must be bind or tmpfs")),
        };
        match fields.given.first() {
            None => Ok(flag),
            Some((name, _)) => Err(Error::invalid(
                "mount field",
                name.as_str(),
                format!("is not known for type={}", kind.unwrap_or_default()),
            )),
        }
    }
}

fn bind(volume: &mut Volume, fields: &mut Fields) -> Result<(), Error> {
    if let Some(propagation) = fields.text("bind-propagation")? {
        volume.propagation = propagation.parse()?;
    }
    if fields.flag("bind-nonrecursive")? {
        volume.submounts = Submounts::LeftOut;
    }
    if let Some(value) = fields.text("bind-recursive")? {
        let refuse = |why: &str| Err(Error::invalid("bind-recursive", value.as_str(), why));
        if volume.submounts == Submounts::LeftOut {
            return refuse("says twice what bind-nonrecursive says");
        }
        volume.submounts = match value.as_str() {
            "writable" | "readonly" if volume.writable => return refuse("needs readonly"),
            "readonly" if volume.propagation != super::Propagation::RPrivate => {
                return refuse("needs bind-propagation=rprivate");
            }
            // Read-only volumes always are so in depth.
            "enabled" | "readonly" => Submounts::Follow,
            "writable" => Submounts::Writable,
            "disabled" => Submounts::LeftOut,
            _ => return refuse("must be enabled, disabled, writable or readonly"),
        };
    }
    fields.words(|word| volume.attribute(word));
    Ok(())
}

fn memory(tmpfs: &mut Tmpfs, fields: &mut Fields) -> Result<(), Error> {
    if let Some(size) = fields.text("tmpfs-size")? {
        let size = size.parse()?;
        if size == super::Bytes(0) {
            return Err(Error::invalid("tmpfs-size", "0", "must be more than 0"));
        }
        tmpfs.size = Some(size);
    }
    if let Some(mode) = fields.text("tmpfs-mode")? {
        tmpfs.mode = octal_mode("tmpfs-mode", &mode)?;
    }
    fields.words(|word| match word {
        "exec" | "noexec" => {
            tmpfs.exec = word == "exec";
            true
        }
        word => ["nosuid", "nodev"].contains(&word),
    });
    Ok(())
}

impl Fields {
    fn read(text: &str) -> Result<Fields, Error> {
        let mut given = Vec::new();
        let mut names = BTreeSet::new();
        for field in split(text)? {
            let (name, value) = match field.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (field.as_str(), None),
            };
            let name = match name {
                "src" => "source",
                "dst" | "destination" => "target",
                "ro" => "readonly",
                // One choice, whatever is chosen.
                "suid" | "dev" | "exec" if value.is_none() => name,
                "nosuid" | "nodev" | "noexec" if value.is_none() => &name[2..],
                name => name,
            };
            if !names.insert(name.to_owned()) {
                return Err(Error::invalid("mount", text, format!("says {name} twice")));
            }
            let name = if value.is_none() && field.starts_with("no") { &field } else { name };
            given.push((name.to_owned(), value));
        }
        Ok(Fields { given })
    }

    fn take(&mut self, name: &str) -> Option<Option<String>> {
        let at = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.swap_remove(at).1)
    }

    /// The value of a field that needs one.
    fn text(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Some(value)) if !value.is_empty() => Ok(Some(value)),
            Some(_) => Err(Error::invalid("mount field", name, "needs a value")),
        }
    }

    /// A field that alone means yes.
    fn flag(&mut self, name: &'static str) -> Result<bool, Error> {
        match self.take(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => match value.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
                _ => Err(Error::invalid(name, value, "must be true or false")),
            },
        }
    }

    /// Takes the fields without a value that `known` takes.
    fn words(&mut self, mut known: impl FnMut(&str) -> bool) {
        self.given.retain(|(name, value)| value.is_some() || !known(name));
    }
}

/// One record of comma-separated values: RFC 4180 without line breaks.
fn split(text: &str) -> Result<Vec<String>, Error> {
    let refuse = |why: &str| Error::invalid("mount", text, why);
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted).ok_or_else(|| refuse("a quote is left open"))?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if !rest.starts_with('"') && field.contains('"') {
            return Err(refuse("a quote must stand around a whole field"));
        }
        if field.is_empty() || field.contains(['\n', '\r', '\0']) {
            return Err(refuse("a field is empty or holds a line break"));
        }
        fields.push(field);
        rest = match behind.strip_prefix(',') {
            Some(rest) => rest,
            None if behind.is_empty() => return Ok(fields),
            None => return Err(refuse("a quote must stand around a whole field")),
        };
    }
}

/// The field behind an opening quote, two quotes standing for one, and what follows the closing one.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bundle::{Bytes, Propagation};

    fn volume(text: &str) -> Volume {
        match text.parse().unwrap() {
            MountFlag::Bind(volume) => volume,
            MountFlag::Tmpfs(tmpfs) => unreachable!("{tmpfs:?}"),
        }
    }

    #[test]
    fn dockers_keys_and_their_other_names() {
        let plain = volume("type=bind,source=/a,target=/b");
        assert_eq!(plain, Volume::new("/a", "/b"));
        assert_eq!(volume("dst=/b,type=bind,src=/a"), plain);
        assert_eq!(volume("type=bind,src=/a,destination=/b,readonly=false"), plain);
        let read_only = volume("type=bind,src=/a,dst=/b,ro");
        assert!(!read_only.writable && read_only.submounts == Submounts::Follow);
        assert_eq!(volume("type=bind,src=/a,dst=/b,readonly,bind-recursive=readonly"), read_only);
        let propagated = volume("type=bind,src=./a,dst=/b,bind-propagation=rslave,noexec,dev");
        assert_eq!(propagated.propagation, Propagation::RSlave);
        assert!(!propagated.exec && propagated.dev && !propagated.suid);
        for (more, submounts) in [
            ("bind-nonrecursive", Submounts::LeftOut),
            ("bind-recursive=disabled", Submounts::LeftOut),
            ("bind-recursive=enabled", Submounts::Follow),
            ("ro,bind-recursive=writable", Submounts::Writable),
        ] {
            let text = format!("type=bind,src=/a,dst=/b,{more}");
            assert_eq!(volume(&text).submounts, submounts, "{text}");
        }
    }

    #[test]
    fn memory_file_systems() {
        let text = "type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=700,ro,exec";
        let mut tmpfs = Tmpfs::new("/t");
        (tmpfs.size, tmpfs.mode) = (Some(Bytes(64 << 20)), 0o700);
        (tmpfs.read_only, tmpfs.exec) = (true, true);
        assert_eq!(text.parse::<MountFlag>().unwrap(), MountFlag::Tmpfs(tmpfs));
        let plain = "type=tmpfs,dst=/t".parse::<MountFlag>().unwrap();
        assert_eq!(plain, MountFlag::Tmpfs(Tmpfs::new("/t")));
    }

    #[test]
    fn a_field_with_a_comma_stands_in_quotes() {
        let quoted = volume(r#"type=bind,"source=/a,b""c","target=/d,e""#);
        assert_eq!((quoted.source, quoted.target.as_str()), (r#"/a,b"c"#.into(), "/d,e"));
        for bad in [r#"type=bind,src="/a",dst=/b"#, r#""type=bind"x,src=/a"#, r#""type=bind"#] {
            let error = bad.parse::<MountFlag>().unwrap_err().to_string();
            assert!(error.contains("quote"), "{error}");
        }
    }

    #[test]
    fn what_is_not_known_or_does_not_fit_is_refused_by_name() {
        for (text, part) in [
            ("", "empty"),
            ("type=bind,src=/a", "target is missing"),
            ("type=bind,dst=/b", "source is missing"),
            ("type=bind,src=,dst=/b", "needs a value"),
            ("type=bind,src=a,dst=/b", "must be a path"),
            ("type=bind,src=/a,dst=b", "absolute"),
            ("type=bind,src=/a,dst=/b,,ro", "empty"),
            ("type=bind,src=/a,dst=/b,ro=perhaps", "perhaps"),
            ("type=bind,src=/a,dst=/b,bind-propagation=../..", "../.."),
            ("type=bind,src=/a,dst=/b,bind-propagation=RPRIVATE", "RPRIVATE"),
            ("type=bind,src=/a,dst=/b,bind-recursive=all", "all"),
            ("type=bind,src=/a,dst=/b,bind-recursive=writable", "needs readonly"),
            ("type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=slave", "needs"),
            ("type=bind,src=/a,dst=/b,bind-recursive=enabled,bind-nonrecursive", "twice"),
            ("type=bind,src=/a,dst=/b,tmpfs-size=1m", "tmpfs-size"),
            ("type=bind,src=/a,dst=/b,Z", "\"Z\""),
            ("type=bind,src=/a,source=/c,dst=/b", "twice"),
            ("type=bind,src=/a,dst=/b,exec,noexec", "twice"),
            ("type=bind,src=/a,dst=/b,volume-nocopy", "volume-nocopy"),
            ("type=tmpfs,src=/a,dst=/b", "source"),
            ("type=tmpfs,dst=/b,tmpfs-size=0", "more than 0"),
            ("type=tmpfs,dst=/b,tmpfs-mode=8", "octal"),
            ("type=tmpfs,dst=/b,suid", "suid"),
            ("type=tmpfs,dst=/b,bind-propagation=slave", "bind-propagation"),
            ("type=volume,src=a,dst=/b", "no named volumes"),
            ("src=/a,dst=/b", "no named volumes"),
            ("type=npipe,src=/a,dst=/b", "bind or tmpfs"),
            ("type=Bind,src=/a,dst=/b", "bind or tmpfs"),
        ] {
            let error = text.parse::<MountFlag>().unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn quoting_keeps_every_field(fields in proptest::collection::vec("[a-z=,\"/ ]{1,8}", 1..5)) {
            let quoted = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
            let text = quoted.collect::<Vec<_>>().join(",");
            prop_assert_eq!(split(&text).unwrap(), fields);
        }

        #[test]
        fn no_text_panics(text in "(type=(bind|tmpfs),)?[a-z=,\"/.-]{0,40}") {
            let _ = text.parse::<MountFlag>().is_ok();
        }
    }
}
