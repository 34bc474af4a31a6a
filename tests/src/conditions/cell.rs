//! One command under one condition: run, and held against what must be.

use std::fs;
use std::time::Duration;

use super::place::Place;
use super::rows::{Effect, Row};
use super::{Condition, LIMIT, Outcome, Run, Verdict, run, verdict};

/// What only a message of udm's has.
const LOG: [&str; 4] = ["udm: ", "TRACE ", "DEBUG ", " INFO "];

/// What a command does where nothing is bad.
pub struct Ordinary {
    /// How many lines it prints.
    lines: usize,
    /// The file `out`, where it makes one.
    out: Option<Vec<u8>>,
    /// How long it takes.
    pub took: Duration,
}

/// A row of the table, with its files.
pub struct Cells<'a> {
    /// The command.
    pub row: &'a Row,
    /// Its files.
    pub place: &'a mut Place,
    /// The program with its first words.
    pub program: &'a [&'a str],
    /// How long a run may take.
    pub limit: Duration,
}

impl<'a> Cells<'a> {
    /// Those of a command of udm's.
    pub fn new(row: &'a Row, place: &'a mut Place, program: &'a [&'a str]) -> Self {
        Self { row, place, program, limit: LIMIT }
    }

    /// The command where nothing is bad.
    ///
    /// # Errors
    /// Where it fails all the same.
    pub fn ordinary(&mut self) -> Result<Ordinary, String> {
        let outcome = self.run(Condition::Ordinary);
        let lines = lines(&outcome.stdout);
        let ordinary = Ordinary { lines, out: fs::read(self.place.path("out")).ok(), took: outcome.took };
        match self.check(&outcome, Condition::Ordinary, &ordinary)? {
            Verdict::Done => Ok(ordinary),
            end => Err(format!("{end:?}: {}", outcome.stderr)),
        }
    }

    /// Runs it under a condition, and holds the end and the files against what must be.
    ///
    /// # Errors
    /// What is wrong.
    pub fn cell(&mut self, condition: Condition, ordinary: &Ordinary) -> Result<Verdict, String> {
        let outcome = self.run(condition);
        let checked = self.check(&outcome, condition, ordinary);
        checked.map_err(|why| {
            format!("udm {}, {condition:?}: {why}; stderr: {}", self.row.name, outcome.stderr.trim())
        })
    }

    fn run(&mut self, condition: Condition) -> Outcome {
        self.place.reset();
        if let Effect::Controls(before) = self.row.effect {
            self.place.serve();
            for words in before {
                self.place.udm(&[&["dm", "@control"], *words].concat());
            }
        }
        let socket = matches!(self.row.effect, Effect::Serves).then(|| self.place.socket());
        let what = Run {
            program: self.program,
            words: &self.row.words(self.place),
            temporary: self.place.temporary(),
            socket: socket.as_deref(),
            limit: self.limit,
        };
        run(what, condition)
    }

    fn check(&self, outcome: &Outcome, condition: Condition, ordinary: &Ordinary) -> Result<Verdict, String> {
        let verdict = verdict(outcome, condition)?;
        // Who ends for want of memory has none for tidying up.
        let tidies = !matches!(condition, Condition::Memory(_));
        if tidies && fs::read_dir(self.place.temporary()).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err("it leaves temporary files".into());
        }
        let files = self.place.files();
        let changed = self.place.changed();
        for name in &changed {
            let bytes = files.get(name).ok_or_else(|| format!("the file {name} is gone"))?;
            let text = String::from_utf8_lossy(bytes);
            if LOG.iter().any(|part| text.contains(part)) {
                return Err(format!("a message is in the file {name}"));
            }
        }
        self.check_files(verdict, &changed, ordinary)?;
        if verdict == Verdict::Done {
            self.check_output(outcome, condition, ordinary)?;
        }
        Ok(verdict)
    }

    /// What the command has changed is what it is for, and either done or as good as before.
    fn check_files(&self, verdict: Verdict, changed: &[String], ordinary: &Ordinary) -> Result<(), String> {
        let is_done = verdict == Verdict::Done;
        let may_change = |name: &String| match self.row.effect {
            Effect::Makes => name == "out" || (!is_done && name.starts_with("out.udm-")),
            Effect::Changes { file, .. } => name == file,
            _ => false,
        };
        if let Some(name) = changed.iter().find(|name| !may_change(name)) {
            return Err(format!("the file {name} was changed"));
        }
        match self.row.effect {
            Effect::Makes => {
                let out = fs::read(self.place.path("out")).ok();
                if (is_done || out.is_some()) && out != ordinary.out {
                    return Err("the file that it makes is not whole".into());
                }
            }
            // A backup may restore what is there.
            Effect::Changes { .. }
                if is_done && changed.is_empty() && !self.row.name.ends_with("restore") =>
            {
                return Err("nothing was done".into());
            }
            Effect::Changes { done, .. } if is_done && !done(self.place) => {
                return Err("it was not done right".into());
            }
            Effect::Changes { kept, .. } if !is_done && !kept(self.place) => {
                return Err("something is lost".into());
            }
            Effect::Controls(_) if !self.place.is_served() => return Err("the server is gone".into()),
            _ => {}
        }
        Ok(())
    }

    /// What was printed is there.
    fn check_output(
        &self,
        outcome: &Outcome,
        condition: Condition,
        ordinary: &Ordinary,
    ) -> Result<(), String> {
        let printing = matches!(self.row.effect, Effect::Prints | Effect::Measures | Effect::Controls(_));
        let prints = printing && ordinary.lines > 0;
        if prints && !condition.has_stdout() {
            return Err("exit status 0, and its output is lost".into());
        }
        // Without memory some cipher drivers do not work, which the list of them says in lines of its own.
        let varies = matches!(self.row.effect, Effect::Measures) || matches!(condition, Condition::Memory(_));
        let has_all =
            if varies { !outcome.stdout.is_empty() } else { lines(&outcome.stdout) == ordinary.lines };
        if prints && !has_all {
            return Err("not all of its output is there".into());
        }
        if matches!(self.row.effect, Effect::Serves) && !outcome.greeted {
            return Err("it has served nobody".into());
        }
        Ok(())
    }
}

fn lines(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}
