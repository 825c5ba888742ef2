//! Holds the library to spec/vectors, which were made from the documents alone.
//!
//! tests/targets has the same source as a module, and runs it where there is no test harness.
#![cfg(all(feature = "alloc", feature = "hmac"))]

pub(crate) mod accumulated;
pub(crate) mod certificate;
pub(crate) mod engram;
pub(crate) mod gist;
#[cfg(all(test, feature = "cli"))]
mod judged;
pub(crate) mod ledger;
pub(crate) mod mirror;
pub(crate) mod stream;
pub(crate) mod whitening;

use std::cell::RefCell;
use std::fmt;
use std::panic;
use std::sync::Once;

use bitwire::beacon::mu16::{self, Step};
use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Beacon, Reference};
use bitwire::frame::{Context, Frame, Key, TlvType};
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};

#[cfg(target_arch = "wasm32")]
use crate::say;

/// To standard error, which wasm32-unknown-unknown does not have.
#[cfg(not(target_arch = "wasm32"))]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Every file of spec/vectors; within the program, as not every target has files.
macro_rules! files {
    ($($name:literal)*) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../spec/vectors/", $name)))),*];
    };
}

files! {
    "accumulated.json" "beacon.json" "certificate.json" "chunk.json" "context.json" "engram_index.json" "frame.json" "gist.json"
    "index.json" "ledger.json" "mirror.json" "mu16.json" "pack.json" "proof.json" "state.json" "stream.json" "whitening.json"
}

#[cfg(test)]
#[test]
fn no_file_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    assert!(names.iter().eq(FILES.iter().map(|(name, _)| name)), "{names:?}");
}

/// A file all of whose cases held.
pub(crate) struct Held {
    pub(crate) file: &'static str,
    pub(crate) cases: usize,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:20}{:5} cases hold", self.file, self.cases)
    }
}

impl std::process::Termination for Held {
    fn report(self) -> std::process::ExitCode {
        println!("{self}");
        std::process::ExitCode::SUCCESS
    }
}

thread_local! {
    static CASE: RefCell<String> = RefCell::new("no case".to_owned());
    /// What was found, for judged.rs.
    static FOUND: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

/// What was found of a case, in the form that `bitwire vectors check` judges.
fn note(case: &Value, found: &Result<Value, Error>) {
    if cfg!(not(all(test, feature = "cli"))) {
        return;
    }
    let mut result = match found {
        Ok(found) => found.clone(),
        Err(error) => {
            let mut said = json!({ "kind": error.kind().name(), "offset": error.offset() });
            match error.kind() {
                ErrorKind::NonFinite { row, column } => {
                    (said["row"], said["column"]) = (row.into(), column.into());
                }
                ErrorKind::ForeignSource { field } => said["what"] = field.into(),
                ErrorKind::Ambiguous { layouts } => {
                    said["layouts"] = layouts.iter().map(|layout| json!(layout.to_string())).collect();
                }
                _ => {}
            }
            json!({ "error": said })
        }
    };
    result["id"] = case["id"].clone();
    result["verdict"] = if found.is_ok() { "accept".into() } else { "reject".into() };
    FOUND.with_borrow_mut(|all| all.push(result));
}

/// Checks each case of a file, of which there have to be more than so many. A panic names the case.
fn each(file: &'static str, more_than: usize, check: impl Fn(&Value)) -> Held {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        panic::set_hook(Box::new(|panic| say(&format!("{}: {panic}", CASE.with_borrow(String::clone)))));
    });
    let (_, text) = FILES.iter().find(|(name, _)| *name == file).unwrap();
    let text: Value = serde_json::from_str(text).unwrap();
    let cases = text["cases"].as_array().unwrap();
    assert!(cases.len() > more_than, "{}", cases.len());
    for case in cases {
        CASE.set(format!("{file}, case {}", case["id"]));
        check(case);
    }
    CASE.set("no case".to_owned());
    Held { file, cases: cases.len() }
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn f32_hex(value: f32) -> String {
    hex(&value.to_be_bytes())
}

fn f64_hex(value: f64) -> String {
    hex(&value.to_be_bytes())
}

/// More that was found of the case that was noted last.
#[cfg(feature = "std")]
fn also(case: &Value, member: &str, found: &Value) {
    FOUND.with_borrow_mut(|all| {
        if let Some(last) = all.last_mut().filter(|last| last["id"] == case["id"]) {
            last[member] = found.clone();
        }
    });
}

