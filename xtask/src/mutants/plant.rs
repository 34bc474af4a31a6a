//! Planting: a function gets a second body for each mutant that is in it, and a switch chooses the body as it runs.
//!
//! So one build holds all mutants. The source is as rustfmt writes it: a function ends at the first `}` below it that stands
//! as far to the right as the line of its name.

use anyhow::{Context, Result, ensure};

use super::Mutant;

/// What the switch is called in the copy of the block layer, on which every crate stands.
pub const SWITCH: &str = "mutants::is_on";

/// The module with the switch, for the end of the block layer's `lib.rs`. The variable holds a mutant's number.
pub const MODULE: &str = r#"
#[doc(hidden)]
pub mod mutants {
    static CHOSEN: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();

    pub fn is_on(number: u32) -> bool {
        let read = || std::env::var("UDM_MUTANT").ok().and_then(|text| text.parse().ok());
        *CHOSEN.get_or_init(read) == Some(number)
    }
}
"#;

/// The body of a function: the bytes between its braces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Body {
    begin: usize,
    end: usize,
}

/// `source` with a body for each of `mutants`, which are numbered; `switch` is the path of the function that is asked.
///
/// # Errors
/// When a text is not there once, or is in no function.
pub fn plant(source: &str, mutants: &[(u32, &Mutant)], switch: &str) -> Result<String> {
    let mut bodies: Vec<(Body, String)> = Vec::new();
    for (number, mutant) in mutants {
        let (body, mutated) = mutant.body(source)?;
        let branch = format!("if {switch}({number}) {{{mutated}}} else ");
        match bodies.iter_mut().find(|(other, _)| *other == body) {
            Some((_, branches)) => branches.push_str(&branch),
            None => bodies.push((body, branch)),
        }
    }
    bodies.sort_by_key(|(body, _)| body.begin);
    let (mut planted, mut at) = (String::new(), 0);
    for (body, branches) in bodies {
        ensure!(body.begin >= at, "two mutants are in functions of which one is in the other");
        planted += &source[at..body.begin];
        planted += &[&*branches, "{", &source[body.begin..body.end], "}"].concat();
        at = body.end;
    }
    Ok(planted + &source[at..])
}

impl Mutant {
    /// The body of the function that the fault is in, and what it is with the fault.
    fn body(&self, source: &str) -> Result<(Body, String)> {
        let mutated = self.mutated(source)?;
        let same = self.find.bytes().zip(self.replace.bytes()).take_while(|(a, b)| a == b).count();
        let at = source.find(self.find).unwrap_or(0) + same;
        let body = enclosing(source, at)
            .with_context(|| format!("the mutant \"{}\" is in no function of {}", self.name, self.file))?;
        let end = body.end + mutated.len() - source.len();
        Ok((body, mutated[body.begin..end].to_owned()))
    }
}

/// The innermost function with the byte `at` in its body.
fn enclosing(source: &str, at: usize) -> Option<Body> {
    let mut lines = Vec::new();
    let mut begin = 0;
    for line in source.split_inclusive('\n') {
        lines.push((begin, line.trim_end()));
        begin += line.len();
    }
    let of = lines.iter().rposition(|(begin, _)| *begin <= at)?;
    (0..=of).rev().filter(|index| is_function(lines[*index].1)).find_map(|index| {
        let indent = indent(lines[index].1);
        let same = |line: &str| !line.is_empty() && indent == self::indent(line);
        let opens = (index..lines.len()).find(|index| {
            let (_, line) = lines[*index];
            same(line) && line.ends_with('{')
        })?;
        let closes = (opens + 1..lines.len()).find(|index| lines[*index].1 == format!("{:indent$}}}", ""))?;
        let (begin, end) = (lines[opens].0 + lines[opens].1.len(), lines[closes].0);
        (begin <= at && at < end).then_some(Body { begin, end })
    })
}

/// Whether a line has the name of a function whose body may be chosen as it runs.
fn is_function(line: &str) -> bool {
    let words = line.split_whitespace().take_while(|word| !word.contains("fn("));
    let mut words =
        words.skip_while(|word| word.starts_with("pub") || word.ends_with(')') || *word == "unsafe");
    words.next() == Some("fn")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::super::Build;
    use super::*;

    const fn mutant(find: &'static str, replace: &'static str) -> Mutant {
        Mutant { name: "m", file: "f.rs", find, replace, build: Build::Model, test: "t", says: "s" }
    }

    const SOURCE: &str = "\
impl Sum {
    pub(super) unsafe fn of(
        a: u8,
    ) -> u8 {
        if a == 0 {
            return 7;
        }
        a + 1
    }

    fn other() -> u8 {
        2
    }
}
";

    #[test]
    fn a_function_gets_a_body_for_each_of_its_mutants() {
        let (one, two) = (mutant("return 7", "return 8"), mutant("a + 1", "a + 2"));
        let three = mutant("fn other() -> u8 {\n        2", "fn other() -> u8 {\n        3");
        let planted = plant(SOURCE, &[(4, &one), (5, &two), (6, &three)], "on").unwrap();
        let body = |seven: &str, sum: &str| {
            format!("{{\n        if a == 0 {{\n            {seven};\n        }}\n        {sum}\n}}")
        };
        let (one, two) = (body("return 8", "a + 1"), body("return 7", "a + 2"));
        let sound = body("return 7", "a + 1");
        let first =
            format!(") -> u8 {{if on(4) {one} else if on(5) {two} else {sound}    }}\n\n    fn other");
        assert!(planted.contains(&first), "{planted}");
        let second = "fn other() -> u8 {if on(6) {\n        3\n} else {\n        2\n}    }\n}\n";
        assert!(planted.ends_with(second), "{planted}");
    }

    #[test]
    fn a_text_in_no_function_is_an_error() {
        let error = plant("const A: u8 = 1;\n", &[(0, &mutant("1", "2"))], "on").unwrap_err();
        assert!(error.to_string().contains("in no function of f.rs"), "{error}");
    }

    #[test]
    fn a_text_that_is_gone_or_stands_twice_is_an_error() {
        for (find, count) in [("a - 1", "0 times"), ("u8", "3 times")] {
            let error = plant(SOURCE, &[(0, &mutant(find, "b"))], "on").unwrap_err().to_string();
            assert!(error.contains(count) && error.contains("f.rs"), "{error}");
        }
    }
}
