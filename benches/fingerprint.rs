//! Fingerprints of the keys of 600 cells: `cargo bench --features simd,linalg --bench fingerprint`. Beside NumPy:
//! `python3 benches/fingerprint_numpy.py`, which runs this as `fingerprint KEYS.npy TIMES` (`<f2`, `[layers][heads][tokens]
//! [head_dim]`, C order) and gets one line of JSON, medians in microseconds.

#[path = "common/median.rs"]
mod median;

use std::hint::black_box;

use bitwire::Result;
use bitwire::engram::fingerprint::{
    FourierOptions, LayerMeans, LayerRange, SvdOptions, XkvOptions, mean_pool, svd_project, xkv_project,
};
use bitwire::engram::{KeyShape, KeySource};
use criterion::Criterion;
use median::median;

const SHAPE: KeyShape = KeyShape { layers: 32, heads: 8, tokens: 600, head_dim: 128 };

/// Keys in binary16.
struct Halves {
    shape: KeyShape,
    bytes: Vec<u8>,
}

impl KeySource for Halves {
    fn shape(&self) -> KeyShape {
        self.shape
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        let KeyShape { heads, tokens, head_dim, .. } = self.shape;
        let place = ((layer * heads + head) * tokens + token) as usize * head_dim as usize * 2;
        for (out, half) in out.iter_mut().zip(self.bytes[place..].as_chunks().0) {
            // Finite values, which these are: the exponent moves from bias 15 to bias 127 by a product.
            let half = u32::from(u16::from_le_bytes(*half));
            let magnitude = f32::from_bits((half & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
            *out = f32::from_bits(magnitude.to_bits() | (half & 0x8000) << 16);
        }
        Ok(())
    }
}

/// Values of magnitude 1 to 2, of either sign.
fn noise() -> Halves {
    let mut seed = 1u64;
    let len = SHAPE.rows().unwrap() * u64::from(SHAPE.head_dim);
    let half = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (seed >> 48) as u16;
        ((random & 0x83FF) | 0x3C00).to_le_bytes()
    };
    Halves { shape: SHAPE, bytes: (0..len).flat_map(half).collect() }
}

/// What is measured: a name, and how.
type Run<'a> = (&'static str, Box<dyn Fn() + 'a>);

fn runs(keys: &Halves) -> [Run<'_>; 6] {
    let layers = LayerRange::from(8..24);
    let svd = SvdOptions { layers, ..SvdOptions::default() };
    let xkv = XkvOptions { layers, ..XkvOptions::default() };
    let few = SvdOptions { max_rows: 128, ..svd };
    [
        ("svd_project", Box::new(move || drop(black_box(svd_project(keys, &svd).unwrap())))),
        ("svd_project, 128 rows", Box::new(move || drop(black_box(svd_project(keys, &few).unwrap())))),
        ("xkv_project", Box::new(move || drop(black_box(xkv_project(keys, &xkv).unwrap())))),
        ("mean_pool", Box::new(move || drop(black_box(mean_pool(keys, layers).unwrap())))),
        (
            "layer means, all layers",
            Box::new(|| drop(black_box(LayerMeans::measure(keys, LayerRange::All).unwrap()))),
        ),
        (
            "Fourier v2, all layers",
            Box::new(|| {
                let means = LayerMeans::measure(keys, LayerRange::All).unwrap();
                drop(black_box(means.fourier(&FourierOptions::default()).unwrap()));
            }),
        ),
    ]
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [path, times] = arguments.as_slice() {
        let times = times.parse().expect("times");
        let bytes = std::fs::read(path).expect("a file");
        let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let bytes = bytes[header..].to_vec();
        assert_eq!(bytes.len() as u64, SHAPE.rows().unwrap() * u64::from(SHAPE.head_dim) * 2, "{SHAPE}, f16");
        let keys = Halves { shape: SHAPE, bytes };
        let layers = LayerRange::from(8..24);
        let svd = svd_project(&keys, &SvdOptions { layers, ..SvdOptions::default() }).unwrap();
        let v2 = LayerMeans::measure(&keys, LayerRange::All).unwrap().fourier(&FourierOptions::default());
        let mean = mean_pool(&keys, layers).unwrap();
        let measured: Vec<String> =
            runs(&keys).iter().map(|(name, run)| format!("\"{name}\": {}", median(times, run))).collect();
        println!(
            "{{\"state\": {:?}, \"mean\": {mean:?}, \"v2\": {:?}, \"us\": {{{}}}}}",
            svd.vector,
            v2.unwrap(),
            measured.join(", ")
        );
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    let keys = noise();
    let mut group = criterion.benchmark_group(format!("{SHAPE} f16"));
    group.sample_size(30);
    for (name, run) in runs(&keys) {
        group.bench_function(name, |b| b.iter(&run));
    }
    group.finish();
    criterion.final_summary();
}
