//! What a specification may ask for and hotcell doesn't do: refused by name, never left out.

use oci_spec::runtime::{Hook, Hooks, Spec};

use super::super::Error;

/// Refuses the first thing that would be ignored.
pub(super) fn refuse(spec: &Spec) -> Result<(), Error> {
    let process = spec.process().as_ref();
    let linux = spec.linux().as_ref();
    let filled = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let asked = [
        ("process.selinuxLabel", process.is_some_and(|p| filled(p.selinux_label()))),
        ("linux.intelRdt", linux.is_some_and(|l| l.intel_rdt().is_some())),
        ("linux.mountLabel", linux.is_some_and(|l| filled(l.mount_label()))),
        ("linux.netDevices", linux.is_some_and(|l| l.net_devices().is_some())),
    ];
    match asked.into_iter().find(|(_, set)| *set) {
        Some((field, _)) => {
            Err(Error::Unsupported { field: field.to_owned(), detail: String::new() })
        }
        None => Ok(()),
    }
}

/// Refuses hooks where nobody sees to them.
#[allow(deprecated, reason = "specifications still use prestart")]
pub(super) fn refuse_hooks(spec: &Spec) -> Result<(), Error> {
    let lists = [
        Hooks::prestart,
        Hooks::create_runtime,
        Hooks::create_container,
        Hooks::start_container,
        Hooks::poststart,
        Hooks::poststop,
    ];
    match lists.into_iter().any(|list| hooked(spec, list)) {
        true => Err(Error::Unsupported { field: "hooks".to_owned(), detail: String::new() }),
        false => Ok(()),
    }
}

fn hooked(spec: &Spec, list: fn(&Hooks) -> &Option<Vec<Hook>>) -> bool {
    let hooks = spec.hooks().as_ref();
    hooks.is_some_and(|hooks| list(hooks).as_ref().is_some_and(|list| !list.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_field_would_be_a_lie() {
        for (field, value) in [
            ("linux.mountLabel", r#"{"mountLabel": "a"}"#),
            ("linux.intelRdt", r#"{"intelRdt": {"closID": "a"}}"#),
            ("linux.netDevices", r#"{"netDevices": {"eth9": {}}}"#),
        ] {
            let text = format!(r#"{{"ociVersion": "1.0.2", "linux": {value}}}"#);
            let error = refuse(&serde_json::from_str(&text).unwrap()).unwrap_err().to_string();
            assert_eq!(error, format!("config.json: {field} is not supported"));
        }
        let hooks = r#"{"ociVersion": "1.0.2", "hooks": {"poststop": [{"path": "/bin/true"}]}}"#;
        assert!(refuse_hooks(&serde_json::from_str(hooks).unwrap()).is_err());
    }
}
