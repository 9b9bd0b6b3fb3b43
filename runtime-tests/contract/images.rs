//! Containers made of images: what a task finds, what stays in the store meanwhile, and what goes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcell::contract::{Config, Cookie, Driver, ErrorKind, State, Status, Task, TaskBuilder};
use hotcell::image::store::{Error, Removal, Store, StoreOptions};
use hotcell::native::NativeDriver;
use oci_spec::runtime::Spec;

use super::tools::{PATIENCE, background, created, driver_with, finished, on_runtime, output};
use crate::bed::{Bed, listing};
use crate::host::image;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_5_an_image_is_missing_until_it_is_loaded, Cells, Images),
        test!(row_5_an_image_with_volumes_is_refused_every_time, Cells, Images),
        test!(a_volume_that_is_allowed_can_be_written_to, Cells, Images),
        test!(row_7_an_image_that_lost_its_name_has_vanished, Cells, Images),
        test!(row_7_an_image_without_its_files_has_vanished, Cells, Images),
        test!(an_image_stays_as_long_as_a_container_uses_it, Cells, Images),
        test!(a_name_that_moves_takes_no_container_along, Cells, Images),
        test!(row_40_a_task_gets_what_the_image_says_where_it_says_nothing, Cells, Images),
        test!(row_41_the_user_is_the_images_only_if_it_may_be, Cells, Images),
        test!(changes_of_the_options_count_more_than_the_image, Cells, Images),
        test!(a_command_that_is_no_name_fails_the_run, Cells, Images),
        test!(a_hundred_layers_are_one_root, Cells, Images),
        test!(images_serve_tasks_with_ids_of_their_own, Cells, Images),
        test!(names_that_can_be_none_are_refused, Cells),
        test!(tasks_of_directories_make_no_store, Cells, Busybox),
        test!(row_57_the_load_file_is_loaded_or_the_driver_fails, Cells, Images),
        test!(row_58_an_image_too_many_goes_when_nobody_uses_it, Cells, Images),
        test!(row_59_an_exempt_image_stays, Cells, Images),
    ]
}

/// A driver that begins with an image, and fn's defaults otherwise.
fn driver_of(bed: &Bed, name: &str) -> NativeDriver {
    driver_with(bed, loading(name))
}

fn loading(name: &str) -> Config {
    let file = image(name, "docker.tar").to_str().unwrap().to_owned();
    Config { docker_load_file: file, ..Config::default() }
}

fn store(bed: &Bed) -> Store {
    Store::open(bed.options().image_dir, StoreOptions::default()).unwrap()
}

fn of(name: &str) -> TaskBuilder {
    Task::builder(format!("hotcell/{name}"))
}

/// A task that runs a script, which the image's shell reads from its standard input.
fn sh(name: &str, script: &str) -> TaskBuilder {
    of(name).command("sh").input(std::io::Cursor::new(script.as_bytes().to_vec()))
}

async fn cookie(driver: &dyn Driver, task: TaskBuilder) -> Box<dyn Cookie> {
    driver.create_cookie(&background(), Arc::new(task.build())).await.unwrap()
}

#[track_caller]
fn is_kind(error: &hotcell::contract::Error, kind: ErrorKind, status: u16) {
    assert_eq!((error.kind(), error.http_status()), (kind, status), "{}", error.chain());
}

