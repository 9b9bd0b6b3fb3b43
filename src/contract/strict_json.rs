//! A configuration from JSON that says nothing but what a driver knows.

use serde_json::{Map, Value};

use super::{Config, Error, ErrorKind, Result};

impl Config {
    /// Reads a configuration from a JSON object, and refuses what serde and fn let pass: a key that
    /// is none of fn's. Keys are spelled exactly as fn does. One that is missing or `null` has Go's
    /// zero value. An error names the key and never a value.
    ///
    /// ```
    /// use hotcell::contract::Config;
    ///
    /// let config = Config::from_json(r#"{"max_tmpfs_inodes": 1024, "docker_networks": null}"#)?;
    /// assert_eq!((config.max_tmpfs_inodes, config.docker_networks.as_str()), (1024, ""));
    /// let error = Config::from_json(r#"{"max_tmpfs_inode": 1024}"#).unwrap_err();
    /// assert_eq!(error.to_string(), r#"configuration: unknown key "max_tmpfs_inode""#);
    /// # Ok::<(), hotcell::contract::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), in one line.
    pub fn from_json(text: &str) -> Result<Config> {
        let given =
            serde_json::from_str(text).map_err(|error| invalid(&format!("no JSON: {error}")))?;
        let Value::Object(mut given) = given else {
            return Err(invalid(&format!("must be an object, not {}", kind_of(&given))));
        };
        given.retain(|_, value| !value.is_null());
        let known = known()?;
        for (key, value) in &given {
            let wanted = known.get(key).ok_or_else(|| invalid(&format!("unknown key {key:?}")))?;
            check(key, value, wanted)?;
        }
        from_value(Value::Object(given))
    }
}

/// Every key, with a value of its type.
fn known() -> Result<Map<String, Value>> {
    match serde_json::to_value(Config::default()) {
        Ok(Value::Object(known)) => Ok(known),
        other => Err(invalid(&format!("no keys are known: {other:?}"))),
    }
}

fn check(key: &str, value: &Value, wanted: &Value) -> Result<()> {
    let (right, wanted) = match wanted {
        Value::Number(_) => (value.is_u64(), "a whole number from 0 to 2^64-1"),
        Value::Bool(_) => (value.is_boolean(), kind_of(wanted)),
        _ => (value.is_string(), "a string"),
    };
    let given = match value {
        Value::Number(_) if wanted.contains("number") => "another number",
        other => kind_of(other),
    };
    match right {
        true => Ok(()),
        false => Err(invalid(&format!("key {key:?} must be {wanted}, not {given}"))),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn from_value(value: Value) -> Result<Config> {
    serde_json::from_value(value).map_err(|error| invalid(&error.to_string()))
}

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("configuration: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_writes_is_read_and_null_is_missing() {
        let all = Config { docker: "d".into(), max_tmpfs_inodes: u64::MAX, ..Config::default() };
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(Config::from_json(&text).unwrap(), all);
        let nulls: Map<String, Value> =
            known().unwrap().into_iter().map(|(key, _)| (key, Value::Null)).collect();
        let text = serde_json::to_string(&nulls).unwrap();
        let zero = serde_json::from_str("{}").unwrap();
        assert_eq!(Config::from_json(&text).unwrap(), zero);
        assert_eq!(Config::from_json("{}").unwrap(), zero);
    }

    #[test]
    fn what_is_wrong_is_told_by_name_in_one_line() {
        let number = "must be a whole number from 0 to 2^64-1, not";
        for (text, expected) in [
            ("{\"a\":1}", "unknown key \"a\"".to_owned()),
            ("{\"Docker\":\"\"}", "unknown key \"Docker\"".to_owned()),
            ("{\"line\\nend\":1}", "unknown key \"line\\nend\"".to_owned()),
            ("{\"docker\":7}", "key \"docker\" must be a string, not a number".to_owned()),
            (
                "{\"enable_readonly_rootfs\":\"secret\"}",
                "key \"enable_readonly_rootfs\" must be true or false, not a string".to_owned(),
            ),
            (
                "{\"max_tmpfs_inodes\":-1}",
                format!("key \"max_tmpfs_inodes\" {number} another number"),
            ),
            (
                "{\"max_tmpfs_inodes\":1.5}",
                format!("key \"max_tmpfs_inodes\" {number} another number"),
            ),
            (
                "{\"max_tmpfs_inodes\":[\"secret\"]}",
                format!("key \"max_tmpfs_inodes\" {number} an array"),
            ),
            ("[]", "must be an object, not an array".to_owned()),
            ("null", "must be an object, not null".to_owned()),
        ] {
            let error = Config::from_json(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert_eq!(error.chain(), format!("configuration: {expected}"), "{text}");
        }
        let error = Config::from_json("{").unwrap_err();
        assert!(error.to_string().starts_with("configuration: no JSON: "), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}
