//! Beside what ENGRAM (torch, f32) gave for the same keys: tests/data/engram/state, every case of its expected.json.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::sample::Mt19937;
use super::*;
use crate::arch::half::from_f16;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/engram/state/");

fn expected() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/engram/state/expected.json")).unwrap()
}

/// Keys in memory.
struct Dense {
    shape: KeyShape,
    values: Vec<f32>,
}

impl Dense {
    fn new([layers, heads, tokens, head_dim]: [u32; 4], values: Vec<f32>) -> Self {
        Self { shape: KeyShape { layers, heads, tokens, head_dim }, values }
    }

    fn noise(shape: [u32; 4]) -> Self {
        let mut generator = Mt19937::new(5489);
        let len = shape.iter().product::<u32>();
        Self::new(shape, (0..len).map(|_| generator.next() as f32 / 2f32.powi(31) - 0.9).collect())
    }

    fn of(name: &str) -> Self {
        let (shape, values) = npy(name);
        Self::new(shape.try_into().unwrap(), values)
    }

    #[cfg(feature = "linalg")]
    fn rows(&self) -> std::slice::Chunks<'_, f32> {
        self.values.chunks(self.shape.head_dim as usize)
    }
}

impl KeySource for Dense {
    fn shape(&self) -> KeyShape {
        self.shape
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        let KeyShape { heads, tokens, head_dim, .. } = self.shape;
        let place = ((layer * heads + head) * tokens + token) * head_dim;
        out.copy_from_slice(&self.values[place as usize..][..head_dim as usize]);
        Ok(())
    }
}

/// A source that says it has more than anyone could store, and gives ones.
struct Liar(KeyShape);

impl KeySource for Liar {
    fn shape(&self) -> KeyShape {
        self.0
    }

    fn key_into(&self, _: u32, _: u32, _: u32, out: &mut [f32]) -> Result<()> {
        out.fill(1.0);
        Ok(())
    }
}

/// A .npy file of f16, f32 or i64 in C order.
fn npy(name: &str) -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(format!("{FOLDER}{}", name.trim_start_matches("state/"))).unwrap();
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = str::from_utf8(&bytes[10..10 + header_len]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{name}: {header}");
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let data = &bytes[10 + header_len..];
    let values = if header.contains("'<f2'") {
        data.as_chunks().0.iter().map(|x| from_f16(u16::from_le_bytes(*x))).collect()
    } else if header.contains("'<f4'") {
        data.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
    } else {
        assert!(header.contains("'<i8'"), "{header}");
        data.as_chunks().0.iter().map(|x| i64::from_le_bytes(*x) as f32).collect()
    };
    (shape, values)
}

/// The largest difference, divided by the length of what is expected.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let most = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    most / l2_norm(expected).max(1e-30)
}

fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    let distance = distance(found, expected);
    if std::env::var_os("BITWIRE_SHOW").is_some() {
        std::eprintln!("{what}: {distance:.2e}");
    }
    assert!(distance <= tolerance, "{what}: {distance:e} over {tolerance:e}");
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// The cases of `extract` with this mode: name, keys, arguments, and what is expected.
fn cases(mode: &str) -> Vec<(String, Dense, Value)> {
    let all = expected();
    let extract = all["extract"].as_object().unwrap();
    let cases: Vec<_> = extract
        .iter()
        .filter(|(_, case)| case["mode"] == mode)
        .map(|(name, case)| {
            (
                name.clone(),
                Dense::of(all["keys"][case["keys"].as_str().unwrap()].as_str().unwrap()),
                case.clone(),
            )
        })
        .collect();
    assert!(!cases.is_empty());
    cases
}

fn layers(case: &Value) -> LayerRange {
    let Some(range) = case["args"]["layer_range"].as_array() else { return LayerRange::Upper };
    let [start, end] = [&range[0], &range[1]].map(|x| x.as_i64().unwrap().max(0) as u32);
    LayerRange::Between { start, end }
}

fn array(case: &Value, member: &str) -> Vec<f32> {
    npy(case[member].as_str().unwrap()).1
}