/// Compares an outcome with the verdict; the value found is compared with `expect`.
fn hold(case: &Value, found: Result<Value, Error>) {
    let id = &case["id"];
    note(case, &found.clone().map(|found| json!({ "expect": found })));
    match (case["verdict"].as_str().unwrap(), found) {
        ("accept", Ok(found)) => assert_eq!(found, case["expect"], "{id}"),
        ("reject", Err(error)) => {
            assert_eq!(error.kind().name(), case["error"]["kind"], "{id}: {error}");
            if let Some(offset) = case["error"]["offset"].as_u64() {
                assert_eq!(error.offset(), offset, "{id}: {error}");
            }
        }
        (verdict, found) => panic!("{id}: to {verdict}, found {found:?}"),
    }
}

fn frame_view(frame: &Frame<'_>) -> Value {
    let config = frame.config();
    let mut tlvs: Vec<Value> =
        frame.tlvs().map(|tlv| json!([tlv.tlv_type, tlv.offset, tlv.value.len()])).collect();
    tlvs.push(json!([TlvType::END, frame.payload_offset() - 3, 0]));
    let bytes = frame.as_bytes();
    let crc = u16::from_be_bytes([bytes[bytes.len() - 2], bytes[bytes.len() - 1]]);
    json!({
        "ctx": frame.ctx().to_string(),
        "kind": config.kind.0,
        "element": config.element.code(),
        "rows": config.rows,
        "dim": config.dim,
        "delta_q16": config.delta_q16,
        "payload_len": config.payload_len,
        "flags": frame.flags().bits(),
        "tlvs": tlvs,
        "payload_off": frame.payload_offset(),
        "crc": crc,
        "routing_key": frame.routing_key().to_string(),
    })
}

fn beacon_view(beacon: &Beacon<'_>) -> Value {
    let dim = beacon.dim() as usize;
    let (mut q, mut dequantised) = (Vec::new(), Vec::new());
    for row in 0..beacon.rows() {
        q.extend(beacon.row(row).unwrap());
        let mut values = vec![0.0; dim];
        beacon.dequantise_row_into(row, &mut values).unwrap();
        dequantised.extend(values.into_iter().map(f32_hex));
    }
    let calib = beacon.calibration().map(|calibration| {
        let sigma = calibration.sigma_values().map(|value| {
            if calibration.sigma() == Sigma::Trace { f64_hex(value) } else { f32_hex(value as f32) }
        });
        let (t0, t1) = calibration.times();
        json!({
            "sigma_kind": calibration.sigma().code(),
            "w": f64_hex(calibration.w()),
            "t0": f64_hex(t0),
            "t1": f64_hex(t1),
            "mu": calibration.mu().map(|mu| mu.map(f32_hex).collect::<Vec<_>>()),
            "sigma": sigma.collect::<Vec<_>>(),
        })
    });
    let results = beacon.results().map(|results| {
        let drift = results.drift;
        let reference = match drift.map(|drift| drift.reference) {
            Some(Reference::Baseline) => "baseline",
            Some(Reference::WindowHalf) => "window-half",
            None => "none",
        };
        json!({
            "SDS": drift.map(|drift| f64_hex(drift.sds)),
            "cos_mu": drift.and_then(|drift| drift.cos_mu).map(f64_hex),
            "norm_dmu": drift.map(|drift| f64_hex(drift.norm_dmu)),
            "reference": reference,
            "threshold_SDS": results.sds_threshold.map(f64_hex),
            "tr_Sigma": f64_hex(results.tr_sigma),
            "w_mu": f64_hex(results.weights.mu),
            "w_trS": f64_hex(results.weights.tr_sigma),
        })
    });
    json!({
        "rows": beacon.rows(),
        "dim": dim,
        "delta_q16": beacon.step().get(),
        "flags": beacon.frame().flags().bits(),
        "q": q,
        "dequantised_hex": dequantised,
        "calib": calib,
        "results": results,
    })
}

