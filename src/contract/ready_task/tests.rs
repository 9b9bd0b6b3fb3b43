//! Hooks are wrapped and streams given away as the task promises.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn hooks_are_wrapped_from_the_inside_out() {
    let task = Task::builder("rootfs:/").build();
    let order = Arc::new(Mutex::new(Vec::new()));
    for name in ["inner", "outer"] {
        let order = Arc::clone(&order);
        let taken = task.wrap_before_call(Box::new(move |old| {
            Arc::new(move |context, call, extensions| {
                order.lock().unwrap().push((name, call.id.clone()));
                old(context, call, extensions)
            })
        }));
        assert!(taken);
    }
    let call = Call { id: "c1".into(), ..Call::default() };
    let context = Context::background();
    task.before_call(&context, &call, &CallExtensions::new()).await.unwrap();
    task.after_call(&context, &call, &CallExtensions::new()).await.unwrap();
    let seen: Vec<_> = order.lock().unwrap().iter().map(|(name, _)| *name).collect();
    assert_eq!(seen, ["outer", "inner"]);
}

#[test]
fn close_may_be_wrapped_and_called_again() {
    let task = Task::builder("rootfs:/").build();
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let taken = task.wrap_close(Box::new(move |old| {
        Arc::new(move || {
            old();
            counter.fetch_add(1, Ordering::Relaxed);
        })
    }));
    assert!(taken);
    task.close();
    task.close();
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn a_wrap_may_use_the_task_it_wraps() {
    let task = Arc::new(Task::builder("rootfs:/").build());
    let count = Arc::new(AtomicU32::new(0));
    for _ in 0..2 {
        let (own, counter) = (Arc::clone(&task), Arc::clone(&count));
        let taken = task.wrap_close(Box::new(move |old| {
            own.close();
            Arc::new(move || {
                old();
                counter.fetch_add(1, Ordering::Relaxed);
            })
        }));
        assert!(taken);
    }
    assert_eq!(count.load(Ordering::Relaxed), 1, "the second wrap has called the first");
}

#[test]
fn wraps_from_many_threads_are_all_there() {
    let task = Task::builder("rootfs:/").build();
    let count = Arc::new(AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let counter = Arc::clone(&count);
                assert!(task.wrap_close(Box::new(move |old| {
                    std::thread::yield_now();
                    Arc::new(move || {
                        counter.fetch_add(1, Ordering::Relaxed);
                        old();
                    })
                })));
            });
        }
    });
    task.close();
    assert_eq!(count.load(Ordering::Relaxed), 8);
}

/// A task that is asked nothing but its image.
struct Plain;

impl ContainerTask for Plain {
    fn image(&self) -> String {
        "rootfs:/".into()
    }
}

#[test]
fn a_task_that_takes_no_hooks_says_so() {
    let hooks =
        [Plain.wrap_before_call(Box::new(|old| old)), Plain.wrap_after_call(Box::new(|old| old))];
    assert_eq!((Plain.wrap_close(Box::new(|old| old)), hooks), (false, [false; 2]));
}

#[tokio::test]
async fn streams_are_given_away_once_and_fail_from_then_on() {
    let task = Task::builder("rootfs:/").input(&b"x"[..]).stderr(tokio::io::sink()).build();
    assert!(task.input().is_some());
    let (stdout, stderr) = task.logger();
    assert!(stdout.is_none() && stderr.is_some());
    for _ in 0..2 {
        let error = task.input().unwrap().read_u8().await.unwrap_err();
        assert_eq!(error.to_string(), "the task's standard input was given to an earlier cookie");
        let (stdout, stderr) = task.logger();
        assert!(stdout.is_none(), "there never was one");
        let mut stderr = stderr.unwrap();
        for error in [stderr.write_u8(0).await, stderr.flush().await, stderr.shutdown().await] {
            let text = error.unwrap_err().to_string();
            assert_eq!(text, "the task's standard error was given to an earlier cookie");
        }
    }
}
