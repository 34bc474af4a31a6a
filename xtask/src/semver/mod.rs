//! Whether the crates' public items are those of the last release, or the version says that they are not.
//!
//! The oracle is rustdoc's JSON, of both by the same compiler: `RUSTC_BOOTSTRAP` has the stable one write it. What is
//! compared stands in `api`. `cargo-semver-checks` knows more kinds of breakage, and takes longer to build than all
//! of this project.

mod api;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run;
use api::Listing;

/// The folder for the last release's files and for what rustdoc writes.
const FOLDER: &str = "target/semver";

/// Compares with the last tag `v*` before this commit, or with the revision `against`.
///
/// # Errors
/// A public item is gone or has changed, and the version does not say so; or something does not build.
pub fn run(against: Option<&str>) -> Result<()> {
    let Some(base) = against.map_or_else(last_tag, |revision| Ok(Some(revision.to_owned())))? else {
        println!("**** no release yet: nothing to compare with (no tag v* is before this commit) ****");
        return Ok(());
    };
    let folder = run::root().join(FOLDER);
    check_out(&base, &folder.join("base"))?;
    let (was, is) = (Release::of(&folder.join("base"), "base-doc")?, Release::of(&run::root(), "now-doc")?);
    let broken = api::broken(&was.listing, &is.listing);
    println!(
        "{} public items of {base}, {} now, {} broken",
        was.listing.len(),
        is.listing.len(),
        broken.len()
    );
    for line in &broken {
        println!("{line}");
    }
    ensure!(
        broken.is_empty() || may_break(&was.version, &is.version),
        "{} public items of {base} are gone or have changed: bring them back, or raise the version {} to one that may break",
        broken.len(),
        is.version
    );
    Ok(())
}

/// The highest tag of a release that this commit comes after.
fn last_tag() -> Result<Option<String>> {
    let mut git = git();
    git.args(["tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname"]);
    Ok(output(&mut git)?.lines().next().map(str::to_owned))
}

/// Puts the files of `revision` into `folder`.
fn check_out(revision: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let archive = folder.with_extension("tar");
    run::run(git().args(["archive", "--format=tar", revision, "--output"]).arg(&archive))?;
    run::run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder))
}

/// What a release has.
struct Release {
    version: String,
    /// Of all its published libraries.
    listing: Listing,
}

impl Release {
    /// The release whose files are in `root`; rustdoc writes into the folder `name`.
    fn of(root: &Path, name: &str) -> Result<Self> {
        let target = run::root().join(FOLDER).join(name);
        let mut metadata = run::cargo(&["metadata", "--no-deps", "--format-version=1"]);
        let metadata: Value = serde_json::from_str(&output(metadata.current_dir(root))?)?;
        let libraries = published_libraries(&metadata);
        let mut doc = run::cargo(&["doc", "--quiet", "--no-deps", "--lib"]);
        for package in libraries.keys() {
            doc.args(["-p", package]);
        }
        doc.arg("--target-dir").arg(&target).current_dir(root);
        // The dependencies are built once for both.
        doc.env("CARGO_BUILD_BUILD_DIR", run::root().join(FOLDER).join("build"));
        doc.env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json");
        run::run(doc.env_remove("CARGO_ENCODED_RUSTDOCFLAGS"))?;
        let mut listing = Listing::new();
        for package in libraries.keys() {
            let path = target.join(format!("doc/{}.json", package.replace('-', "_")));
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            listing.extend(api::list(&serde_json::from_str(&text)?)?);
        }
        let version = libraries.values().next().context("no package is published")?.clone();
        Ok(Self { version, listing })
    }
}

/// The packages that others may depend on, with their versions.
fn published_libraries(metadata: &Value) -> BTreeMap<String, String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let is_published =
        |package: &&Value| package["publish"].as_array().is_none_or(|where_to| !where_to.is_empty());
    let is_library = |package: &&Value| package["targets"].to_string().contains(r#""kind":["lib"]"#);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let libraries = packages.filter(is_published).filter(is_library);
    libraries.map(|package| (text(&package["name"]), text(&package["version"]))).collect()
}

/// Whether `now` is a version that may break what `base` had: of the first number that is not 0, a higher one.
fn may_break(base: &str, now: &str) -> bool {
    let numbers = |version: &str| -> Vec<u64> {
        version.split(['.', '-', '+']).take(3).map(|number| number.parse().unwrap_or(0)).collect()
    };
    let (base, now) = (numbers(base), numbers(now));
    let first = base.iter().position(|number| *number > 0).unwrap_or(2);
    now[..=first.min(now.len() - 1)] > base[..=first]
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(run::root());
    git
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start `{}`", run::line(command)))?;
    run::judge(output.status.code(), command)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_version_may_break_by_its_first_number_that_is_not_zero() {
        for (base, now) in [("0.1.0", "0.2.0"), ("0.1.3", "1.0.0"), ("1.2.3", "2.0.0"), ("0.0.1", "0.0.2")] {
            assert!(may_break(base, now), "{base} {now}");
        }
        for (base, now) in [("0.1.0", "0.1.0"), ("0.1.0", "0.1.1"), ("1.2.3", "1.3.0"), ("0.2.0", "0.1.9")] {
            assert!(!may_break(base, now), "{base} {now}");
        }
    }

    #[test]
    fn programs_and_what_is_not_published_have_no_items() {
        let package = |name: &str, publish: Value, kind: &str| json!({ "name": name, "version": "0.1.0", "publish": publish, "targets": [{ "kind": [kind] }] });
        let metadata = json!({ "packages": [
            package("library", Value::Null, "lib"),
            package("secret", json!([]), "lib"),
            package("program", Value::Null, "bin"),
        ] });
        assert_eq!(published_libraries(&metadata).into_keys().collect::<Vec<_>>(), ["library"]);
    }
}
