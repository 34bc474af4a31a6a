//! What only the opened devices can tell: each mistake is an error that points at the right word of the table. And no
//! key shows in what is printed of a device.

use std::sync::Arc;

use crate::support::disk::Ram;
use crate::support::{BOTH, Shelf, heap, hex, stream};
use udm_block::memory::{Heap, Refuse, Source, Starving};
use udm_block::{Device, DeviceRef, Geometry, Sectors};
use udm_dm::load::{LoadError, load};
use udm_dm::mapped::MappedDevice;
use udm_dm::table::{Table, TableError, TableErrorKind};
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, Crypt};
use udm_dm::targets::{Reserves, Target};

fn key() -> String {
    hex(&stream(1, 64))
}

/// Loads a table over `small` (64 sectors) and `big` (1024 sectors, blocks of 4096 bytes).
fn open(table: &str, choice: &CipherChoice) -> Result<MappedDevice, LoadError> {
    let big = Geometry { logical_block: 4096, discard: true, ..Geometry::plain(Sectors(1024)) };
    let devices: [(&str, DeviceRef); 2] = [("small", Ram::new(64)), ("big", Ram::with(big))];
    let table = Table::parse(&table.replace("KEY", &key())).unwrap_or_else(|error| panic!("{error}"));
    load(&table, &Shelf(&devices), choice, &heap())
}

/// The error of a table that does not load.
fn error(table: &str, choice: &CipherChoice) -> TableError {
    match open(table, choice) {
        Err(LoadError::Table(error)) => error,
        other => panic!("{table}: {other:?}"),
    }
}

/// The word of the quoted line at which an error points.
fn word(error: &TableError) -> String {
    let text = error.to_string();
    let lines: Vec<_> = text.lines().collect();
    let (quote, carets) = (lines[1], lines[2]);
    let start = carets.find('^').unwrap();
    let len = carets.chars().filter(|c| *c == '^').count();
    quote[start..start + len].to_owned()
}

#[test]
fn each_mistake_points_at_its_word() {
    let cases: [(&str, usize, &str, &str); 12] = [
        ("0 8 linear nowhere 0", 1, "nowhere", "there is no such device"),
        ("0 8 crypt aes-xts-plain64 KEY 0 nowhere 0", 1, "nowhere", "there is no such device"),
        ("0 8 zero\n8 8 linear small 0\n16 8 linear gone 0", 3, "gone", "there is no such device"),
        ("0 65 linear small 0", 1, "65", "leave"),
        ("0 64 linear small 1", 1, "64", "leave"),
        ("0 8 zero\n8 60 crypt aes-xts-plain64 KEY 0 small 8", 2, "60", "leave"),
        ("0 8 linear small 70", 1, "70", "leave"),
        ("0 124 crypt aes-xts-plain64 KEY 0 big 0", 1, "124", "length is not a multiple"),
        ("0 124 linear big 0", 1, "124", "length is not a multiple"),
        ("0 128 crypt aes-xts-plain64 KEY 0 big 1", 1, "1", "place on the device is not a multiple"),
        ("0 4 zero\n4 128 linear big 0", 2, "4", "start is not a multiple"),
        ("0 8 crypt aes-xts-plain64 :64:logon:disk:key 0 small 0", 1, "<key>", "shows to no program"),
    ];
    for (table, line, at, says) in cases {
        let error = error(table, &CipherChoice::default());
        let text = error.to_string();
        assert!(text.contains(says), "{text}");
        assert_eq!((error.line(), word(&error).as_str()), (line, at), "{text}");
        assert!(!error.hint().is_empty() && !error.found().is_empty(), "{text}");
        let kind = if at == "<key>" { TableErrorKind::Missing } else { TableErrorKind::Device };
        assert_eq!(error.kind(), kind, "{text}");
    }
}

