//! Options of a new volume held against the volume that is there already, or was begun.

use std::path::Path;

use serde_json::{Map, Value};
use udm_dm::table::{ShowKeys, Table};
use udm_dm::targets::crypt::params::CryptSpec;
use udm_luks::Header;

use super::error::ConvertError;
use crate::device::DeviceError;
use crate::luks::Unlocking;

/// Refuses options of a new volume, with their text, that disagree with the volume at `path`, which has this table.
///
/// # Errors
/// Which option it is, and what the volume has.
pub(super) fn check_volume(
    asked: &[(&'static str, String)],
    path: &Path,
    unlocking: &Unlocking,
    table: &Table,
) -> Result<(), ConvertError> {
    if asked.is_empty() {
        return Ok(());
    }
    let volume = unlocking.volume(path).map_err(DeviceError::from)?;
    for (option, given) in asked {
        let Some(has) = of_volume(option, volume.header(), table) else { continue };
        if !is_same(option, given, &has) {
            let has = if has.is_empty() { "none".into() } else { has };
            return Err(ConvertError::Request(format!(
                "{option} {given}: the volume at {} is there already, and has {has}; leave the option out, or have \
                 another volume made",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Refuses options of a new key slot that disagree with those that the conversion was begun with, where it makes one.
///
/// # Errors
/// Which option it is, and what it was begun with.
pub(super) fn check_key_slot(
    asked: &[(&'static str, String)],
    slot_options: &Map<String, Value>,
    begun: &Value,
) -> Result<(), ConvertError> {
    for (option, given) in asked.iter().filter(|(option, _)| slot_options.contains_key(*option)) {
        match &begun[*option] {
            _ if begun.is_null() => {
                return Err(ConvertError::Request(format!(
                    "{option} is for the key slot of a volume that is made, and this one is there already: leave the \
                     option out, or change the key slot with `udm luks convert-key`"
                )));
            }
            Value::String(was) if was == given => {}
            was => {
                let was = was.as_str().map_or("without it".into(), |was| format!("with {option} {was}"));
                return Err(ConvertError::Request(format!(
                    "{option} {given}: the conversion was begun {was}; leave the option out, or begin anew with --force"
                )));
            }
        }
    }
    Ok(())
}

/// What a volume has where `option` asks for something of it.
fn of_volume(option: &str, header: &Header, table: &Table) -> Option<String> {
    let (version, label, uuid) = match header {
        Header::Luks1(header) => ("luks1", String::new(), header.uuid.clone()),
        Header::Luks2(header) => ("luks2", header.binary.label.to_string(), header.binary.uuid.to_string()),
    };
    let spec = table.rows.iter().find_map(|row| row.target.downcast_ref::<CryptSpec>());
    // Without the key, which is as many zeros: start, length, target, cipher, key.
    let text = table.to_text(ShowKeys::Hidden);
    let mut words = text.split_whitespace().skip(3);
    let (cipher, key) = (words.next()?, words.next()?);
    match option {
        "--type" => Some(version.into()),
        "--label" => Some(label),
        "--uuid" => Some(uuid),
        "--cipher" => Some(cipher.into()),
        "--key-size" => Some((key.len() * 4).to_string()),
        "--sector-size" => Some(spec?.options.sector_size.to_string()),
        _ => None,
    }
}

fn is_same(option: &str, given: &str, has: &str) -> bool {
    match option {
        "--type" => given == has || given == "luks" && has == "luks2",
        "--uuid" => given.eq_ignore_ascii_case(has),
        "--key-size" | "--sector-size" => given.parse::<u64>().ok() == has.parse().ok(),
        _ => given == has,
    }
}
