//! What the tests of headers share: the images of `vectors/luks`, and headers that are taken apart and put together.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod bench;
pub mod malformed;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use udm_luks::Hash;

/// The folder of the vectors: `UDM_VECTORS`, or the project's own.
pub fn folder() -> PathBuf {
    let vectors = std::env::var_os("UDM_VECTORS").map(PathBuf::from);
    vectors.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors")).join("luks")
}

/// The bytes of a file that is compressed.
pub fn unpacked(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    let output = Command::new("xz").args(["-d", "-c"]).arg(&path).output();
    let output = output.expect("xz is missing: cargo xtask deps installs it");
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The description of an image.
pub fn description(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    serde_json::from_slice(
        &std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .unwrap()
}

/// The bytes of the image of this name.
pub fn image(name: &str) -> Vec<u8> {
    unpacked(&format!("{name}.img.xz"))
}

/// The bytes that hex digits say.
pub fn unhex(text: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(text).unwrap()
}

/// The JSON of the header at the beginning of `image`.
pub fn metadata(image: &[u8]) -> String {
    let json = &image[4096..header_size(image)];
    let end = json.iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(json[..end].to_vec()).unwrap()
}

/// The bytes of a copy of the header.
pub fn header_size(image: &[u8]) -> usize {
    u64::from_be_bytes(image[8..16].try_into().unwrap()) as usize
}

/// Puts `json` into both copies, with checksums that are right.
pub fn with_metadata(image: &[u8], json: &[u8]) -> Vec<u8> {
    let (mut image, size) = (image.to_vec(), header_size(image));
    for at in [0, size] {
        let area = &mut image[at + 4096..at + size];
        area.fill(0);
        area[..json.len()].copy_from_slice(json);
        sum(&mut image[at..at + size]);
    }
    image
}

/// Sets the checksum of a copy.
pub fn sum(copy: &mut [u8]) {
    copy[448..512].fill(0);
    let mut digest = [0; 32];
    Hash::Sha256.digest_into(&[copy], &mut digest);
    copy[448..480].copy_from_slice(&digest);
}
