//! `udm luks dump`: what headers say, for a person as luksDump does, and for a program.

use std::fmt::Write as _;

use serde_json::{Value, json};
use udm_luks::kdf::Kdf;
use udm_luks::keyslot::{KeySlot, Priority};
use udm_luks::luks2::{Metadata, binary::Which, keyslots::Slot};
use udm_luks::{Header, luks1, luks2};

use super::open;
use crate::cli::{Failure, LuksDumpArgs, print};

pub(super) fn dump(args: &LuksDumpArgs, json: bool) -> Result<(), Failure> {
    let volume = open(&args.image)?;
    if json {
        return print(&to_json(volume.header()));
    }
    print(to_text(volume.header()).trim_end())
}

/// What a header says, for a program: of LUKS2 the metadata as they are, as `luksDump --dump-json-metadata` has them.
fn to_json(header: &Header) -> String {
    let (mut told, metadata) = match header {
        Header::Luks1(header) => {
            let slots: Vec<_> = header.slots.iter().flatten().map(slot_json).collect();
            let faults: Vec<_> = header.faults.iter().map(ToString::to_string).collect();
            let told = json!({
                "version": 1, "uuid": header.uuid, "cipher": header.encryption(), "hash": header.hash.luks_name(),
                "payload_offset": header.payload_offset, "key_size": header.key_size,
                "digest_iterations": header.digest.iterations, "key_slots": slots, "faults": faults,
            });
            (told.to_string(), None)
        }
        Header::Luks2(header) => {
            let (binary, copies) = (&header.binary, &header.copies);
            let notice = copies.notice().or_else(|| copies.refusal().map(|finding| finding.to_string()));
            let told = json!({
                "version": 2, "uuid": binary.uuid.lossy(), "label": binary.label.lossy(),
                "subsystem": binary.subsystem.lossy(),
                "sequence": binary.sequence, "header_size": binary.header_size,
                "checksum": binary.checksum.name(), "used": copies.used.to_string(),
                "notice": notice,
            });
            (told.to_string(), Some(header.metadata.json.to_strict()))
        }
    };
    if let Some(metadata) = metadata {
        // Within the object: its numbers may be longer than a value of the library's could keep.
        told.truncate(told.len() - 1);
        let _ = write!(told, ",\"metadata\":{metadata}}}");
    }
    told
}

fn slot_json(slot: &KeySlot) -> Value {
    let iterations = match &slot.kdf {
        Kdf::Pbkdf2 { iterations, .. } => iterations.get(),
        Kdf::Argon2 { time, .. } => time.get(),
    };
    json!({ "key_slot": slot.id, "iterations": iterations, "stripes": slot.stripes, "offset": slot.area.offset })
}

/// What a header says, for a person.
fn to_text(header: &Header) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match header {
        Header::Luks1(header) => write_luks1(&mut text, header),
        Header::Luks2(header) => write_luks2(&mut text, header),
    };
    text
}

fn write_luks1(out: &mut String, header: &luks1::Header) -> std::fmt::Result {
    writeln!(out, "LUKS header information\n\nVersion:       \t1")?;
    writeln!(out, "Cipher name:   \t{}", header.cipher_name)?;
    writeln!(out, "Cipher mode:   \t{}", header.cipher_mode)?;
    writeln!(out, "Hash spec:     \t{}", header.hash.luks_name())?;
    writeln!(out, "Payload offset:\t{}", header.payload_offset)?;
    writeln!(out, "MK bits:       \t{}", header.key_size * 8)?;
    writeln!(out, "MK digest:     \t{}", hex(&header.digest.digest))?;
    writeln!(out, "MK salt:       \t{}", hex(&header.digest.salt))?;
    writeln!(out, "MK iterations: \t{}", header.digest.iterations)?;
    writeln!(out, "UUID:          \t{}\n", printable(&header.uuid))?;
    for (id, slot) in header.slots.iter().enumerate() {
        let Some(slot) = slot else {
            write!(out, "Key Slot {id}: DISABLED")?;
            if let Some(mark) = header.odd_mark(id) {
                write!(out, " (marked {mark:#010x}, which is neither free nor in use)")?;
            }
            let path = format!("key-slot-{id}.");
            for fault in header.faults.iter().filter(|fault| fault.field.starts_with(&path)) {
                write!(out, " (INVALID: {fault})")?;
            }
            writeln!(out)?;
            continue;
        };
        writeln!(out, "Key Slot {id}: ENABLED")?;
        if let Kdf::Pbkdf2 { iterations, .. } = &slot.kdf {
            writeln!(out, "\tIterations:         \t{iterations}")?;
        }
        writeln!(out, "\tSalt:               \t{}", hex(slot.kdf.salt()))?;
        writeln!(out, "\tKey material offset:\t{}", slot.area.offset / 512)?;
        writeln!(out, "\tAF stripes:            \t{}", slot.stripes)?;
    }
    Ok(())
}

