//! How often a question's own document is found first, for each kind of fingerprint and its bytes: the table of the
//! README, from real keys of a trained model.
//!
//! ```console
//! $ cargo run --release --features linalg,simd --example recall -- FOLDER
//! ```
//!
//! FOLDER holds keys of one layer as NumPy arrays: for NAME of `calibration`, `pool` and `question`,
//! `l5/NAME_keys_i8.npy` [tokens, dim], `l5/NAME_scale_f32.npy` [tokens] (key = value * scale) and
//! `l5/NAME_offsets_i32.npy` [texts + 1] (text i is the tokens from offsets[i] to offsets[i + 1], its first and last token
//! special). Question i belongs to pool document i. Where `expected/` has the vectors of another implementation, the
//! largest differences from them are printed as well.

use std::error::Error;
use std::path::Path;

use bitwire::engram::whitening::{
    DEFAULT_CENTROIDS, DEFAULT_COMPONENTS, DEFAULT_SHRINKAGE, WhitenedTokens, Whitening, WhiteningFit,
};
use bitwire::frame::{ContextHash, Frame};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or("usage: recall FOLDER")?;
    let folder = Path::new(&folder);
    let calibration = Texts::read(folder, "calibration")?;
    let pool = Texts::read(folder, "pool")?;
    let questions = Texts::read(folder, "question")?;

    let mut fit = WhiteningFit::new(calibration.dim)?;
    for text in &calibration.keys {
        fit.push_rows(text)?;
    }
    println!("whitening fitted on {} keys of {} documents\n", fit.count(), calibration.keys.len());
    compare(folder, &mut fit, &pool, &questions)?;

    time(&pool, &fit.fit(calibration.dim, DEFAULT_SHRINKAGE)?.view()?)?;
    println!("| fingerprint | bytes/doc | recall@1 | recall@5 | MRR |\n|---|---|---|---|---|");
    // As it would be kept: as a frame.
    let fitted = fit.fit(calibration.dim, DEFAULT_SHRINKAGE)?;
    let mut frame = vec![0; 1 << 20];
    let len = fitted.to_frame(ContextHash([0; 8]))?.encode_into(&mut frame)?;
    let whitening = Whitening::from_frame(&Frame::parse_exact(frame.get(..len).ok_or("no frame")?)?)?;

    let dim = calibration.dim as usize;
    for (name, stored) in
        [("f32", Stored::F32), ("MU16", Stored::Mu16), ("i8", Stored::I8), ("1 bit", Stored::Bits)]
    {
        let (documents, queries) = (pool.whiten(&whitening, dim)?, questions.whiten(&whitening, dim)?);
        let entries = each(&documents, |text| stored.round_trip(&text.mean()?, dim))?;
        let queries = each(&queries, |text| Ok((text.mean()?, vec![1.0])))?;
        row(&format!("whitened mean, {name}"), stored.bytes(dim), &queries, &entries, dim);
    }
    for (count, components) in [
        (1, 192),
        (2, 192),
        (4, 192),
        (8, 192),
        (12, 256),
        (16, 192),
        (19, 160),
        (24, 128),
        (32, 96),
        (16, 384),
        (32, 384),
    ] {
        let (documents, queries) =
            (pool.whiten(&whitening, components)?, questions.whiten(&whitening, components)?);
        let queries = each(&queries, |text| Ok((text.values().to_vec(), text.weights().to_vec())))?;
        for (name, stored) in [("1 bit", Stored::Bits), ("f32", Stored::F32)] {
            if matches!(stored, Stored::F32) && (count, components) != (16, 192) {
                continue;
            }
            let entries = each(&documents, |text| stored.round_trip(&text.centroids(count)?, components))?;
            let bytes = count * stored.bytes(components);
            let default = if (count, components, bytes) == (DEFAULT_CENTROIDS, DEFAULT_COMPONENTS, 384) {
                " (default)"
            } else {
                ""
            };
            row(
                &format!("{count} centroids x {components} x {name}{default}"),
                bytes,
                &queries,
                &entries,
                components,
            );
        }
    }
    // The bound: every token, not grouped.
    for (name, stored) in [("1 bit", Stored::Bits), ("f32", Stored::F32)] {
        let (documents, queries) = (pool.whiten(&whitening, 192)?, questions.whiten(&whitening, 192)?);
        let queries = each(&queries, |text| Ok((text.values().to_vec(), text.weights().to_vec())))?;
        let entries = each(&documents, |text| stored.round_trip(text.values(), 192))?;
        let tokens: usize = documents.iter().map(WhitenedTokens::count).sum();
        let bytes = tokens * stored.bytes(192) / documents.len();
        row(&format!("every token x 192 x {name}"), bytes, &queries, &entries, 192);
    }

    // How much of the default is luck: its neighbours.
    println!("\nneighbours of the default (recall@1), centroids x components in 384 bytes:");
    let shapes = [(19, 160), (18, 168), (17, 176), (16, 184), (16, 192), (15, 200), (14, 208)];
    println!("shrinkage  {}", shapes.map(|(count, components)| format!("{count}x{components}")).join(" "));
    for shrinkage in [0.2, 0.25, 0.3, 0.35, 0.4] {
        let fitted = fit.fit(calibration.dim, shrinkage)?;
        let whitening = fitted.view()?;
        let mut line = format!("{shrinkage:9}  ");
        for (count, components) in shapes {
            let (documents, queries) =
                (pool.whiten(&whitening, components)?, questions.whiten(&whitening, components)?);
            let queries = each(&queries, |text| Ok((text.values().to_vec(), text.weights().to_vec())))?;
            let entries =
                each(&documents, |text| Stored::Bits.round_trip(&text.centroids(count)?, components))?;
            line += &format!(" {:5.2} ", figures(&queries, &entries, components).0);
        }
        println!("{line}");
    }
    Ok(())
}

