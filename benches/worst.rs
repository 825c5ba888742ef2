//! The slowest input of 64 KiB for each reader, and how time grows with the input: made to cost much, seeds, vectors, mutants.
//!
//! `cargo bench --all-features --bench worst`; some 20 seconds. With a number over 64, `-- 2048`, it does the latter alone, for
//! inputs of so many KiB.
//! Each reader reads each input once; the slowest ones again, and the median of 9 counts. Then what was made to cost much is
//! made twice and four times as long: the ratios of a linear reader are near 2.
#![allow(clippy::unwrap_used)]

#[path = "../tests/resources/inputs.rs"]
mod inputs;
#[path = "../tests/resources/readers.rs"]
mod readers;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use inputs::INPUTS;
use readers::{READERS, Reader};

/// What no input of 64 KiB may take.
const LIMIT: Duration = Duration::from_millis(50);

fn once(reader: &Reader, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    (reader.read)(bytes);
    start.elapsed()
}

fn median(reader: &Reader, bytes: &[u8], runs: usize) -> Duration {
    readers::prepare(reader.name, bytes);
    let mut times: Vec<_> = (0..runs).map(|_| once(reader, bytes)).collect();
    times.sort();
    times[runs / 2]
}

fn files(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, all);
        } else {
            all.push((path.display().to_string(), fs::read(path).unwrap()));
        }
    }
}

fn vectors(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for case in text["cases"].as_array().unwrap() {
            let Some(hex) = case["hex"].as_str() else { continue };
            let bytes = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
            all.push((format!("{}: {}", path.display(), case["id"]), bytes.collect()));
        }
    }
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
fn word(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kib: usize = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(64);
    let len = kib << 10;
    if kib <= 64 {
        slowest(root, len);
    }
    growth(len);
    let _ = fs::remove_dir_all(readers::folder());
}

fn slowest(root: &Path, len: usize) {
    let mut all: Vec<_> = INPUTS.iter().map(|input| (input.name.to_owned(), (input.make)(len))).collect();
    let made = all.len();
    files(&root.join("tests/corpus"), &mut all);
    vectors(&root.join("spec/vectors"), &mut all);
    // Short ones over and over, so that they are long too; then with bytes changed.
    let mut seed = 8;
    for i in made..all.len() {
        let (name, bytes) = &all[i];
        if i % 8 == 0 && !bytes.is_empty() && bytes.len() < len / 2 {
            all.push((format!("{name}, over and over"), bytes.repeat(len / bytes.len())));
        }
    }
    for i in 0..all.len() {
        let (name, mut bytes) = all[i].clone();
        if i < made || i % 4 == 0 {
            for _ in 0..1 + bytes.len() / 4096 {
                let at = word(&mut seed) as usize % bytes.len().max(1);
                bytes[at..].iter_mut().take(1).for_each(|byte| *byte = (word(&mut seed) >> 56) as u8);
            }
            all.push((format!("{name}, changed"), bytes));
        }
    }
    println!("{} inputs of up to {} KiB, {} readers", all.len(), len >> 10, READERS.len());
    let mut over = 0;
    for reader in READERS {
        let mut times: Vec<_> = all
            .iter()
            .filter(|(_, bytes)| bytes.len() <= len + len / 4)
            // The reader of folders has its input written to a disk.
            .filter(|(name, _)| reader.name != "tinymind" || name.contains("manifest"))
            .map(|(name, bytes)| {
                readers::prepare(reader.name, bytes);
                (once(reader, bytes), name, bytes)
            })
            .collect();
        times.sort_by_key(|time| std::cmp::Reverse(time.0));
        let slowest =
            times.iter().take(5).map(|(_, name, bytes)| (median(reader, bytes, 9), name, bytes.len()));
        let (time, name, len) = slowest.max_by_key(|slow| slow.0).unwrap();
        let mark = if time > LIMIT { "  OVER" } else { "" };
        over += usize::from(time > LIMIT);
        println!("{:18}{:9.3} ms  {len:6} bytes: {name}{mark}", reader.name, time.as_secs_f64() * 1e3);
    }
    println!("{over} readers over {LIMIT:?}\n");
}

fn growth(len: usize) {
    println!("time for n, 2n and 4n");
    // What unpacks to a thousand times its length is measured while that fits memory.
    for input in INPUTS.iter().filter(|input| len <= 1 << 16 || !input.name.ends_with("deflated")) {
        let Some(reader) = READERS.iter().find(|reader| reader.name == input.of) else { continue };
        let inputs = [len, 2 * len, 4 * len].map(input.make);
        let [n, two, four] = [&inputs[0], &inputs[1], &inputs[2]]
            .map(|bytes| (median(reader, bytes, 5).as_secs_f64() * 1e3, bytes.len()));
        println!(
            "{:18}{:9.3}{:9.3}{:9.3} ms  x {:.2} x {:.2}  {} ({} to {} bytes)",
            reader.name,
            n.0,
            two.0,
            four.0,
            two.0 / n.0,
            four.0 / two.0,
            input.name,
            n.1,
            four.1,
        );
    }
}
