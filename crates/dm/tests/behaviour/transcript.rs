//! The transcript of a kernel: commands, what each printed, its exit status, and the kernel's log.

use std::path::Path;

/// One command with what came of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it stands, from 1.
    pub line: usize,
    pub command: String,
    pub output: Vec<String>,
    pub status: i32,
    pub log: Vec<String>,
}

/// All of its commands, in order.
pub fn read() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/behaviour.txt");
    let text = std::fs::read_to_string(path).expect("the transcript");
    let mut entries: Vec<Entry> = Vec::new();
    // What the lines belong to: a command goes on where a quote is open.
    let mut ended = true;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("## ")
            || (line.is_empty() && ended)
            || entries.is_empty() && !line.starts_with("$ ")
        {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            let command = command.to_owned();
            entries.push(Entry {
                line: number + 1,
                command,
                output: Vec::new(),
                status: -1,
                log: Vec::new(),
            });
            ended = false;
            continue;
        }
        let entry = entries.last_mut().expect("a command comes first");
        if let Some(log) = line.strip_prefix("| ") {
            entry.log.push(log.to_owned());
        } else if let Some(status) = line.strip_prefix("= ") {
            entry.status = status.parse().expect("an exit status");
            ended = true;
        } else if entry.command.matches('"').count() % 2 == 1 {
            entry.command.push('\n');
            entry.command.push_str(line);
        } else {
            entry.output.push(line.to_owned());
        }
    }
    assert!(entries.iter().all(|entry| entry.status >= 0), "a command without a status");
    entries
}
