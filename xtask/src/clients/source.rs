//! `nbd-tester-client` from Debian's source package, as it is in no binary package: apt's own client fetches the package
//! once, and the package's own build makes the program, all in the target folder. Nothing of it is installed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{judges, program, run};

/// The source package.
const PACKAGE: &str = "nbd";
/// Where the program and its transaction logs are in it.
const FOLDER: &str = "tests/run";
const PROGRAM: &str = "nbd-tester-client";
/// What its build asks for beyond a compiler: programs, and files of a library.
const TOOLS: &[(&str, &str)] = &[("make", "make"), ("pkg-config", "pkg-config")];
const LIBRARY: (&str, &str) = ("glib-2.0", "libglib2.0-dev");
/// How long apt, or one part of the build, may take.
const LIMIT: Duration = Duration::from_mins(3);

/// The program, and the folder of its transaction logs.
pub struct Tester {
    pub program: PathBuf,
    pub logs: PathBuf,
}

/// What came of getting it.
pub enum Got {
    Ready(Tester),
    /// It cannot be had here, for this reason.
    Absent(String),
}

/// The program, fetched and built unless it is there.
///
/// # Errors
/// When cargo does not say where it builds.
pub fn tester() -> Result<Got> {
    let folder = program::target_folder()?.join(PROGRAM);
    let unpacked = folder.join("package");
    let tester = Tester { program: unpacked.join(FOLDER).join(PROGRAM), logs: unpacked.join(FOLDER) };
    if !tester.program.is_file() {
        let got = fetch(&folder, &unpacked).and_then(|()| build(&unpacked));
        if let Err(error) = got {
            return Ok(Got::Absent(format!("no {PROGRAM}: {error}")));
        }
        ensure!(tester.program.is_file(), "the build of {PACKAGE} made no {}", tester.program.display());
    }
    Ok(Got::Ready(tester))
}

/// Fetches the package's source as its authors released it, and unpacks it. What Debian changed in it is left out.
fn fetch(folder: &Path, unpacked: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    let download = folder.join("download");
    fs::create_dir_all(&download)?;
    let options = source_lists(folder)?;
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(&options).args(words).env("DEBIAN_FRONTEND", "noninteractive").current_dir(&download);
        run::run(&mut run::within(LIMIT, &apt))
    };
    // A machine may have lists of archives that have no sources: these fail, and another may have the package.
    let _ = apt(&["-q", "update"]);
    apt(&["-q", "source", "--download-only", PACKAGE])
        .with_context(|| format!("the machine's archives do not give the source of {PACKAGE}"))?;
    let released = fs::read_dir(&download)?.flatten().map(|entry| entry.path());
    let released = released.into_iter().find(|path| is_release(path)).context("apt brought no source")?;
    let half = folder.join("half");
    fs::create_dir(&half)?;
    run::run(Command::new("tar").arg("-xf").arg(&released).args(["--strip-components=1", "-C"]).arg(&half))?;
    fs::rename(&half, unpacked).context("the package's folder")
}

fn is_release(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.contains(".orig.tar.") && path.extension().is_none_or(|extension| extension != "asc")
}

/// A copy of the machine's lists of archives that names their sources: the options that have apt use it. What apt learns
/// stays beside it, and the machine's own lists are as they were.
fn source_lists(folder: &Path) -> Result<Vec<String>> {
    let asked = ["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"];
    let told = Command::new("apt-config").args(asked).output().context("no apt on this machine")?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let path = |name: &str| -> Option<PathBuf> {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('\'').into())
    };
    let (lists, state, cache) = (folder.join("lists"), folder.join("state"), folder.join("cache"));
    for made in [&lists, &state.join("partial"), &cache.join("archives/partial")] {
        fs::create_dir_all(made)?;
    }
    let parts = path("PARTS").and_then(|parts| fs::read_dir(parts).ok());
    let parts = parts.into_iter().flatten().flatten().map(|entry| entry.path());
    for list in parts.chain(path("LIST")) {
        let kind = list.extension().and_then(OsStr::to_str);
        let (Some(name), Some("list" | "sources")) = (list.file_name(), kind) else { continue };
        if let Ok(text) = fs::read_to_string(&list) {
            fs::write(lists.join(name), of_sources(&text))?;
        }
    }
    let (lists, state, cache) = (lists.display(), state.display(), cache.display());
    Ok(vec![
        format!("-oDir::Etc::sourcelist={lists}/none"),
        format!("-oDir::Etc::sourceparts={lists}"),
        format!("-oDir::State::lists={state}"),
        format!("-oDir::Cache={cache}"),
    ])
}

/// A list of archives, in either of apt's two forms, with sources where it had binary packages.
fn of_sources(list: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("Types:") {
            return "Types: deb-src\n".to_owned();
        }
        let line = line.strip_prefix("deb ").map_or(line.to_owned(), |rest| format!("deb-src {rest}"));
        line + "\n"
    };
    list.lines().map(line).collect()
}

/// Builds the one program, by the package's own means and without what it can do without.
fn build(unpacked: &Path) -> Result<()> {
    let mut packages: Vec<&str> = Vec::new();
    let missing = judges::missing_of(TOOLS);
    packages.extend(TOOLS.iter().filter(|(tool, _)| missing.contains(tool)).map(|(_, package)| package));
    let mut ask = Command::new("pkg-config");
    if !ask.args(["--exists", LIBRARY.0]).status().is_ok_and(|status| status.success()) {
        packages.push(LIBRARY.1);
    }
    if !packages.is_empty() {
        ensure!(judges::is_root(), "{} missing, and only root can install it", packages.join(", "));
        judges::apt_get_update()?;
        judges::apt_get_install(&packages)?;
    }
    let mut configure = Command::new("./configure");
    configure.args(["--quiet", "--without-gnutls", "--without-libnl"]).current_dir(unpacked);
    quietly(&configure)?;
    let mut make = Command::new("make");
    // What its tests need, and none of them.
    make.args(["check", "TESTS="]).current_dir(unpacked.join(FOLDER));
    quietly(&make)
}

/// Runs a part of the build, and shows what it says only if it fails.
fn quietly(command: &Command) -> Result<()> {
    let mut command = run::within(LIMIT, command);
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start `{}`", run::line(&command)))?;
    if !output.status.success() {
        print!("{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
    run::judge(output.status.code(), &command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_packages_become_lists_of_sources() {
        assert_eq!(
            of_sources("Types: deb\nURIs: http://archive.invalid/debian\nSuites: stable\n"),
            "Types: deb-src\nURIs: http://archive.invalid/debian\nSuites: stable\n"
        );
        let one_line = "# deb is for packages\ndeb http://archive.invalid/debian stable main\n";
        let sources = "# deb is for packages\ndeb-src http://archive.invalid/debian stable main\n";
        assert_eq!(of_sources(one_line), sources);
        assert_eq!(of_sources(sources), sources);
    }

    #[test]
    fn the_release_is_told_from_its_signature_and_from_debians_part() {
        assert!(is_release(Path::new("nbd_3.24.orig.tar.gz")));
        for other in ["nbd_3.24.orig.tar.gz.asc", "nbd_3.24-1.1.diff.gz", "nbd_3.24-1.1.dsc"] {
            assert!(!is_release(Path::new(other)), "{other}");
        }
    }
}
