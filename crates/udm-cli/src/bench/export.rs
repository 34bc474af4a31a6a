//! `udm bench export`: an encrypted device over NBD, by this program and by others that are installed, with one client and
//! one kind of file.

use std::thread;
use std::time::Instant;

use udm_backend::nbd::client::Client;

use super::BenchError;
use super::chart::{Chart, Measure};
use super::race::Times;
use super::server::Server;
use crate::pipeline;

/// How much a long request moves, and how many there are at once on each of so many connections.
const LONG: u64 = 1 << 20;
const CONNECTIONS: u64 = 4;
const LONG_DEPTH: usize = 4;
/// The same for short ones, on one connection.
const SHORT: u64 = 4 << 10;
const SHORT_DEPTH: usize = 32;
const SHORT_COUNT: u64 = 20_000;

/// What a round does with a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pass {
    Write,
    Read,
    Random,
}

impl Pass {
    const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Random];

    /// How many bytes it moves of a device of `size` bytes.
    fn bytes(self, size: u64) -> u64 {
        if self == Self::Random { SHORT * SHORT_COUNT } else { size }
    }

    /// A word, and what it is about.
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::Write => ["write", "writing, 1 MiB at once, 4 connections"],
            Self::Read => ["read", "reading, 1 MiB at once, 4 connections"],
            Self::Random => ["random", "reading 4 KiB anywhere, 32 at once, one connection"],
        }
    }
}

/// What the servers do, in wall time and in their processor time.
///
/// # Errors
/// When a server fails.
pub(crate) fn charts(servers: &[Server], rounds: usize) -> Result<Vec<Chart>, BenchError> {
    let empty = || vec![Vec::with_capacity(rounds); servers.len()];
    let mut times = Pass::ALL.map(|_| [empty(), empty()]);
    for round in 0..=rounds {
        for (index, server) in servers.iter().enumerate() {
            for (pass, [wall, processor]) in Pass::ALL.into_iter().zip(&mut times) {
                let taken = run(server, pass)?;
                // The first round makes everything warm.
                if round > 0 {
                    wall[index].push(taken[0]);
                    processor[index].push(taken[1]);
                }
            }
        }
    }
    let mut charts = Vec::new();
    for (pass, times) in Pass::ALL.into_iter().zip(times) {
        for (times, (of, measure)) in
            times.into_iter().zip([("", Measure::Rate), ("-cpu", Measure::RateOfProcessor)])
        {
            charts.push(chart(servers, pass, of, measure, Times::of_rounds(times)));
        }
    }
    Ok(charts)
}

fn chart(servers: &[Server], pass: Pass, of: &str, measure: Measure, times: Times) -> Chart {
    let [name, about] = pass.names();
    let title = format!("NBD, {about}: {}", measure.unit());
    let mut chart = Chart::new(&format!("export-{name}{of}"), title, "request");
    chart.measure = measure;
    chart.series = servers.iter().map(|server| (server.name.clone(), server.kind)).collect();
    let size = if pass == Pass::Random { SHORT } else { LONG };
    chart.add(size, pass.bytes(servers[0].size), times);
    chart.compare_ours();
    chart
}

/// The seconds that a pass takes, and those of the server's processor time.
fn run(server: &Server, pass: Pass) -> Result<[f64; 2], BenchError> {
    let connect = || Client::connect(&server.address, &server.export).map_err(BenchError::of);
    let before = server.processor_seconds()?;
    let begin = Instant::now();
    if pass == Pass::Random {
        // An odd factor visits all places of a power of two before it comes back to one: a cookie is in flight once.
        let places = (0..SHORT_COUNT).map(|count| count * 0x9E37_79B1 % (server.size / SHORT) * SHORT);
        let send = |client: &mut Client, at| client.send_read(at, at, SHORT as u32);
        pipeline::run(&mut connect()?, places, SHORT_DEPTH, send, |_, _| true).map_err(BenchError::of)?;
    } else {
        thread::scope(|scope| {
            let part = server.size / CONNECTIONS;
            let of_connection = |number: u64| {
                let work = move || {
                    let places = (number * part..(number + 1) * part).step_by(LONG as usize);
                    sequential(&mut connect()?, pass, places)
                };
                thread::Builder::new().spawn_scoped(scope, work).map_err(BenchError::of)
            };
            let threads: Vec<_> = (0..CONNECTIONS).map(of_connection).collect();
            threads.into_iter().try_for_each(|thread| {
                thread?.join().unwrap_or_else(|_| Err(BenchError("a client panicked".into())))
            })
        })?;
    }
    let wall = begin.elapsed().as_secs_f64();
    // The clock of processor time may not have ticked.
    Ok([wall, (server.processor_seconds()? - before).max(1e-3)])
}

fn sequential(client: &mut Client, pass: Pass, places: impl Iterator<Item = u64>) -> Result<(), BenchError> {
    let data = vec![0x5A; LONG as usize];
    let send = |client: &mut Client, at| match pass {
        Pass::Write => client.send_write(at, at, &data, false),
        Pass::Read | Pass::Random => client.send_read(at, at, LONG as u32),
    };
    pipeline::run(client, places, LONG_DEPTH, send, |_, _| true).map_err(BenchError::of)?;
    if pass == Pass::Write { client.flush().map_err(BenchError::of) } else { Ok(()) }
}
