//! A contender in a process of its own, behind a pair of pipes: a request and its answer are a line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::measure::Took;

pub(crate) struct Contender {
    child: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
}

impl Contender {
    pub(crate) fn start(command: &mut Command) -> Contender {
        // Ctrl-C is for the run alone: whoever is left then sees its input end, and cleans up.
        command.process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let ask = child.stdin.take();
        let answer = BufReader::new(child.stdout.take().unwrap());
        Contender { child, ask, answer }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The numbers that it answers with.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<f64>, String> {
        let ask = self.ask.as_mut().ok_or("has been let go")?;
        writeln!(ask, "{request}").map_err(|error| format!("takes no request: {error}"))?;
        let mut line = String::new();
        self.answer.read_line(&mut line).map_err(|error| format!("gives no answer: {error}"))?;
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        match numbers {
            Ok(numbers) if !line.is_empty() => Ok(numbers),
            _ if line.is_empty() => Err("has ended".to_owned()),
            _ => Err(line.trim().to_owned()),
        }
    }

    /// The time and the CPU time that it answers with.
    pub(crate) fn measure(&mut self, request: &str) -> Result<Took, String> {
        match self.ask(request)?[..] {
            [time, cpu] => Ok(Took { time, cpu: Some(cpu) }),
            _ => Err("answers no two numbers".to_owned()),
        }
    }
}

impl Drop for Contender {
    /// The end of its input ends it.
    fn drop(&mut self) {
        self.ask.take();
        let _ = self.child.wait();
    }
}