/// The same tables with the mistakes mended load.
#[test]
fn the_mended_tables_load() {
    for table in [
        "0 8 linear small 0",
        "0 64 linear small 0",
        "0 56 linear small 8",
        "0 8 zero\n8 56 crypt aes-xts-plain64 KEY 0 small 8",
        "0 120 crypt aes-xts-plain64 KEY 0 big 0",
        "0 128 crypt aes-xts-plain64 KEY 0 big 8",
        "0 8 zero\n8 1016 linear big 8",
        // Rows of different blocks: each lies on its own.
        "0 3 linear small 1\n3 5 zero\n8 8 linear big 0",
    ] {
        open(table, &CipherChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_key_or_a_driver_that_does_not_fit_points_at_the_key() {
    let choice = |driver: &str| CipherChoice { driver: Some(driver.to_owned()), ..CipherChoice::default() };
    let aes128 = format!("0 8 crypt aes-xts-plain64 {} 0 small 0", hex(&stream(2, 32)));
    let halves = format!("0 8 crypt aes-xts-plain64 {} 0 small 0", key()[..64].repeat(2));
    for (table, driver) in [(&aes128, "aws-lc"), (&halves, "aws-lc"), (&aes128, "nobody")] {
        let error = error(table, &choice(driver));
        assert_eq!((error.kind(), word(&error).as_str()), (TableErrorKind::Key, "<key>"), "{error}");
        assert!(error.to_string().contains(driver), "{error}");
    }
    // What the kernel takes is taken: another driver has no such limit.
    for table in [aes128, halves] {
        open(&table, &CipherChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Oracle: behaviour.txt, "block sizes".
#[test]
fn the_logical_block_is_the_larger_of_the_sector_and_the_lower_device_s() {
    let crypt =
        |disk: &str, size: u32| format!("0 64 crypt aes-xts-plain64 KEY 0 {disk} 0 1 sector_size:{size}");
    for (table, block) in [
        (crypt("small", 512), 512),
        (crypt("small", 1024), 1024),
        (crypt("small", 4096), 4096),
        (crypt("big", 512), 4096),
        (crypt("big", 1024), 4096),
        ("0 64 linear big 0".into(), 4096),
        ("0 8 linear small 0\n8 8 linear big 0\n16 8 zero".into(), 4096),
        ("0 8 linear small 0\n8 8 zero".into(), 512),
    ] {
        let device = open(&table, &CipherChoice::default()).unwrap();
        assert_eq!(device.geometry().logical_block, block, "{table}");
        let sectors = Table::parse(&table.replace("KEY", &key())).unwrap().sectors();
        assert_eq!(device.geometry().size, sectors, "{table}");
    }
    // A table does what all of its rows do.
    let both = open("0 8 linear small 0\n8 8 linear big 0", &CipherChoice::default()).unwrap();
    assert!(both.geometry().discard && !both.geometry().write_zeroes && both.geometry().write_cache);
    let zero = open("0 8 zero", &CipherChoice::default()).unwrap();
    assert!(zero.geometry().write_zeroes && !zero.geometry().write_cache);
}

/// A device is opened once, for the smallest block that a row of it transfers.
#[test]
fn a_device_is_opened_once_for_its_smallest_block() {
    struct Asked(std::cell::RefCell<Vec<(String, u32)>>);
    impl udm_dm::load::Lookup for Asked {
        fn device(&self, name: &str, block_size: u32) -> Result<DeviceRef, udm_dm::load::LookupError> {
            self.0.borrow_mut().push((name.to_owned(), block_size));
            Ok(Ram::new(64))
        }
    }
    let asked = Asked(std::cell::RefCell::default());
    let row = |start, disk: &str, size| {
        format!("{start} 8 crypt aes-xts-plain64 {} 0 {disk} {start} 1 sector_size:{size}\n", key())
    };
    let table = row(0, "a", 4096)
        + &row(8, "a", 1024)
        + &row(16, "b", 4096)
        + "24 8 linear c 0\n"
        + &row(32, "a", 2048);
    load(&Table::parse(&table).unwrap(), &asked, &CipherChoice::default(), &heap()).unwrap();
    let expected = [("a", 1024), ("b", 4096), ("c", 512)].map(|(name, size)| (name.to_owned(), size));
    assert_eq!(*asked.0.borrow(), expected);
}

#[test]
fn without_memory_for_the_reserves_nothing_loads() {
    let table = Table::parse(&format!("0 64 crypt aes-xts-plain64 {} 0 small 0", key())).unwrap();
    let devices: [(&str, DeviceRef); 1] = [("small", Ram::new(64))];
    let starving = Starving::new(Arc::new(Heap));
    let source: Source = starving.clone();
    let load = || load(&table, &Shelf(&devices), &CipherChoice::default(), &source);
    drop(load().unwrap());
    let (asked, _) = starving.counts();
    for number in (0..asked).step_by(7).chain([asked - 1]) {
        starving.refuse(Refuse::Nth(number));
        match load() {
            Err(LoadError::NoReserve(error)) => {
                assert!(error.to_string().starts_with("no memory for"), "{error}");
            }
            other => panic!("allocation {number} of {asked}: {other:?}"),
        }
    }
}

/// Whatever is printed of a device, in whichever way, has no piece of a key in it.
#[test]
fn no_key_is_in_what_is_printed() {
    let line = |key: &str| format!("0 64 crypt aes-xts-essiv:sha256 {key} 0 small 0");
    let table = Table::parse(&line(&key())).unwrap();
    let spec = table.rows[0].target.downcast_ref::<CryptSpec>().expect("a crypt row");
    let KeySpec::Bytes(bytes) = &spec.key else { panic!("a key") };
    let mut printed = vec![format!("{table} {table:?} {table:#?} {spec:?} {bytes:?} {:?}", spec.key)];
    for requests in BOTH {
        let choice = CipherChoice { requests, ..CipherChoice::default() };
        let converter = || Converter::new(spec, bytes.as_slice(), &choice).unwrap();
        let crypt = crypt(spec, converter());
        printed.push(format!("{:?} {crypt:?} {crypt:#?} {choice:?} {:?}", converter(), crypt.geometry()));
        printed.push(format!("{:#?}", open(&line("KEY"), &choice).unwrap()));
    }
    let named = CipherChoice { driver: Some("nobody".into()), ..CipherChoice::default() };
    for (table, choice) in
        [(line("KEY"), &named), (line("KEY").replace("small", "gone"), &CipherChoice::default())]
    {
        let error = open(&table, choice).unwrap_err();
        printed.push(format!("{error} {error:?} {error:#?}"));
    }
    let secrets = secrets(bytes.as_slice());
    for text in printed {
        assert!(text.len() > 20);
        assert!(!shows(&text, &secrets), "{text}");
    }
    // The bad twin: the search finds a key in the ways in which one might be printed.
    assert!(shows(&format!("{:?}", bytes.as_slice()), &secrets));
    assert!(shows(&format!("{:#?}", bytes.as_slice()), &secrets));
    assert!(shows(&key().to_uppercase(), &secrets));
}

fn crypt(spec: &CryptSpec, converter: Converter) -> Crypt {
    Crypt::new(spec, converter, Ram::new(64), &heap(), Reserves::default()).unwrap()
}

/// Pieces of a key of four bytes, as hex and as numbers, without white space.
fn secrets(key: &[u8]) -> Vec<String> {
    let numbers = |bytes: &[u8]| format!("{bytes:?}").replace(' ', "").trim_matches(['[', ']']).to_owned();
    key.windows(4).flat_map(|bytes| [hex(bytes), numbers(bytes)]).collect()
}

fn shows(text: &str, secrets: &[String]) -> bool {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    secrets.iter().any(|secret| text.contains(secret))
}