#[test]
fn mean_pool_is_the_originals() {
    let mut empty = 0;
    for (name, keys, case) in cases("mean_pool") {
        let mut range = layers(&case);
        if name.ends_with("falls_back_to_all") {
            // The one difference.
            let LayerRange::Between { start, end } = range else { panic!() };
            assert_eq!(kind(mean_pool(&keys, range)), ErrorKind::NoLayers { start, end, layers: 12 });
            range = LayerRange::All;
            empty += 1;
        }
        let chosen = range.of(keys.shape.layers).unwrap();
        assert_eq!(chosen.len() as u64, case["n_layers_used"].as_u64().unwrap(), "{name}");
        let found = mean_pool(&keys, range).unwrap();
        close(&name, &found, &array(&case, "state_vec"), 1e-6);
        let norm = case["l2_norm"].as_f64().unwrap();
        assert!((l2_norm(&found) - norm).abs() < 1e-6 * norm, "{name}");
    }
    assert_eq!(empty, 2);
}

#[test]
fn the_upper_layers_are_the_originals() {
    let all = expected();
    for (name, list) in all["spec_extraction_layers"].as_object().unwrap() {
        let layers = npy(all["keys"][name].as_str().unwrap()).0[0];
        let list: Vec<u32> = list.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect();
        assert_eq!(LayerRange::Upper.of(layers).unwrap().collect::<Vec<_>>(), list);
    }
    // Of one layer the original's rule leaves none.
    assert_eq!(LayerRange::default().of(1), Ok(0..1));
    assert_eq!(LayerRange::default().of(2), Ok(1..2));
    assert_eq!(LayerRange::from(3..9).of(7), Ok(3..7));
    assert_eq!(kind(LayerRange::from(7..9).of(7)), ErrorKind::NoLayers { start: 7, end: 9, layers: 7 });
}

#[test]
fn permutations_are_torchs() {
    let all: Value =
        serde_json::from_str(include_str!("../../../tests/data/engram/state/randperm.json")).unwrap();
    let mut checked = 0;
    for case in all["torch_randperm_cpu"].as_array().unwrap() {
        let (n, seed) = (case["n"].as_u64().unwrap() as u32, case["seed"].as_u64().unwrap() as u32);
        let Some(first) = case["first_16"].as_array() else { continue };
        let first: Vec<u32> = first.iter().map(|x| x.as_u64().unwrap() as u32).collect();
        assert_eq!(Mt19937::new(seed).permutation(n, 16).unwrap(), first, "{n}, seed {seed}");
        checked += 1;
    }
    assert_eq!(checked, 5);
    // SHA-256 over the first 8192 of torch.randperm(n, seed 42) as little-endian u32.
    for (n, digest) in [
        (76_800, "38814cffa175ba9bb60a04f66dbf4aff0a42ca86971a0cf3ae6e9d508c07a644"),
        (512_000, "a2a2da12b82da6ec6a01c42ba8456191b253ee8f28fcaac4e05a8fd32a1a2d6a"),
    ] {
        let picked = Mt19937::new(42).first_places(n, 8192).unwrap();
        let bytes: Vec<u8> = picked.iter().flat_map(|x| x.to_le_bytes()).collect();
        let found: String = Sha256::digest(&bytes).iter().map(|x| format!("{x:02x}")).collect();
        assert_eq!(found, digest, "{n}");
    }
}

#[test]
fn the_first_places_are_those_of_the_whole_shuffle() {
    for n in [1, 2, 3, 10, 100, 625] {
        let mut generator = Mt19937::new(7);
        let mut whole: Vec<u32> = (0..n).collect();
        for i in 0..n.saturating_sub(1) {
            let step = generator.next() % (n - i);
            whole.swap(i as usize, (i + step) as usize);
        }
        let after = generator.next();
        for take in [0, 1, 2, n / 2, n - 1, n, n + 5] {
            let mut generator = Mt19937::new(7);
            let picked = generator.permutation(n, take).unwrap();
            assert_eq!(picked, whole[..take.min(n) as usize], "{take} of {n}");
            assert_eq!(generator.next(), after, "{take} of {n}");
        }
    }
    // Few of very many: memory for the few.
    let picked = Mt19937::new(42).first_places(u32::MAX, 3).unwrap();
    assert_eq!(picked.len(), 3);
}

fn options(frequencies: &[u32], scale: FourierScale) -> FourierOptions<'_> {
    FourierOptions { frequencies, scale, phase: false }
}

