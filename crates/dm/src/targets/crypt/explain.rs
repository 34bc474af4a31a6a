//! What was decided for a volume when its key was set: which driver has it, and on which way its sectors go there.

use udm_crypto::driver::without_way;
use udm_crypto::registry::Registry;
use udm_crypto::spec::IvMode;
use udm_crypto::{Direction, Hash, Listing, MultiUnit, Standing};

use super::choice::{CipherChoice, Requests};
use super::convert::Converter;
use super::params::CryptSpec;

/// One thing that was decided, for people and for programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What was to be decided, in a word: `cipher`, `driver`, `units`, `requests`, `ivs` or `thread`.
    pub what: &'static str,
    /// What it is.
    pub is: String,
    /// Why, in a sentence without its full stop.
    pub why: String,
}

/// Everything that was decided for the volume of `spec`, whose key `converter` has, where `choice` was asked for. It
/// holds for every bio: nothing is decided on the I/O path.
pub fn explain(spec: &CryptSpec, converter: &Converter, choice: &CipherChoice) -> Vec<Decision> {
    let decision = |what, (is, why): (String, String)| Decision { what, is, why };
    vec![
        decision("cipher", cipher(spec)),
        decision("driver", driver(converter, choice)),
        decision("units", units(converter)),
        decision("requests", requests(spec, converter, choice)),
        decision("ivs", ivs(spec)),
        decision("thread", thread(spec, converter)),
    ]
}

fn cipher(spec: &CryptSpec) -> (String, String) {
    let (cipher, size) = (&spec.cipher, spec.options.sector_size);
    let why = match (&cipher.dropped_iv_mode, cipher.key_count) {
        (Some(mode), _) => {
            format!("as the table says, without {mode}: {} takes no IV", cipher.algorithm.mode.name())
        }
        (None, 1) => format!("as the table says, with one key for all sectors of {size} bytes"),
        (None, count) => {
            format!("as the table says, with {count} keys for the sectors of {size} bytes in turn")
        }
    };
    (cipher.algorithm.to_string(), why)
}

fn driver(converter: &Converter, choice: &CipherChoice) -> (String, String) {
    let (name, algorithm) = (converter.driver(), converter.cipher(0).algorithm());
    let listings = Registry::global().list_of(algorithm);
    let before = listings.iter().take_while(|listing| listing.info.name != name).map(|listing| {
        let why = match listing.standing {
            Standing::Lacking(what) => format!("this machine lacks {what}"),
            Standing::Failed(_) => "it failed its self-test".into(),
            Standing::First | Standing::Behind(_) | Standing::ByName => "it does not take this key".into(),
        };
        format!("not {}: {why}", listing.info.name)
    });
    let why = match (&choice.driver, before.collect::<Vec<_>>()) {
        (Some(asked), _) if asked == name => return (name.into(), "it was asked for by its name".into()),
        (Some(asked), _) => format!("{asked} was asked for by its name"),
        (None, before) if before.is_empty() => format!("the first choice for {algorithm}"),
        (None, before) => format!("the fastest that takes this key; {}", before.join("; ")),
    };
    let is_way = |listing: &&Listing<'_>| {
        without_way(listing.info.name) == without_way(name)
            && matches!(listing.standing, Standing::First | Standing::Behind(_))
    };
    match listings.iter().filter(is_way).count() {
        0 | 1 => (name.into(), why),
        _ => (name.into(), format!("{why}; its ways to work were timed, and no other is faster here")),
    }
}

fn units(converter: &Converter) -> (String, String) {
    let cipher = converter.cipher(0);
    let why = match (cipher.is_split(), cipher.driver().multi_unit) {
        (false, _) => "the driver takes all sectors of a request at once",
        (true, MultiUnit::Split) => {
            "the driver takes one sector at a time: the cipher layer splits requests for it"
        }
        (true, MultiUnit::Native) => {
            "the driver has refused many units at once: the cipher layer splits requests"
        }
    };
    (if cipher.is_split() { "split" } else { "native" }.into(), why.into())
}

