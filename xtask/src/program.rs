//! Running the whole-program tests: the release binary, judged by programs that others wrote, as a user without rights.
//!
//! The tests get `UDM_BIN` (the path of the binary), `UDM_VECTORS` (the folder of golden vectors) and a fresh `HOME`
//! and `TMPDIR`, which is also the folder they start in.

use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::scratch::Scratch;
use crate::{judges, run};

/// The package that holds the whole-program tests.
pub const PACKAGE: &str = "udm-tests";
/// The variable that names the file which `udm_testkit::skip` writes to.
pub const SKIPPED: &str = "UDM_SKIPPED";
/// The user that root runs the tests as: `nobody` on Debian, who owns nothing.
const USER: u32 = 65534;
/// How long one test executable may run before it counts as hung.
const LIMIT: Duration = Duration::from_mins(15);

/// Builds the binary and the test executables, and runs these, a test on each processor. What tests say that they cannot test
/// is appended to the file `skipped`.
///
/// # Errors
/// Something does not build, a test fails or hangs, or not one test ran.
pub fn run(skipped: &Path) -> Result<()> {
    run::run(&mut run::cargo(&["build", "--release", "-p", "udm-cli"]))?;
    let mut executables = build_tests()?;
    let mut binary = release_binary("udm")?;
    let mut vectors = run::root().join("vectors");
    let home = Scratch::new("udm-program-tests")?;
    // The tests' user cannot write to the caller's file.
    let told = home.path().join("skipped");
    fs::write(&told, "")?;
    let user = if judges::is_root() { Some(USER) } else { None };
    if let Some(user) = user {
        for path in [home.path(), &told] {
            chown(path, Some(user), Some(user)).context("cannot give the tests' folder to their user")?;
        }
        let closed = executables.iter().chain([&binary, &vectors]).find(|path| !reaches(user, path)).cloned();
        if let Some(path) = closed {
            println!("user {user} cannot reach {}: {}; taking copies", path.display(), obstacle(&path));
            let copies = home.path().join("copies");
            fs::create_dir(&copies)?;
            for path in executables.iter_mut().chain([&mut binary, &mut vectors]) {
                *path = copy_into(&copies, path)?;
            }
        }
    }
    let passed = executables.iter().map(|executable| {
        let mut test = command(user, executable);
        test.env("UDM_BIN", &binary).env("UDM_VECTORS", &vectors);
        test.env("HOME", home.path()).env("TMPDIR", home.path()).env_remove("XDG_RUNTIME_DIR");
        test.env("PATH", run::path_with_system_programs()).current_dir(home.path());
        test.env(SKIPPED, &told);
        run_and_count(&mut run::within(LIMIT, &test))
    });
    // All of them run, whichever fails.
    let passed: Vec<Result<u64>> = passed.collect();
    fs::copy(&told, skipped).context("cannot tell which tests were skipped")?;
    let passed: u64 = passed.into_iter().sum::<Result<u64>>()?;
    ensure!(passed > 0, "not one whole-program test ran: a check that checks nothing is none");
    println!("{passed} whole-program tests passed");
    Ok(())
}

/// The tests' executables. Those of all packages are built: alone, these would be built with fewer features of what they use,
/// and all of that once more.
fn build_tests() -> Result<Vec<PathBuf>> {
    let mut build =
        run::cargo(&["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", run::line(&build)))?;
    run::judge(output.status.code(), &build)?;
    cargo_executables(&output.stdout)
}

/// The executables of the package's tests that cargo's JSON messages speak of.
pub fn cargo_executables(messages: &[u8]) -> Result<Vec<PathBuf>> {
    let mut executables = Vec::new();
    for message in messages.lines() {
        let message: serde_json::Value =
            serde_json::from_str(&message?).context("cargo's message is not JSON")?;
        let package = message["package_id"].as_str().unwrap_or_default();
        if message["profile"]["test"] == true
            && package.contains(&format!("#{PACKAGE}@"))
            && let Some(path) = message["executable"].as_str()
        {
            executables.push(path.into());
        }
    }
    Ok(executables)
}

/// The path of a release binary, wherever the target folder is.
pub fn release_binary(name: &str) -> Result<PathBuf> {
    let binary = target_folder()?.join("release").join(name);
    ensure!(binary.is_file(), "cargo has built {name}, but it is not at {}", binary.display());
    Ok(binary)
}

/// The folder that cargo builds into.
pub fn target_folder() -> Result<PathBuf> {
    let mut ask = run::cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let output = ask.stderr(Stdio::inherit()).output().context("cannot ask cargo where it builds")?;
    run::judge(output.status.code(), &ask)?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata["target_directory"].as_str().context("cargo does not say where it builds")?;
    Ok(folder.into())
}

/// `program`, run as `user` with no way back to more rights (`None`: run as we are).
fn command(user: Option<u32>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
    command.args(["--clear-groups", "--no-new-privs"]).arg(program);
    command
}

