//! Messages to the targets of a live table (`dmsetup message`): crypt's `key set` and `key wipe` (the kernel's
//! `crypt_message`).

use udm_block::{Sector, stack};

use super::ManagedDevice;
use super::error::{ManageError, Refusal, errno};
use super::state::{Loaded, State};
use crate::load::LoadError;
use crate::table::Table;
use crate::targets::MessageError;
use crate::targets::crypt::params::{CryptSpec, KeySpec};

/// What a crypt target is asked for.
enum KeyMessage<'a> {
    Set(&'a str),
    Wipe,
}

impl ManagedDevice {
    /// Gives the message `text` to the target that has `sector` of the live table. It may hold a key: whoever made it
    /// wipes it.
    ///
    /// `key set <key>` takes another key of the same size, in any form of a table's key word; `key wipe` wipes the
    /// row's key, after which the device cannot be resumed until one is set. Both want the device suspended. The first
    /// words are taken in any case. When `key wipe` returns, none of the key's bytes is left in memory that we own.
    ///
    /// # Errors
    /// When no target has that sector, it knows no such message, the device is not suspended, or the key is not taken:
    /// then the key is what it was.
    pub fn message(&self, sector: Sector, text: &str) -> Result<(), ManageError> {
        let _changing = self.change();
        let state = self.changeable()?;
        let row = row_of(&state, sector)?;
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let Some(message) = key_message(&state, row, &words)? else {
            drop(state);
            return self.tell_target(row, &words);
        };
        drop(state);
        match message {
            KeyMessage::Set(key) => stack::wiped(|| self.set_key(row, key)),
            KeyMessage::Wipe => {
                self.wipe_key(row);
                Ok(())
            }
        }
    }

    /// Sets the key of the live table's row number `row`. The device is suspended, and the caller changes it.
    fn set_key(&self, row: usize, text: &str) -> Result<(), ManageError> {
        let (mut table, devices) = {
            let state = self.state();
            let Some(live) = &state.live else { return Ok(()) };
            (live.table.clone(), live.devices.clone())
        };
        let Some(spec) = crypt_row(&table, row) else { return Ok(()) };
        let parsed = stack::wiped(|| KeySpec::parse(text, &spec.cipher));
        let key = parsed.map_err(|fault| Refusal::of_fault(&fault))?;
        if key.size() != spec.key.size() {
            let (found, had) = (key.size(), spec.key.size());
            let message = format!("the key has {found} bytes, and that of the table has {had}");
            return Err(Refusal::new(
                errno::EINVAL,
                message,
                "a table's key keeps its size: load another table",
            )
            .into());
        }
        table.rows[row] = table.rows[row].with_target(spec.with_key(key));
        if !table.has_wiped_key() {
            let mapped = self.build(&table, &devices).map_err(of_key)?;
            self.take_up(mapped);
        }
        let old = self.state().live.replace(Loaded { table, devices });
        drop(old);
        Ok(())
    }

    /// Wipes the key of the live table's row number `row`: the table's device goes with its ciphers, on all queues, and the
    /// table keeps the key's size alone.
    fn wipe_key(&self, row: usize) {
        self.take_away();
        if let Some(live) = &mut self.state().live
            && let Some(spec) = crypt_row(&live.table, row)
        {
            let wiped = spec.with_key(KeySpec::Wiped { size: spec.key.size() });
            live.table.rows[row] = live.table.rows[row].with_target(wiped);
        }
    }

    /// Gives a message to the target of the live table's row number `row`.
    fn tell_target(&self, row: usize, words: &[&str]) -> Result<(), ManageError> {
        let (mut index, mut answer) = (0, Err(MessageError::NotSupported));
        self.each_target(|target| {
            if index == row {
                answer = target.message(words);
            }
            index += 1;
        });
        let name = self.state().live.as_ref().map_or("", |live| live.table.rows[row].target.name());
        answer.map_err(|error| refusal_of(error, name).into())
    }
}

/// What is wrong with a key, without the place: the table's line is not what was typed.
fn of_key(error: LoadError) -> ManageError {
    match error {
        LoadError::Table(error) => {
            let code = error.kernel_reason().map_or(errno::EINVAL, |why| why.errno);
            Refusal::new(code, error.message(), error.hint()).into()
        }
        error => error.into(),
    }
}

/// The number of the live row that has `sector`.
fn row_of(state: &State, sector: Sector) -> Result<usize, Refusal> {
    let Some(live) = &state.live else {
        return Err(Refusal::new(errno::ENXIO, "the device has no live table", "resume it with a table"));
    };
    let row = live.table.rows.partition_point(|row| row.end() <= sector);
    if row < live.table.rows.len() {
        return Ok(row);
    }
    let message = format!("sector {sector} is behind the table's end");
    let hint = format!("name a sector below {}", live.table.sectors());
    Err(Refusal::new(errno::EINVAL, message, hint).with_log("Target message sector outside device."))
}

/// What crypt takes.
const KNOWN: &str = "crypt knows key set <key> and key wipe";

/// What the target `name` says of a message that it does not take.
fn refusal_of(error: MessageError, name: &str) -> Refusal {
    match error {
        MessageError::NotSupported => {
            Refusal::new(errno::EINVAL, format!("the target {name} takes no messages"), KNOWN)
        }
        MessageError::Refused { errno, message, hint } => Refusal::new(errno, message, hint),
    }
}

/// What `words` ask of a crypt row; nothing where the row is another target's. A key is a part of the table, which a
/// target does not change: so these messages are not the target's.
fn key_message<'a>(state: &State, row: usize, words: &[&'a str]) -> Result<Option<KeyMessage<'a>>, Refusal> {
    let Some(live) = &state.live else { return Ok(None) };
    if crypt_row(&live.table, row).is_none() {
        return Ok(None);
    }
    let is = |word: &str, known: &str| word.eq_ignore_ascii_case(known);
    let [first, rest @ ..] = words else {
        return Err(Refusal::new(errno::EINVAL, "the message is empty", KNOWN));
    };
    if is(first, "key") && !rest.is_empty() {
        if !state.suspended {
            let refusal =
                Refusal::new(errno::EINVAL, "a key is changed on a suspended device", "suspend it first");
            return Err(refusal.with_log("crypt: not suspended during key manipulation."));
        }
        match rest {
            [set, key] if is(set, "set") => return Ok(Some(KeyMessage::Set(key))),
            [wipe] if is(wipe, "wipe") => return Ok(Some(KeyMessage::Wipe)),
            _ => {}
        }
    }
    // What was typed may be a key in the wrong place: it is not repeated.
    let message = format!("crypt does not know this message of {} words", words.len());
    Err(Refusal::new(errno::EINVAL, message, KNOWN).with_log("crypt: unrecognised message received."))
}

/// The crypt parameters of row number `row`.
fn crypt_row(table: &Table, row: usize) -> Option<&CryptSpec> {
    table.rows.get(row)?.target.downcast_ref()
}