/// Keys of texts, their special tokens left out.
struct Texts {
    dim: u32,
    keys: Vec<Vec<f32>>,
}

impl Texts {
    fn read(folder: &Path, name: &str) -> Result<Self> {
        let part = |part: &str| npy(&folder.join(format!("l5/{name}_{part}.npy")));
        let ((keys, shape), (scales, _), (offsets, _)) =
            (part("keys_i8")?, part("scale_f32")?, part("offsets_i32")?);
        let dim = *shape.get(1).ok_or("keys: two dimensions are needed")?;
        let mut texts = Vec::new();
        for ends in offsets.windows(2) {
            let &[start, end] = ends else { continue };
            let tokens = start as usize + 1..end as usize - 1;
            let scaled = tokens.flat_map(|token| {
                let scale = scales.get(token).copied().unwrap_or(f32::NAN);
                keys.iter().skip(token * dim).take(dim).map(move |key| key * scale)
            });
            texts.push(scaled.collect());
        }
        Ok(Self { dim: u32::try_from(dim)?, keys: texts })
    }

    fn whiten(&self, whitening: &Whitening<'_>, components: usize) -> Result<Vec<WhitenedTokens>> {
        each(&self.keys, |keys| Ok(WhitenedTokens::from_rows(whitening, keys, components)?))
    }
}

fn each<T, U>(texts: &[T], f: impl FnMut(&T) -> Result<U>) -> Result<Vec<U>> {
    texts.iter().map(f).collect()
}

/// The values of an array, as f32, and its shape.
fn npy(path: &Path) -> Result<(Vec<f32>, Vec<usize>)> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let header_len = bytes.get(8..10).map(|len| 10 + usize::from(u16::from_le_bytes([len[0], len[1]])));
    let (header, data) = header_len.and_then(|len| bytes.split_at_checked(len)).ok_or("not a .npy file")?;
    let header = String::from_utf8_lossy(header);
    let after = |name: &str| header.split_once(name).map_or("", |(_, rest)| rest);
    let descr = after("'descr': '").split('\'').next().unwrap_or_default();
    let shape = after("'shape': (").split(')').next().unwrap_or_default();
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let values = match descr {
        "|i1" => data.iter().map(|&x| f32::from(x as i8)).collect(),
        "<i4" => data.as_chunks().0.iter().map(|&x| i32::from_le_bytes(x) as f32).collect(),
        "<f4" => data.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect(),
        "<f8" => data.as_chunks().0.iter().map(|&x| f64::from_le_bytes(x) as f32).collect(),
        other => return Err(format!("{}: type {other}", path.display()).into()),
    };
    Ok((values, shape))
}

/// How a fingerprint's components are kept (spec/engram.md, "Index").
#[derive(Clone, Copy)]
enum Stored {
    F32,
    Mu16,
    I8,
    Bits,
}

impl Stored {
    fn bytes(self, components: usize) -> usize {
        match self {
            Self::F32 => 4 * components,
            Self::Mu16 => 2 * components,
            // The scale does not matter to a cosine, and is not counted.
            Self::I8 => components,
            Self::Bits => components.div_ceil(8),
        }
    }

    /// What is read back of vectors of `dim` components.
    fn round_trip(self, vectors: &[f32], dim: usize) -> Result<Vec<f32>> {
        let largest = |row: &[f32]| row.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        Ok(match self {
            Self::F32 => vectors.to_vec(),
            Self::Mu16 => {
                let step = largest(vectors) / 32767.0;
                vectors.iter().map(|x| (x / step).round_ties_even() * step).collect()
            }
            Self::I8 => {
                let rows = vectors.chunks_exact(dim).map(|row| (row, largest(row) / 127.0));
                rows.flat_map(|(row, step)| row.iter().map(move |x| (x / step).round_ties_even() * step))
                    .collect()
            }
            Self::Bits => vectors.iter().map(|&x| if x < 0.0 { -1.0 } else { 1.0 }).collect(),
        })
    }
}

