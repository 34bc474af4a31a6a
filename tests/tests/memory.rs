//! A server's memory stays within what `udm serve --help` says.

use std::time::Duration;

use udm::backend::nbd::client::Client;
use udm::nbd::address::NbdUri;
use udm_tests::program::{Served, run};
use udm_tests::volume::{Volume, noise};

const MIB: u64 = 1 << 20;
const CLIENTS: u64 = 4;

#[test]
fn a_depth_of_128_with_requests_of_a_mebibyte_stays_within_what_help_states() {
    // "about 16 MiB for the program itself, at most 8 MiB for each connected client and 16 MiB for each crypt row"
    let help = String::from_utf8(run(["serve", "--help"]).stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let stated = [
        "about 16 MiB for the program itself",
        "8 MiB for each connected client",
        "16 MiB for each crypt row",
    ];
    for part in stated {
        assert!(help.contains(part), "{part:?} is not in --help: {help}");
    }
    let bound_kib = (16 + 8 * CLIENTS + 16) * 1024;

    let volume = Volume::xts(256 * MIB, 41);
    let served = Served::table(&volume.table);
    let uri: NbdUri = served.uri().parse().unwrap();
    let data = noise(42, MIB as usize);
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::connect(&uri.address, &uri.export).unwrap()).collect();
    let mut answer = Vec::with_capacity(MIB as usize);
    for round in 0..3u64 {
        for client in &mut clients {
            client.set_timeout(Some(Duration::from_mins(1))).unwrap();
            for cookie in 0..128 {
                let offset = (round * 31 + cookie) % 256 * MIB;
                if (round + cookie) % 2 == 0 {
                    client.send_write(cookie, offset, &data, false).unwrap();
                } else {
                    client.send_read(cookie, offset, MIB as u32).unwrap();
                }
            }
        }
        for client in &mut clients {
            (0..128).for_each(|_| client.receive(&mut answer).unwrap().result.unwrap());
        }
    }
    let peak = served.status_kib("VmHWM");
    println!(
        "{CLIENTS} clients, 128 requests of 1 MiB each: peak {} MiB, bound {} MiB",
        peak / 1024,
        bound_kib / 1024
    );
    assert!(peak <= bound_kib, "{peak} KiB resident, and --help says {bound_kib}");
}
