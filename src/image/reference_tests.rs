//! References, row by row, against the contract's own way to take names apart.

use proptest::prelude::*;

use super::*;

const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn digest() -> String {
    format!("sha256:{HEX}")
}

fn read(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// What the contract calls these parts.
fn in_the_contracts_words(reference: &Reference) -> (String, String, String) {
    let digest = reference.digest().map(Digest::to_string);
    let tag = digest.or(reference.tag().map(str::to_owned)).unwrap();
    (reference.registry().to_owned(), reference.repository().to_owned(), tag)
}

/// The contract has an empty registry where a reference has Docker Hub's, and leaves out `library/`
/// where the registry was written.
fn by_the_contract(text: &str) -> (String, String, String) {
    let parts = parse_image(text);
    let hub = matches!(&*parts.registry, "" | HUB | OLD_HUB);
    let library = if hub && !parts.repo.contains('/') { "library/" } else { "" };
    let registry = if hub { HUB.to_owned() } else { parts.registry };
    (registry, format!("{library}{}", parts.repo), parts.tag)
}

#[test]
fn every_row_of_the_contracts_table_comes_apart_the_same() {
    for name in [
        "mongo",
        "iron/hello",
        "my.registry/hello",
        "quay.com:8080/a/b",
        "localhost/foo",
        "localhost:5000/foo",
        "x.y/a/b/c",
        "a/b/c",
        "foo/bar.baz",
        "docker.io/busybox",
        "r.io/img",
        "host:5000/img",
        "foo.bar",
        "foo:1/bar",
        "fnproject/fn-test-utils",
        "localhost.localdomain:5000/samalba/hipache/isthisallowedeven",
    ] {
        let digest = digest();
        for text in [
            name.to_owned(),
            format!("{name}:v1"),
            format!("{name}@{digest}"),
            format!("{name}:v1@{digest}"),
        ] {
            assert_eq!(in_the_contracts_words(&read(&text)), by_the_contract(&text), "{text}");
        }
    }
    // A port is no tag, whatever follows; without a path it is one.
    let with_port = read(&format!("host:5000/img@{}", digest()));
    assert_eq!((with_port.registry(), with_port.repository()), ("host:5000", "img"));
    assert_eq!(read("host:5000").to_string(), "docker.io/library/host:5000");
    assert_eq!(read("foo.bar:1").to_string(), "docker.io/library/foo.bar:1");
}

#[test]
fn rows_that_registries_do_not_allow_are_refused() {
    let hex = HEX;
    let long = "a".repeat(256);
    for (text, part) in [
        ("", "has no repository"),
        (":v1", "has no repository"),
        ("foo:", "has the tag \"\": nothing follows the colon"),
        ("foo@", "has no digest behind the @"),
        ("a@b@c", "has more than one @"),
        ("mongo@sha256:ab", "has no digest behind the @"),
        (&*format!("mongo@sha256:{}", hex.to_uppercase()), "has no digest behind the @"),
        (&*format!("@sha256:{hex}"), "has no repository"),
        (hex, "has the form of an image's id"),
        ("UPPER/x", "repository \"UPPER/x\": it must be in lower case"),
        ("Busybox", "it must be in lower case"),
        ("-foo/bar", "each component starts and ends"),
        ("foo-/bar", "each component starts and ends"),
        ("foo//bar", "each component starts and ends"),
        ("/foo", "each component starts and ends"),
        ("foo/", "each component starts and ends"),
        ("./foo", "a host is made of"),
        ("../../etc/passwd", "a host is made of"),
        ("foo/../bar", "each component starts and ends"),
        ("foo/a..b", "a component has letters"),
        ("foo/a___b", "a component has letters"),
        ("foo/a._b", "a component has letters"),
        ("foo/a b", "a component has letters"),
        ("foo/aéb", "a component has letters"),
        ("foo/é", "each component starts and ends"),
        ("foo/bar\n", "each component starts and ends"),
        ("foo\0bar", "a component has letters"),
        (&*format!("foo/{long}"), "longer than 255"),
        (&*format!("foo:{}", &long[..129]), "longer than 128"),
        ("sha256:0", "has the form of a digest"),
        ("sha256", "has the form of a digest"),
        ("docker.io/library/sha512:ab", "has the form of a digest"),
        ("foo:.v1", "the last two not first"),
        ("foo:-v1", "the last two not first"),
        ("foo:v1+x", "it has letters, digits"),
        ("foo:v 1", "it has letters, digits"),
        ("foo:v1\n", "it has letters, digits"),
        ("a.b-/foo", "a host is made of"),
        ("a..b/foo", "a host is made of"),
        ("a_b.c/foo", "a host is made of"),
        ("http://x.y/foo", "the port is a number"),
        ("https://x.y/foo", "the port is a number"),
        ("user@x.y/foo", "has no digest behind the @"),
        ("x.y:/foo", "the port is a number"),
        ("x.y:+80/foo", "the port is a number"),
        ("x.y:65536/foo", "the port is a number"),
        ("x.y:1:2/foo", "the port is a number"),
        ("[::1/foo", "the port is a number"),
        ("[::g]/foo", "no IPv6 address"),
        ("[::1]x/foo", "a port follows a colon"),
        ("[::1]:x/foo", "the port is a number"),
    ] {
        let error = text.parse::<Reference>().unwrap_err();
        let told = error.to_string();
        assert!(told.contains(part) && !told.contains('\n'), "{text:?}: {told}");
    }
    let told = "a".repeat(10 << 20).parse::<Reference>().unwrap_err().to_string();
    assert!(told.len() < 600, "{}", told.len());
}

#[test]
fn what_registries_allow_is_read_and_shown_as_docker_does() {
    for (text, canonical, familiar) in [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("r.io/sha256:0", "r.io/sha256:0", "r.io/sha256:0"),
        ("iron/sha256", "docker.io/iron/sha256:latest", "iron/sha256:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"),
        ("iron/hello", "docker.io/iron/hello:latest", "iron/hello:latest"),
        ("localhost/foo:v1", "localhost/foo:v1", "localhost/foo:v1"),
        ("R.io:80/a__b--c.d:V_1.-", "R.io:80/a__b--c.d:V_1.-", "R.io:80/a__b--c.d:V_1.-"),
        ("[::1]:5000/foo", "[::1]:5000/foo:latest", "[::1]:5000/foo:latest"),
        ("[fe80::2]/foo", "[fe80::2]/foo:latest", "[fe80::2]/foo:latest"),
    ] {
        let reference = read(text);
        assert_eq!(reference.to_string(), canonical, "{text}");
        assert_eq!(reference.familiar(), familiar, "{text}");
        assert_eq!(read(&reference.familiar()), reference, "{text}");
    }
}

#[test]
fn a_tag_stays_beside_a_digest_and_is_made_up_only_without_one() {
    let digest = digest();
    let both = read(&format!("r.io/img:v1@{digest}"));
    assert_eq!((both.tag(), both.digest()), (Some("v1"), digest.parse().ok().as_ref()));
    assert_eq!(both.to_string(), format!("r.io/img:v1@{digest}"));
    let alone = read(&format!("img@{digest}"));
    assert_eq!(alone.tag(), None);
    assert_eq!(alone.familiar(), format!("img@{digest}"));
    assert_eq!(alone.without_digest(), read("img"));
    assert_eq!(both.without_digest(), read("r.io/img:v1"));
}

proptest! {
    #[test]
    fn no_text_panics_and_a_reference_reads_back_as_itself(
        text in prop_oneof![".{0,40}", "[a:@/.\\[\\]_-]{0,12}", "([a-z.]{1,5}(:[0-9]{1,4})?/)?[a-z/._-]{1,9}(:[a-zA-Z0-9._-]{1,5})?"],
    ) {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(in_the_contracts_words(&reference), by_the_contract(&text));
            prop_assert_eq!(&read(&reference.to_string()), &reference);
            prop_assert_eq!(&read(&reference.familiar()), &reference);
        }
    }
}
