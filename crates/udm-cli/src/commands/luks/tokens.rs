//! `udm luks token`.

use std::io::{Read, Write};

use serde_json::json;
use udm_luks::header::keyring_token;
use udm_luks::luks2::json::Json;
use udm_luks::{Header, ReadAt, Volume};

use super::{Manner, failed, open, open_locked};
use crate::cli::{
    Failure, LuksTokenCommand, TokenAddArgs, TokenExportArgs, TokenImportArgs, TokenRemoveArgs,
};
use crate::output::{self, Existing, Output};

/// The longest token: no metadata are longer.
const LONGEST: u64 = 4 << 20;

pub(super) fn run(command: &LuksTokenCommand, manner: Manner) -> Result<(), Failure> {
    match command {
        LuksTokenCommand::Add(args) => add(args, manner),
        LuksTokenCommand::Import(args) => import(args, manner),
        LuksTokenCommand::Export(args) => export(args),
        LuksTokenCommand::Remove(args) => remove(args, manner),
    }
}

fn add(args: &TokenAddArgs, manner: Manner) -> Result<(), Failure> {
    let mut volume = open_locked(&args.image)?;
    let slots = match args.key_slot {
        Some(slot) => vec![slot],
        None if args.unbound => Vec::new(),
        None => slots(&volume),
    };
    let token = keyring_token(&args.key_description, &slots);
    let id = volume.add_token(token, args.place.token_id, args.place.token_replace);
    done(id.map_err(failed(args.image.path()))?, "added", manner)
}

fn import(args: &TokenImportArgs, manner: Manner) -> Result<(), Failure> {
    let mut text = Vec::new();
    let read = args.json_file.open().and_then(|reader| reader.take(LONGEST).read_to_end(&mut text));
    read.map_err(|error| Failure::request(format!("{}: {error}", args.json_file)))?;
    let mut token = Json::parse(&text).map_err(|why| Failure::request(format!("the token: {why}")))?;
    if let (Some(slot), Some(Json::Array(slots))) = (args.key_slot, token.get_mut("keyslots")) {
        let slot = Json::from(&*slot.to_string());
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }
    let mut volume = open_locked(&args.image)?;
    let id = volume.add_token(token, args.place.token_id, args.place.token_replace);
    done(id.map_err(failed(args.image.path()))?, "added", manner)
}

fn export(args: &TokenExportArgs) -> Result<(), Failure> {
    let volume = open(&args.image)?;
    let token = volume.token(args.token_id).map_err(failed(args.image.path()))?.to_bytes();
    let Some(path) = args.json_file.file() else {
        // As it is, also where it is not UTF-8.
        let mut out = output::stdout()?;
        let written = out.write_all(&token).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        return written.map_err(|error| Failure::stdout(&error));
    };
    let mut file = Output::create(path, 0o600, Existing::forced(args.force), &[])?;
    file.write_all(&token).map_err(|error| Failure::work(format!("{}: {error}", path.display())))?;
    file.finish()
}

fn remove(args: &TokenRemoveArgs, manner: Manner) -> Result<(), Failure> {
    open_locked(&args.image)?.remove_token(args.token_id).map_err(failed(args.image.path()))?;
    done(args.token_id, "removed", manner)
}

/// All key slots that are in use.
fn slots<S: ReadAt>(volume: &Volume<S>) -> Vec<u32> {
    match volume.header() {
        Header::Luks1(_) => Vec::new(),
        Header::Luks2(header) => header.metadata.slots.iter().map(|(id, _)| *id).collect(),
    }
}

fn done(id: u32, what: &str, manner: Manner) -> Result<(), Failure> {
    manner.done(&format!("Token {id} {what}."), &json!({ "token_id": id }))
}
