//! The program's commands about registries: what is pulled, who is asked for it, what is kept and shown.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio as Pipes};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{Bed, Ran};
use crate::host::image;
use crate::registry::{Content, Door, On, Registry, Rule, Setting};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_is_pulled_is_told_listed_and_run, Cells, Images),
        test!(a_tag_beside_a_digest_moves_no_name, Cells, Images),
        test!(run_pulls_what_it_is_told_to, Cells, Images),
        test!(who_is_known_is_kept_in_dockers_file_and_shown_to_the_registry, Cells, Images),
        test!(a_helper_keeps_what_it_is_given, Cells, Images),
        test!(a_mirror_is_asked_first_and_never_shown_the_registrys_password, Cells, Images),
        test!(a_pull_that_is_interrupted_leaves_nothing, Cells, Images),
        test!(a_pull_that_is_to_ignore_interrupts_goes_on, Cells, Images),
        test!(what_is_wrong_with_files_and_registries_is_one_line, Cells),
    ]
}

const NAME: &str = "team/busybox";

fn content() -> Content {
    let mut content = Content::default();
    content.layout(NAME, "latest", &image("busybox", "oci"));
    content
}

/// The name of the image in this registry.
fn name(registry: &Registry) -> String {
    format!("{}/{NAME}", registry.address())
}

impl Bed {
    /// The program for somebody without credentials of their own.
    fn stranger(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.command(verb, args);
        for name in ["FN_DOCKER_AUTH", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "HOTCELL_REGISTRIES"]
        {
            command.env_remove(name);
        }
        command.env("HOME", self.path("home"));
        command
    }

    fn asks(&self, verb: &str, args: &[&str]) -> Ran {
        Ran::from(self.stranger(verb, args).output().unwrap())
    }

