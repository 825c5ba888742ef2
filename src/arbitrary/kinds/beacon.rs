//! Beacons (spec/beacon.md).

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::Body;
use crate::arbitrary::draft::{Part, Parts};
use crate::arbitrary::draw::Draw;
use crate::frame::TlvType;

pub(super) fn body(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let rows = u.pick(1, &[1, 1, 2, 3]);
    let dim = u.u32_between(1, 9);
    let mut own = Vec::new();
    if parts.or_chosen(Parts::CALIB, u) {
        own.push(Part { tlv: TlvType::CALIB_STATS, value: calibration(dim, parts, u) });
    }
    let mut body = Body { rows, dim, element: 1, ..Body::default() };
    if parts.or_chosen(Parts::RESULTS, u) {
        body.tokens = results(&mut body.alert, &mut body.baseline, u);
        own.push(Part { tlv: TlvType::RESULTS, value: body.tokens.concat().into_bytes() });
    }
    body.own = own;
    body.payload = u.bytes(rows as usize * dim as usize * 2);
    body
}

fn calibration(dim: u32, parts: Parts, u: &mut Draw<'_, '_>) -> Vec<u8> {
    let sigma = u.u8_between(u8::from(parts.has(Parts::SIGMA)), 3);
    let mu = parts.or_chosen(Parts::MU, u);
    let mut value = vec![sigma, u8::from(mu), 0, 0];
    value.extend(dim.to_be_bytes());
    let w = u.f64().abs();
    let (a, b) = (u.f64(), u.f64());
    for x in [w, a.min(b), a.max(b)] {
        value.extend(x.to_be_bytes());
    }
    let triangle = dim * (dim + 1) / 2;
    let singles = [0, 0, dim, triangle].get(usize::from(sigma)).copied().unwrap_or(0);
    if mu {
        (0..dim).for_each(|_| value.extend(u.f32().to_be_bytes()));
    }
    if sigma == 1 {
        value.extend(u.f64().to_be_bytes());
    }
    (0..singles).for_each(|_| value.extend(u.f32().to_be_bytes()));
    value
}

/// A number as RFC 8785 writes it.
pub(in crate::arbitrary) fn number(value: f64) -> String {
    ryu_js::Buffer::new().format_finite(value).to_string()
}

/// The tokens of RESULTS_V1, and the flags that go with them.
fn results(alert: &mut bool, baseline: &mut bool, u: &mut Draw<'_, '_>) -> Vec<String> {
    let some = |u: &mut Draw<'_, '_>| if u.flag() { u.f64() } else { u.between(0, 1000) as f64 / 64.0 };
    let reference = u.pick("none", &["baseline", "window-half"]);
    let drift = (reference != "none").then(|| (some(u), u.flag().then(|| some(u)), some(u).abs()));
    let threshold = u.flag().then(|| some(u));
    *baseline = reference == "baseline";
    *alert = matches!((drift, threshold), (Some((sds, ..)), Some(threshold)) if sds >= threshold);

    let or_null = |value: Option<f64>| value.map_or("null".to_string(), number);
    let mut tokens = vec![
        "{\"SDS\":".to_string(),
        or_null(drift.map(|(sds, ..)| sds)),
        ",\"cos_mu\":".to_string(),
        or_null(drift.and_then(|(_, cos, _)| cos)),
        ",\"norm_dmu\":".to_string(),
        or_null(drift.map(|(.., norm)| norm)),
        ",\"reference\":".to_string(),
        alloc::format!("\"{reference}\""),
    ];
    match threshold {
        Some(threshold) => tokens.extend([
            ",\"thresholds\":{\"SDS\":".to_string(),
            number(threshold),
            "},\"tr_Sigma\":".to_string(),
        ]),
        None => tokens.push(",\"thresholds\":{},\"tr_Sigma\":".to_string()),
    }
    tokens.push(number(some(u)));
    for fixed in [",\"weights\":{\"mu\":", ",\"trS\":"] {
        tokens.push(fixed.to_string());
        tokens.push(number(some(u).abs()));
    }
    tokens.push("}}".to_string());
    tokens
}