#[test]
fn fourier_fingerprints_are_the_originals() {
    use FourierScale::{Frequencies, LayersAndFrequencies, Whole};
    let all = expected();
    for name in ["small", "mid", "tiny"] {
        let case = &all["fingerprint"][name];
        let keys = Dense::of(all["keys"][name].as_str().unwrap());
        let means = LayerMeans::measure(&keys, LayerRange::All).unwrap();
        let flat: Vec<f32> =
            (0..keys.shape.layers).flat_map(|l| means.layer(l).unwrap()).map(|x| *x as f32).collect();
        close(&format!("{name} means"), &flat, &array(case, "layer_means_f32"), 1e-6);
        for (member, frequencies, scale) in [
            ("v1_f01", [0, 1].as_slice(), Frequencies),
            ("v1_f0", &[0], Frequencies),
            ("v1_f210", &[2, 1, 0], Frequencies),
            ("v2_f01", &[0, 1], LayersAndFrequencies),
            ("static_f01", &[0, 1], Whole),
            ("static_f0_99", &[0, 99], Whole),
        ] {
            let found = means.fourier(&options(frequencies, scale)).unwrap();
            close(&format!("{name} {member}"), &found, &array(case, member), 1e-6);
        }
        let out_of_range = ErrorKind::Frequency { found: 99, layers: keys.shape.layers };
        assert_eq!(kind(means.fourier(&options(&[0, 99], Frequencies))), out_of_range);
        assert_eq!(kind(means.fourier(&options(&[99], LayersAndFrequencies))), out_of_range);
    }
    let default = FourierOptions::default();
    assert_eq!(default, options(&[0, 1], LayersAndFrequencies));
}

#[test]
fn fourier_fingerprints_of_little() {
    let zeros = LayerMeans::new(3, 2, &[0.0; 6]).unwrap();
    for scale in [FourierScale::Frequencies, FourierScale::LayersAndFrequencies, FourierScale::Whole] {
        assert_eq!(zeros.fourier(&options(&[0, 1], scale)).unwrap(), [0.0; 4]);
    }
    let all = expected();
    let case = &all["fingerprint"]["one_layer"];
    let (shape, values) = npy(case["in"].as_str().unwrap());
    let one = LayerMeans::new(shape[0], shape[1], &values).unwrap();
    let v1 = FourierScale::Frequencies;
    close("one layer", &one.fourier(&options(&[0], v1)).unwrap(), &array(case, "v1_f0"), 1e-6);
    assert_eq!(kind(one.fourier(&options(&[0, 1], v1))), ErrorKind::Frequency { found: 1, layers: 1 });
    let found = one.fourier(&options(&[0, 1], FourierScale::Whole)).unwrap();
    close("one layer, static", &found, &array(case, "static_default"), 1e-6);
}

#[test]
fn sections_are_concatenated() {
    let all = expected();
    let case = &all["fingerprint"]["iswa_tiny_then_small"];
    let [tiny, small] = ["tiny", "small"].map(|name| Dense::of(all["keys"][name].as_str().unwrap()));
    for (member, frequencies, scale) in [
        ("f01", [0, 1].as_slice(), FourierScale::LayersAndFrequencies),
        ("f0", &[0], FourierScale::LayersAndFrequencies),
        ("f01_unnormalised_layers", &[0, 1], FourierScale::Frequencies),
    ] {
        let found =
            fourier_sections(&[&tiny, &small], LayerRange::All, &options(frequencies, scale)).unwrap();
        close(member, &found, &array(case, member), 1e-6);
    }
    // Sources of different types, too.
    let mixed: [&dyn KeySource; 2] = [&tiny, &Liar(KeyShape { layers: 2, heads: 1, tokens: 1, head_dim: 1 })];
    assert_eq!(
        fourier_sections(&mixed, LayerRange::All, &options(&[0], FourierScale::Frequencies)).unwrap().len(),
        33
    );
    let none: [&Dense; 0] = [];
    assert!(fourier_sections(&none, LayerRange::All, &FourierOptions::default()).is_err());
}

#[test]
fn phases_of_four_layers_worked_by_hand() {
    // 1, 2, 3, 4: X0 = 10, X1 = -2 + 2i, X2 = -2.
    let means = LayerMeans::new(4, 1, &[1.0, 2.0, 3.0, 4.0]).unwrap();
    let half = 0.5f32.sqrt();
    let v1 = FourierOptions { frequencies: &[0, 1, 2], scale: FourierScale::Frequencies, phase: true };
    close("phases", &means.fourier(&v1).unwrap(), &[1.0, -half, half, -1.0], 1e-7);
    // Static: four unit parts... of which the whole has length sqrt 3; a frequency that is not there has two parts.
    let whole = FourierOptions { frequencies: &[0, 1, 9], scale: FourierScale::Whole, phase: true };
    close("static phases", &means.fourier(&whole).unwrap(), &[half, -0.5, 0.5, 0.0, 0.0], 1e-7);
    // Two components whose lengths are not 1: 3, 4 in every layer.
    let means = LayerMeans::new(2, 2, &[3.0, 4.0, 3.0, 4.0]).unwrap();
    let v2 = FourierOptions { frequencies: &[0, 1], phase: true, ..FourierOptions::default() };
    close("v2 phases", &means.fourier(&v2).unwrap(), &[0.6, 0.8, 0.0, 0.0], 1e-7);
}

