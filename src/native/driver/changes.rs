//! What an embedder changed of a container's specification before its image was known, done again to
//! the one that the image makes of it.

use std::collections::HashSet;

use oci_spec::runtime::Spec;
use serde_json::{Map, Value};

/// `onto` with what leads from `base` to `changed`. A list that grew at its end, and had anything in it,
/// grows here, too; of everything else that differs, `changed` counts.
pub(super) fn replay(base: &Spec, changed: &Spec, onto: Spec) -> serde_json::Result<Spec> {
    if base == changed {
        return Ok(onto);
    }
    let [base, changed, onto] = [value(base)?, value(changed)?, value(&onto)?];
    let mut spec: Spec = serde_json::from_value(merge(Some(&base), changed, Some(onto)))?;
    if let Some(env) = spec.process_mut().as_mut().and_then(|process| process.env_mut().as_mut()) {
        last_of_a_name(env);
    }
    Ok(spec)
}

/// Who adds a variable can't know that the image has it: the later one counts.
fn last_of_a_name(env: &mut Vec<String>) {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut seen = HashSet::new();
    let mut kept: Vec<String> =
        env.drain(..).rev().filter(|variable| seen.insert(name(variable))).collect();
    kept.reverse();
    *env = kept;
}

/// Capabilities are a set, written in any order.
fn value(spec: &Spec) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(spec)?;
    let sets = value.pointer_mut("/process/capabilities").and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut) {
        set.sort_by(|one, two| one.as_str().cmp(&two.as_str()));
    }
    Ok(value)
}

fn merge(base: Option<&Value>, changed: Value, onto: Option<Value>) -> Value {
    match (base, changed, onto) {
        (Some(base), changed, Some(onto)) if *base == changed => onto,
        (base, Value::Object(changed), Some(Value::Object(onto))) => {
            Value::Object(merge_objects(base.and_then(Value::as_object), changed, onto))
        }
        (Some(Value::Array(base)), Value::Array(changed), Some(Value::Array(mut onto)))
            if !base.is_empty() && changed.starts_with(base) =>
        {
            onto.extend(changed.into_iter().skip(base.len()));
            Value::Array(onto)
        }
        (_, changed, _) => changed,
    }
}

fn merge_objects(
    base: Option<&Map<String, Value>>,
    changed: Map<String, Value>,
    mut onto: Map<String, Value>,
) -> Map<String, Value> {
    let of_base = |name: &str| base.and_then(|base| base.get(name));
    // What was taken out goes; what the image brought stays.
    onto.retain(|name, _| of_base(name).is_none() || changed.contains_key(name));
    for (name, value) in changed {
        // What the image took out stays out, unless it was changed.
        if !onto.contains_key(&name) && of_base(&name) == Some(&value) {
            continue;
        }
        let new = merge(of_base(&name), value, onto.remove(&name));
        onto.insert(name, new);
    }
    onto
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{self, CellConfig};

    fn specs() -> (Spec, Spec) {
        let mut config = CellConfig::new("/", ["arg"]);
        config.env = vec!["A=task".to_owned()];
        let base = bundle::spec(&config).unwrap();
        config.stack("/layers", ["a", "b"]);
        config.args = vec!["entry".to_owned(), "arg".to_owned()];
        config.env = vec!["PATH=/image".to_owned(), "A=task".to_owned()];
        config.user = "1000:1000".parse().unwrap();
        config.cwd = "/image".to_owned();
        (base, bundle::spec(&config).unwrap())
    }

    #[test]
    fn nothing_changed_changes_nothing() {
        let (base, onto) = specs();
        assert_eq!(replay(&base, &base.clone(), onto.clone()).unwrap(), onto);
        assert_eq!(replay(&base, &onto, onto.clone()).unwrap(), onto);
    }

    #[test]
    fn changes_go_on_top_of_what_the_image_says() {
        let (base, onto) = specs();
        let mut changed = base.clone();
        let process = changed.process_mut().as_mut().unwrap();
        let more = ["PATH=/wrapper", "B=wrapper"].map(str::to_owned);
        process.env_mut().as_mut().unwrap().extend(more);
        let mut annotations = changed.annotations().clone().unwrap();
        annotations.insert("own".to_owned(), "x".to_owned());
        changed.set_annotations(Some(annotations));
        changed.set_hostname(Some("other".to_owned()));
        let spec = replay(&base, &changed, onto.clone()).unwrap();
        let process = spec.process().as_ref().unwrap();
        let env = process.env().as_ref().unwrap();
        assert_eq!(env[1..], ["HOSTNAME=cell", "A=task", "PATH=/wrapper", "B=wrapper"]);
        assert_eq!(process.args().as_ref().unwrap(), &["entry", "arg"]);
        assert_eq!((process.user().uid(), process.cwd().to_str()), (1000, Some("/image")));
        assert_eq!(process.capabilities(), onto.process().as_ref().unwrap().capabilities());
        assert_eq!(spec.root(), onto.root());
        let annotations = spec.annotations().as_ref().unwrap();
        assert_eq!(annotations["own"], "x");
        assert_eq!(annotations[bundle::annotation::LAYERS], "a:b");
        assert_eq!(spec.hostname().as_deref(), Some("other"));
    }

    #[test]
    fn what_was_replaced_or_taken_out_counts() {
        let (base, onto) = specs();
        let mut changed = base.clone();
        let mounts = changed.mounts().iter().flatten();
        let kept = mounts.filter(|mount| mount.destination().to_str() != Some("/dev/shm"));
        let kept: Vec<_> = kept.cloned().collect();
        changed.set_mounts(Some(kept.clone()));
        let process = changed.process_mut().as_mut().unwrap();
        process.set_args(Some(vec!["own command".to_owned()]));
        process.set_rlimits(None);
        let spec = replay(&base, &changed, onto.clone()).unwrap();
        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.args().as_ref().unwrap(), &["own command"]);
        assert_eq!(process.rlimits(), &None);
        assert_eq!(spec.mounts().as_ref().unwrap(), &kept);
        // What was empty has not grown: it was filled in.
        let (mut base, mut changed) = (base, changed);
        base.process_mut().as_mut().unwrap().set_args(Some(Vec::new()));
        changed.process_mut().as_mut().unwrap().set_args(Some(vec!["own".to_owned()]));
        let spec = replay(&base, &changed, onto).unwrap();
        assert_eq!(spec.process().as_ref().unwrap().args().as_ref().unwrap(), &["own"]);
    }
}