fn requests(spec: &CryptSpec, converter: &Converter, choice: &CipherChoice) -> (String, String) {
    let keys = spec.cipher.key_count;
    let (is, why) = match (choice.requests, converter.apart()) {
        (Requests::PerSector, _) => ("one sector", "it was asked for".into()),
        (Requests::WholeBio, 1) if keys > 1 => {
            ("whole bio", "an encryption sector spans all keys, so that all sectors have the first".into())
        }
        (Requests::WholeBio, 1) => ("whole bio", "one key, and a rule that numbers all sectors".into()),
        (Requests::WholeBio, _) if converter.later().is_some() => {
            ("one sector", "neighbours are of other keys, and the driver is asynchronous".into())
        }
        (Requests::WholeBio, apart) => {
            ("one a key", format!("sectors that are {apart} apart are of one key"))
        }
    };
    (is.into(), why)
}

fn ivs(spec: &CryptSpec) -> (String, String) {
    let (mode, options) = (spec.cipher.iv.mode, &spec.options);
    let step = if options.iv_large_sectors { 1 } else { options.sectors_per_unit() };
    let counted = |how: &str| format!("{}: {how}, {step} more for each sector", mode.name());
    let (is, why) = match (spec.cipher.iv.essiv, mode) {
        (Some(hash), _) => ("one pass", essiv(hash, mode)),
        (None, IvMode::None) => ("none", "the mode of the cipher takes none".into()),
        (None, IvMode::Null) => ("constant", "null: zeros for every sector".into()),
        (None, IvMode::Plain) => ("counter", counted("32 bits, little-endian")),
        (None, IvMode::Plain64) => ("counter", counted("64 bits, little-endian")),
        (None, IvMode::Plain64be) => ("counter", counted("64 bits, big-endian")),
        (None, IvMode::Benbi) => ("counter", counted("cipher blocks in 64 bits, big-endian")),
        (None, IvMode::Eboiv) => ("one pass", "eboiv: the places of many sectors enciphered at once".into()),
        (None, IvMode::Elephant) => {
            ("one pass", "elephant: as eboiv, and a diffuser over each sector besides the cipher".into())
        }
        (None, IvMode::Lmk) => {
            ("one pass", "lmk: a digest of each sector, which reading undoes at the end".into())
        }
        (None, IvMode::Tcw) => ("one pass", "tcw: number and seed, and whitening over the ciphertext".into()),
    };
    (is.into(), why)
}

fn essiv(hash: Hash, mode: IvMode) -> String {
    format!(
        "essiv:{}: {} numbers of many sectors enciphered at once, under a hash of the key",
        hash.name(),
        mode.name(),
    )
}

fn thread(spec: &CryptSpec, converter: &Converter) -> (String, String) {
    let [encrypts, decrypts] = [Direction::Encrypt, Direction::Decrypt].map(|way| spec.options.may_wait(way));
    let kept = |is: &str, what: &str| {
        (is.into(), format!("the driver is asynchronous; the table's options keep {what} here"))
    };
    match converter.later() {
        None => ("the I/O's own".into(), "the driver answers at once".into()),
        Some(_) if !encrypts && !decrypts => kept("the I/O's own", "reads and writes"),
        Some(_) if !encrypts => kept("the driver's for reads", "writes"),
        Some(_) if !decrypts => kept("the driver's for writes", "reads"),
        Some(later) if later.bytes_per_unit == 0 && !converter.iv().is_vector() => {
            ("the driver's".into(), "the driver is asynchronous, and wants no memory for that".into())
        }
        Some(_) => (
            "the driver's".into(),
            "the driver is asynchronous; memory for many sectors is asked for once a bio, and without it they go one by one"
                .into(),
        ),
    }
}
