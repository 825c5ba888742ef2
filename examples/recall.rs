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
//! special). Question i belongs to pool document i. Where there are `NAME_mean_keys_f32.npy` [texts, layers, dim], the mean
//! keys of all layers, ENGRAM's fingerprints that can be made of them are in the table too. Where `expected/` has the
//! vectors of another implementation, the largest differences from them are printed as well.

use std::error::Error;
use std::path::Path;

use bitwire::beacon::mu16::Step;
use bitwire::engram::fingerprint::{FourierOptions, FourierScale, LayerMeans, LayerRange, mean_pool};
use bitwire::engram::index::{Metric, Query, Search, VectorType, Vectors, encode_row};
use bitwire::engram::whitening::{
    DEFAULT_CENTROIDS, DEFAULT_COMPONENTS, DEFAULT_SHRINKAGE, WhitenedTokens, Whitening, WhiteningFit,
};
use bitwire::engram::{KeyShape, Keys};
use bitwire::frame::{ContextHash, Frame};
use bitwire::io::npy::{Dtype, Header};

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

    engram(folder)?;
    let dim = calibration.dim as usize;
    let (documents, queries) = (pool.whiten(&whitening, dim)?, questions.whiten(&whitening, dim)?);
    let documents = each(&documents, |text| Ok(text.mean()?))?;
    let queries = each(&queries, |text| Ok((text.mean()?, vec![1.0])))?;
    // One step for all vectors, as an index has it.
    let mu16 = VectorType::Mu16(Step::auto(&documents.concat(), dim)?);
    for (name, kind) in
        [("f32", VectorType::F32), ("MU16", mu16), ("i8", VectorType::I8), ("1 bit", VectorType::Bits)]
    {
        let index = Documents::new(kind, dim, Metric::Cosine, &documents)?;
        // The scale of i8 does not matter to a cosine, and is not counted.
        row(&format!("whitened mean, {name}"), kind.row_len(calibration.dim), &queries, &index)?;
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
        let documents = pool.whiten(&whitening, components)?;
        let documents = each(&documents, |text| Ok(text.centroids(count)?))?;
        let queries = whole(&questions.whiten(&whitening, components)?)?;
        for (name, kind) in [("1 bit", VectorType::Bits), ("f32", VectorType::F32)] {
            let is_default = (count, components) == (DEFAULT_CENTROIDS, DEFAULT_COMPONENTS);
            if kind == VectorType::F32 && !is_default {
                continue;
            }
            let bytes = count as u64 * kind.row_len(u32::try_from(components)?);
            let default = if is_default && kind == VectorType::Bits { " (default)" } else { "" };
            let name = format!("{count} centroids x {components} x {name}{default}");
            row(&name, bytes, &queries, &Documents::new(kind, components, Metric::MaxSim, &documents)?)?;
        }
    }
    // The bound: every token, not grouped.
    let queries = whole(&questions.whiten(&whitening, 192)?)?;
    let documents = pool.whiten(&whitening, 192)?;
    let tokens: usize = documents.iter().map(WhitenedTokens::count).sum();
    let documents = each(&documents, |text| Ok(text.values().to_vec()))?;
    for (name, kind) in [("1 bit", VectorType::Bits), ("f32", VectorType::F32)] {
        let bytes = tokens as u64 * kind.row_len(192) / documents.len() as u64;
        let index = Documents::new(kind, 192, Metric::MaxSim, &documents)?;
        row(&format!("every token x 192 x {name}"), bytes, &queries, &index)?;
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
            let queries = whole(&questions.whiten(&whitening, components)?)?;
            let documents = pool.whiten(&whitening, components)?;
            let documents = each(&documents, |text| Ok(text.centroids(count)?))?;
            let index = Documents::new(VectorType::Bits, components, Metric::MaxSim, &documents)?;
            line += &format!(" {:5.2} ", index.figures(&queries)?.0);
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

/// The vectors and weights that MaxSim takes of a query: all its tokens.
fn whole(texts: &[WhitenedTokens]) -> Result<Vec<(Vec<f32>, Vec<f32>)>> {
    each(texts, |text| Ok((text.values().to_vec(), text.weights().to_vec())))
}

/// The values of an array, as f32, and its shape.
fn npy(path: &Path) -> Result<(Vec<f32>, Vec<usize>)> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let header = Header::parse(&bytes)?;
    let data = bytes.get(usize::try_from(header.data_offset())?..).unwrap_or_default();
    let values = match header.dtype() {
        Dtype::I8 => data.iter().map(|&x| f32::from(x as i8)).collect(),
        Dtype::I32 => data.as_chunks().0.iter().map(|&x| i32::from_le_bytes(x) as f32).collect(),
        Dtype::F32 => data.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect(),
        _ => return Err(header.unfit_type("i1, i4 or f4").into()),
    };
    Ok((
        values,
        header.shape().iter().map(|&dim| usize::try_from(dim)).collect::<std::result::Result<_, _>>()?,
    ))
}

