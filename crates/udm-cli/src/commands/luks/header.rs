//! What changes a header apart from its keys, keeps it, and gets it back.

use std::fs::File;
use std::io::{Read, Write};

use serde_json::json;
use udm_luks::header::backup;
use udm_luks::locked::open_shared;
use udm_luks::{Header, HeaderPlace, Patience, ReadAt, Volume};

use super::{Manner, ask, failed, lock, no_file, open, open_locked, waiting};
use crate::cli::{
    Failure, LuksBackupArgs, LuksConfigArgs, LuksRepairArgs, LuksRestoreArgs, LuksUuidArgs, print,
};
use crate::output::{Existing, Output};

pub(super) fn config(args: &LuksConfigArgs, manner: Manner) -> Result<(), Failure> {
    let (label, subsystem) = (args.label.as_deref(), args.subsystem.as_deref());
    let path = args.image.path();
    let priority = args.priority.zip(args.key_slot);
    if label.is_none() && subsystem.is_none() && priority.is_none() && !args.flags.persistent {
        let would_do = "--label, --subsystem, --priority or --persistent";
        return Err(Failure::request(format!("there is nothing to set: give {would_do}")));
    }
    let mut volume = open_locked(&args.image)?;
    if label.is_some() || subsystem.is_some() {
        volume.set_label(label, subsystem).map_err(failed(path))?;
    }
    if let Some((priority, slot)) = priority {
        volume.set_priority(slot, priority.into()).map_err(failed(path))?;
    }
    if args.flags.persistent {
        volume.set_flags(args.flags.into()).map_err(failed(path))?;
    }
    manner.done("Set.", &json!({ "set": true }))
}

pub(super) fn uuid(args: &LuksUuidArgs, manner: Manner) -> Result<(), Failure> {
    let uuid = match &args.uuid {
        Some(uuid) => {
            open_locked(&args.image)?.set_uuid(Some(uuid.as_str())).map_err(failed(args.image.path()))?
        }
        None => match open(&args.image)?.header() {
            Header::Luks1(header) => header.uuid.clone(),
            Header::Luks2(header) => header.binary.uuid.to_string(),
        },
    };
    // It is data, and so is printed however quiet one is to be.
    print(&if manner.json { json!({ "uuid": uuid }).to_string() } else { uuid.escape_debug().to_string() })
}

pub(super) fn back_up(args: &LuksBackupArgs, manner: Manner) -> Result<(), Failure> {
    let (from, path) = (args.image.path(), args.header_backup_file.path());
    // A key that is being changed would be neither in it.
    let source = open_shared(from, &mut Patience::usual(&mut waiting(from))).map_err(no_file(from))?;
    let volume = Volume::open(source, HeaderPlace::Detached).map_err(failed(from))?;
    // Who may read it can try old passphrases on it: nobody but its owner, who may not overwrite it by mistake.
    let mut file = Output::create(path, 0o400, Existing::Refuse(None), &[])?;
    volume.back_up(&mut file).map_err(failed(from))?;
    file.finish()?;
    let told = json!({ "header_backup_file": path, "bytes": volume.header().end() });
    manner.done(&format!("{}: the header with all its key slots.", path.display()), &told)
}

pub(super) fn write_backup(volume: &Volume<impl ReadAt>, file: &mut File) -> Result<(), udm_luks::Error> {
    volume.back_up(&mut *file)?;
    let synced = file.flush().and_then(|()| file.sync_all());
    synced.map_err(|source| udm_luks::Error::Io { what: "writing the backup".into(), source })
}

pub(super) fn restore(args: &LuksRestoreArgs, manner: Manner) -> Result<(), Failure> {
    let (path, from) = (args.image.path(), &args.header_backup_file);
    let mut bytes = Vec::new();
    let read = from.open().and_then(|mut reader| reader.read_to_end(&mut bytes));
    read.map_err(|error| Failure::request(format!("{from}: {error}")))?;
    // What is wrong with the backup is the backup's.
    Volume::open(&*bytes, HeaderPlace::Detached)
        .map_err(|error| Failure::request(format!("{from}: {error}")))?;
    if !args.batch_mode && !manner.quiet {
        let what = "is going to be replaced: keys that were added since the backup are lost";
        ask::confirm(&format!("The header of {} {what}", path.display()))?;
    }
    backup::restore(&mut lock(path)?, &bytes).map_err(failed(path))?;
    manner
        .done(&format!("{}: the header is that of the backup.", path.display()), &json!({ "restored": true }))
}

pub(super) fn repair(args: &LuksRepairArgs, manner: Manner) -> Result<(), Failure> {
    let path = args.image.path();
    if !args.batch_mode && !manner.quiet {
        let steps = open(&args.image)?.repairs().map_err(failed(path))?;
        if !steps.is_empty() {
            let told =
                format!("the header of {} is going to be repaired: {}", path.display(), steps.join("; "));
            ask::confirm(&match ask::signatures(path, Some("crypto_LUKS")) {
                Some(others) => format!("{others}; {told}"),
                None => told,
            })?;
        }
    }
    let mut volume = open_locked(&args.image)?;
    let steps = volume.repairs().map_err(failed(path))?;
    let repaired = volume.repair().map_err(failed(path))?;
    let text = if repaired {
        format!("{}.\nThe header is repaired.", steps.join(".\n"))
    } else {
        "There is nothing to repair.".into()
    };
    manner.done(&text, &json!({ "repaired": repaired, "steps": steps }))
}