#[test]
fn the_eigenform_score_is_the_originals() {
    let all = expected();
    let case = &all["fingerprint"]["eigenform_score"];
    let means = array(case, "layer_means");
    let means = LayerMeans::new(12, 64, &means).unwrap();
    let noise = ["noise_trial1", "noise_trial2"].map(|name| array(case, name));
    let noise = [noise[0].as_slice(), &noise[1]];
    let v1 = options(&[0, 1], FourierScale::Frequencies);
    let score = means.eigenform_score(&noise, 0.001, &v1).unwrap();
    // Its cosines are f32: steps of 6e-8.
    assert!((score - case["score"].as_f64().unwrap()).abs() < 6e-8, "{score}");
    assert!(means.eigenform_score(&noise, 1.0, &v1).unwrap() < 0.9);
    assert!((means.eigenform_score(&noise, 0.0, &v1).unwrap() - 1.0).abs() < 1e-12);
    assert!(matches!(kind(means.eigenform_score(&[], 0.001, &v1)), ErrorKind::Argument { .. }));
    assert!(matches!(kind(means.eigenform_score(&[&[0.0]], 0.001, &v1)), ErrorKind::BufferTooSmall { .. }));
    let zeros = LayerMeans::new(2, 1, &[0.0; 2]).unwrap();
    assert!(matches!(kind(zeros.eigenform_score(&[&[0.0; 2]], 1.0, &v1)), ErrorKind::Number { .. }));
}

#[test]
fn keys_that_are_not_finite_are_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut keys = Dense::noise([4, 3, 5, 2]);
        // Layer 2, head 1, token 4, component 1.
        keys.values[((2 * 3 + 1) * 5 + 4) * 2 + 1] = bad;
        let place = ErrorKind::NonFiniteKey { layer: 2, head: 1, token: 4, component: 1 };
        assert_eq!(kind(mean_pool(&keys, LayerRange::All)), place);
        assert_eq!(kind(LayerMeans::measure(&keys, LayerRange::All)), place);
        #[cfg(feature = "linalg")]
        {
            assert_eq!(kind(svd_project(&keys, &SvdOptions::default())), place);
            assert_eq!(kind(xkv_project(&keys, &XkvOptions::default())), place);
            assert_eq!(kind(fit_corpus_basis(&[&keys], &CorpusOptions::default())), place);
        }
        // Where it is not looked at it does no harm.
        assert!(mean_pool(&keys, LayerRange::from(0..2)).is_ok());
    }
    let bad = LayerMeans::new(2, 3, &[0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0]);
    assert_eq!(kind(bad), ErrorKind::NonFinite { row: 1, column: 1 });
}

#[test]
fn shapes_without_keys_and_shapes_too_large_are_refused() {
    for axis in 0..4 {
        let mut shape = [2, 2, 2, 2];
        shape[axis] = 0;
        let keys = Dense::new(shape, vec![]);
        assert!(matches!(kind(mean_pool(&keys, LayerRange::All)), ErrorKind::Argument { .. }));
        assert!(matches!(kind(LayerMeans::measure(&keys, LayerRange::All)), ErrorKind::Argument { .. }));
        #[cfg(feature = "linalg")]
        assert!(matches!(kind(svd_project(&keys, &SvdOptions::default())), ErrorKind::Argument { .. }));
    }
    for (heads, head_dim) in [(1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX), (1 << 20, 2)] {
        let keys = Liar(KeyShape { layers: u32::MAX, heads, tokens: u32::MAX, head_dim });
        assert!(matches!(kind(mean_pool(&keys, LayerRange::All)), ErrorKind::TooLarge { .. }));
    }
    assert!(LayerMeans::new(0, 1, &[]).is_err());
    assert!(LayerMeans::new(1, 0, &[]).is_err());
    assert!(LayerMeans::new(u32::MAX, u32::MAX, &[0.0; 4]).is_err());
    assert!(LayerMeans::new(1, 2, &[0.0; 2]).unwrap().fourier(&options(&[], FourierScale::Whole)).is_err());
}