/// Whether `user` can use `path`, found by trying.
fn reaches(user: u32, path: &Path) -> bool {
    let mut test = command(Some(user), Path::new("test"));
    // For a folder `-x` means that it can be entered; the files in it may still be closed, so one is tried.
    let first =
        fs::read_dir(path).ok().and_then(|mut entries| entries.next()?.ok()).map(|entry| entry.path());
    test.arg("-x").arg(path);
    if let Some(file) = first {
        test.args(["-a", "-r"]).arg(file);
    }
    test.current_dir("/").status().is_ok_and(|status| status.success())
}

/// What keeps others out of `path`: the first folder from the top that they may not enter, or the file itself.
fn obstacle(path: &Path) -> String {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    for part in way {
        match fs::metadata(part).map(|metadata| metadata.permissions().mode()) {
            Ok(mode) if mode & 0o001 == 0 => {
                return format!("{} has mode {:04o}, and others need x", part.display(), mode & 0o7777);
            }
            Ok(_) => {}
            Err(error) => return format!("{}: {error}", part.display()),
        }
    }
    "its mode, or that of what is in it, keeps others out".to_owned()
}

/// Copies a file, or a folder with all that is in it, so that everybody may read and run the copy.
fn copy_into(folder: &Path, path: &Path) -> Result<PathBuf> {
    let name = path.file_name().context("a path without a name cannot be copied")?;
    let copy = folder.join(name);
    let result = if path.is_dir() {
        fs::create_dir(&copy)?;
        for entry in fs::read_dir(path)? {
            copy_into(&copy, &entry?.path())?;
        }
        Ok(())
    } else {
        fs::copy(path, &copy).map(|_| ())
    };
    result.with_context(|| format!("cannot copy {} to {}", path.display(), copy.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

/// Runs one test executable, shows what it printed when it has ended, and gives the number of tests that passed.
fn run_and_count(test: &mut Command) -> Result<u64> {
    let began = Instant::now();
    let output = test.output().with_context(|| format!("cannot start `{}`", run::line(test)))?;
    let mut out = std::io::stdout().lock();
    out.write_all(&output.stdout)?;
    out.write_all(&output.stderr)?;
    writeln!(out, "{:.1} s: {}", began.elapsed().as_secs_f64(), run::line(test))?;
    drop(out);
    run::judge(output.status.code(), test)?;
    String::from_utf8_lossy(&output.stdout).lines().map(passed_in).sum()
}

/// How many tests passed, by the harness's closing line; 0 for any other line.
pub fn passed_in(line: &str) -> Result<u64> {
    let Some(counts) = line.strip_prefix("test result: ") else { return Ok(0) };
    if !counts.contains(" 0 ignored;") {
        bail!("tests were left out: {line}");
    }
    let words: Vec<&str> = counts.split_whitespace().collect();
    let passed = words.windows(2).find(|pair| pair[1] == "passed;").and_then(|pair| pair[0].parse().ok());
    passed.with_context(|| format!("the number of tests is not where it was: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_says_how_many_passed_and_tests_left_out_are_a_fault() {
        let line =
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(passed_in(line).unwrap(), 12);
        assert_eq!(passed_in("convert: 1.9 GB/s").unwrap(), 0);
        assert!(passed_in(&line.replace("0 ignored", "1 ignored")).is_err());
        assert!(passed_in("test result: ok. all passed; 0 ignored; ").is_err());
    }

    #[test]
    fn the_executables_are_those_of_tests() {
        let messages = br#"{"package_id":"path+file:///t#udm-tests@0.1.0","profile":{"test":false},"executable":"/t/udm"}
{"package_id":"path+file:///t#udm-tests@0.1.0","profile":{"test":true},"executable":"/t/deps/serve-1"}
{"package_id":"path+file:///b#udm-block@0.1.0","profile":{"test":true},"executable":"/t/deps/all-1"}
{"package_id":"path+file:///t#udm-tests@0.1.0","profile":{"test":true},"executable":null}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(cargo_executables(messages).unwrap(), [PathBuf::from("/t/deps/serve-1")]);
        assert!(cargo_executables(b"warning: not JSON\n").is_err());
    }

    #[test]
    fn a_closed_folder_is_named_and_its_copy_is_open() {
        let scratch = Scratch::new("udm-xtask-closed").unwrap();
        let closed = scratch.path().join("closed");
        fs::create_dir_all(closed.join("inner")).unwrap();
        fs::write(closed.join("inner/file"), "here").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(obstacle(&closed.join("inner/file")).contains("has mode 0700"));

        let open = scratch.path().join("open");
        fs::create_dir(&open).unwrap();
        let copy = copy_into(&open, &closed).unwrap();
        assert_eq!(fs::read_to_string(copy.join("inner/file")).unwrap(), "here");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o755);
        if judges::is_root() {
            chown(scratch.path(), Some(USER), Some(USER)).unwrap();
            assert!(!reaches(USER, &closed.join("inner/file")));
            assert!(reaches(USER, &copy.join("inner/file")));
        }
    }
}
