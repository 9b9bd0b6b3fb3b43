//! What can be asked of a run on the command line.

pub(crate) const USAGE: &str = "\
scripts/bench [GROUP...] [--rounds N] [--spaced N] [--quick]
  --rounds N   measurements of each contender back to back [default: 200]
  --spaced N   ... and 80 ms apart [default: 40]
  --quick      a fifth of both, and the smaller sizes only
groups: start peers [default: all]";

/// What is compared with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    Start,
    Peers,
}

const GROUPS: [(&str, Group); 2] = [("start", Group::Start), ("peers", Group::Peers)];

#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) groups: Vec<Group>,
    /// Back to back.
    pub(crate) rounds: usize,
    /// 80 ms apart.
    pub(crate) spaced: usize,
}

impl Args {
    pub(crate) fn parse(words: &[String]) -> Result<Args, String> {
        let mut args = Args { groups: Vec::new(), rounds: 200, spaced: 40 };
        let (mut rounds, mut spaced) = (None, None);
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
                "--quick" => (args.rounds, args.spaced) = (40, 8),
                name => match GROUPS.iter().find(|(known, _)| *known == name) {
                    Some((_, group)) => args.groups.push(*group),
                    None => return Err(format!("{name:?} is no group and no option")),
                },
            }
        }
        if args.groups.is_empty() {
            args.groups = GROUPS.map(|(_, group)| group).to_vec();
        }
        args.rounds = rounds.unwrap_or(args.rounds);
        args.spaced = spaced.unwrap_or(args.spaced);
        Ok(args)
    }
}