/// Prints the rows of ENGRAM's fingerprints that can be made of mean keys.
fn engram(folder: &Path) -> Result<()> {
    /// Components of a key of the model, all-MiniLM-L6-v2.
    const HEAD_DIM: usize = 32;
    let means = |name: &str| npy(&folder.join(format!("{name}_mean_keys_f32.npy")));
    let (Ok((pool, shape)), Ok((questions, _))) = (means("pool"), means("question")) else { return Ok(()) };
    let &[_, layers, width] = shape.as_slice() else {
        return Err("mean keys: three dimensions are needed".into());
    };
    let print = |name: &str, metric, make: &dyn Fn(&[f32]) -> Result<Vec<f32>>| {
        let documents: Vec<_> = pool.chunks_exact(layers * width).map(make).collect::<Result<_>>()?;
        let queries = questions.chunks_exact(layers * width).map(|text| Ok((make(text)?, vec![1.0])));
        let queries = queries.collect::<Result<Vec<_>>>()?;
        let dim = documents.first().map_or(0, Vec::len);
        let index = Documents::new(VectorType::F32, dim, metric, &documents)?;
        row(&format!("ENGRAM: {name}"), 4 * dim as u64, &queries, &index)
    };
    // The mean of a text's mean keys is the mean of its keys: each layer and head has as many.
    let heads = width / HEAD_DIM;
    let shape = [layers, heads, 1, HEAD_DIM].map(u32::try_from);
    let [Ok(n_layers), Ok(heads), Ok(tokens), Ok(head_dim)] = shape else { return Err("too many".into()) };
    let shape = KeyShape { layers: n_layers, heads, tokens, head_dim };
    let mean = |text: &[f32]| {
        let bytes: Vec<u8> = text.iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(mean_pool(&Keys::from_f32(shape, &bytes)?, LayerRange::All)?)
    };
    print("mean pool, inner product", Metric::InnerProduct, &mean)?;
    print("mean pool, cosine", Metric::Cosine, &mean)?;
    let fourier = |options: FourierOptions<'static>| {
        move |text: &[f32]| Ok(LayerMeans::new(n_layers, u32::try_from(width)?, text)?.fourier(&options)?)
    };
    let v1 = FourierOptions { scale: FourierScale::Frequencies, ..FourierOptions::default() };
    print("Fourier v1, f0 + f1", Metric::InnerProduct, &fourier(v1))?;
    print("Fourier v2, f0 + f1", Metric::InnerProduct, &fourier(FourierOptions::default()))?;
    print(
        "Fourier v1, f0 + f1, with phase (not in the original)",
        Metric::Cosine,
        &fourier(FourierOptions { phase: true, ..v1 }),
    )
}

/// The fingerprints of documents as an index keeps them (spec/engram.md, "Index").
struct Documents {
    kind: VectorType,
    dim: u32,
    per_entry: usize,
    metric: Metric,
    rows: Vec<u8>,
    scales: Vec<u8>,
}