fn write_luks2(out: &mut String, header: &luks2::Header) -> std::fmt::Result {
    let (binary, metadata) = (&header.binary, &header.metadata);
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { printable(text) };
    writeln!(out, "LUKS header information\nVersion:       \t2")?;
    writeln!(out, "Epoch:         \t{}", binary.sequence)?;
    writeln!(out, "Metadata area: \t{} [bytes]", binary.header_size)?;
    writeln!(out, "Keyslots area: \t{} [bytes]", metadata.config.keyslots_size)?;
    writeln!(out, "UUID:          \t{}", printable(&binary.uuid.lossy()))?;
    writeln!(out, "Label:         \t{}", or(&binary.label.lossy(), "(no label)"))?;
    writeln!(out, "Subsystem:     \t{}", or(&binary.subsystem.lossy(), "(no subsystem)"))?;
    writeln!(out, "Flags:       \t{}", or(&metadata.config.flags.join(" "), "(no flags)"))?;
    if !metadata.config.requirements.is_empty() {
        writeln!(out, "Requirements:\t{}", printable(&metadata.config.requirements.join(" ")))?;
    }
    if header.copies.used == Which::Secondary {
        writeln!(out, "Copy:          \tthe secondary header")?;
    }
    if let Some(refusal) = header.copies.refusal() {
        writeln!(out, "Copies:        \t{}", printable(&refusal.to_string()))?;
    }
    writeln!(out, "\nData segments:")?;
    for entry in &metadata.segments {
        writeln!(out, "  {}: {}", entry.id, printable(&entry.kind))?;
        if let Some(segment) = &entry.segment {
            let length = segment.size.map_or("(whole device)".into(), |size| format!("{size} [bytes]"));
            writeln!(out, "\toffset: {} [bytes]", segment.offset)?;
            writeln!(out, "\tlength: {length}")?;
            writeln!(out, "\tcipher: {}", printable(&segment.encryption))?;
            writeln!(out, "\tsector: {} [bytes]", segment.sector_size)?;
        }
        if let Some(integrity) = &entry.integrity {
            writeln!(out, "\tintegrity: {}", printable(integrity))?;
        }
        if !entry.flags.is_empty() {
            writeln!(out, "\tflags : {}", printable(&entry.flags.join(" ")))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "Keyslots:")?;
    metadata.slots.iter().try_for_each(|(id, slot)| write_slot(out, *id, slot, metadata))?;
    writeln!(out, "Tokens:")?;
    for token in &metadata.tokens {
        writeln!(out, "  {}: {}", token.id, printable(&token.kind))?;
        token.key_slots.iter().try_for_each(|slot| writeln!(out, "\tKeyslot:    {slot}"))?;
    }
    writeln!(out, "Digests:")?;
    for digest in &metadata.digests {
        let Some(parts) = &digest.digest else {
            writeln!(out, "  {}: (of a kind that is not known here)", digest.id)?;
            continue;
        };
        writeln!(out, "  {}: pbkdf2", digest.id)?;
        writeln!(out, "\tHash:       {}", parts.hash.luks_name())?;
        writeln!(out, "\tIterations: {}", parts.iterations)?;
        writeln!(out, "\tSalt:       {}", hex(&parts.salt))?;
        writeln!(out, "\tDigest:     {}", hex(&parts.digest))?;
    }
    Ok(())
}

fn write_slot(out: &mut String, id: u32, slot: &Slot, metadata: &Metadata) -> std::fmt::Result {
    let slot = match slot {
        Slot::Key(slot) => slot,
        Slot::Unsupported(finding) => return writeln!(out, "  {id}: luks2 (not supported: {finding})"),
        Slot::Reencrypt => return writeln!(out, "  {id}: reencrypt (unbound)"),
        Slot::Other(kind) => return writeln!(out, "  {id}: {} (not known here)", printable(kind)),
    };
    let digest = metadata.digests.iter().find(|digest| digest.key_slots.contains(&id));
    let bound = digest.is_some_and(|digest| !digest.segments.is_empty());
    writeln!(out, "  {id}: luks2{}", if bound { "" } else { " (unbound)" })?;
    writeln!(out, "\tKey:        {} bits", slot.key_size * 8)?;
    let priority = match slot.priority {
        Priority::Ignore => "ignored",
        Priority::Normal => "normal",
        Priority::Prefer => "preferred",
    };
    writeln!(out, "\tPriority:   {priority}")?;
    writeln!(out, "\tCipher:     {}", printable(&slot.area.encryption))?;
    writeln!(out, "\tCipher key: {} bits", slot.area.key_size * 8)?;
    writeln!(out, "\tPBKDF:      {}", slot.kdf.name())?;
    match &slot.kdf {
        Kdf::Pbkdf2 { hash, iterations, .. } => {
            writeln!(out, "\tHash:       {}\n\tIterations: {iterations}", hash.luks_name())?;
        }
        Kdf::Argon2 { time, memory_kib, lanes, .. } => {
            writeln!(out, "\tTime cost:  {time}\n\tMemory:     {memory_kib}\n\tThreads:    {lanes}")?;
        }
    }
    writeln!(out, "\tSalt:       {}", hex(slot.kdf.salt()))?;
    writeln!(out, "\tAF stripes: {}", slot.stripes)?;
    writeln!(out, "\tAF hash:    {}", slot.af_hash.luks_name())?;
    writeln!(out, "\tArea offset:{} [bytes]", slot.area.offset)?;
    writeln!(out, "\tArea length:{} [bytes]", slot.area.size)?;
    digest.map_or(Ok(()), |digest| writeln!(out, "\tDigest ID:  {}", digest.id))
}

/// Text of a header without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.escape_debug().collect()
}

/// Bytes as luksDump prints them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