fn row_5_an_image_is_missing_until_it_is_loaded(bed: &Bed) {
    on_runtime(async {
        let driver = driver_with(bed, Config::default());
        let cookie = cookie(&driver, sh("busybox", "echo $0; ls /etc/passwd")).await;
        for _ in 0..2 {
            assert!(cookie.validate_image(&background()).await.unwrap());
        }
        let error = cookie.create_container(&background()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongStage);
        // By another driver of the same store, as another process would.
        drop(driver_of(bed, "busybox"));
        for _ in 0..2 {
            assert!(!cookie.validate_image(&background()).await.unwrap());
            assert_eq!(cookie.state(), State::ImageReady);
        }
        cookie.pull_image(&background()).await.unwrap();
        cookie.create_container(&background()).await.unwrap();
        let wait = cookie.run(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        assert!(!cookie.validate_image(&background()).await.unwrap(), "it was there");
        cookie.close(&background()).await.unwrap();
        // By every form of its name.
        for name in ["hotcell/busybox:latest", "docker.io/hotcell/busybox"] {
            let (_, out, _) = output(&driver, Task::builder(name).command("echo hello")).await;
            assert_eq!(out, "hello\n", "{name}");
        }
    });
}

fn row_5_an_image_with_volumes_is_refused_every_time(bed: &Bed) {
    on_runtime(async {
        let driver = driver_of(bed, "volume");
        let cookie = cookie(&driver, of("volume").command("true")).await;
        for _ in 0..3 {
            let error = cookie.validate_image(&background()).await.unwrap_err();
            is_kind(&error, ErrorKind::ImageWithVolume, 400);
            assert!(error.to_string().contains("\"/data\""), "{error}");
            let error = cookie.create_container(&background()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongStage);
        }
        cookie.close(&background()).await.unwrap();
    });
}

fn a_volume_that_is_allowed_can_be_written_to(bed: &Bed) {
    on_runtime(async {
        for read_only in [true, false] {
            let allowed = Config {
                image_enable_volume: true,
                enable_readonly_rootfs: read_only,
                disable_unprivileged_containers: true,
                ..loading("volume")
            };
            let driver = driver_with(bed, allowed);
            let script = "echo in > /data/x && cat /data/x; touch /x 2>/dev/null; ls -d /x";
            let (_, out, _) = output(&driver, sh("volume", script)).await;
            assert_eq!(out, if read_only { "in\n" } else { "in\n/x\n" });
            let own = bed.path("own");
            let _ = std::fs::create_dir(&own);
            let task = sh("volume", "ls /data").volume(own.to_str().unwrap(), "/data");
            let (_, out, _) = output(&driver, task).await;
            assert_eq!(out, "", "a volume of the task's in its place");
        }
    });
}

fn row_7_an_image_that_lost_its_name_has_vanished(bed: &Bed) {
    on_runtime(async {
        let driver = driver_of(bed, "busybox");
        let cookie = cookie(&driver, of("busybox").command("true")).await;
        assert!(!cookie.validate_image(&background()).await.unwrap());
        store(bed).remove("hotcell/busybox", Removal::Forced).unwrap();
        let error = cookie.create_container(&background()).await.unwrap_err();
        is_kind(&error, ErrorKind::ServerBusy, 503);
        assert!(error.is_retryable() && !error.is_function_error());
        assert!(cookie.validate_image(&background()).await.unwrap(), "and so it is missing");
        cookie.close(&background()).await.unwrap();
    });
}

fn row_7_an_image_without_its_files_has_vanished(bed: &Bed) {
    on_runtime(async {
        let driver = driver_of(bed, "busybox");
        let cookie = cookie(&driver, of("busybox").command("true")).await;
        assert!(!cookie.validate_image(&background()).await.unwrap());
        std::fs::remove_dir_all(bed.options().image_dir.join("layers")).unwrap();
        let error = cookie.create_container(&background()).await.unwrap_err();
        is_kind(&error, ErrorKind::ServerBusy, 503);
        cookie.close(&background()).await.unwrap();
    });
}

fn an_image_stays_as_long_as_a_container_uses_it(bed: &Bed) {
    on_runtime(async {
        let driver = driver_of(bed, "busybox");
        let remove = || store(bed).remove("hotcell/busybox", Removal::Careful);
        let (cookie, other) = (
            cookie(&driver, of("busybox").command("true")).await,
            cookie(&driver, of("busybox").command("true")).await,
        );
        assert!(!cookie.validate_image(&background()).await.unwrap());
        assert!(!other.validate_image(&background()).await.unwrap());
        assert!(matches!(remove(), Err(Error::InUse(_))));
        other.close(&background()).await.unwrap();
        assert!(matches!(remove(), Err(Error::InUse(_))));
        cookie.create_container(&background()).await.unwrap();
        let wait = cookie.run(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        assert!(matches!(remove(), Err(Error::InUse(_))), "it has not been closed");
        cookie.close(&background()).await.unwrap();
        assert_eq!(remove().unwrap().deleted.len(), 1);
    });
}

fn a_name_that_moves_takes_no_container_along(bed: &Bed) {
    on_runtime(async {
        let driver = driver_of(bed, "busybox");
        drop(driver_of(bed, "volume"));
        let task = sh("busybox", "true");
        let cookie = cookie(&driver, task).await;
        assert!(!cookie.validate_image(&background()).await.unwrap());
        let store = store(bed);
        let other = store.resolve("hotcell/volume").unwrap().unwrap();
        let name = "hotcell/busybox".parse().unwrap();
        store.tag(&other, &name, hotcell::image::store::Taken::Replaced).unwrap();
        // It was found, and is what runs; asked again, the name means the other.
        cookie.create_container(&background()).await.unwrap();
        cookie.close(&background()).await.unwrap();
        let again = super::images::cookie(&driver, sh("busybox", "true")).await;
        let error = again.validate_image(&background()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageWithVolume);
        again.close(&background()).await.unwrap();
    });
}

fn row_40_a_task_gets_what_the_image_says_where_it_says_nothing(bed: &Bed) {
    on_runtime(async {
        let driver = driver_of(bed, "python");
        let said = async |task: TaskBuilder| {
            let (result, out, err) = output(&driver, task).await;
            assert_eq!(result.status(), Status::Success, "{result:?} {err}");
            out
        };
        assert_eq!(said(of("python")).await, "hello world 1000 /function\n");
        let task = of("python").command("a b").env("GREETING", "bye").work_dir("/usr");
        assert_eq!(said(task).await, "bye a b 1000 /usr\n");
    });
}

fn row_41_the_user_is_the_images_only_if_it_may_be(bed: &Bed) {
    on_runtime(async {
        let off = Config { disable_unprivileged_containers: true, ..loading("python") };
        let (result, out, err) = output(&driver_with(bed, off), of("python")).await;
        assert_eq!(result.status(), Status::Success, "{result:?} {err}");
        assert_eq!(out, "hello world 65534 /function\n");
        let (_, out, _) = output(&driver_of(bed, "python"), of("python")).await;
        assert_eq!(out, "hello world 1000 /function\n");
    });
}

fn changes_of_the_options_count_more_than_the_image(bed: &Bed) {
    fn change(spec: &mut Spec) {
        let process = spec.process_mut().as_mut().unwrap();
        process.env_mut().as_mut().unwrap().push("GREETING=changed".to_owned());
    }
    on_runtime(async {
        let driver = driver_of(bed, "python");
        let out = super::tools::Sink::default();
        // Before the image is known, and after.
        for early in [true, false] {
            let cookie = cookie(&driver, of("python").stdout(out.clone())).await;
            if early {
                change(&mut cookie.container_options().unwrap());
            }
            assert!(!cookie.validate_image(&background()).await.unwrap());
            if !early {
                change(&mut cookie.container_options().unwrap());
            }
            cookie.create_container(&background()).await.unwrap();
            let wait = cookie.run(&background()).await.unwrap();
            wait.wait(&background()).await;
            cookie.close(&background()).await.unwrap();
        }
        assert_eq!(out.text(), "changed world 1000 /function\n".repeat(2));
        let cookie = cookie(&driver, of("python").stdout(out.clone())).await;
        {
            let mut options = cookie.container_options().unwrap();
            let process = options.process_mut().as_mut().unwrap();
            process.set_args(Some(["echo", "a  b"].map(str::to_owned).into()));
        }
        assert!(!cookie.validate_image(&background()).await.unwrap());
        cookie.create_container(&background()).await.unwrap();
        cookie.run(&background()).await.unwrap().wait(&background()).await;
        cookie.close(&background()).await.unwrap();
        assert!(out.text().ends_with("\na  b\n"), "{}", out.text());
    });
}

fn a_command_that_is_no_name_fails_the_run(bed: &Bed) {
    on_runtime(async {
        // It has one: the shell, which reads its end at once.
        let driver = driver_of(bed, "busybox");
        assert_eq!(finished(&driver, of("busybox")).await.status(), Status::Success);
        let cookie = cookie(&driver, of("busybox")).await;
        {
            let mut options = cookie.container_options().unwrap();
            let process = options.process_mut().as_mut().unwrap();
            process.set_args(Some(vec![String::new()]));
        }
        assert!(!cookie.validate_image(&background()).await.unwrap());
        cookie.create_container(&background()).await.unwrap();
        let error = cookie.run(&background()).await.err().unwrap();
        assert!(!error.chain().contains('\n'), "{}", error.chain());
        cookie.close(&background()).await.unwrap();
    });
}

fn a_hundred_layers_are_one_root(bed: &Bed) {
    on_runtime(async {
        let driver = driver_of(bed, "hundred");
        let lowers = store(bed).resolve("hotcell/hundred").unwrap().unwrap().lowers();
        assert!(lowers.names.len() <= 8, "{lowers:?}");
        let before = listing(&lowers.dir);
        for read_only in [true, false] {
            let config = Config { enable_readonly_rootfs: read_only, ..Config::default() };
            let driver = driver_with(bed, config);
            let script = "ls / | grep -c . ; grep -c lower /proc/self/mountinfo";
            let (result, out, err) = output(&driver, sh("hundred", script)).await;
            assert_eq!(result.status(), Status::Success, "{err}");
            assert!(out.ends_with("\n1\n"), "{out}");
        }
        assert_eq!(listing(&lowers.dir), before);
        drop(driver);
    });
}

fn images_serve_tasks_with_ids_of_their_own(bed: &Bed) {
    on_runtime(async {
        drop(driver_of(bed, "python"));
        let mut options = bed.options();
        options.user_namespace = hotcell::bundle::UserNamespace::Auto;
        for read_only in [true, false] {
            let config = Config { enable_readonly_rootfs: read_only, ..Config::default() };
            let driver = NativeDriver::open(config, options.clone()).unwrap();
            let (result, out, err) = output(&driver, of("python")).await;
            assert_eq!(result.status(), Status::Success, "{result:?} {err}");
            assert_eq!(out, "hello world 1000 /function\n");
        }
    });
}

fn names_that_can_be_none_are_refused(bed: &Bed) {
    on_runtime(async {
        let driver = driver_with(bed, Config::default());
        for name in ["Upper/case", "a b", "../x", "-", "a@sha256:0", "/"] {
            let cookie = cookie(&driver, Task::builder(name).command("true")).await;
            let error = cookie.validate_image(&background()).await.unwrap_err();
            is_kind(&error, ErrorKind::InvalidTask, 400);
            cookie.close(&background()).await.unwrap();
        }
    });
}

fn tasks_of_directories_make_no_store(bed: &Bed) {
    on_runtime(async {
        let driver = driver_with(bed, Config::default());
        finished(&driver, super::tools::command("true")).await;
        assert!(!bed.options().image_dir.exists());
        drop(driver);
    });
}

fn row_57_the_load_file_is_loaded_or_the_driver_fails(bed: &Bed) {
    let opened = |path: &Path| {
        let file = path.to_str().unwrap().to_owned();
        let config = Config { docker_load_file: file, ..Config::default() };
        NativeDriver::open(config, bed.options())
    };
    let truncated = bed.path("truncated.tar");
    let whole = std::fs::read(image("busybox", "docker.tar")).unwrap();
    std::fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    on_runtime(async {
        for bad in [truncated.as_path(), Path::new("/missing.tar"), Path::new("/dev/null")] {
            let error = opened(bad).err().unwrap();
            is_kind(&error, ErrorKind::InvalidConfig, 500);
            let text = error.chain();
            assert!(text.starts_with("docker_load_file: ") && !text.contains('\n'), "{text}");
            assert!(text.contains(bad.to_str().unwrap()), "{text}");
        }
        assert!(store(bed).images().unwrap().is_empty());
        for form in ["docker.tar", "oci.tar.gz", "docker25.tar", "oci"] {
            let driver = opened(&image("busybox", form)).unwrap();
            let (_, out, _) = output(&driver, of("busybox").command("echo hello")).await;
            assert_eq!(out, "hello\n", "{form}");
        }
    });
}

/// Waits until only these images are left.
async fn are_left(bed: &Bed, names: &[&str]) {
    let names: Vec<_> = names.iter().map(|name| format!("hotcell/{name}:latest")).collect();
    let left = || {
        let images = store(bed).images().unwrap();
        let all = images.iter().flat_map(|image| image.names.iter().map(|name| name.familiar()));
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    };
    let deadline = Instant::now() + PATIENCE;
    while left() != names {
        assert!(Instant::now() < deadline, "{:?} are left, not {names:?}", left());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn row_58_an_image_too_many_goes_when_nobody_uses_it(bed: &Bed) {
    on_runtime(async {
        for name in ["busybox", "volume", "corners"] {
            drop(driver_of(bed, name));
        }
        let driver = driver_with(bed, Config::default());
        let used = created(&driver, of("busybox").command("true")).await;
        // One byte is too much: all goes but what is in use, here by another driver.
        let cleaning = Config { image_clean_max_size: 1, ..Config::default() };
        let cleaner = driver_with(bed, cleaning);
        are_left(bed, &["busybox"]).await;
        let ours = created(&cleaner, of("busybox").command("true")).await;
        used.close(&background()).await.unwrap();
        are_left(bed, &["busybox"]).await;
        let wait = ours.run(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Success);
        are_left(bed, &["busybox"]).await;
        ours.close(&background()).await.unwrap();
        are_left(bed, &[]).await;
        cleaner.close().await.unwrap();
    });
}

fn row_59_an_exempt_image_stays(bed: &Bed) {
    on_runtime(async {
        for name in ["busybox", "volume"] {
            drop(driver_of(bed, name));
        }
        // Letter by letter, as under fn: the second is no name that an image is listed under.
        let exempt = "hotcell/busybox:latest hotcell/volume".to_owned();
        let config = Config {
            image_clean_max_size: 1,
            image_clean_exempt_tags: exempt,
            ..Config::default()
        };
        let cleaner = driver_with(bed, config);
        are_left(bed, &["busybox"]).await;
        finished(&cleaner, of("busybox").command("true")).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        are_left(bed, &["busybox"]).await;
    });
}
