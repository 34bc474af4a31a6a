//! Tokens: how others get at passphrases. All but their key slots is kept as it came.

use crate::error::{Error, shown};
use crate::luks2::json::Json;
use crate::source::{ReadAt, Storage};
use crate::volume::Volume;

/// What would do instead of a token that is refused.
const WOULD_DO: &str = "import a token as token export prints one";
/// What the types begin with that are cryptsetup's own, and the one that there is.
const RESERVED: &str = "luks2-";
const KEYRING: &str = "luks2-keyring";

/// A token that names a key of the kernel's keyring, which holds the passphrase of these key slots (LUKS2 On-Disk Format
/// Specification, the tokens object: `luks2-keyring`).
pub fn keyring_token(description: &str, key_slots: &[u32]) -> Json {
    Json::object([
        ("type", KEYRING.into()),
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
        check(id, &token)?;
        draft.section("tokens").set(&id.to_string(), token);
        // The token is wrong, and no header was damaged.
        let copies = draft.encode().map_err(|error| match error {
            Error::Damaged(mut finding) => {
                WOULD_DO.clone_into(&mut finding.hint);
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

/// Whether cryptsetup would take `token`, as far as that is not a matter of its key slots: a header with one that it does not
/// take is one that it does not open.
fn check(id: u32, token: &Json) -> Result<(), Error> {
    let field = |name: &str| format!("tokens.{id}.{name}");
    let Some(kind) = token.get("type").and_then(Json::as_str) else {
        let found = token.get("type").map_or("missing", Json::kind);
        return Err(Error::request(field("type"), found, "a token has one, in a string", WOULD_DO));
    };
    if kind.is_empty() {
        return Err(Error::request(field("type"), "empty", "a token has one", WOULD_DO));
    }
    if !kind.starts_with(RESERVED) {
        return Ok(());
    }
    if kind != KEYRING {
        let why = format!("types that begin with {RESERVED} are cryptsetup's, which has {KEYRING} alone");
        return Err(Error::request(field("type"), shown(&kind), why, "give it another type"));
    }
    let has_key = token.get("key_description").and_then(Json::as_str).is_some_and(|key| !key.is_empty());
    let members = if let Json::Object(members) = token { members.len() } else { 0 };
    if has_key && members == 3 {
        return Ok(());
    }
    let found = format!("{KEYRING} with {members} members");
    let why = "it has three: type, keyslots, and key_description, a string that is not empty";
    Err(Error::request(field("type"), found, why, "make it with udm luks token add"))
}

fn no_such_token(id: u32) -> Error {
    Error::request("--token-id", id, "there is no such token", "udm luks dump shows those that are there")
}
