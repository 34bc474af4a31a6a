//! The two copies of a header: which of them is used, and when neither is.

use super::binary::{Binary, Which};
use super::json::Json;
use super::metadata::Metadata;
use crate::error::{Error, Finding};
use crate::signature;
use crate::source::ReadAt;

/// The two copies of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copies {
    /// The one that was read.
    pub used: Which,
    /// The first one's sequence number, or what is wrong with it.
    pub primary: Result<u64, String>,
    /// The same of the second one.
    pub secondary: Result<u64, String>,
    /// How they differ, though both are whole and have one sequence number.
    pub difference: Option<String>,
    /// What else the device seems to hold, where a copy is not used.
    pub foreign: Option<String>,
}

/// A copy that was read, or what is wrong with it.
type Read = Result<(Binary, Metadata), Error>;

impl Copies {
    /// The state of two copies.
    pub(super) fn of(first: &Read, second: &Read) -> Self {
        let sequence = |copy: &Read| match copy {
            Ok((binary, _)) => Ok(binary.sequence),
            Err(Error::NoHeader) => Err("there is none".to_owned()),
            Err(error) => Err(error.finding().map_or_else(|| error.to_string(), Finding::without_hint)),
        };
        let (primary, secondary) = (sequence(first), sequence(second));
        let used = match (&primary, &secondary) {
            (Ok(primary), Ok(secondary)) if secondary > primary => Which::Secondary,
            (Err(_), Ok(_)) => Which::Secondary,
            _ => Which::Primary,
        };
        let difference = match (first, second) {
            (Ok(first), Ok(second)) if primary == secondary => difference(first, second),
            _ => None,
        };
        Self { used, primary, secondary, difference, foreign: None }
    }

    /// Both whole and the same.
    pub(super) fn whole(sequence: u64) -> Self {
        let (primary, secondary) = (Ok(sequence), Ok(sequence));
        Self { used: Which::Primary, primary, secondary, difference: None, foreign: None }
    }

    /// Whether both are whole and the same.
    pub fn is_whole(&self) -> bool {
        self.primary.is_ok() && self.primary == self.secondary && self.difference.is_none()
    }

    /// What a person should know of them: that one is damaged, or older than the other. Nothing is ever repaired here.
    pub fn notice(&self) -> Option<String> {
        let repair = "udm luks repair makes both the same";
        match (&self.primary, &self.secondary) {
            _ if self.refusal().is_some() => None,
            (Ok(first), Ok(second)) if first != second => Some(format!(
                "the header's copies differ in age (sequence {first} and {second}): the newer, {}, is used; {repair}",
                self.used
            )),
            (Err(why), _) => Some(format!("the primary header is not used: {why}; {repair}")),
            (_, Err(why)) => Some(format!("the secondary header is not used: {why}; {repair}")),
            _ => None,
        }
    }

    /// Why neither is used to get at the data, where that is so.
    pub fn refusal(&self) -> Option<Box<Finding>> {
        let field = "the header";
        if let (Some(difference), Ok(sequence)) = (&self.difference, &self.primary) {
            let found =
                format!("in two whole copies that both have sequence {sequence} and are not the same");
            let why = format!("nobody can tell which one is meant; {difference}");
            let hint =
                "udm luks repair keeps the primary, as cryptsetup would; header-restore brings back a backup";
            return Some(Finding::new(field, found, why, hint));
        }
        let foreign = self.foreign.as_ref()?;
        let (which, why) = match (&self.primary, &self.secondary) {
            (Err(why), _) => (Which::Primary, why.clone()),
            (_, Err(why)) => (Which::Secondary, why.clone()),
            (Ok(first), Ok(second)) => {
                let older = if first < second { Which::Primary } else { Which::Secondary };
                (
                    older,
                    format!("it has sequence {}, and the other one {}", first.min(second), first.max(second)),
                )
            }
        };
        let found = format!("whole in its {} copy alone, beside {foreign}", self.used);
        let why = format!("the device may have another use by now (the {which} copy: {why})");
        let hint = "if it is this volume, udm luks repair makes both copies whole again; wipefs shows all signatures";
        Some(Finding::new(field, found, why, hint))
    }

