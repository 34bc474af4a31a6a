//! Enough of a shell for the transcript: commands behind one another, quotes, and three variables.

use std::collections::HashMap;

/// How a command hangs on the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    Always,
    Success,
}

/// The simple commands of a line, each with its words; variables are expanded.
pub fn commands(line: &str, variables: &HashMap<&str, String>) -> Vec<(After, Vec<String>)> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quoted, mut after) = (None, After::Always);
    let mut rest = line;
    let end_word = |word: &mut Option<String>, words: &mut Vec<String>| words.extend(word.take());
    while let Some(c) = rest.chars().next() {
        if quoted != Some('\'') && c == '$' {
            let (value, len) = expand(rest, variables);
            word.get_or_insert_default().push_str(&value);
            rest = &rest[len..];
            continue;
        }
        let len = if quoted.is_none() && rest.starts_with("&&") { 2 } else { c.len_utf8() };
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (None, '"' | '\'') => {
                quoted = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => end_word(&mut word, &mut words),
            (None, ';' | '&') if c == ';' || len == 2 => {
                end_word(&mut word, &mut words);
                all.push((after, std::mem::take(&mut words)));
                after = if c == '&' { After::Success } else { After::Always };
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
        rest = &rest[len..];
    }
    end_word(&mut word, &mut words);
    all.push((after, words));
    all.retain(|(_, words)| !words.is_empty());
    all
}

/// The value of what stands at the begin of `text`, and how long that is.
fn expand(text: &str, variables: &HashMap<&str, String>) -> (String, usize) {
    let value = |name: &str| variables.get(name).unwrap_or_else(|| panic!("no variable {name}")).clone();
    if let Some(inner) = text.strip_prefix("${") {
        let end = inner.find('}').expect("a closed brace");
        let inner = &inner[..end];
        // A suffix or prefix of two characters is cut off: all that the transcript does.
        let value = if let Some(name) = inner.strip_suffix("%??") {
            let whole = value(name);
            whole[..whole.len() - 2].to_owned()
        } else if let Some(name) = inner.strip_suffix("#??") {
            value(name)[2..].to_owned()
        } else {
            value(inner)
        };
        return (value, end + 3);
    }
    let name: String = if text.starts_with("$?") {
        "?".into()
    } else {
        text[1..].chars().take_while(char::is_ascii_alphanumeric).collect()
    };
    (value(&name), name.len() + 1)
}
