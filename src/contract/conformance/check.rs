//! The list of checks, and running them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::scene::Verdict;
use super::{
    Capability, Harness, closing, dropping, freezing, images, options, outcomes, signals, stages,
    stdio, waiting,
};

type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// One thing that a driver has to do.
#[derive(Clone, Copy)]
pub struct Check {
    name: &'static str,
    needs: &'static [Capability],
    run: for<'a> fn(&'a dyn Harness) -> Running<'a>,
}

impl Check {
    /// How long a check may take before it has failed.
    pub const LIMIT: Duration = Duration::from_secs(30);

    /// The check's function: its module and name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The first thing that the harness's driver can't do and this check needs.
    #[must_use]
    pub fn lacks(&self, harness: &dyn Harness) -> Option<Capability> {
        self.needs.iter().copied().find(|need| !harness.can(*need))
    }

    /// Runs it, whatever the harness says that its driver can do.
    pub async fn run(&self, harness: &dyn Harness) -> Result<(), Failure> {
        let failure = |reason| Failure { check: self.name, reason };
        match tokio::time::timeout(Check::LIMIT, (self.run)(harness)).await {
            Ok(verdict) => verdict.map_err(|reason| failure(reason.to_string())),
            Err(_) => Err(failure(format!("not done after {} s", Check::LIMIT.as_secs()))),
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A check that a driver didn't pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The check's name.
    pub check: &'static str,
    /// What it saw.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.reason)
    }
}

impl std::error::Error for Failure {}

/// What came of all checks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// The names of those that passed.
    pub passed: Vec<&'static str>,
    /// The names of those that weren't run, and what the driver can't do.
    pub skipped: Vec<(&'static str, Capability)>,
}

/// Every check that a driver didn't pass; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failures {
    /// In the order of the list.
    pub failures: Vec<Failure>,
    /// What came of the others.
    pub report: Report,
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, passed) = (self.failures.len(), self.report.passed.len());
        write!(f, "{failed} of {} checks failed", failed + passed)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

impl std::error::Error for Failures {}

/// Runs all checks, one after the other, but for those that need what the driver can't do.
pub async fn run_all(harness: &dyn Harness) -> Result<Report, Failures> {
    let mut report = Report::default();
    let mut failures = Vec::new();
    for check in checks() {
        if let Some(lack) = check.lacks(harness) {
            report.skipped.push((check.name, lack));
            continue;
        }
        match check.run(harness).await {
            Ok(()) => report.passed.push(check.name),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(report) } else { Err(Failures { failures, report }) }
}

/// The list, from `module::function` and what it needs.
macro_rules! list {
    ($($module:ident::$name:ident $([$need:ident])?),* $(,)?) => {
        vec![$(Check {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: &[$(Capability::$need)?],
            run: |harness| Box::pin($module::$name(harness)),
        }),*]
    };
}

/// All checks.
#[must_use]
pub fn checks() -> Vec<Check> {
    list![
        stages::the_states_follow_the_stages,
        stages::a_configured_container_has_no_task,
        stages::a_ready_image_is_no_container,
        stages::a_container_without_a_task_has_nothing_to_freeze,
        stages::a_task_is_not_started_twice,
        stages::a_task_that_ended_is_left_alone,
        stages::a_closed_container_refuses_everything,
        stages::validation_may_be_repeated,
        stages::creation_may_be_repeated,
        stages::a_start_returns_before_the_end,
        stages::a_retry_policy_without_sense_is_refused,
        images::a_missing_image_wants_a_pull[MissingImage],
        images::an_image_with_volumes_is_refused_each_time[ImageWithVolume],
        options::what_a_wrapper_changes_stays,
        options::what_a_wrapper_changes_reaches_the_task,
        options::a_made_container_has_no_options,
        outcomes::code_zero_is_success,
        outcomes::another_code_is_an_error_with_the_code,
        outcomes::a_signal_counts_as_128_and_its_number,
        outcomes::sigkill_is_killed_and_not_out_of_memory,
        outcomes::want_of_memory_is_killed_and_says_so[MemoryLimit],
        outcomes::the_facts_about_the_end_are_told,
        waiting::every_wait_gives_the_same_result,
        waiting::a_deadline_gives_timeout,
        waiting::a_cancellation_gives_cancelled,
        waiting::a_code_beats_a_dead_context,
        waiting::success_before_the_cancellation_stays_success,
        waiting::the_task_outlives_the_context,
        waiting::a_start_under_a_dead_context_leaves_nothing,
        stdio::the_task_reads_to_the_end_and_is_heard,
        stdio::the_streams_are_live_while_the_task_runs,
        stdio::a_lot_of_data_arrives_whole,
        stdio::the_two_outputs_are_kept_apart,
        stdio::no_streams_are_no_trouble,
        stdio::a_writer_that_fails_is_the_result,
        stdio::a_reader_that_fails_is_the_result,
        stdio::a_writer_is_shut_down_at_the_end,
        stdio::a_writer_that_never_writes_does_not_hang_a_wait,
        signals::sigterm_ends_with_143,
        signals::a_signal_that_does_not_exist_is_refused,
        signals::a_stop_ends_as_the_signal_does,
        signals::a_stop_kills_what_is_deaf,
        signals::a_stop_that_is_cut_short_kills_nothing,
        signals::a_frozen_task_can_be_stopped[Freeze],
        freezing::a_frozen_task_does_nothing_until_it_is_thawed[Freeze],
        freezing::freezing_what_is_frozen_is_refused[Freeze],
        freezing::freezing_what_has_ended_is_refused[Freeze],
        freezing::a_wait_for_a_frozen_task_ends_with_its_context[Freeze],
        closing::a_container_can_be_closed_at_every_stage,
        closing::a_frozen_container_can_be_closed[Freeze],
        closing::two_tasks_may_close_at_once,
        closing::a_pending_wait_returns_when_the_container_is_closed,
        closing::a_close_that_is_cut_short_goes_on,
        closing::an_id_is_free_again_after_close,
        closing::two_containers_cannot_share_an_id,
        closing::containers_without_an_id_do_not_collide,
        closing::a_closed_driver_refuses_new_cookies_only,
        dropping::preparing_can_be_dropped,
        dropping::a_pull_can_be_dropped[MissingImage],
        dropping::a_start_can_be_dropped,
        dropping::a_wait_can_be_dropped,
        dropping::freezing_can_be_dropped[Freeze],
        dropping::signalling_can_be_dropped,
        dropping::closing_can_be_dropped,
        dropping::a_dropped_cookie_closes_itself,
    ]
}
