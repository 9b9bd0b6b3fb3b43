//! Which entry of a file of credentials is for which registry: fn's rule, with one answer.

use std::cmp::Reverse;

/// Docker Hub, as references call it.
const HUB: &str = "docker.io";
/// How Docker calls it in its file.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Where files have it, the first before the others.
const HUB_NAMES: [&str; 3] = ["hub.docker.com", "index.docker.io", HUB];

/// The name under which a file has an entry: a host, perhaps with a port; a URL, of which the host
/// counts; or a host and a path, which is for the repositories below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Key {
    text: String,
    host: String,
    path: Option<String>,
}

/// How close an entry is to what is asked for: the least is the closest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Distance<'a> {
    /// The longest path comes first.
    path: Reverse<usize>,
    /// Which of the registry's names it is.
    name: usize,
    /// Labels that the entry has before the registry's.
    labels: usize,
    /// Of several spellings of a host that without a scheme comes first.
    scheme: bool,
    text: &'a str,
}

impl Distance<'_> {
    /// Whether the entry is of the registry itself, and of no host below it.
    pub(super) fn is_own(&self) -> bool {
        self.labels == 0
    }
}

impl Key {
    pub(super) fn new(text: &str) -> Key {
        let (host, path) = match without_scheme(text) {
            Some(rest) => (rest.split(['/', '?', '#']).next().unwrap_or_default(), None),
            None => text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path))),
        };
        // Some programs wrote the version of the registry's interface behind the host.
        let path = path.map(|path| path.trim_matches('/'));
        let path = path.filter(|path| !matches!(*path, "" | "v1" | "v2")).map(str::to_owned);
        Key { text: text.to_owned(), host: host.to_ascii_lowercase(), path }
    }

    /// The name as it stands in the file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is this registry as a whole, and no other.
    pub(super) fn is(&self, registry: &str) -> bool {
        let same = |name: &&str| self.host.eq_ignore_ascii_case(name);
        self.path.is_none() && names(registry).iter().any(same)
    }

    /// How close it is to this registry and repository; `None` if it is for others.
    pub(super) fn distance(&self, registry: &str, repository: &str) -> Option<Distance<'_>> {
        let mut found = names(registry)
            .into_iter()
            .enumerate()
            .filter_map(|(number, name)| Some((number, labels_above(&self.host, name)?)));
        let (name, labels) = match &self.path {
            None => found.next()?,
            // A path is a part of one registry.
            Some(path) => found.find(|(_, labels)| *labels == 0 && is_below(repository, path))?,
        };
        let path = Reverse(self.path.as_ref().map_or(0, String::len));
        let scheme = without_scheme(&self.text).is_some();
        Some(Distance { path, name, labels, scheme, text: &self.text })
    }
}

/// How Docker calls a registry in its file, and where it asks a helper for it.
pub(super) fn key_of(registry: &str) -> &str {
    if is_hub(registry) { HUB_KEY } else { registry }
}

fn is_hub(registry: &str) -> bool {
    matches!(registry, "" | HUB | "index.docker.io")
}

fn names(registry: &str) -> Vec<&str> {
    if is_hub(registry) { HUB_NAMES.to_vec() } else { vec![registry] }
}

fn without_scheme(text: &str) -> Option<&str> {
    ["https://", "http://"].into_iter().find_map(|scheme| {
        let start = text.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    })
}

/// How many labels the host has before those of the name: 0 if it is the same. An entry is for each
/// parent of its host that still has two labels; the port stays with the last one.
fn labels_above(host: &str, name: &str) -> Option<usize> {
    if host.eq_ignore_ascii_case(name) {
        return Some(0);
    }
    let at = host.len().checked_sub(name.len())?;
    let (above, same) = host.split_at_checked(at)?;
    let above = above.strip_suffix('.')?;
    let parent = name.contains('.') && !is_address(host) && same.eq_ignore_ascii_case(name);
    parent.then(|| above.split('.').count())
}

/// Whether it is an IPv4 address, perhaps with a port: that has no parents.
fn is_address(host: &str) -> bool {
    let address = host.split_once(':').map_or(host, |(address, _)| address);
    address.parse::<std::net::Ipv4Addr>().is_ok()
}