    /// With a text on standard input.
    fn types(&self, text: &str, command: &mut Command) -> Ran {
        command.stdin(Pipes::piped()).stdout(Pipes::piped()).stderr(Pipes::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }

    fn kept(&self) -> Value {
        let text = fs::read(self.path("home/.docker/config.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

#[track_caller]
fn refused(ran: &Ran, what: &str) {
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.err.contains(what) && ran.err.lines().count() == 1, "{ran:?}");
    assert!(ran.out.is_empty(), "{ran:?}");
}

/// What may be shown when a pull is told on no terminal.
#[track_caller]
fn went_well(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

fn what_is_pulled_is_told_listed_and_run(bed: &Bed) {
    let registry = Registry::plain(content());
    let name = name(&registry);
    let pulled = bed.asks("pull", &[&name]);
    let digest = {
        let index = fs::read(image("busybox", "oci").join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(pulled.out, format!("Pulled image: {name}:latest\nDigest: {digest}\n"));
    let lines: Vec<_> = pulled.err.lines().collect();
    assert!(lines[0].starts_with("layer 1 of 1: downloaded ("), "{lines:?}");
    assert!(lines[1].starts_with("layer 1 of 1: unpacked ("), "{lines:?}");
    assert_eq!(lines[2..], ["writing to the disk"]);
    assert_eq!(bed.asks("run", &["--network", "none", &name, "echo", "here"]).ok(), "here\n");

    // What is here is not asked for again, but for what the name means now.
    registry.forget();
    let quiet = bed.asks("pull", &["-q", &name]).ok();
    assert_eq!(quiet, format!("{name}:latest\n"));
    assert_eq!(registry.count(&On::Blob), 0);
    let json = went_well(bed.asks("pull", &["--format", "json", &format!("{name}@{digest}")]));
    let object: Value = serde_json::from_str(&json).unwrap();
    let id = fs::read_to_string(image("busybox", "id")).unwrap();
    assert_eq!(object["id"], id.trim());
    let names = object["names"].as_array().unwrap();
    assert!(names.contains(&json!(format!("{name}:latest"))), "{object}");

    let other = bed.asks("pull", &["--platform", "linux/s390x", &name]);
    assert_eq!(other.code, Some(125), "{other:?}");
    assert!(other.err.contains("linux/s390x"), "{other:?}");
}

fn a_tag_beside_a_digest_moves_no_name(bed: &Bed) {
    let mut content = content();
    let old = content.layout(NAME, "old", &image("layers", "oci"));
    let registry = Registry::plain(content);
    let name = name(&registry);
    went_well(bed.asks("pull", &["-q", &name]));
    let id = |name: &str| {
        let text = went_well(bed.asks("image", &["inspect", name]));
        let images: Value = serde_json::from_str(&text).unwrap();
        images[0]["id"].as_str().unwrap().to_owned()
    };
    let before = id(&name);
    // Whoever may pull it could give an old image the tag of the new one.
    let both = format!("{name}:latest@{old}");
    went_well(bed.asks("pull", &["-q", &both]));
    assert_eq!(id(&name), before);
    for text in [&both, &format!("{name}@{old}")] {
        assert_ne!(id(text), before);
    }
}

fn run_pulls_what_it_is_told_to(bed: &Bed) {
    let registry = Registry::plain(content());
    let name = name(&registry);
    let run = |flags: &[&str]| {
        registry.forget();
        let ran = bed.asks("run", &[flags, &[&name, "echo", "here"]].concat());
        (ran, registry.count(&On::Manifest))
    };
    let (never, asked) = run(&["--pull", "never"]);
    refused(&never, &format!("no such image: {name}"));
    assert_eq!((asked, registry.met()), (0, 0));
    let (missing, asked) = run(&["--quiet"]);
    assert_eq!((missing.ok().as_str(), asked), ("here\n", 1));
    for flags in [&["--pull", "missing"][..], &["--pull=never"], &[]] {
        let (there, asked) = run(flags);
        assert_eq!((there.ok().as_str(), asked), ("here\n", 0));
    }
    let (always, asked) = run(&["-q", "--pull", "always"]);
    assert_eq!((always.ok().as_str(), asked), ("here\n", 1));

    drop(registry);
    let away = bed.asks("run", &["-q", "--pull", "always", &name, "echo", "here"]);
    refused(&away, &name[..name.find('/').unwrap()]);
    assert_eq!(bed.asks("run", &[&name, "echo", "here"]).ok(), "here\n");
}

fn who_is_known_is_kept_in_dockers_file_and_shown_to_the_registry(bed: &Bed) {
    let registry = Registry::plain(content());
    registry.guard(Door::Basic { user: "me".into(), password: "hunter2".into() });
    let (name, host) = (name(&registry), registry.address().to_string());
    let stranger = bed.asks("pull", &["-q", &name]);
    refused(&stranger, &host);
    let login = |password: &str| {
        let args = ["-u", "me", "--password-stdin", &host];
        bed.types(password, &mut bed.stranger("login", &args))
    };
    let wrong = login("hunter3\n");
    refused(&wrong, &host);
    assert!(!bed.path("home").exists(), "{wrong:?}");
    let right = login("hunter2\n");
    assert_eq!(right.out, format!("Logged in to {host} as me\n"), "{right:?}");
    for ran in [&stranger, &wrong, &right] {
        assert!(!ran.err.contains("hunter"), "{ran:?}");
    }
    assert_eq!(bed.kept(), json!({"auths": {&*host: {"auth": "bWU6aHVudGVyMg=="}}}));
    let file = bed.path("home/.docker/config.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(bed.asks("pull", &["-q", &name]).ok(), format!("{name}:latest\n"));

    assert_eq!(bed.asks("logout", &[&host]).ok(), format!("Logged out of {host}\n"));
    assert_eq!(bed.asks("logout", &[&host]).ok(), format!("Not logged in to {host}\n"));
    assert_eq!(bed.kept(), json!({"auths": {}}));
    refused(&bed.asks("pull", &["-q", &name]), &host);

    // The variable stands above the file.
    let variable = json!({ &*host: {"username": "me", "password": "hunter2"} }).to_string();
    let mut command = bed.stranger("pull", &["-q", &name]);
    assert_eq!(
        Ran::from(command.env("FN_DOCKER_AUTH", variable).output().unwrap()).ok(),
        format!("{name}:latest\n")
    );
}

/// A helper as Docker's: one file for each registry.
const HELPER: &str = r#"#!/bin/sh
cd "$KEPT" || exit 1
echo "$1" >> calls
case $1 in
store) text=$(cat); file=$(printf %s "$text" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/'); printf %s "$text" > "${file##*/}";;
get) read -r file || true; cat "${file##*/}" 2>/dev/null || { echo credentials not found in native keychain; exit 1; };;
erase) read -r file || true; rm "${file##*/}" 2>/dev/null || { echo "no such thing"; exit 1; };;
esac
"#;

fn a_helper_keeps_what_it_is_given(bed: &Bed) {
    let registry = Registry::plain(content());
    registry.guard(Door::Basic { user: "me".into(), password: "hunter2".into() });
    let (name, host) = (name(&registry), registry.address().to_string());
    for dir in ["bin", "kept", "home/.docker"] {
        fs::create_dir_all(bed.path(dir)).unwrap();
    }
    let program = bed.path("bin/docker-credential-test");
    fs::write(&program, HELPER).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let file = bed.path("home/.docker/config.json");
    fs::write(&file, r#"{"credsStore":"test","detachKeys":"ctrl-x"}"#).unwrap();
    let path = format!("{}:/usr/bin:/bin", bed.path("bin").display());
    let with = |verb: &str, args: &[&str]| {
        let mut command = bed.stranger(verb, args);
        command.env("PATH", &path).env("KEPT", bed.path("kept"));
        command
    };
    let ran = |mut command: Command| Ran::from(command.output().unwrap());

    let args = ["-u", "me", "--password-stdin", &host];
    let login = bed.types("hunter2", &mut with("login", &args));
    assert_eq!(login.out, format!("Logged in to {host} as me\n"), "{login:?}");
    assert!(login.err.contains("docker-credential-test keeps the password"), "{login:?}");
    assert_eq!(bed.kept()["auths"], json!({ &*host: {} }));
    assert_eq!(bed.kept()["detachKeys"], "ctrl-x");
    assert_eq!(ran(with("pull", &["-q", &name])).ok(), format!("{name}:latest\n"));
    assert_eq!(ran(with("logout", &[&host])).ok(), format!("Logged out of {host}\n"));
    assert_eq!(bed.kept()["auths"], json!({}));
    refused(&ran(with("pull", &["-q", &name])), &host);
    let calls = fs::read_to_string(bed.path("kept/calls")).unwrap();
    assert_eq!(calls.lines().collect::<Vec<_>>(), ["store", "get", "get", "erase", "get"]);

    // One that fails ends the pull, and one that is missing.
    fs::write(&program, "#!/bin/sh\necho the safe is locked\nexit 1\n").unwrap();
    refused(&ran(with("pull", &["-q", &name])), "the safe is locked");
    fs::remove_file(&program).unwrap();
    refused(&ran(with("pull", &["-q", &name])), "docker-credential-test");
}

fn a_mirror_is_asked_first_and_never_shown_the_registrys_password(bed: &Bed) {
    let mirror = Registry::plain(content());
    let registry = Registry::plain(content());
    registry.guard(Door::Basic { user: "me".into(), password: "hunter2".into() });
    let (name, host) = (name(&registry), registry.address().to_string());
    let settings = json!({"registries": {&*host: {
        "mirrors": [format!("http://{}", mirror.address())],
    }}});
    fs::write(bed.path("registries.json"), settings.to_string()).unwrap();
    let auths = json!({ &*host: {"username": "me", "password": "hunter2"} }).to_string();
    let file = bed.path("registries.json");
    let flag = ["--registries", file.to_str().unwrap()];
    let pull = || {
        let mut command = bed.stranger("pull", &[&flag[..], &["-q", &name]].concat());
        Ran::from(command.env("FN_DOCKER_AUTH", &auths).output().unwrap())
    };
    assert_eq!(pull().ok(), format!("{name}:latest\n"));
    assert_eq!(registry.met(), 0);
    assert!(mirror.count(&On::Blob) > 0);
    let shown = mirror.seen().iter().filter(|it| it.header("authorization").is_some()).count();
    assert_eq!(shown, 0);
    // A mirror that has it not is no obstacle.
    drop(mirror);
    bed.asks("rmi", &[&name]).ok();
    assert_eq!(pull().ok(), format!("{name}:latest\n"));
    assert!(registry.count(&On::Blob) > 0);
}

fn a_pull_that_is_interrupted_leaves_nothing(bed: &Bed) {
    let registry =
        Registry::start(([127, 0, 0, 1], 0), Setting { content: content(), ..Setting::default() });
    // Its configuration comes, its layer does not.
    registry.when(Rule::new(On::Blob, |_, right| right.stall(1000)).after(1));
    let name = name(&registry);
    // The store is there before, and empty.
    assert_eq!(bed.asks("image", &["check"]).ok(), "");
    let before = files(bed);
    let output = interrupted(bed.stranger("pull", &[&name]), libc::SIG_DFL, || {
        registry.count(&On::Blob) >= 2
    });
    assert_eq!(output.status.signal(), Some(2), "{output:?}");
    assert_eq!(files(bed), before);
    assert_eq!(bed.asks("image", &["check"]).ok(), "");
}

fn a_pull_that_is_to_ignore_interrupts_goes_on(bed: &Bed) {
    let registry =
        Registry::start(([127, 0, 0, 1], 0), Setting { content: content(), ..Setting::default() });
    let pause = Duration::from_millis(300);
    registry.when(Rule::new(On::Blob, move |_, right| right.slowly(256 << 10, pause)));
    let name = name(&registry);
    let output = interrupted(bed.stranger("pull", &["-q", &name]), libc::SIG_IGN, || {
        registry.count(&On::Blob) >= 2
    });
    assert!(output.status.success(), "{output:?}");
}

/// What comes of a command that starts with interrupts as told, and is interrupted when it is time.
fn interrupted(mut command: Command, how: usize, time: impl Fn() -> bool) -> Output {
    command.stdout(Pipes::piped()).stderr(Pipes::piped());
    // SAFETY: one call that may be made between fork and exec.
    #[allow(unsafe_code, reason = "std starts children with the signals that are ignored here")]
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGINT, how);
            Ok(())
        });
    }
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !time() {
        assert!(Instant::now() < deadline, "nobody asked for the blobs");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait_with_output().unwrap()
}

/// The files in the store.
fn files(bed: &Bed) -> Vec<String> {
    let mut all = Vec::new();
    let mut dirs = vec![bed.path("images")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            all.push(entry.path().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    all.sort();
    all
}

fn what_is_wrong_with_files_and_registries_is_one_line(bed: &Bed) {
    let registry = Registry::plain(Content::default());
    let name = name(&registry);
    let unknown = bed.asks("pull", &[&name]);
    refused(&unknown, "404");
    assert!(unknown.err.contains("manifest unknown"), "{unknown:?}");
    refused(&bed.asks("pull", &["UPPER/case"]), "UPPER/case");
    refused(&bed.asks("pull", &["--platform", "linux", "--platform", "a", &name]), "--platform");
    refused(&bed.asks("pull", &["--registries", "/no/such/file", &name]), "/no/such/file");
    let file = bed.path("registries.json");
    let flag = file.to_str().unwrap();
    fs::write(&file, r#"{"registries":{"r.example":{"plain_http":true}}}"#).unwrap();
    refused(
        &bed.asks("pull", &["--registries", flag, &name]),
        "registries.r.example.plain_http: is unknown here",
    );
    fs::create_dir_all(bed.path("home/.docker")).unwrap();
    let keys = bed.path("home/.docker/config.json");
    fs::write(&keys, r#"{"auths":{"r.example":{"auth":"hunter2!"}}}"#).unwrap();
    let ran = bed.asks("pull", &[&name]);
    refused(&ran, "config.json: auths.r.example: auth is no Base64");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    let host = registry.address().to_string();
    let none = bed.asks("login", &["-u", "me", &host]);
    refused(&none, "--password-stdin");
    refused(&bed.asks("login", &["--password-stdin", &host]), "--username");
    refused(&bed.asks("login", &["nothing"]), "nothing");
}
