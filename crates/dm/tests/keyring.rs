//! Keys of the kernel's keyring, with a real one. Where the machine has none (a container may forbid it), the test says
//! that it did nothing, loudly.

use std::sync::Arc;

use crate::support::client::Client;
use crate::support::cut::WHOLE;
use crate::support::disk::Ram;
use crate::support::{Shelf, assert_same, heap, hex, map, stream};
use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use udm_block::{DeviceRef, Sector};
use udm_dm::load::LoadError;
use udm_dm::managed::{ManagedDevice, ManagedOptions, Suspend, TableSlot};
use udm_dm::table::{ShowKeys, Table, TableError};
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

/// This thread's own keyring, which goes with it; `None` where there is none, and why.
fn keyring() -> Option<KeyRing> {
    match KeyRing::from_special_id(KeyRingIdentifier::Thread, true) {
        Ok(ring) => Some(ring),
        Err(why @ (KeyError::Unknown(38) | KeyError::PermissionDenied | KeyError::AccessDenied)) => {
            udm_testkit::skip("keys of the keyring", format!("this machine gives no keyring: {why}"));
            None
        }
        Err(why) => panic!("the keyring: {why}"),
    }
}

fn refused(word: &str) -> TableError {
    let table = Table::parse(&format!("0 64 crypt aes-xts-plain64 {word} 0 disk 0")).unwrap();
    let disk = Ram::new(64) as DeviceRef;
    let made = udm_dm::load::load(&table, &Shelf(&[("disk", disk)]), &CipherChoice::default(), &heap());
    match made {
        Err(LoadError::Table(error)) => error,
        other => panic!("{word}: {other:?}"),
    }
}

#[test]
fn a_user_key_is_the_same_as_its_bytes() {
    let Some(ring) = keyring() else { return };
    let (key, other) = (stream(1, 64), stream(2, 64));
    ring.add_key("udm:test:one", &key).unwrap();
    let bytes = stream(3, 64 * 512);
    let (by_ring, by_hex) = (Ram::new(64), Ram::new(64));
    let table = "0 64 crypt aes-xts-plain64 :64:user:udm:test:one 0 disk 0";
    Client::new(&map(table, &by_ring)).write(0, &bytes, WHOLE, 512);
    let table = format!("0 64 crypt aes-xts-plain64 {} 0 disk 0", hex(&key));
    Client::new(&map(&table, &by_hex)).write(0, &bytes, WHOLE, 512);
    assert_same(&by_ring.bytes(), &by_hex.bytes(), &"the ciphertext");

    // Set by a message, wiped, and set again.
    let options = ManagedOptions {
        read_only: false,
        cipher: CipherChoice::default(),
        source: heap(),
        reserves: Reserves::default(),
    };
    let disk = Arc::clone(&by_hex) as DeviceRef;
    let wrong = format!("0 64 crypt aes-xts-plain64 {} 0 disk 0", hex(&other));
    let device =
        ManagedDevice::create("t", Table::parse(&wrong).unwrap(), &Shelf(&[("disk", disk)]), options)
            .unwrap();
    device.suspend(Suspend::default()).unwrap();
    let message = |text: &str| device.message(Sector(0), text);
    assert_eq!(message("key set :64:user:udm:test:none").unwrap_err().errno(), 126);
    assert_eq!(message("key set :32:user:udm:test:one").unwrap_err().errno(), 22);
    message("key set :64:user:udm:test:one").unwrap();
    let shown = |keys| device.table(TableSlot::Live, keys).to_string();
    assert!(shown(ShowKeys::Hidden).contains(":64:user:udm:test:one"), "{}", shown(ShowKeys::Hidden));
    device.resume().unwrap();
    let read = Client::new(&(Arc::clone(&device) as DeviceRef)).read(0, bytes.len(), WHOLE, 512);
    assert_same(&read, &bytes, &"by the key that was set");
    device.suspend(Suspend::default()).unwrap();
    message("key wipe").unwrap();
    assert!(shown(ShowKeys::Shown).contains(&"00".repeat(64)), "a wiped key is zeros, as the kernel's");
    ring.clear().unwrap();
}

#[test]
fn each_key_that_cannot_be_had_says_why_and_what_would_do() {
    for (word, says) in [
        (":64:logon:udm:k", "shows to no program"),
        (":64:encrypted:udm:k", "sealed form"),
        (":64:trusted:udm:k", "sealed form"),
    ] {
        let text = refused(word).to_string();
        assert!(text.contains(says) && text.contains("keyctl padd user udm:k"), "{text}");
    }
    let Some(ring) = keyring() else { return };
    let error = refused(":64:user:udm:test:absent");
    let text = error.to_string();
    assert!(text.contains("no user key \"udm:test:absent\"") && text.contains("column 28"), "{text}");
    assert_eq!(error.kernel_reason().unwrap().errno, 126, "ENOKEY, as vectors/table-lines.json has it");
    for (size, says) in [(63, "has 63 bytes"), (65, "has 65 bytes"), (1000, "has 1000 bytes")] {
        ring.add_key("udm:test:size", &stream(1, size)).unwrap();
        let error = refused(":64:user:udm:test:size");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.kernel_reason().unwrap().errno, 22);
    }
    let key = ring.add_key("udm:test:revoked", &stream(1, 64)).unwrap();
    key.revoke().unwrap();
    let text = refused(":64:user:udm:test:revoked").to_string();
    assert!(text.contains("was revoked") || text.contains("no user key"), "{text}");
    ring.clear().unwrap();
}