#[test]
fn the_largest_keys_have_a_mean() {
    let keys = Dense::new([1, 1, 3, 2], vec![f32::MAX, -f32::MAX, f32::MAX, -f32::MAX, f32::MAX, -f32::MAX]);
    assert_eq!(mean_pool(&keys, LayerRange::All).unwrap(), [f32::MAX, -f32::MAX]);
}

#[cfg(feature = "linalg")]
mod svd {
    use super::*;

    fn magnitudes(values: &[f32]) -> Vec<f32> {
        values.iter().map(|x| x.abs()).collect()
    }

    /// Keys `[1][1][rows][dim]` of one layer.
    fn rows(dim: u32, values: Vec<f32>) -> Dense {
        Dense::new([1, 1, values.len() as u32 / dim, dim], values)
    }

    fn u32_of(value: &Value, otherwise: u32) -> u32 {
        value.as_u64().map_or(otherwise, |x| x as u32)
    }

    #[test]
    fn svd_project_is_the_originals() {
        for (name, keys, case) in cases("svd_project") {
            let args = &case["args"];
            let options = SvdOptions {
                layers: layers(&case),
                rank: u32_of(&args["rank"], 160),
                gate: u32_of(&args["gate_start"], 0),
                max_rows: u32_of(&args["max_svd_rows"], 8192),
                ..SvdOptions::default()
            };
            let found = svd_project(&keys, &options).unwrap();
            let dim = keys.shape.head_dim as usize;
            close(&format!("{name} S"), &found.singular_values, &array(&case, "singular_values"), 1e-6);
            let ratio = case["explained_variance_ratio"].as_f64().unwrap();
            assert!((found.explained_variance_ratio - ratio).abs() < 1e-6, "{name}");
            // Signs are LAPACK's there.
            let state = array(&case, "state_vec");
            close(&format!("{name} |state|"), &magnitudes(&found.vector), &magnitudes(&state), 2e-5);
            close(
                &format!("{name} W@state"),
                &found.back_projection(),
                &array(&case, "sign_free_backprojection_W@state"),
                5e-6,
            );
            // Each column of W, up to its sign.
            let w = array(&case, "W");
            let rank = w.len() / dim;
            assert_eq!((found.basis.rank(), found.basis.head_dim()), (rank, keys.shape.head_dim));
            for (k, vector) in found.basis.vectors().chunks(dim).enumerate() {
                let column: Vec<f32> = w.iter().skip(k).step_by(rank).copied().collect();
                let product: f64 = vector.iter().zip(&column).map(|(a, b)| f64::from(a * b)).sum();
                assert!((product.abs() - 1.0).abs() < 1e-5, "{name}: vector {k}: {product}");
            }
            // Our rule.
            assert!(found.vector.iter().all(|x| *x >= 0.0));
        }
    }

    #[test]
    fn full_rank_and_no_gate_is_the_mean_in_other_axes() {
        for (name, layers) in [("small", LayerRange::Upper), ("mid", LayerRange::from(8..24))] {
            let keys = Dense::of(&format!("keys_{name}.npy"));
            let found = svd_project(&keys, &SvdOptions { layers, ..SvdOptions::default() }).unwrap();
            let mean = mean_pool(&keys, layers).unwrap();
            close(name, &found.back_projection(), &mean, 1e-6);
            assert!((l2_norm(&found.vector) - l2_norm(&mean)).abs() < 1e-6 * l2_norm(&mean));
            close("projected", &found.basis.project(&mean).unwrap(), &found.vector, 1e-6);
            assert_eq!(found.explained_variance_ratio, 1.0);
        }
    }

    #[test]
    fn xkv_project_is_the_originals() {
        for (name, keys, case) in cases("xkv_project") {
            let args = &case["args"];
            let options = XkvOptions {
                layers: layers(&case),
                rank: u32_of(&args["rank"], 160),
                max_rows: u32_of(&args["max_svd_rows"], 8192),
                ..XkvOptions::default()
            };
            let found = xkv_project(&keys, &options).unwrap();
            close(&name, &magnitudes(&found.vector), &magnitudes(&array(&case, "state_vec")), 2e-5);
            let ranks: usize = found.groups.iter().map(|group| group.vector.len()).sum();
            assert_eq!(ranks, found.vector.len());
            let head_dim = keys.shape.head_dim as usize;
            assert_eq!(found.back_projection().len(), found.groups.len() * head_dim);
        }
    }

