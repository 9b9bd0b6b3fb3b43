//! What can be asked of a run on the command line.

pub(crate) const USAGE: &str = "\
scripts/bench [GROUP...] [--rounds N] [--spaced N] [--quick] [--drift SECONDS] [--record]
  GROUP        of these, all by default:
    start        cold starts against the floor: limits, network, filter
    peers        runc, crun, youki and the program on one bundle
    scale        the embedder's memory, live cells, mounts of the host
    control      freeze, thaw, kill, close, a measurement, against bare system calls
    throughput   starts a second with 1 to 32 in flight
    memory       what an idle cell costs
    containment  what filters, capabilities, masks and ids of its own add
    engines      hotcell-oci, runc and crun as an engine starts them
    contract     whole lives through the contract; measuring 200 idle cells
    images       unpacking, finding and starting from images
    pull         pulling from a registry on this host
  --rounds N   measurements of each contender back to back [default: 200]
  --spaced N   ... and 80 ms apart [default: 40]
  --quick      30 and 5, and smaller sizes
  --drift S    throughput only: eight in flight for S seconds (60 or more), the first tenth against
               the last
  --record     write the figures of docs/performance.md and docs/performance.svg anew";

/// What is compared with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    Start,
    Peers,
    Scale,
    Control,
    Throughput,
    Memory,
    Containment,
    Engines,
    Contract,
    Images,
    Pull,
}

const GROUPS: [(&str, Group); 11] = [
    ("start", Group::Start),
    ("peers", Group::Peers),
    ("scale", Group::Scale),
    ("control", Group::Control),
    ("throughput", Group::Throughput),
    ("memory", Group::Memory),
    ("containment", Group::Containment),
    ("engines", Group::Engines),
    ("contract", Group::Contract),
    ("images", Group::Images),
    ("pull", Group::Pull),
];

#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) groups: Vec<Group>,
    /// Back to back.
    pub(crate) rounds: usize,
    /// 80 ms apart.
    pub(crate) spaced: usize,
    /// Smaller sizes only.
    pub(crate) quick: bool,
    /// Instead of the levels of throughput: one level for so many seconds.
    pub(crate) drift: Option<usize>,
}

impl Args {
    pub(crate) fn parse(words: &[String]) -> Result<Args, String> {
        let mut groups = Vec::new();
        let (mut rounds, mut spaced, mut drift, mut quick) = (None, None, None, false);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().ok_or(format!("{word} wants a number"))?;
                let number = value.parse().ok().filter(|number| *number > 0);
                number.ok_or(format!("{word} wants a number above 0, not {value:?}"))
            };
            match word.as_str() {
                "--rounds" => rounds = Some(number()?),
                "--spaced" => spaced = Some(number()?),
                "--drift" => match number()? {
                    seconds @ 60.. => drift = Some(seconds),
                    few => return Err(format!("--drift wants 60 seconds or more, not {few}")),
                },
                "--quick" => quick = true,
                name => match GROUPS.iter().find(|(known, _)| *known == name) {
                    Some((_, group)) => groups.push(*group),
                    None => return Err(format!("{name:?} is no group and no option")),
                },
            }
        }
        if drift.is_some() && groups.is_empty() {
            groups = vec![Group::Throughput];
        }
        if groups.is_empty() {
            groups = GROUPS.map(|(_, group)| group).to_vec();
        }
        let default = if quick { (30, 5) } else { (200, 40) };
        let (rounds, spaced) = (rounds.unwrap_or(default.0), spaced.unwrap_or(default.1));
        Ok(Args { groups, rounds, spaced, quick, drift })
    }
}
