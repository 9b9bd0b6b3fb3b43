//! What the environment leads to, and what a file's entries become.

use std::collections::HashMap;
use std::fs;

use proptest::prelude::*;

use super::super::matching::Key;
use super::*;
use crate::image::pull::Secret;

fn keyring(text: &str) -> Result<Keyring, String> {
    variables(&[(VARIABLE, text)])
}

fn variables(given: &[(&str, &str)]) -> Result<Keyring, String> {
    let given: HashMap<_, _> = given.iter().copied().collect();
    let variable = |name: &str| given.get(name).map(OsString::from);
    Keyring::from_variables(&variable).map_err(|error| match std::error::Error::source(&error) {
        None => error.to_string(),
        Some(source) => format!("{error}: {source}"),
    })
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: Secret::new(password) }
}

fn at(keyring: &Keyring, registry: &str) -> Credentials {
    keyring.for_registry(registry).unwrap()
}

#[test]
fn every_form_of_an_entry_is_understood() {
    for (entry, found) in [
        (r#"{"auth":"dTpw"}"#, basic("u", "p")),
        (r#"{"auth":"dTpwOnE="}"#, basic("u", "p:q")),
        (r#"{"auth":"dTpwOnE"}"#, basic("u", "p:q")),
        (r#"{"auth":"dTpwAAA="}"#, basic("u", "p")),
        (r#"{"auth":"dTpw","email":"x","username":"other"}"#, basic("u", "p")),
        (r#"{"username":"u","password":"p"}"#, basic("u", "p")),
        (r#"{"auth":"dTpw","identitytoken":"t"}"#, Credentials::IdentityToken(Secret::new("t"))),
        (r#"{"auth":"dTpw","registrytoken":"t"}"#, Credentials::RegistryToken(Secret::new("t"))),
        (r#"{"auth":"dTpw","identitytoken":""}"#, basic("u", "p")),
        (r#"{"auth":""}"#, Credentials::Anonymous),
        (r#"{"auth":null}"#, Credentials::Anonymous),
        ("{}", Credentials::Anonymous),
    ] {
        for text in [
            format!(r#"{{"r.example":{entry}}}"#),
            format!(r#"{{"auths":{{"r.example":{entry}}},"credsStore":"","other":[1]}}"#),
        ] {
            assert_eq!(at(&keyring(&text).unwrap(), "r.example"), found, "{text}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_without_what_stands_there() {
    for (text, wrong) in [
        ("hunter2", ".: expected value at line 1 column 1"),
        ("[\"hunter2\"]", ".: must be an object, not a list"),
        (r#"{"auths":"hunter2"}"#, "auths: must be an object, not a text"),
        (r#"{"auths":{"r":"hunter2"}}"#, "auths.r: must be an object, not a text"),
        (r#"{"r":"hunter2"}"#, "r: must be an object, not a text"),
        (r#"{"auths":{"r":{"auth":["hunter2"]}}}"#, "auths.r.auth: must be a text, not a list"),
        (r#"{"auths":{"r":{"auth":"hunter2!"}}}"#, "auths.r: auth is no Base64"),
        (r#"{"auths":{"r":{"auth":"aHVudGVyMg=="}}}"#, "auths.r: auth has no colon"),
        (r#"{"auths":{"r":{"auth":"//86"}}}"#, "auths.r: auth is no UTF-8"),
        (r#"{"auths":{"r":{},"r":{"auth":"hunter2"}}}"#, "the key \"r\" stands there twice"),
        (r#"{"auths":{"r":{"Auth":"hunter2"}}}"#, "auths.r.Auth: is another spelling of auth"),
        (r#"{"auths":{},"credHelpers":{"r":"../x"}}"#, "credHelpers.r: the helper's name \"../x\""),
        (r#"{"auths":{},"credHelpers":{"r":7}}"#, "credHelpers.r: must be a text, not a number"),
        (r#"{"credsStore":"a b"}"#, "credsStore: the helper's name \"a b\""),
        (r#"{"credsStore":7}"#, "credsStore: must be a text, not a number"),
    ] {
        let error = keyring(text).unwrap_err();
        assert!(error.starts_with("the credentials in FN_DOCKER_AUTH: "), "{error}");
        assert!(error.contains(wrong) && !error.contains("hunter2"), "{text}: {error}");
        assert!(!error.contains("aHVudGVyMg"), "{error}");
    }
}

#[test]
fn the_first_place_that_is_there_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let entry = |user: &str| {
        use base64::Engine;
        let auth = file::BASE64.encode(format!("{user}:p"));
        format!(r#""r.example":{{"auth":"{auth}"}}"#)
    };
    let (home, docker, auth_file) = (path("home"), path("docker"), path("auth.json"));
    let all = [("HOME", &*home), ("DOCKER_CONFIG", &*docker), ("REGISTRY_AUTH_FILE", &*auth_file)];
    let found = || at(&variables(&all).unwrap(), "r.example");
    assert_eq!(found(), Credentials::Anonymous);
    fs::create_dir_all(path("home/.docker")).unwrap();
    fs::create_dir_all(&docker).unwrap();
    let places = [
        ("home/.dockercfg", format!("{{{}}}", entry("old"))),
        ("home/.docker/config.json", format!("{{\"auths\":{{{}}}}}", entry("home"))),
        ("docker/config.json", format!("{{\"auths\":{{{}}}}}", entry("docker"))),
        ("auth.json", format!("{{\"auths\":{{{}}}}}", entry("file"))),
    ];
    for ((name, text), user) in places.iter().zip(["old", "home", "docker", "file"]) {
        fs::write(path(name), text).unwrap();
        assert_eq!(found(), basic(user, "p"));
    }
    let text = format!("{{{}}}", entry("variable"));
    let with = [&all[..], &[(VARIABLE, &*text)]].concat();
    assert_eq!(at(&variables(&with).unwrap(), "r.example"), basic("variable", "p"));
    let empty = [&all[..], &[(VARIABLE, "")]].concat();
    assert_eq!(at(&variables(&empty).unwrap(), "r.example"), basic("file", "p"));
    // Entries alone are the old file's form; elsewhere they would be nothing's.
    fs::write(&auth_file, &places[0].1).unwrap();
    assert_eq!(found(), Credentials::Anonymous);
    // What is there and can't be used is no reason to look elsewhere.
    fs::write(&auth_file, "{\"auths\"").unwrap();
    let error = variables(&all).unwrap_err();
    assert!(error.starts_with(&format!("the credentials in {auth_file}: .: EOF")), "{error}");
    fs::remove_file(&auth_file).unwrap();
    fs::create_dir(&auth_file).unwrap();
    let error = variables(&all).unwrap_err();
    assert!(error.starts_with(&format!("reading credentials from {auth_file}: ")), "{error}");
}

#[test]
fn a_file_of_any_length_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = Keyring::from_file(&path).unwrap_err();
    assert!(matches!(error, KeyringError::Read { .. }), "{error}");
}

#[test]
fn an_image_gets_the_closest_entry() {
    let entry = |password: &str| {
        use base64::Engine;
        file::BASE64.encode(format!("u:{password}"))
    };
    let keys = [
        "https://my.registry.com",
        "https://my.registry.com:5000",
        "https://index.docker.io/v2/",
        "rawregistry.com",
        "rawregistry.com/team",
    ];
    let entries: Vec<_> =
        keys.iter().map(|key| format!(r#""{key}":{{"auth":"{}"}}"#, entry(key))).collect();
    let keyring = keyring(&format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))).unwrap();
    let keyring = keyring.with_parents();
    for (image, wins) in [
        ("busybox", Some(keys[2])),
        ("docker.io/team/app:v1", Some(keys[2])),
        ("registry.com/x", Some(keys[0])),
        (
            "my.registry.com/x@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            Some(keys[0]),
        ),
        ("registry.com:5000/x", Some(keys[1])),
        ("rawregistry.com/x", Some(keys[3])),
        ("rawregistry.com/team/x", Some(keys[4])),
        ("localhost/x", None),
        ("rawregistry.com.evil.example/x", None),
    ] {
        let found = keyring.for_image(&image.parse().unwrap()).unwrap();
        let expected = wins.map_or(Credentials::Anonymous, |wins| basic("u", wins));
        assert_eq!(found, expected, "{image}");
    }
}

#[test]
fn a_registrys_own_helper_stands_above_the_one_for_all() {
    let keyring = keyring(
        r#"{"credsStore":"all","credHelpers":{
            "r.example":"own","https://r.example":"other","docker.io":"hub","plain.example":""},
            "auths":{"https://r.example/v2/":{},"plain.example":{"auth":"dTpw"}}}"#,
    )
    .unwrap();
    for (registry, helper, name) in [
        ("r.example", Some("own"), "https://r.example/v2/"),
        ("docker.io", Some("hub"), "https://index.docker.io/v1/"),
        ("s.example", Some("all"), "s.example"),
        ("x.r.example", Some("all"), "x.r.example"),
        ("plain.example", None, "plain.example"),
    ] {
        let found = keyring.helper(registry).map(Helper::program);
        let helper = helper.map(|name| format!("docker-credential-{name}"));
        assert_eq!((found, keyring.name_in_store(registry)), (helper, name), "{registry}");
    }
    assert_eq!(at(&keyring, "plain.example"), basic("u", "p"));
}

proptest! {
    #[test]
    fn no_text_panics_or_is_repeated(key in ".{0,30}", auth in "[!-~]{12,40}", more in ".{0,30}") {
        let hidden = serde_json::json!({"auths": {&*key: {"auth": &*auth, "email": &*more}}});
        if let Err(error) = keyring(&hidden.to_string()) {
            prop_assert!(key.contains(&auth) || !error.contains(&auth), "{}", error);
        }
        let _ = keyring(&more).map(|keyring| keyring.for_registry(&key));
    }

    #[test]
    fn no_name_panics_and_a_host_is_its_own(host in "[a-z0-9.:]{0,20}", other in ".{0,30}") {
        let _ = Key::new(&other).distance(&host, &other);
        let _ = Key::new(&host).distance(&other, &host);
        prop_assert!(host.is_empty() || Key::new(&host).distance(&host, "").is_some());
    }
}

#[test]
fn nothing_secret_is_shown() {
    let keyring = keyring(
        r#"{"a":{"auth":"dTpodW50ZXIy"},"b":{"identitytoken":"hunter2"},
            "c":{"registrytoken":"hunter2"}}"#,
    )
    .unwrap();
    let shown = format!("{keyring:?} {:?}", at(&keyring, "a"));
    assert!(!shown.contains("hunter2") && !shown.contains("dTpodW50ZXIy"), "{shown}");
}

#[test]
fn an_entry_is_for_parents_of_its_host_only_where_fns_rule_is_asked_for() {
    let text = r#"{"auths": {"eu.registry.example": {"auth": "bWU6c2VjcmV0"}}}"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let keyring = Keyring::from_file(file.path()).unwrap();
    let found = |keyring: &Keyring, host: &str| {
        keyring.for_registry(host).unwrap() != Credentials::Anonymous
    };
    assert!(found(&keyring, "eu.registry.example") && !found(&keyring, "registry.example"));
    let keyring = keyring.with_parents();
    assert!(found(&keyring, "eu.registry.example") && found(&keyring, "registry.example"));
    assert!(!found(&keyring, "other.registry.example") && !found(&keyring, "example"));
}
