//! The metadata of LUKS2 alone: whatever the text, reading it ends with metadata or with an error that can be shown, and
//! what was read is written, and read again, as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use udm_luks::luks2::Metadata;
use udm_luks::luks2::json::Json;

fuzz_target!(|data: &[u8]| {
    if let Ok(json) = Json::parse(data) {
        let written = json.to_bytes();
        let again = Json::parse(&written).expect("what was read can be written");
        assert_eq!(again.to_bytes(), written, "read and written, it is another");
        serde_json::from_str::<&serde_json::value::RawValue>(&json.to_strict())
            .expect("every reader takes it");
    }
    match Metadata::parse(data, 16 << 10) {
        Ok(metadata) => {
            for (_, slot) in &metadata.slots {
                if let Some(slot) = slot.key() {
                    assert!(slot.material_size() as u64 <= slot.area.size, "stripes leave their area");
                    assert!(slot.area.offset + slot.area.size <= (32 << 10) + metadata.config.keyslots_size);
                }
            }
        }
        Err(error) => assert!(error.to_string().len() < 2000, "{error}"),
    }
});
