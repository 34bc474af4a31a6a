//! Running a model under shuttle: random schedules and PCT's, each from a seed that is printed.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

/// How many schedules of each kind a model runs unless `UDM_MODEL_SCHEDULES` says.
const SCHEDULES: usize = 200;
/// How many changes of priority PCT makes: a fault that needs as many, in the right places, is found with a known
/// probability (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", 2010).
const PCT_DEPTH: usize = 3;

/// Runs `model` under random and under PCT schedules. A failing schedule is written to a file that `UDM_MODEL_REPLAY`
/// takes.
pub fn check(model: impl Fn() + Send + Sync + Clone + 'static) {
    let failures = env::var_os("UDM_MODEL_FAILURES").map(PathBuf::from);
    let config =
        config(failures.map_or(FailurePersistence::Print, |folder| FailurePersistence::File(Some(folder))));
    if let Some(file) = env::var_os("UDM_MODEL_REPLAY") {
        let schedule = ReplayScheduler::new_from_file(file).expect("the file of a failing schedule");
        Runner::new(schedule, config).run(model);
        return;
    }
    let (seed, schedules) = (seed(), schedules());
    let (start, pct) = (Instant::now(), model.clone());
    run(RandomScheduler::new_from_seed(seed, schedules), config.clone(), model);
    run(PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules), config, pct);
    println!("seed {seed}: {schedules} random and {schedules} PCT schedules in {:.1?}", start.elapsed());
}

/// A bad twin: some schedule of `model` must fail, in words that hold `how`.
pub fn fails(how: &str, model: impl Fn() + Send + Sync + 'static) {
    let seed = seed();
    println!("seed {seed}");
    let scheduler = RandomScheduler::new_from_seed(seed, schedules().max(SCHEDULES));
    let model = AssertUnwindSafe(model);
    let ran = catch_unwind(move || Runner::new(scheduler, config(FailurePersistence::None)).run({ model }.0));
    let failure = ran.expect_err("no schedule failed: the checker does not see the fault");
    let said = words(failure.as_ref());
    assert!(said.contains(how), "it failed otherwise: {said}");
}

fn run(scheduler: impl Scheduler + 'static, config: Config, model: impl Fn() + Send + Sync + 'static) {
    let ran = Runner::new(scheduler, config).run(model);
    assert_eq!(ran, schedules(), "the checker left schedules out");
}

fn config(failure_persistence: FailurePersistence) -> Config {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.silence_warnings = true;
    config.failure_persistence = failure_persistence;
    config
}

fn schedules() -> usize {
    from_env("UDM_MODEL_SCHEDULES").unwrap_or(SCHEDULES as u64) as usize
}

fn seed() -> u64 {
    let clock =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()));
    from_env("UDM_MODEL_SEED").unwrap_or_else(clock)
}

fn from_env(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, which is no number")))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no words)")
}
