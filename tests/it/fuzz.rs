//! A short run of what the fuzzer does: every target over its committed corpus and seeded mutations of it.
//!
//! `TRAILHOUND_MUTATIONS=1000000` runs so many of each target, and `TRAILHOUND_CORPUS=DIRECTORY` begins with what is
//! in a directory that has one for each target.

#[path = "../../fuzz/src/targets.rs"]
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::samples;

/// Mutations of each target, of every day.
const MUTATIONS: u64 = 3_000;

#[test]
fn corpora_and_their_mutations_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let other = std::env::var_os("TRAILHOUND_CORPUS").map(PathBuf::from);
    let mutations =
        std::env::var("TRAILHOUND_MUTATIONS").map_or(MUTATIONS, |text| text.parse().expect("a number"));
    for (name, target) in targets::TARGETS {
        let mut files = samples::files_under(&root.join(name));
        if let Some(other) = other.as_ref().map(|other| other.join(name)).filter(|other| other.is_dir()) {
            files.extend(samples::files_under(&other));
        }
        let corpus: Vec<Vec<u8>> =
            files.iter().map(|file| std::fs::read(file).expect("can be read")).collect();
        assert!(corpus.len() >= 5, "the corpus of `{name}` is committed");
        for (file, input) in files.iter().zip(&corpus) {
            run(target, input, &format!("{name}: {}", file.display()));
        }
        for seed in 0..mutations {
            run(target, &mutated(&corpus, seed), &format!("{name}: mutation {seed}"));
        }
    }
}

/// Runs a target; a failure is told with the input that shows it.
fn run(target: targets::Target, input: &[u8], what: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    assert!(outcome.is_ok(), "{what}: {}", input.escape_ascii());
}

/// An input of a corpus with a few changes; the same for the same seed.
fn mutated(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut input = corpus.choose(&mut random).expect("is not empty").clone();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        let length = random.random_range(0..=(input.len() - at).min(24));
        let other = corpus.choose(&mut random).expect("is not empty");
        let from = random.random_range(0..=other.len());
        let part = &other[from..(from + random.random_range(0..=40)).min(other.len())];
        match random.random_range(0..5) {
            0 => drop(input.splice(at..at + length, part.iter().copied())),
            1 => drop(input.splice(at..at, part.iter().copied())),
            2 => drop(input.drain(at..at + length)),
            3 => {
                let copy = input[at..at + length].to_vec();
                drop(input.splice(at..at, copy));
            }
            _ if at < input.len() => input[at] = random.random(),
            _ => input.push(random.random()),
        }
    }
    input
}
