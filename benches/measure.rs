//! Contenders in turn, and what their times say.

use std::time::Duration;

/// Rounds that warm the caches and do not count, back to back and apart: those come after.
const WARM_UP: [usize; 2] = [5, 1];

/// How often the rounds are drawn again for an interval.
const DRAWS: usize = 500;

/// What one measurement took, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) time: f64,
    /// CPU time of the contender and of the processes that it awaited, where it knows that.
    pub(crate) cpu: Option<f64>,
}

impl From<f64> for Took {
    fn from(time: f64) -> Took {
        Took { time, cpu: None }
    }
}

type Take<'a> = Box<dyn FnMut() -> Result<Took, String> + 'a>;

/// One contender of a row.
pub(crate) struct Turn<'a> {
    pub(crate) name: String,
    /// The names of the contenders that its times are divided by.
    pub(crate) against: Vec<String>,
    take: Result<Take<'a>, String>,
    /// One who may be missing leaves an empty cell; without the others the run is worth nothing.
    may_miss: bool,
    pub(crate) times: Vec<f64>,
    pub(crate) cpu: Vec<f64>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new<T: Into<Took>>(
        name: impl Into<String>,
        against: &[&str],
        mut take: impl FnMut() -> Result<T, String> + 'a,
    ) -> Turn<'a> {
        let take: Take<'a> = Box::new(move || take().map(Into::into));
        let against = against.iter().map(|name| (*name).to_owned()).collect();
        Turn {
            name: name.into(),
            against,
            take: Ok(take),
            may_miss: false,
            times: Vec::new(),
            cpu: Vec::new(),
        }
    }

    /// One whom this host may lack.
    pub(crate) fn peer(self) -> Turn<'a> {
        Turn { may_miss: true, ..self }
    }

    /// One whose times were taken elsewhere.
    pub(crate) fn taken(name: impl Into<String>, times: Vec<f64>) -> Turn<'a> {
        let mut turn = Turn::new(name, &[], || Err::<f64, _>("is not asked".to_owned()));
        turn.times = times;
        turn
    }

    /// An empty cell, and why it is empty.
    pub(crate) fn missing(name: impl Into<String>, why: impl Into<String>) -> Turn<'a> {
        let (name, take) = (name.into(), Err(why.into()));
        Turn { name, against: Vec::new(), take, may_miss: true, times: Vec::new(), cpu: Vec::new() }
    }

    pub(crate) fn why_missing(&self) -> Option<&str> {
        self.take.as_ref().err().map(String::as_str)
    }

    fn take(&mut self, counts: bool) {
        let Ok(take) = &mut self.take else { return };
        match take() {
            Ok(took) if counts => {
                self.times.push(took.time);
                self.cpu.extend(took.cpu);
            }
            Ok(_) => {}
            Err(why) if self.may_miss => self.take = Err(why),
            Err(why) => panic!("{}: {why}", self.name),
        }
    }
}

/// Every contender in turn, nobody always behind the same neighbour.
pub(crate) fn interleave(turns: &mut [Turn], spacing: Duration, rounds: usize) {
    for turn in turns.iter_mut() {
        turn.times.clear();
        turn.cpu.clear();
    }
    let warm_up = WARM_UP[usize::from(!spacing.is_zero())];
    for round in 0..rounds + warm_up {
        for at in 0..turns.len() {
            let turn = &mut turns[(at + round) % turns.len()];
            if turn.take.is_ok() {
                std::thread::sleep(spacing);
                turn.take(round >= warm_up);
            }
        }
    }
}

pub(crate) fn quantile(times: &[f64], part: f64) -> f64 {
    let mut times = times.to_vec();
    let at = ((times.len() - 1) as f64 * part).round() as usize;
    *times.select_nth_unstable_by(at, f64::total_cmp).1
}

/// One contender's times divided by another's.
#[derive(Clone, Debug)]
pub(crate) struct Ratio {
    pub(crate) to: String,
    /// Of the medians, with a bootstrap 95 % interval.
    pub(crate) p50: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Of the 99th percentiles.
    pub(crate) p99: f64,
}

impl Ratio {
    pub(crate) fn of(times: &[f64], base: &[f64], to: &str) -> Ratio {
        // A small xorshift is random enough to draw rounds again.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |from: &[f64]| {
            let pick = |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                from[(state % from.len() as u64) as usize]
            };
            quantile(&(0..from.len()).map(pick).collect::<Vec<_>>(), 0.5)
        };
        let drawn: Vec<f64> = (0..DRAWS).map(|_| draw(times) / draw(base)).collect();
        Ratio {
            to: to.to_owned(),
            p50: quantile(times, 0.5) / quantile(base, 0.5),
            low: quantile(&drawn, 0.025),
            high: quantile(&drawn, 0.975),
            p99: quantile(times, 0.99) / quantile(base, 0.99),
        }
    }
}
