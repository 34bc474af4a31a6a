//! fio as a load: jobs that write to an NBD export, each to a region of its own, and verify what they wrote.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::judge::try_judge;

/// How much of the export each job has.
pub const REGION: u64 = 8 << 20;

/// Keeps fio from leaving a file with the state of its verification where it runs.
pub const NO_STATE_FILE: &str = "--verify_state_save=0";

/// Jobs, each with a connection and eight requests in flight.
pub struct Jobs<'a> {
    /// The export.
    pub uri: &'a str,
    /// How many; the export has a [`REGION`] for each.
    pub count: usize,
    /// How often each job writes its region.
    pub loops: u32,
}

/// What fio tells about a run in which it found nothing wrong.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Requests that were answered.
    pub requests: u64,
    /// How long the slowest of them took.
    pub longest: Duration,
}

impl Jobs<'_> {
    /// Writes and verifies: random places, 4 to 64 KiB a request, by a seed.
    ///
    /// # Errors
    /// A request failed, or a block did not hold what was written: what fio says.
    ///
    /// # Panics
    /// When fio is missing, or does not say what was asked.
    pub fn run(&self, seed: u64) -> Result<Told, String> {
        // fio leaves files where it runs.
        let folder = TempDir::with_prefix("udm-fio-").expect("a temporary folder");
        let out = folder.path().join("told.json");
        let output = try_judge(
            "fio",
            [
                "--name=udm".to_owned(),
                "--ioengine=nbd".into(),
                format!("--uri={}", self.uri),
                format!("--aux-path={}", folder.path().display()),
                format!("--output={}", out.display()),
                "--output-format=json".into(),
                NO_STATE_FILE.into(),
                format!("--numjobs={}", self.count),
                format!("--size={REGION}"),
                format!("--offset_increment={REGION}"),
                format!("--loops={}", self.loops),
                format!("--randseed={seed}"),
                "--rw=randwrite".into(),
                "--bsrange=4k-64k".into(),
                "--iodepth=8".into(),
                "--verify=crc32c".into(),
                "--verify_fatal=1".into(),
                // Blocks are verified soon after they were written, too, and not only in the end.
                "--verify_backlog=32".into(),
            ],
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("{}: {said}", output.status));
        }
        let told = std::fs::read_to_string(out).expect("what fio tells");
        let told: Value =
            told.find('{').and_then(|at| serde_json::from_str(&told[at..]).ok()).expect("JSON of fio's");
        let jobs = told["jobs"].as_array().expect("jobs");
        assert_eq!(jobs.len(), self.count, "fio ran another number of jobs");
        let mut sum = Told { requests: 0, longest: Duration::ZERO };
        for job in jobs {
            if job["error"] != 0 {
                return Err(format!("error {} of a job: {said}", job["error"]));
            }
            for way in ["read", "write"].map(|way| &job[way]) {
                let requests = way["total_ios"].as_u64().expect("a count");
                assert!(requests > 0, "a job wrote nothing, or read nothing: {job}");
                sum.requests += requests;
                let longest = way["lat_ns"]["max"].as_u64().expect("nanoseconds");
                sum.longest = sum.longest.max(Duration::from_nanos(longest));
            }
        }
        Ok(sum)
    }
}