fn row(name: &str, bytes: usize, queries: &[(Vec<f32>, Vec<f32>)], entries: &[Vec<f32>], dim: usize) {
    let (first, five, mrr) = figures(queries, entries, dim);
    println!("| {name} | {bytes} | {first:.2} | {five:.2} | {mrr:.3} |");
}

/// Recall@1, recall@5 and the mean reciprocal rank of MaxSim with weighted queries. Equal scores count as before.
fn figures(queries: &[(Vec<f32>, Vec<f32>)], entries: &[Vec<f32>], dim: usize) -> (f64, f64, f64) {
    let units: Vec<Vec<f32>> =
        entries.iter().map(|entry| entry.chunks_exact(dim).flat_map(unit).collect()).collect();
    let (mut first, mut five, mut mrr) = (0.0, 0.0, 0.0);
    for (i, (vectors, weights)) in queries.iter().enumerate() {
        let vectors: Vec<f32> = vectors.chunks_exact(dim).flat_map(unit).collect();
        let score = |entry: &Vec<f32>| {
            let best =
                |q: &[f32]| entry.chunks_exact(dim).map(|c| dot(q, c)).fold(f32::NEG_INFINITY, f32::max);
            let scores =
                vectors.chunks_exact(dim).zip(weights).map(|(q, w)| f64::from(*w) * f64::from(best(q)));
            scores.sum::<f64>()
        };
        let scores: Vec<f64> = units.iter().map(score).collect();
        let own = scores.get(i).copied().unwrap_or(f64::NAN);
        let rank = scores.iter().filter(|&&score| score >= own).count();
        first += f64::from(u8::from(rank == 1));
        five += f64::from(u8::from(rank <= 5));
        mrr += 1.0 / rank as f64;
    }
    let count = queries.len() as f64;
    (first / count, five / count, mrr / count)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

fn unit(x: &[f32]) -> impl Iterator<Item = f32> {
    let norm = dot(x, x).sqrt().max(f32::MIN_POSITIVE);
    x.iter().map(move |x| x / norm)
}

/// Prints, beside the table, how long the default takes.
fn time(pool: &Texts, whitening: &Whitening<'_>) -> Result<()> {
    let start = std::time::Instant::now();
    let documents = pool.whiten(whitening, DEFAULT_COMPONENTS)?;
    let whitened = start.elapsed();
    for text in &documents {
        text.centroids(DEFAULT_CENTROIDS)?;
    }
    let grouped = start.elapsed() - whitened;
    let tokens: usize = documents.iter().map(WhitenedTokens::count).sum();
    eprintln!(
        "{tokens} keys to {DEFAULT_COMPONENTS} components in {whitened:.1?}, {} x {DEFAULT_CENTROIDS} centroids in {grouped:.1?}",
        documents.len()
    );
    Ok(())
}

/// Prints how far this is from the vectors of another implementation, which used a shrinkage of 0.2.
fn compare(folder: &Path, fit: &mut WhiteningFit, pool: &Texts, questions: &Texts) -> Result<()> {
    let expected = |name: &str| npy(&folder.join(format!("expected/white_l5_{name}.npy"))).ok();
    let dim = pool.dim as usize;
    let fitted = fit.fit(pool.dim, 0.2)?;
    let whitening = fitted.view()?;
    if let (Some((mean, _)), Some((matrix, _))) =
        (expected("calibration_mean_f32"), expected("calibration_W_f32"))
    {
        let worst = whitening.mean().zip(&mean).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
        println!("mean: largest difference {worst:.1e}");
        // Column i of the matrix is direction i, but for its sign.
        let mut worst = 0.0f32;
        for i in 0..dim {
            let theirs: Vec<f32> = matrix.iter().skip(i).step_by(dim).copied().collect();
            let ours: Vec<f32> =
                whitening.direction(u32::try_from(i)?).ok_or("a direction is missing")?.collect();
            let sign = dot(&ours, &theirs).signum();
            worst = ours.iter().zip(&theirs).fold(worst, |worst, (a, b)| worst.max((a - sign * b).abs()));
        }
        println!("directions: largest difference, signs aside, {worst:.1e}");
    }
    for (name, texts) in [("pool", pool), ("question", questions)] {
        let Some((theirs, _)) = expected(&format!("fit_calibration_{name}_vectors_f32")) else { continue };
        let mut worst = 0.0f32;
        for (text, theirs) in texts.whiten(&whitening, dim)?.iter().zip(theirs.chunks_exact(dim)) {
            for (a, b) in text.mean()?.iter().zip(theirs) {
                worst = worst.max((a.abs() - b.abs()).abs());
            }
        }
        println!("{name} vectors: largest difference, signs aside, {worst:.1e}");
    }
    println!();
    Ok(())
}
