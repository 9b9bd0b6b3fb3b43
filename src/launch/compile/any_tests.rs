//! Specifications spoilt at random: read and compiled, or refused in one line, never a panic.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Every property that there is.
const FULL: &str = include_str!("../../../fuzz/corpus/config/full.json");

/// The error in one line, whatever was given.
fn read_and_compile(text: &[u8]) -> Result<(), String> {
    let bundle = Bundle::from_json(text).map_err(|error| error.to_string())?;
    compile(&bundle, &Place::default()).map(drop).map_err(|error| error.to_string())
}

fn is_clear(error: &str) -> bool {
    !error.is_empty() && !error.contains('\n') && error.len() < 2000
}

#[test]
fn every_property_is_read() {
    let error = read_and_compile(FULL.as_bytes()).unwrap_err();
    assert!(error.contains("is not supported"), "{error}");
}

/// The value at the `number`th place, counted in the order of reading.
fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Object(fields) => fields.values_mut().find_map(|value| nth(value, number)),
        Value::Array(list) => list.iter_mut().find_map(|value| nth(value, number)),
        _ => None,
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "(\\PC|\0|\n|/|\\.){0,12}".prop_map(Value::from),
        Just(Value::from(vec![Value::Null; 3])),
        Just(serde_json::json!({})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_values_anywhere(changes in proptest::collection::vec((0..400_usize, any_value()), 1..6)) {
        let mut config: Value = serde_json::from_str(FULL).unwrap();
        // What is refused anyway would hide the rest.
        for (whole, part) in
            [("", "hooks"), ("/linux", "timeOffsets"), ("/linux", "intelRdt"), ("/linux", "netDevices")]
        {
            config.pointer_mut(whole).unwrap().as_object_mut().unwrap().remove(part);
        }
        config["linux"]["namespaces"] = serde_json::json!([
            {"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "user"}
        ]);
        for (mut at, value) in changes {
            if let Some(place) = nth(&mut config, &mut at) {
                *place = value;
            }
        }
        if let Err(error) = read_and_compile(config.to_string().as_bytes()) {
            prop_assert!(is_clear(&error), "{error}");
        }
    }

    #[test]
    fn any_bytes_anywhere(
        at in 0..FULL.len(),
        gone in 0..40_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut text = FULL.as_bytes().to_vec();
        let end = text.len().min(at + gone);
        text.splice(at..end, bytes);
        if let Err(error) = read_and_compile(&text) {
            prop_assert!(is_clear(&error), "{error}");
        }
    }
}
