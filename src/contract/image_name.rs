//! Names of images: which registry, which repository, which tag.

/// The parts of an image's name. Nothing is checked: whatever text was given, its parts are here.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ImageName {
    /// The registry's host, with its port if it was given; empty means Docker Hub.
    pub registry: String,
    /// The path in the registry, such as `library/mongo`.
    pub repo: String,
    /// The tag or, where the name has one, the digest: `v1`, `sha256:…`; `latest` if neither.
    pub tag: String,
}

impl ImageName {
    fn new(registry: &str, repo: &str, tag: &str) -> ImageName {
        let tag = if tag.is_empty() { "latest" } else { tag };
        ImageName { registry: registry.to_owned(), repo: repo.to_owned(), tag: tag.to_owned() }
    }
}

/// Takes a name apart as the newest generation of the contract does.
///
/// Behind the only `@` stands a digest, which takes the tag's place (with more than one `@`, what
/// follows the first is dropped). The first segment of the path is a registry if it has a `.` or a
/// `:` or is `localhost`; a path of one segment is in `library/`. Unlike the original, a port is
/// not taken for a tag when a digest follows: `host:5000/img@sha256:ab` is `img` at `host:5000`.
#[must_use]
pub fn parse_image(name: &str) -> ImageName {
    let (name, after) = name.split_once('@').unwrap_or((name, ""));
    let digest = if after.contains('@') { "" } else { after };
    let (path, tag) = split_tag(name);
    let tag = if digest.is_empty() { tag } else { digest };
    match path.split_once('/') {
        None => ImageName::new("", &format!("library/{path}"), tag),
        Some((host, repo)) if host.contains(['.', ':']) || host == "localhost" => {
            ImageName::new(host, repo, tag)
        }
        Some(_) => ImageName::new("", path, tag),
    }
}

/// Takes a name apart as the first two generations of the contract did.
///
/// A digest is dropped. Of a path of two segments the first is a registry if there is a `.`
/// anywhere in the path; of three segments it always is; of more never.
#[must_use]
pub fn parse_image_first_generation(name: &str) -> ImageName {
    let (name, _digest) = name.split_once('@').unwrap_or((name, ""));
    let (path, tag) = split_tag(name);
    match (path.matches('/').count(), path.split_once('/')) {
        (1, Some((host, repo))) if path.contains('.') => ImageName::new(host, repo, tag),
        (2, Some((host, repo))) => ImageName::new(host, repo, tag),
        (0, _) => ImageName::new("", &format!("library/{path}"), tag),
        _ => ImageName::new("", path, tag),
    }
}

