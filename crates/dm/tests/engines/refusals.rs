//! Devices on a driver that says it takes many units in a request, and then refuses.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::alone;
use crate::support::client::Client;
use crate::support::cut::WHOLE;
use crate::support::disk::Ram;
use crate::support::{assert_same, hex, stream, try_map};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use udm_block::DeviceRef;
use udm_crypto::offload::Faults;
use udm_dm::targets::crypt::CipherChoice;

/// Counts the warnings that name the engine.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut names = false;
        event.record(&mut |field: &Field, value: &dyn Debug| {
            names |= field.name() == "driver" && format!("{value:?}").contains("offload-sim");
        });
        self.0.fetch_add(usize::from(names), Ordering::SeqCst);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A driver that says it takes many units and refuses does not keep a device from working, and is warned of once, where
/// it is asynchronous and where it may not. Oracle: the portable driver's disk.
#[test]
fn an_engine_that_refuses_is_said_once_and_its_devices_work() {
    let _alone = alone();
    for (word, options) in
        [("serpent-xts-plain64", "0"), ("camellia-xts-plain64", "2 no_read_workqueue no_write_workqueue")]
    {
        let disks = [Ram::new(512), Ram::new(512)];
        let warnings = Warnings::default();
        let bytes = stream(5, 512 * 512);
        let faults = Faults { refuses: Some(512), ..Faults::NONE };
        let line = format!("0 512 crypt {word} {} 0 disk 0 {options}", hex(&stream(4, 64)));
        tracing::subscriber::with_default(warnings.clone(), || {
            for (driver, disk) in ["offload-sim", "portable"].into_iter().zip(&disks) {
                let choice = CipherChoice { driver: Some(driver.into()), ..CipherChoice::default() };
                for _ in 0..2 {
                    let devices: [(&str, DeviceRef); 1] = [("disk", disk.clone())];
                    let device = faults.with(|| try_map(&line, &devices, &choice)).unwrap();
                    let mut client = Client::new(&device);
                    client.write(0, &bytes, WHOLE, 512);
                    assert_same(&client.read(0, bytes.len(), WHOLE, 512), &bytes, &word);
                }
            }
        });
        assert_same(&disks[0].bytes(), &disks[1].bytes(), &word);
        assert_eq!(warnings.0.load(Ordering::SeqCst), 1, "{word}");
    }
}