impl Documents {
    /// Of `dim` components a vector. A document with fewer vectors than another repeats its own, which changes no score of
    /// MaxSim.
    fn new(kind: VectorType, dim: usize, metric: Metric, documents: &[Vec<f32>]) -> Result<Self> {
        let per_entry = documents.iter().map(Vec::len).max().unwrap_or(0) / dim;
        let (mut rows, mut scales) = (Vec::new(), Vec::new());
        let mut row = vec![0; usize::try_from(kind.row_len(u32::try_from(dim)?))?];
        for document in documents {
            for vector in document.chunks_exact(dim).cycle().take(per_entry) {
                let encoded = encode_row(kind, vector, &mut row)?;
                rows.extend_from_slice(&row);
                if kind == VectorType::I8 {
                    scales.extend_from_slice(&encoded.scale.to_le_bytes());
                }
            }
        }
        Ok(Self { kind, dim: u32::try_from(dim)?, per_entry, metric, rows, scales })
    }

    /// Recall@1, recall@5 and the mean reciprocal rank. Equal scores count as before.
    fn figures(&self, queries: &[(Vec<f32>, Vec<f32>)]) -> Result<(f64, f64, f64)> {
        let count = self.rows.len() / usize::try_from(self.kind.row_len(self.dim))?;
        let vectors = Vectors::new(self.kind, u32::try_from(count)?, self.dim, &self.rows, &self.scales)?;
        let search = Search::new(vectors, u16::try_from(self.per_entry)?, self.metric)?;
        let (mut first, mut five, mut mrr) = (0.0, 0.0, 0.0);
        for (own, (vectors, weights)) in (0..).zip(queries) {
            let query = match self.metric {
                Metric::MaxSim => Query::weighted(vectors, weights),
                _ => Query::new(vectors),
            };
            let hits = search.top_k(query, queries.len(), |_| true)?;
            let score = hits.iter().find(|hit| hit.entry == own).ok_or("a score is NaN")?.score;
            let rank = hits.iter().filter(|hit| hit.score >= score).count();
            first += f64::from(u8::from(rank == 1));
            five += f64::from(u8::from(rank <= 5));
            mrr += 1.0 / rank as f64;
        }
        let count = queries.len() as f64;
        Ok((first / count, five / count, mrr / count))
    }
}

fn row(name: &str, bytes: u64, queries: &[(Vec<f32>, Vec<f32>)], documents: &Documents) -> Result<()> {
    let (first, five, mrr) = documents.figures(queries)?;
    println!("| {name} | {bytes} | {first:.2} | {five:.2} | {mrr:.3} |");
    Ok(())
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Prints, beside the table, how long the default takes.
fn time(pool: &Texts, whitening: &Whitening<'_>) -> Result<()> {
    let start = std::time::Instant::now();
    let documents = pool.whiten(whitening, 192)?;
    let whitened = start.elapsed();
    for text in &documents {
        text.centroids(16)?;
    }
    let grouped = start.elapsed() - whitened;
    let tokens: usize = documents.iter().map(WhitenedTokens::count).sum();
    eprintln!(
        "{tokens} keys to 192 components in {whitened:.1?}, {} x 16 centroids in {grouped:.1?}",
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
        let mut worst = [0.0f64; 2];
        for i in 0..dim {
            let theirs: Vec<f32> = matrix.iter().skip(i).step_by(dim).copied().collect();
            let ours: Vec<f32> =
                whitening.direction(u32::try_from(i)?).ok_or("a direction is missing")?.collect();
            let cosine = dot(&ours, &theirs) / (dot(&ours, &ours) * dot(&theirs, &theirs)).sqrt();
            let length = (dot(&ours, &ours) / dot(&theirs, &theirs)).sqrt();
            worst = [worst[0].max(1.0 - cosine.abs()), worst[1].max((length - 1.0).abs())];
        }
        println!("directions: largest 1 - |cosine| {:.1e}, of lengths {:.1e}", worst[0], worst[1]);
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