    /// Whether both are whole and the same, as they must be before anything is changed.
    ///
    /// # Errors
    /// Where they are not.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_readable()?;
        match self.notice() {
            None => Ok(()),
            Some(notice) => {
                let hint = "nothing is changed before";
                Err(Error::request("the header", "in two copies that are not the same", notice, hint))
            }
        }
    }

    /// Whether one of them is used to get at the data.
    ///
    /// # Errors
    /// Where neither is: see [`refusal`](Self::refusal).
    pub(crate) fn check_readable(&self) -> Result<(), Error> {
        self.refusal().map_or(Ok(()), |finding| Err(Error::Damaged(finding)))
    }

    /// What a repair would do; empty where there is nothing to do.
    pub fn repairs(&self) -> Vec<String> {
        let used = self.used;
        let (other, state) = match used {
            Which::Primary => (Which::Secondary, &self.secondary),
            Which::Secondary => (Which::Primary, &self.primary),
        };
        let step =
            |why: &str| format!("the {other} header, which {why}, is written anew from the {used} one");
        match state {
            _ if self.is_whole() => Vec::new(),
            _ if self.difference.is_some() => {
                let difference = self.difference.clone().unwrap_or_default();
                vec![difference, step("differs from it under the same sequence")]
            }
            Ok(sequence) => vec![step(&format!("is older (sequence {sequence})"))],
            Err(why) => vec![step(&format!("cannot be used ({why})"))],
        }
    }
}

/// What else than LUKS the device seems to hold: its name, and where it says so.
pub(super) fn foreign_signature(source: &(impl ReadAt + ?Sized)) -> Result<Option<String>, Error> {
    let found = signature::probe(&source).map_err(Error::io("the signatures of the device"))?;
    let foreign = found.iter().find(|found| !found.signature.name.starts_with("crypto_LUKS"));
    Ok(foreign.map(|found| {
        format!("{} ({} at byte {})", found.signature.title, found.signature.name, found.offset)
    }))
}

/// How many places at which copies differ are named.
const MOST: usize = 6;

/// How two copies of one sequence differ; `None` where they do not.
fn difference(first: &(Binary, Metadata), second: &(Binary, Metadata)) -> Option<String> {
    let mut places = Vec::new();
    for (name, is_same) in [
        ("label", first.0.label == second.0.label),
        ("subsystem", first.0.subsystem == second.0.subsystem),
        ("uuid", first.0.uuid == second.0.uuid),
        ("csum_alg", first.0.checksum == second.0.checksum),
    ] {
        if !is_same {
            places.push(name.to_owned());
        }
    }
    places.extend(changed(&first.1.json, &second.1.json));
    if places.is_empty() {
        return None;
    }
    let slots = |(_, metadata): &(Binary, Metadata)| {
        let slots: Vec<_> = metadata.slots.iter().map(|(id, _)| id.to_string()).collect();
        if slots.is_empty() { "no key slot".into() } else { format!("key slots {}", slots.join(", ")) }
    };
    let more = if places.len() > MOST { ", and more" } else { "" };
    places.truncate(MOST);
    Some(format!(
        "they differ in {}{more}: the primary has {}, the secondary {}",
        places.join(", "),
        slots(first),
        slots(second)
    ))
}

/// The members of `first` and `second`, and the members of these, that are not the same in both.
fn changed(first: &Json, second: &Json) -> Vec<String> {
    let members = |json: &Json| match json {
        Json::Object(members) => members.iter().map(|(name, _)| name.lossy().into_owned()).collect(),
        _ => Vec::new(),
    };
    let names = |first: &Json, second: &Json| {
        let mut names: Vec<String> = members(first);
        names.extend(members(second).into_iter().filter(|name| first.get(name).is_none()));
        names
    };
    let differs = |first: &Json, second: &Json, name: &str| {
        first.get(name).map(Json::to_bytes) != second.get(name).map(Json::to_bytes)
    };
    let mut places = Vec::new();
    for section in names(first, second).into_iter().filter(|name| differs(first, second, name)) {
        let (Some(one), Some(other)) = (first.get(&section), second.get(&section)) else {
            places.push(section);
            continue;
        };
        let inner = names(one, other).into_iter().filter(|name| differs(one, other, name));
        let before = places.len();
        places.extend(inner.map(|name| format!("{section}.{name}")));
        if places.len() == before {
            places.push(section);
        }
    }
    let shown = |place: String| place.chars().take(60).collect::<String>().escape_debug().collect();
    places.into_iter().map(shown).collect()
}
