//! `udm bench`: each measurement runs, names what it measured, and draws it. What the figures should be is not for tests.

use serde_json::Value;
use tempfile::TempDir;
use udm_tests::program::run;

/// What `udm bench` measures when it is given these words.
fn bench(words: &[&str]) -> Value {
    let output = run([&["--json", "bench", "--rounds", "1"], words].concat());
    assert!(output.status.success(), "udm bench {words:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The names of a chart's ways, each of which has a rate at each of so many sizes.
fn ways(measured: &Value, chart: &str, sizes: usize) -> Vec<String> {
    let of_name = |found: &&Value| found["name"] == chart;
    let found = measured["charts"].as_array().unwrap().iter().find(of_name).expect(chart);
    let name = |series: &Value| {
        let points = series["points"].as_array().unwrap();
        assert_eq!(points.len(), sizes, "{series}");
        assert!(points.iter().all(|point| point["bytes_per_s"].as_f64().unwrap() > 0.0), "{series}");
        series["name"].as_str().unwrap().to_owned()
    };
    found["series"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn ciphers_layers_and_lengths_are_measured_and_drawn() {
    let folder = TempDir::new().unwrap();
    let measured = bench(&[
        "cipher",
        "stack",
        "scale",
        "--driver",
        "portable",
        "--plot",
        folder.path().to_str().unwrap(),
    ]);
    let cipher = ways(&measured, "cipher", 4);
    for name in ["portable, all units", "portable, a call a unit", "portable, bare blocks"] {
        assert!(cipher.iter().any(|way| way == name), "{name} is not in {cipher:?}");
    }
    assert_eq!(ways(&measured, "stack", 6).len(), 3);
    assert_eq!(ways(&measured, "linear", 1), ["linear", "zero"]);
    assert_eq!(ways(&measured, "device", 4), ["crypt", "linear"]);
    assert_eq!(ways(&measured, "threads", 4).len(), 2);
    for chart in ["cipher", "stack", "threads"] {
        let svg = std::fs::read_to_string(folder.path().join(format!("{chart}.svg"))).unwrap();
        assert!(svg.trim_end().ends_with("</svg>") && svg.contains("GB/s"), "{chart}: {svg}");
    }
    // Of a driver that is not there nothing is measured, and nothing is made up.
    let refused = run(["bench", "cipher", "--driver", "no-such-driver"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let refused = run(["bench", "stack", "--size", "700"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not measured with it"), "{refused:?}");
}

#[test]
fn an_export_is_measured_beside_those_of_others() {
    let measured = bench(&["export", "--device-size", "16M"]);
    for pass in ["write", "read", "random"] {
        for processor in ["", "-cpu"] {
            let ways = ways(&measured, &format!("export-{pass}{processor}"), 1);
            for name in ["udm, aes-xts-plain64", "udm, raw", "qemu-nbd, LUKS1"] {
                assert!(ways.iter().any(|way| way == name), "{name} is not in {ways:?}");
            }
        }
    }
}
