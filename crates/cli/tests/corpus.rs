//! The corpus of the fuzzer, whole and bent, through every parser: what was once found is not found again, and what is near
//! it is not either. `cargo xtask fuzz` looks further.

#![expect(clippy::expect_used, reason = "a corpus that cannot be read ends the test")]

#[path = "../../service/src/json.rs"]
mod json;
#[path = "../../service/src/problem.rs"]
#[expect(dead_code, reason = "refusals are put into words here, and sent nowhere")]
mod problem;
#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_cli::scenario::{self, Scenario};
use targets::TARGETS;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");

/// The same bent inputs every time.
const SEED: u64 = 2566;
/// How often each input is bent.
const BENDS: usize = 40;
/// What the corpus may weigh, in bytes.
const CORPUS_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes that parsers look for.
const TELLING: &[u8] = b"\0\xff\n\"\\{}[]=,+- 09aZ_";

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    /// One change: a byte is another, is gone or comes twice, a piece is gone, or comes from elsewhere.
    fn bend(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bent = input.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bent.len());
            match self.below(6) {
                0 if !bent.is_empty() => bent[at] ^= 1 << self.below(8),
                1 if !bent.is_empty() => bent[at] = TELLING[self.below(TELLING.len())],
                2 if !bent.is_empty() => drop(bent.remove(at)),
                3 => bent.truncate(at),
                4 => bent.insert(at, TELLING[self.below(TELLING.len())]),
                _ => {
                    let from = self.below(other.len());
                    let piece = &other[from..(from + 1 + self.below(16)).min(other.len())];
                    drop(bent.splice(at..at, piece.iter().copied()));
                }
            }
        }
        bent
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_has_a_corpus_and_it_is_small() {
    let folders: BTreeSet<String> = files(Path::new(CORPUS))
        .iter()
        .map(|f| f.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(folders, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
    let mut bytes = 0;
    for folder in &folders {
        let inputs = files(&Path::new(CORPUS).join(folder));
        assert!(!inputs.is_empty(), "{folder} has no input");
        bytes += inputs.iter().map(|file| fs::metadata(file).expect("a file").len()).sum::<u64>();
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "the corpus has {bytes} bytes");
}

#[test]
fn nothing_in_the_corpus_and_nothing_near_it_breaks_a_parser() {
    for (name, target) in TARGETS {
        let inputs: Vec<(PathBuf, Vec<u8>)> = files(&Path::new(CORPUS).join(name))
            .into_iter()
            .map(|file| (file.clone(), fs::read(&file).expect("an input")))
            .collect();
        let mut dice = Dice(SEED);
        for (file, input) in &inputs {
            // Shown where one fails.
            println!("{}, seed {SEED}", file.display());
            target(input);
            for _ in 0..BENDS {
                let other = &inputs[dice.below(inputs.len())].1;
                let bent = dice.bend(input, other);
                println!("{:?}", String::from_utf8_lossy(&bent));
                target(&bent);
            }
        }
    }
}

#[test]
fn no_scenario_and_nothing_near_one_breaks_its_reader() {
    let texts: Vec<String> =
        files(Path::new(SCENARIOS)).iter().map(|file| fs::read_to_string(file).expect("a scenario")).collect();
    let mut dice = Dice(SEED);
    for text in &texts {
        assert!(Scenario::parse(text).is_ok());
        for _ in 0..BENDS {
            let other = &texts[dice.below(texts.len())];
            let bent = dice.bend(text.as_bytes(), other.as_bytes());
            let bent = String::from_utf8_lossy(&bent);
            println!("seed {SEED}: {bent}");
            let _ = Scenario::parse(&bent);
        }
    }
}