fn is_below(repository: &str, path: &str) -> bool {
    let rest = repository.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entry that wins, whatever the order in which they stand.
    fn closest<'a>(texts: &[&'a str], registry: &str, repository: &str) -> Option<&'a str> {
        let wins = |keys: &[Key]| {
            let distances = keys.iter().filter_map(|key| key.distance(registry, repository));
            distances.min().map(|distance| distance.text.to_owned())
        };
        let mut keys: Vec<_> = texts.iter().map(|text| Key::new(text)).collect();
        let forwards = wins(&keys);
        keys.reverse();
        assert_eq!(forwards, wins(&keys), "{texts:?} {registry}");
        texts.iter().find(|text| forwards.as_deref() == Some(text)).copied()
    }

    #[test]
    fn the_vectors_of_fn_hold() {
        let keys = [
            "https://my.registry.com",
            "https://my.registry.com:5000",
            "https://index.docker.io/v2/",
            "rawregistry.com",
        ];
        for (registry, wins) in [
            ("", Some("https://index.docker.io/v2/")),
            ("docker.io", Some("https://index.docker.io/v2/")),
            ("localhost", None),
            ("registry.com", Some("https://my.registry.com")),
            ("my.registry.com", Some("https://my.registry.com")),
            ("registry.com:5000", Some("https://my.registry.com:5000")),
            ("rawregistry.com", Some("rawregistry.com")),
            ("com", None),
            ("gistry.com", None),
            ("a.rawregistry.com", None),
            ("my.registry.com:443", None),
        ] {
            assert_eq!(closest(&keys, registry, ""), wins, "{registry}");
        }
    }

    #[test]
    fn an_entry_is_for_its_host_and_parents_of_two_labels() {
        for (host, names) in [
            ("google.com", &["google.com"][..]),
            ("top.google.com", &["top.google.com", "google.com"]),
            ("top.google.com:443", &["top.google.com:443", "google.com:443"]),
            ("a.b.google.com", &["a.b.google.com", "b.google.com", "google.com"]),
            ("docker", &["docker"]),
            ("", &[]),
            ("10.0.0.1:5000", &["10.0.0.1:5000"]),
            ("[::1]:5000", &["[::1]:5000"]),
            ("localhost:5000", &["localhost:5000"]),
        ] {
            let all = [
                "google.com",
                "google.com:443",
                "top.google.com",
                "top.google.com:443",
                "b.google.com",
                "a.b.google.com",
                "com",
                "com:443",
                "docker",
                "10.0.0.1:5000",
                "0.1:5000",
                "1:5000",
                "[::1]:5000",
                "localhost:5000",
                "5000",
            ];
            let key = Key::new(host);
            for name in all {
                let is = key.distance(name, "").is_some();
                assert_eq!(is, names.contains(&name), "{host} for {name}");
            }
        }
    }

    #[test]
    fn of_several_entries_the_closest_wins() {
        for (keys, registry, wins) in [
            (&["a.r.example", "r.example"][..], "r.example", "r.example"),
            (&["a.b.r.example", "c.r.example"], "r.example", "c.r.example"),
            (&["b.r.example", "a.r.example"], "r.example", "a.r.example"),
            (&["https://r.example/v1/", "r.example"], "r.example", "r.example"),
            (
                &["https://r.example/v2/", "https://r.example/v1/"],
                "r.example",
                "https://r.example/v1/",
            ),
            (&["R.Example", "x.r.example"], "r.example", "R.Example"),
            (
                &["docker.io", "https://index.docker.io/v1/"],
                "docker.io",
                "https://index.docker.io/v1/",
            ),
            (&["docker.io", "hub.docker.com"], "docker.io", "hub.docker.com"),
            (&["docker.io", "registry-1.docker.io"], "docker.io", "docker.io"),
            (&["index.docker.io/v1/", "docker.io"], "", "index.docker.io/v1/"),
        ] {
            assert_eq!(closest(keys, registry, ""), Some(wins), "{keys:?} for {registry}");
        }
    }

    #[test]
    fn an_entry_with_a_path_is_for_what_is_below_and_the_longest_wins() {
        let keys = ["r.example", "r.example/team", "r.example/team/app", "x.r.example/other"];
        for (repository, wins) in [
            ("other", "r.example"),
            ("team", "r.example/team"),
            ("teams/app", "r.example"),
            ("team/tool", "r.example/team"),
            ("team/app", "r.example/team/app"),
            ("team/app/part", "r.example/team/app"),
            ("", "r.example"),
        ] {
            assert_eq!(closest(&keys, "r.example", repository), Some(wins), "{repository}");
        }
        assert_eq!(closest(&["r.example/team"], "r.example", "other"), None);
        assert!(
            Key::new("docker.io").is("docker.io") && !Key::new("docker.io/team").is("docker.io")
        );
    }
}