    #[test]
    fn xkv_ranks_and_groups() {
        for (layers, rank, expected) in [
            (24, 160, vec![26; 6]),
            // Layers that are left make one more group of the same rank.
            (10, 12, vec![6; 3]),
            (3, 12, vec![12]),
            (1, 5, vec![5]),
            (8, 1, vec![1; 2]),
            (4, 1000, vec![16]),
        ] {
            let keys = Dense::noise([layers, 1, 40, 32]);
            let keys = Dense::new([layers, 1, 80, 16], keys.values);
            let options = XkvOptions { layers: LayerRange::All, rank, ..XkvOptions::default() };
            let expected: Vec<usize> = expected.into_iter().map(|rank: usize| rank.min(16)).collect();
            let found = xkv_project(&keys, &options).unwrap();
            let ranks: Vec<usize> = found.groups.iter().map(|group| group.vector.len()).collect();
            assert_eq!(ranks, expected, "{layers} layers, rank {rank}");
        }
    }

    #[test]
    fn corpus_bases_are_the_originals() {
        let all = expected();
        for (name, case) in all["corpus_basis"].as_object().unwrap() {
            let documents: Vec<Dense> = case["keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| Dense::of(file.as_str().unwrap()))
                .collect();
            let range = LayerRange::from(2..9);
            let options = CorpusOptions {
                layers: range,
                rank: u32_of(&case["rank"], 0),
                gate: u32_of(&case["gate_start"], 0),
                max_rows: u32_of(&case["max_rows"], 0),
                ..CorpusOptions::default()
            };
            let basis = fit_corpus_basis(&documents.iter().collect::<Vec<_>>(), &options).unwrap();
            let p = array(case, "P");
            assert_eq!(basis.vectors().len(), p.len());
            for (k, (vector, row)) in basis.vectors().chunks(32).zip(p.chunks(32)).enumerate() {
                let product: f64 = vector.iter().zip(row).map(|(a, b)| f64::from(a * b)).sum();
                assert!((product.abs() - 1.0).abs() < 1e-5, "{name}: vector {k}: {product}");
            }
            let found = basis.extract(&documents[0], range).unwrap();
            let expected_vec = array(case, "doc0_vec");
            close(name, &magnitudes(&found.vector), &magnitudes(&expected_vec), 2e-5);
            let norm = case["doc0_l2_norm_before_normalising"].as_f64().unwrap();
            assert!((found.norm - norm).abs() < 2e-6 * norm, "{name}");
            assert!((l2_norm(&found.vector) - 1.0).abs() < 1e-6);
            // In the original's own basis, signs and all.
            let found = Basis::new(32, p).unwrap().extract(&documents[0], range).unwrap();
            close(&format!("{name}, P given"), &found.vector, &expected_vec, 1e-6);
        }
    }

    #[test]
    fn signs_by_the_mean_do_not_see_the_order_of_rows() {
        let keys = Dense::of("keys_small.npy");
        // Rows from the last to the first: the same products, summed in another order.
        let turned: Vec<f32> = keys.rows().rev().flatten().copied().collect();
        let turned = Dense::new([12, 2, 24, 32], turned);
        let options = SvdOptions { layers: LayerRange::All, ..SvdOptions::default() };
        let [a, b] = [&keys, &turned].map(|keys| svd_project(keys, &options).unwrap());
        close("turned", &a.vector, &b.vector, 1e-6);
    }

    #[test]
    fn each_sign_rule_does_what_it_says() {
        let keys = Dense::noise([4, 2, 30, 8]);
        let negative = Dense::new([4, 2, 30, 8], keys.values.iter().map(|x| -x).collect());
        let of = |keys, signs| svd_project(keys, &SvdOptions { signs, ..SvdOptions::default() }).unwrap();
        let [mean, loading] = [Signs::Mean, Signs::LargestLoading].map(|signs| of(&keys, signs));
        assert!(mean.vector.iter().all(|x| *x >= 0.0));
        for vector in loading.basis.vectors().chunks(8) {
            let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
            assert!(largest > 0.0);
        }
        assert_eq!(magnitudes(&loading.vector), magnitudes(&mean.vector));
        assert!(loading.vector.iter().any(|x| *x < 0.0), "or the two rules are not told apart here");
        close("back", &loading.back_projection(), &mean.back_projection(), 1e-7);
        // Keys turned round turn the axes of the one, and the components of the other.
        assert_eq!(of(&negative, Signs::Mean).vector, mean.vector);
        let turned: Vec<f32> = of(&negative, Signs::LargestLoading).vector.iter().map(|x| -x).collect();
        assert_eq!(turned, loading.vector);
    }

    #[test]
    fn singular_values_known_beforehand() {
        // Rows are multiples of the rows of a Hadamard matrix: orthogonal, so the lengths are the singular values.
        let hadamard = |i: u32, j: u32| if (i & j).count_ones().is_multiple_of(2) { 1.0f32 } else { -1.0 };
        let lengths = [1.0f32, 0.5, 0.125, 1e-2, 1e-4, 1e-5, 1e-6, 0.0];
        let values: Vec<f32> =
            (0..8).flat_map(|i| (0..8).map(move |j| hadamard(i, j) * lengths[i as usize])).collect();
        for scale in [1.0, 1e-30, 1e30] {
            let keys = rows(8, values.iter().map(|x| x * scale).collect());
            let found = svd_project(&keys, &SvdOptions::default()).unwrap();
            for (found, length) in found.singular_values.iter().zip(lengths) {
                // Rounded to f32, and what an error of some 2^-53 of the largest eigenvalue makes of the root.
                let largest = f64::from(scale) * 8f64.sqrt();
                let expected = f64::from(length * scale) * 8f64.sqrt();
                let error = (f64::from(*found) - expected).abs();
                let lost = (1e-15 * largest / expected.max(1e-200)).min(3e-8) * largest;
                assert!(error <= 6.1e-8 * expected + lost, "{found} {expected}");
            }
            let mean = mean_pool(&keys, LayerRange::All).unwrap();
            close("back", &found.back_projection(), &mean, 1e-6);
        }
    }

    #[test]
    fn matrices_without_full_rank() {
        // Zeros.
        let found = svd_project(&rows(16, vec![0.0; 160]), &SvdOptions::default()).unwrap();
        assert_eq!((found.vector, found.singular_values), (vec![0.0; 10], vec![0.0; 10]));
        assert_eq!(found.explained_variance_ratio, 0.0);
        // One row: it is the mean and the only direction.
        let one: Vec<f32> = (1..=16).map(|x| x as f32).collect();
        let found = svd_project(&rows(16, one.clone()), &SvdOptions::default()).unwrap();
        let norm = 1496f32.sqrt();
        close("one row", &found.vector, &[norm], 1e-7);
        close("one row", &found.singular_values, &[norm], 1e-7);
        close("one row", &found.back_projection(), &one, 1e-6);
        assert_eq!(found.explained_variance_ratio, 1.0);
        // Rank 3 in 16 dimensions, 200 rows: what is not there is nothing, whatever its axes.
        let base = Dense::noise([1, 1, 3, 16]).values;
        let weights = Dense::noise([1, 1, 200, 3]).values;
        let values: Vec<f32> = weights
            .chunks(3)
            .flat_map(|w| (0..16).map(|j| (0..3).map(|k| w[k] * base[k * 16 + j]).sum()))
            .collect();
        let keys = rows(16, values);
        let found = svd_project(&keys, &SvdOptions::default()).unwrap();
        let first = found.singular_values[0];
        assert!(found.singular_values[2] > 0.01 * first);
        assert!(found.singular_values[3..].iter().all(|x| *x < 1e-6 * first));
        assert!(found.vector[3..].iter().all(|x| *x < 1e-6 * found.vector[0].abs().max(1.0)));
        close("rank 3", &found.back_projection(), &mean_pool(&keys, LayerRange::All).unwrap(), 1e-6);
        // One component.
        let found = svd_project(&rows(1, vec![3.0, -4.0]), &SvdOptions::default()).unwrap();
        assert_eq!((found.vector, found.singular_values), (vec![0.5], vec![5.0]));
    }

    #[test]
    fn two_threads_give_the_bits_of_one() {
        // Enough work for two, and drawn from more rows than are looked at.
        let keys = Dense::noise([2, 2, 400, 96]);
        let options = SvdOptions { layers: LayerRange::All, max_rows: 900, ..SvdOptions::default() };
        let found = svd_project(&keys, &options).unwrap();
        let picked = Mt19937::new(42).first_places(1600, 900).unwrap();
        let values: Vec<f32> =
            picked.iter().flat_map(|row| &keys.values[*row as usize * 96..][..96]).copied().collect();
        assert_eq!(svd_project(&rows(96, values.clone()), &options).unwrap(), found);
        // The sums of products themselves, half by half.
        let half = |rows: std::slice::Chunks<'_, f32>| {
            let mut sums = vec![0.0; 96 * 96];
            for row in rows {
                for i in 0..96 {
                    for j in i..96 {
                        sums[i * 96 + j] += f64::from(row[i]) * f64::from(row[j]);
                    }
                }
            }
            sums
        };
        let halves = [half(values[..450 * 96].chunks(96)), half(values[450 * 96..].chunks(96))];
        let trace: f64 = (0..96).map(|i| halves[0][i * 97] + halves[1][i * 97]).sum();
        let sum: f64 = found.singular_values.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((sum - trace).abs() < 1e-6 * trace);
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        let keys = Dense::noise([4, 2, 3, 8]);
        let argument = |options| kind(svd_project(&keys, &options));
        let default = SvdOptions { layers: LayerRange::All, ..SvdOptions::default() };
        assert!(matches!(argument(SvdOptions { rank: 0, ..default }), ErrorKind::Argument { .. }));
        assert!(matches!(argument(SvdOptions { max_rows: 0, ..default }), ErrorKind::Argument { .. }));
        for (gate, max_rows, most) in [(8, 8192, 7), (u32::MAX, 8192, 7), (4, 4, 3), (1, 1, 0)] {
            let kind = argument(SvdOptions { gate, max_rows, ..default });
            let ErrorKind::TooLarge { max, found, .. } = kind else { panic!("{kind:?}") };
            assert_eq!((max, found), (most, u64::from(gate)));
        }
        let last = svd_project(&keys, &SvdOptions { gate: 7, rank: u32::MAX, ..default }).unwrap();
        assert_eq!((last.vector.len(), last.singular_values.len()), (1, 8));
        let none = kind(svd_project(&keys, &SvdOptions { layers: LayerRange::from(4..9), ..default }));
        assert_eq!(none, ErrorKind::NoLayers { start: 4, end: 9, layers: 4 });
        let xkv = XkvOptions { rank: 0, ..XkvOptions::default() };
        assert!(matches!(kind(xkv_project(&keys, &xkv)), ErrorKind::Argument { .. }));
        let no_documents: [&Dense; 0] = [];
        let corpus = CorpusOptions::default();
        assert!(matches!(kind(fit_corpus_basis(&no_documents, &corpus)), ErrorKind::Argument { .. }));
        let other = Dense::noise([4, 2, 3, 4]);
        let differs = ErrorKind::Shape { field: "head_dim", needed: 8, found: 4 };
        assert_eq!(kind(fit_corpus_basis(&[&keys, &other], &corpus)), differs);
        let basis = fit_corpus_basis(&[&keys], &corpus).unwrap();
        assert_eq!(kind(basis.extract(&other, LayerRange::All)), differs);
        assert!(basis.project(&[0.0; 7]).is_err());
        assert!(basis.back_project(&[0.0; 9]).is_err());
        for bad in [Basis::new(0, vec![]), Basis::new(2, vec![]), Basis::new(2, vec![0.0; 3])] {
            assert!(matches!(kind(bad), ErrorKind::Argument { .. }));
        }
        let bad = Basis::new(2, vec![0.0, 0.0, 0.0, f32::NAN]);
        assert_eq!(kind(bad), ErrorKind::NonFinite { row: 1, column: 1 });
    }

    #[test]
    fn sources_that_claim_very_much_cost_what_is_looked_at() {
        let shape = KeyShape { layers: 8, heads: 1000, tokens: 500_000, head_dim: 4 };
        let found =
            svd_project(&Liar(shape), &SvdOptions { layers: LayerRange::All, ..SvdOptions::default() });
        close("ones", &found.unwrap().back_projection(), &[1.0; 4], 1e-6);
        let shape = KeyShape { layers: 1000, heads: 2, tokens: u32::MAX, head_dim: 4 };
        let kind_of = |shape| kind(svd_project(&Liar(shape), &SvdOptions::default()));
        let field = "layers * heads * tokens";
        assert!(matches!(kind_of(shape), ErrorKind::TooLarge { field: f, .. } if f == field));
        let shape = KeyShape { layers: 1, heads: 1, tokens: 1, head_dim: MAX_SVD_DIM + 1 };
        assert!(matches!(kind_of(shape), ErrorKind::TooLarge { field: "head_dim", .. }));
    }
}
