//! Tokens: how others get at passphrases. All but their key slots is kept as it came.

use crate::error::Error;
use crate::luks2::json::Json;
use crate::source::{ReadAt, Storage};
use crate::volume::Volume;

/// A token that names a key of the kernel's keyring, which holds the passphrase of these key slots (LUKS2 On-Disk Format
/// Specification, the tokens object: `luks2-keyring`).
pub fn keyring_token(description: &str, key_slots: &[u32]) -> Json {
    Json::object([
        ("type", "luks2-keyring".into()),
        ("keyslots", Json::references(key_slots)),
        ("key_description", description.into()),
    ])
}

impl<S: ReadAt> Volume<S> {
    /// The token of this number, whole (`token export`).
    ///
    /// # Errors
    /// Where there is none, or it is LUKS1.
    pub fn token(&self, id: u32) -> Result<&Json, Error> {
        let tokens = self.luks2("--token-id")?.metadata.json.get("tokens");
        tokens.and_then(|tokens| tokens.get(&id.to_string())).ok_or_else(|| no_such_token(id))
    }
}

impl<S: Storage> Volume<S> {
    /// Adds a token, and gives its number: `id`, or the first that is free. With `replace`, one that is there goes.
    ///
    /// # Errors
    /// Where it is no token, or it cannot be written.
    pub fn add_token(&mut self, token: Json, id: Option<u32>, replace: bool) -> Result<u32, Error> {
        let mut draft = self.luks2("--token-id")?.draft()?;
        let id = match id {
            Some(id) if replace && draft.section("tokens").get(&id.to_string()).is_some() => id,
            id => draft.free_token(id)?,
        };
        draft.section("tokens").set(&id.to_string(), token);
        // What is no token is no header that was damaged.
        let copies = draft.encode().map_err(|error| match error {
            Error::Damaged(mut finding) => {
                "import a token as token export prints one".clone_into(&mut finding.hint);
                Error::Request(finding)
            }
            error => error,
        })?;
        let header = copies.write(&mut self.source)?;
        self.header = crate::volume::Header::Luks2(Box::new(header));
        Ok(id)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// Where there is none, or it cannot be written.
    pub fn remove_token(&mut self, id: u32) -> Result<(), Error> {
        let mut draft = self.luks2("--token-id")?.draft()?;
        draft.section("tokens").remove(&id.to_string()).ok_or_else(|| no_such_token(id))?;
        self.commit(draft)
    }
}

fn no_such_token(id: u32) -> Error {
    Error::request("--token-id", id, "there is no such token", "udm luks dump shows those that are there")
}
