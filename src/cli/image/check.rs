//! `hotcell image check`: whether the store is as it was left, and repairs.

use super::args::CheckArgs;
use super::open;
use crate::cli::{Code, Failure, print};
use crate::image::store::{Closely, Fate, Flaw, Repair};

/// Prints a line for each flaw. The code says whether one stays.
pub(super) fn check(args: &CheckArgs) -> Result<u8, Failure> {
    let closely = if args.all { Closely::Inside } else { Closely::Outside };
    let repair = if args.repair { Repair::Yes } else { Repair::No };
    let found = open(&args.store)?.check(closely, repair)?;
    print(&found.flaws.iter().map(line).collect::<String>())?;
    let stays = |flaw: &Flaw| matches!(flaw.fate, Fate::Found | Fate::Kept(_));
    Ok(if found.flaws.iter().any(stays) { Code::NotAble as u8 } else { 0 })
}

fn line(flaw: &Flaw) -> String {
    let fate = match &flaw.fate {
        Fate::Found => String::new(),
        Fate::Repaired => ": repaired".to_owned(),
        Fate::Removed => ": taken away".to_owned(),
        Fate::Kept(why) => format!(": kept, for {why}"),
    };
    // What lies in a store may be called anything; a flaw is one line, and drives no terminal.
    let line = format!("{}: {}{fate}", flaw.path.display(), flaw.why);
    format!("{}\n", line.replace(char::is_control, " "))
}
