//! The checks can fail: a driver with one flaw is found out, by a check with the right name.

use std::collections::BTreeSet;

use super::flawed::Flaw::{self, *};
use super::flawed::Flawed;
use super::{checks, run_all};

/// Each flaw, and a check that has to find it.
const FOUND_BY: [(Flaw, &str); 15] = [
    (ForgetsTheStage, "stages::a_container_without_a_task_has_nothing_to_freeze"),
    (PullsAtOnce, "stages::a_configured_container_has_no_task"),
    (FindsEveryImage, "images::a_missing_image_wants_a_pull"),
    (LosesOptions, "options::what_a_wrapper_changes_stays"),
    (PraisesEveryCode, "outcomes::another_code_is_an_error_with_the_code"),
    (IgnoresTheDeadline, "waiting::a_deadline_gives_timeout"),
    (LetsTheContextWin, "waiting::a_code_beats_a_dead_context"),
    (SwallowsStderr, "stdio::the_two_outputs_are_kept_apart"),
    (LosesShutdowns, "stdio::a_writer_is_shut_down_at_the_end"),
    (SwallowsSignals, "signals::sigterm_ends_with_143"),
    (NeverKills, "signals::a_stop_kills_what_is_deaf"),
    (IgnoresFreezeMisuse, "freezing::freezing_what_is_frozen_is_refused"),
    (ClosesLate, "closing::a_container_can_be_closed_at_every_stage"),
    (SharesIds, "closing::two_containers_cannot_share_an_id"),
    (KeepsDroppedCookies, "dropping::a_dropped_cookie_closes_itself"),
];

#[tokio::test(start_paused = true)]
async fn every_flaw_is_found_by_name() {
    for (flaw, check) in FOUND_BY {
        let failures = run_all(&Flawed(flaw)).await.expect_err(check).failures;
        let names: Vec<_> = failures.iter().map(|failure| failure.check).collect();
        assert!(names.contains(&check), "{flaw:?} is found by {names:?}");
        // Every check closes; the other flaws leave most checks alone.
        let few = names.len() < checks().len() / 2 || flaw == ClosesLate;
        assert!(few, "{flaw:?} is more than one flaw: {names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_wrapper_itself_has_no_flaw() {
    assert!(run_all(&Flawed(Nothing)).await.is_ok());
}

#[test]
fn every_module_of_checks_has_found_something() {
    let module = |name: &'static str| name.split("::").next().unwrap();
    let all: BTreeSet<_> = checks().iter().map(|check| module(check.name())).collect();
    let found: BTreeSet<_> = FOUND_BY.iter().map(|(_, check)| module(check)).collect();
    assert_eq!(all, found);
}
