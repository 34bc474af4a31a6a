//! Blanking out what is not code, so that a word in a comment or a string is not taken for one.

/// The same text with blanks for comments and for what strings and characters hold. Lines stay where they are, and so
/// do the quotation marks of strings.
pub fn mask(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let after_word = at > 0 && (characters[at - 1].is_alphanumeric() || characters[at - 1] == '_');
        let (length, quoted) = if rest.starts_with(&['/', '/']) {
            (line_comment(rest), false)
        } else if rest.starts_with(&['/', '*']) {
            (block_comment(rest), false)
        } else if let Some(length) = raw_string(rest).filter(|_| !after_word) {
            (length, true)
        } else if rest[0] == '"' {
            (string(rest), true)
        } else if let Some(length) = character(rest) {
            (length, false)
        } else {
            masked.push(rest[0]);
            at += 1;
            continue;
        };
        for (index, &character) in rest[..length].iter().enumerate() {
            let mark = quoted && (index == 0 || index == length - 1);
            masked.push(match character {
                '\n' => '\n',
                _ if mark => '"',
                _ => ' ',
            });
        }
        at += length;
    }
    masked
}

fn line_comment(rest: &[char]) -> usize {
    rest.iter().position(|&character| character == '\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a string such as `r#"..."#`, `br"..."` or `cr"..."`.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = usize::from(matches!(rest[0], 'b' | 'c'));
    if rest.get(prefix) != Some(&'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|&&character| character == '#').count();
    let open = prefix + 1 + hashes;
    if rest.get(open) != Some(&'"') {
        return None; // An identifier, which may be raw itself: `r#type`.
    }
    let mut at = open + 1;
    while at < rest.len() {
        let closes =
            rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        if closes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(rest.len())
}

/// The length of a character such as `'a'` or `'\n'`; nothing for a lifetime.
fn character(rest: &[char]) -> Option<usize> {
    if rest[0] != '\'' {
        return None;
    }
    match rest.get(1)? {
        '\\' => {
            // The character after the backslash may be a quote itself.
            let end = rest.iter().skip(3).position(|&character| character == '\'')?;
            Some(end + 4)
        }
        _ if rest.get(2) == Some(&'\'') => Some(3),
        _ => None,
    }
}