/// Splits at the last `:`, unless it belongs to a port: then a `/` follows.
fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Row = (&'static str, (&'static str, &'static str, &'static str));

    fn check(parse: fn(&str) -> ImageName, rows: &[Row]) {
        for (name, (registry, repo, tag)) in rows {
            assert_eq!(parse(name), ImageName::new(registry, repo, tag), "{name:?}");
        }
    }

    #[test]
    fn the_newest_generation_knows_a_registry_by_its_dot_or_port() {
        check(
            parse_image,
            &[
                ("mongo", ("", "library/mongo", "latest")),
                ("mongo:v1", ("", "library/mongo", "v1")),
                ("iron/hello", ("", "iron/hello", "latest")),
                ("my.registry/hello:v1", ("my.registry", "hello", "v1")),
                ("quay.com:8080/a/b:v2", ("quay.com:8080", "a/b", "v2")),
                ("localhost/foo", ("localhost", "foo", "latest")),
                ("localhost:5000/foo:v1", ("localhost:5000", "foo", "v1")),
                ("x.y/a/b/c:t", ("x.y", "a/b/c", "t")),
                ("a/b/c", ("", "a/b/c", "latest")),
                ("foo/bar.baz", ("", "foo/bar.baz", "latest")),
                ("docker.io/busybox", ("docker.io", "busybox", "latest")),
                ("mongo@sha256:ab", ("", "library/mongo", "sha256:ab")),
                ("mongo:v1@sha256:ab", ("", "library/mongo", "sha256:ab")),
                ("r.io/img@sha256:ab", ("r.io", "img", "sha256:ab")),
                ("host:5000/img:v1@sha256:ab", ("host:5000", "img", "sha256:ab")),
                ("host:5000/img@sha256:ab", ("host:5000", "img", "sha256:ab")),
                ("", ("", "library/", "latest")),
                ("foo:", ("", "library/foo", "latest")),
                ("foo@", ("", "library/foo", "latest")),
                ("a@b@c", ("", "library/a", "latest")),
                ("foo.bar", ("", "library/foo.bar", "latest")),
                ("foo.bar:1", ("", "library/foo.bar", "1")),
                ("host:5000", ("", "library/host", "5000")),
                ("foo:1/bar", ("foo:1", "bar", "latest")),
            ],
        );
    }

    #[test]
    fn the_first_generations_count_segments_and_drop_digests() {
        check(
            parse_image_first_generation,
            &[
                ("mongo", ("", "library/mongo", "latest")),
                ("mongo:v1", ("", "library/mongo", "v1")),
                ("iron/hello", ("", "iron/hello", "latest")),
                ("my.registry/hello:v1", ("my.registry", "hello", "v1")),
                ("quay.com:8080/a/b:v2", ("quay.com:8080", "a/b", "v2")),
                ("localhost/foo", ("", "localhost/foo", "latest")),
                ("localhost:5000/foo:v1", ("", "localhost:5000/foo", "v1")),
                ("x.y/a/b/c:t", ("", "x.y/a/b/c", "t")),
                ("a/b/c", ("a", "b/c", "latest")),
                ("foo/bar.baz", ("foo", "bar.baz", "latest")),
                ("docker.io/busybox", ("docker.io", "busybox", "latest")),
                ("mongo@sha256:ab", ("", "library/mongo", "latest")),
                ("mongo:v1@sha256:ab", ("", "library/mongo", "v1")),
                ("r.io/img@sha256:ab", ("r.io", "img", "latest")),
                ("host:5000/img:v1@sha256:ab", ("", "host:5000/img", "v1")),
                ("host:5000/img@sha256:ab", ("", "host:5000/img", "latest")),
                ("", ("", "library/", "latest")),
                ("foo:", ("", "library/foo", "latest")),
                ("foo@", ("", "library/foo", "latest")),
                ("a@b@c", ("", "library/a", "latest")),
                ("foo.bar", ("", "library/foo.bar", "latest")),
                ("foo.bar:1", ("", "library/foo.bar", "1")),
                ("host:5000", ("", "library/host", "5000")),
                ("foo:1/bar", ("", "foo:1/bar", "latest")),
            ],
        );
    }

    /// The forms of the original's own test: plain, with a tag, with a digest, with both.
    #[test]
    fn every_form_of_the_original_test_comes_apart() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for (name, registry, repo) in [
            ("fnproject/fn-test-utils", "", "fnproject/fn-test-utils"),
            ("my.registry/hello", "my.registry", "hello"),
            ("mongo", "", "library/mongo"),
            ("quay.com/iron/hello", "quay.com", "iron/hello"),
            ("quay.com:8080/iron/hello", "quay.com:8080", "iron/hello"),
            (
                "localhost.localdomain:5000/samalba/hipache",
                "localhost.localdomain:5000",
                "samalba/hipache",
            ),
            (
                "localhost.localdomain:5000/samalba/hipache/isthisallowedeven",
                "localhost.localdomain:5000",
                "samalba/hipache/isthisallowedeven",
            ),
        ] {
            for (form, tag) in [
                (name.to_owned(), "latest"),
                (format!("{name}:v2"), "v2"),
                (format!("{name}@{digest}"), &*digest),
                (format!("{name}:v2@{digest}"), &*digest),
            ] {
                assert_eq!(parse_image(&form), ImageName::new(registry, repo, tag), "{form}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_name_panics_and_none_is_without_a_tag(
            name in prop_oneof![".{0,40}", "[a:@/.]{0,12}"],
        ) {
            for parsed in [parse_image(&name), parse_image_first_generation(&name)] {
                prop_assert!(!parsed.tag.is_empty());
            }
        }
    }
}
