//! The crates as others get them: packages, the crates without their default features, and the last release's items.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{run, semver};

/// Packages that are not published: `publish = false` says so, and `cargo package` takes them all the same.
const UNPUBLISHED: [&str; 4] = ["udm-reference", "udm-testkit", "udm-tests", "xtask"];

/// A crate that adds targets, by what every program can use, and those of ours that it is built on.
const ADDS_TARGETS: &str = "udm-targets";
const BELOW_TARGETS: [&str; 3] = ["udm-block", "udm-crypto", "udm-dm"];

/// Packages the crates, builds the targets from their packages alone, and checks the features and the last release.
///
/// # Errors
/// A crate cannot be packaged, a package or a crate without features does not build, or a public item is gone.
pub fn run() -> Result<()> {
    let mut package = run::cargo(&["package", "--quiet", "--workspace", "--no-verify", "--allow-dirty"]);
    for name in UNPUBLISHED {
        package.args(["--exclude", name]);
    }
    run::run(&mut package)?;
    targets_from_packages()?;
    run::run(&mut run::cargo(&["check", "--quiet", "-p", "udm", "--no-default-features"]))?;
    let without = ["test", "--quiet", "-p", "udm-crypto", "--no-default-features", "--test", "not_built"];
    run::run(&mut run::cargo(&without))?;
    semver::run(None)
}

/// Builds the crate with the targets as a stranger's would be built: from packages, in a workspace of its own.
fn targets_from_packages() -> Result<()> {
    let packages = run::root().join("target/package");
    let workspace = packages.join("targets");
    if workspace.exists() {
        fs::remove_dir_all(&workspace).with_context(|| format!("cannot empty {}", workspace.display()))?;
    }
    fs::create_dir_all(&workspace).with_context(|| format!("cannot make {}", workspace.display()))?;
    let mut manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"{}\"]\n\n[patch.crates-io]\n",
        folder_of(ADDS_TARGETS)
    );
    unpack(&packages, &workspace, ADDS_TARGETS)?;
    for name in BELOW_TARGETS {
        unpack(&packages, &workspace, name)?;
        let _ = writeln!(manifest, "{name} = {{ path = \"{}\" }}", folder_of(name));
    }
    fs::write(workspace.join("Cargo.toml"), manifest).context("cannot write the manifest")?;
    // The versions of the other dependencies are those that everything else is built with.
    fs::copy(run::root().join("Cargo.lock"), workspace.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    let mut check = run::cargo(&["check", "--quiet", "-p", ADDS_TARGETS, "--target-dir"]);
    run::run(check.arg(run::root().join("target")).current_dir(&workspace))
}

/// The folder that is in the package of `name`. All packages have the version of the workspace, as this one.
fn folder_of(name: &str) -> String {
    format!("{name}-{}", env!("CARGO_PKG_VERSION"))
}

/// Unpacks the package of `name` into `workspace`.
fn unpack(packages: &Path, workspace: &Path, name: &str) -> Result<()> {
    let package = packages.join(folder_of(name) + ".crate");
    run::run(Command::new("tar").arg("-xzf").arg(package).arg("-C").arg(workspace))
}
