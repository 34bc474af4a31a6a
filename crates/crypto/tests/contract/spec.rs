//! Cipher strings held against what a real kernel answered to them: those of all ciphertext in `vectors/`, and those of table
//! lines that it refused.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use udm_crypto::spec::{CipherSpec, Part, SpecError, Why};

/// What the kernel says of a line whose cipher string it refuses (`ti->error` in `drivers/md/dm-crypt.c`), and what is wrong
/// with the string.
fn is_of(error: &SpecError, reason: &str) -> bool {
    match reason {
        "Bad cipher specification" => error.why == Why::NoCapi,
        "Bad cipher key count specification" => error.why == Why::KeyCount,
        "IV mechanism required" => error.why == Why::NoIvMode,
        "Invalid IV mode" => error.part == Part::IvMode && matches!(error.why, Why::Unknown { .. }),
        "Error creating IV" => matches!(error.why, Why::NotOneBlock { .. }),
        "Digest algorithm missing for ESSIV mode" => error.why == Why::EssivWithoutHash,
        "Cannot allocate cipher strings" => matches!(error.why, Why::TooLong { .. }),
        "Error decoding and setting key" => matches!(error.why, Why::Digest { .. }),
        // The crypto API says no more than that it has none. A kernel may lack what is known here or elsewhere.
        "Error allocating crypto tfm" => matches!(
            error.why,
            Why::Unknown { .. }
                | Why::KernelOnly { .. }
                | Why::Authenticated
                | Why::Unfit(_)
                | Why::NoMode { .. }
                | Why::Unbalanced
                | Why::EssivUnfit { .. }
                | Why::Digest { .. }
        ),
        _ => false,
    }
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Oracle: the kernel took these strings. Of those that are refused here it is said that they need dm-integrity.
#[test]
fn the_strings_of_the_kernels_ciphertext_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    let texts: BTreeSet<String> =
        files.filter_map(|file| read(&file)["cipher"].as_str().map(str::to_owned)).collect();
    let (mut taken, mut seen) = (0, 0);
    for text in &texts {
        match CipherSpec::parse(text) {
            Ok(spec) => taken += usize::from(!spec.key_sizes().is_empty()),
            Err(error) => assert!(matches!(error.why, Why::Authenticated | Why::StoredIvs), "{error}"),
        }
        // The bad twins: a name with its last letter doubled is nobody's, and the error is at that name.
        for name in text.split(['-', ':', '(', ')', ',']).filter(|name| name.len() > 2 && *name != "capi") {
            let at = text.find(name).unwrap();
            let end = at + name.len();
            let twin = format!("{}{}{}", &text[..end], &text[end - 1..end], &text[end..]);
            match CipherSpec::parse(&twin) {
                Ok(spec) => assert!(spec.dropped_iv_mode.is_some(), "{twin}"),
                Err(error) => seen += usize::from(error.at == (at..end + 1)),
            }
        }
    }
    assert!(taken >= 78 && seen >= 150, "{taken} taken of {}, {seen} twins seen", texts.len());
}

/// Oracle: the kernel refused these lines, with its reason.
#[test]
fn the_strings_that_the_kernel_refuses_are_refused_for_the_same_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let lists =
        [("table-lines.json", "lines"), ("refused.json", "refused"), ("refused-aead.json", "refused")];
    let lines =
        lists.into_iter().flat_map(|(file, list)| read(&folder.join(file))[list].as_array().unwrap().clone());
    let (mut alike, mut taken) = (BTreeSet::new(), 0);
    for line in lines {
        let words: Vec<_> = line["table"].as_str().unwrap_or("").split_whitespace().collect();
        let [_, _, "crypt", text, ..] = words[..] else { continue };
        match (CipherSpec::parse(text), line["ti_error"].as_str()) {
            (Err(error), Some(reason)) if is_of(&error, reason) => drop(alike.insert(error.found)),
            (Err(error), Some(reason)) => {
                let is_random = error.why == Why::StoredIvs && error.found == "random";
                let needs_integrity = error.why == Why::Authenticated || is_random;
                assert!(needs_integrity, "{text}: {reason}, and here {error}");
            }
            (Ok(_), None) => taken += 1,
            _ => {}
        }
    }
    assert!(alike.len() >= 15 && taken >= 10, "{} refused alike, {taken} taken", alike.len());
}