#[cfg_attr(test, test)]
pub(crate) fn frames() -> Held {
    each("frame.json", 400, |case| {
        let bytes = from_hex(case["hex"].as_str().unwrap());
        match case["view"].as_str().unwrap() {
            "frame" => hold(case, Frame::parse_exact(&bytes).map(|frame| frame_view(&frame))),
            "verify" => {
                let key = Key::new(&from_hex(case["key"].as_str().unwrap()));
                let verified = key.and_then(|key| Frame::parse_exact(&bytes)?.verify(&key));
                hold(
                    case,
                    verified
                        .map(|frame| json!({ "hmac": hex(&frame.tlv(TlvType::HMAC).unwrap().value[1..]) })),
                );
            }
            view => panic!("{view}"),
        }
        // What is accepted is written again byte for byte.
        if let Ok(frame) = Frame::parse_exact(&bytes) {
            assert_eq!(frame.to_builder().encode().unwrap(), bytes, "{}", case["id"]);
        }
    })
}

#[cfg_attr(test, test)]
pub(crate) fn beacons() -> Held {
    each("beacon.json", 400, |case| {
        let bytes = from_hex(case["hex"].as_str().unwrap());
        let frame = Frame::parse_exact(&bytes);
        let beacon = frame.and_then(|frame| Beacon::from_frame(&frame));
        if let Ok(results) = &beacon
            && let Some(results) = results.results()
        {
            let tlv = frame.unwrap().tlv(TlvType::RESULTS).unwrap();
            assert_eq!(results.to_text().unwrap().as_bytes(), tlv.value, "{}", case["id"]);
        }
        hold(case, beacon.map(|beacon| beacon_view(&beacon)));
    })
}

#[cfg_attr(test, test)]
pub(crate) fn contexts() -> Held {
    each("context.json", 200, |case| {
        let bytes = from_hex(case["hex"].as_str().unwrap());
        let context = Context::parse(&bytes).map(|context| {
            let parsed: Value = serde_json::from_str(context.as_str()).unwrap();
            json!({
                "ctx": context.hash().to_string(),
                "dim": context.dim(),
                "model_id": parsed["model_id"],
                "pi_id": parsed["pi_id"],
                "space_id": parsed["space_id"],
            })
        });
        hold(case, context);
    })
}

#[cfg_attr(test, test)]
pub(crate) fn mu16_values() -> Held {
    each("mu16.json", 100, |case| {
        let id = &case["id"];
        let list = |name: &str| case[name].as_array().unwrap().clone();
        let values: Vec<f32> = list("x_hex")
            .iter()
            .map(|x| f32::from_be_bytes(from_hex(x.as_str().unwrap()).try_into().unwrap()))
            .collect();
        let dim = case["dim"].as_u64().unwrap() as usize;
        let refusal = |error: Error| {
            note(case, &Err(error));
            let found = match error.kind() {
                ErrorKind::NonFinite { row, column } => {
                    json!({ "kind": "NonFinite", "row": row, "column": column })
                }
                kind => json!({ "kind": kind.name() }),
            };
            assert_eq!(found, case["error"], "{id}");
        };
        match case["view"].as_str().unwrap() {
            "auto" => match Step::auto(&values, dim) {
                Ok(step) => {
                    note(case, &Ok(json!({ "delta_q16": step.get() })));
                    assert_eq!(json!(step.get()), case["delta_q16"], "{id}");
                }
                Err(error) => refusal(error),
            },
            "quantise" => {
                let step = Step::new(case["delta_q16"].as_u64().unwrap() as u32).unwrap();
                let mut payload = vec![0; values.len() * 2];
                let saturated = match mu16::quantise_into(&values, dim, step, &mut payload) {
                    Ok(saturated) => saturated,
                    Err(error) => {
                        refusal(error);
                        return;
                    }
                };
                assert_eq!(json!(saturated), case["saturated"], "{id}");
                let q: Vec<i16> =
                    payload.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                assert_eq!(json!(q), case["q"], "{id}");
                let one_by_one: Vec<i16> = values.iter().map(|&x| mu16::quantise(x, step).0).collect();
                assert_eq!(one_by_one, q, "{id}");
                let mut back = vec![0.0; values.len()];
                mu16::dequantise_into(&payload, step, &mut back).unwrap();
                let back = json!(back.into_iter().map(f32_hex).collect::<Vec<_>>());
                note(case, &Ok(json!({ "q": q, "saturated": saturated, "dequantised_hex": back })));
                assert_eq!(back, case["dequantised_hex"], "{id}");
            }
            view => panic!("{view}"),
        }
    })
}
