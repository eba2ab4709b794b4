//! `fuzz`: every parser under libFuzzer for a while, beginning with the corpus of the repository.
//!
//! The toolchain is the stable one: what a nightly `-Z` flag would do is done by a wrapper of the compiler, for our crates
//! only (`fuzz/rustc.sh`).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{clients, package, step};

/// How long all targets run together where nobody says, in seconds: a target more takes its time from the others.
const TOGETHER_S: u32 = 51;

/// How long one input may take, in seconds.
const INPUT_S: u32 = 20;

/// Longest input, in bytes.
const INPUT_BYTES_MAX: u32 = 8192;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let (only, seconds) = read(arguments)?;
    let root = clients::root()?;
    let corpus = root.join("fuzz/corpus");
    let mut targets = names(&corpus)?;
    let seconds = seconds.unwrap_or_else(|| share(targets.len()));
    if let Some(only) = only {
        targets.retain(|target| *target == only);
        if targets.is_empty() {
            return Err(format!("there is no target `{only}`; the folders of `fuzz/corpus` are their names"));
        }
    }
    let program = step::announce("fuzzer", || build(&root))?;
    let mut broken = Vec::new();
    for target in targets {
        let (own, found) =
            (root.join("target/fuzz-corpus").join(&target), root.join("target/fuzz-found").join(&target));
        for folder in [&own, &found] {
            std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        }
        let mut command = Command::new(&program);
        command.env("PORTCULLIS_FUZZ_TARGET", &target);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_S}"));
        command.arg(format!("-max_len={INPUT_BYTES_MAX}")).args(["-print_final_stats=1", "-verbosity=0"]);
        command.arg(format!("-artifact_prefix={}/", found.display()));
        // What it finds new goes into the first; the corpus of the repository is only read.
        command.args([&own, &corpus.join(&target)]);
        if step::announce(&format!("fuzz {target}"), || step::succeed(&mut command)).is_err() {
            broken.push(format!("`{target}` broke; the input is in {}", found.display()));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

/// The seconds of each of so many targets.
fn share(targets: usize) -> u32 {
    let targets = u32::try_from(targets).unwrap_or(u32::MAX);
    TOGETHER_S.checked_div(targets).unwrap_or_default().max(1)
}

fn read(arguments: &[String]) -> Result<(Option<&str>, Option<u32>), String> {
    let (mut only, mut seconds) = (None, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let number = words.next().and_then(|word| word.parse().ok()).filter(|seconds| *seconds > 0);
                seconds = Some(number.ok_or("`--seconds` wants a number")?);
            }
            word if word.starts_with('-') || only.is_some() => return Err(format!("unexpected `{word}`")),
            word => only = Some(word),
        }
    }
    Ok((only, seconds))
}

fn names(corpus: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(corpus).map_err(|error| format!("cannot read {}: {error}", corpus.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Builds into the product's folder, so that what others wrote and that is the same is not built again.
fn build(root: &Path) -> Result<PathBuf, String> {
    if !Command::new("c++").arg("--version").output().is_ok_and(|output| output.status.success()) {
        package::install("no C++ compiler on this machine", &["g++"])?;
    }
    let mut command = step::cargo();
    command.args(["build", "--locked", "--manifest-path"]).arg(root.join("fuzz/Cargo.toml"));
    command.arg("--target-dir").arg(root.join("target")).env("RUSTC_WRAPPER", root.join("fuzz/rustc.sh"));
    step::succeed(&mut command)?;
    Ok(root.join("target/debug/portcullis-fuzz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_target_and_a_time_are_read_in_any_order() {
        assert_eq!(read(&[]), Ok((None, None)));
        assert_eq!(read(&words("note --seconds 60")), Ok((Some("note"), Some(60))));
        assert_eq!(read(&words("--seconds 60 note")), Ok((Some("note"), Some(60))));
        for bad in ["note policy", "--seconds", "--seconds 0", "--seconds x", "--minutes 1"] {
            assert!(read(&words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn more_targets_take_no_more_time() {
        for targets in 1..=51 {
            assert!(share(targets) * u32::try_from(targets).unwrap() <= TOGETHER_S, "{targets}");
        }
        assert_eq!((share(0), share(17), share(500)), (1, 3, 1));
    }
}
