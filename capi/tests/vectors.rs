//! Holds the C interface to spec/vectors/frame.json and beacon.json, which were made from the documents alone.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr;
use std::slice;

use bitwire_capi::*;
use serde_json::{Value, json};

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors").join(file);
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn from_hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Calls with a struct to fill and an error, both holding bytes that are no value: what is there before does not matter.
fn call<T>(f: impl FnOnce(*mut T, *mut bitwire_error) -> bitwire_status) -> Result<T, bitwire_error> {
    let mut out = MaybeUninit::<T>::uninit();
    let mut error = MaybeUninit::<bitwire_error>::uninit();
    // SAFETY: as many bytes as they have.
    unsafe { ptr::write_bytes(out.as_mut_ptr(), 0xA5, 1) };
    // SAFETY: as above.
    unsafe { ptr::write_bytes(error.as_mut_ptr(), 0xA5, 1) };
    let status = f(out.as_mut_ptr(), error.as_mut_ptr());
    // SAFETY: every call fills it.
    let error = unsafe { error.assume_init() };
    assert_eq!(error.status, status);
    if status != bitwire_status::BITWIRE_OK {
        assert!(error.has_offset || error.offset == 0);
        return Err(error);
    }
    assert_eq!(message(&error), "");
    // SAFETY: the call filled it.
    Ok(unsafe { out.assume_init() })
}

fn name(status: bitwire_status) -> &'static str {
    // SAFETY: a string that lives as long as the program.
    unsafe { CStr::from_ptr(bitwire_status_name(status as i32)) }.to_str().unwrap()
}

fn message(error: &bitwire_error) -> String {
    let mut text = [0x7F; 400];
    // SAFETY: `text` has as many bytes.
    let len = unsafe { bitwire_error_message(error, text.as_mut_ptr(), text.len()) };
    // SAFETY: ended by a NUL.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().unwrap();
    assert_eq!(text.len(), len);
    text.to_owned()
}

/// Compares an outcome with the verdict, and the message with the library's.
fn hold(case: &Value, found: Result<Value, bitwire_error>) {
    let id = &case["id"];
    match (case["verdict"].as_str().unwrap(), found) {
        ("accept", Ok(found)) => assert_eq!(found, case["expect"], "{id}"),
        ("reject", Err(error)) => {
            assert_eq!(name(error.status), case["error"]["kind"], "{id}");
            if let Some(offset) = case["error"]["offset"].as_u64() {
                assert_eq!(error.offset, offset, "{id}");
            }
            let text = message(&error);
            assert_eq!(
                text.ends_with(&format!(" (at byte {})", error.offset)),
                error.has_offset,
                "{id}: {text}"
            );
        }
        (verdict, found) => panic!("{id}: to {verdict}, found {:?}", found.map_err(|error| message(&error))),
    }
}

fn parse_exact(bytes: &[u8]) -> Result<bitwire_frame, bitwire_error> {
    // SAFETY: the bytes outlive the frame wherever this is called.
    let exact =
        call(|frame, error| unsafe { bitwire_frame_parse_exact(bytes.as_ptr(), bytes.len(), frame, error) });
    // With more behind it, the same frame is found; and errors that are not about the end are the same.
    let more = [bytes, b"BIT\x01 and more"].concat();
    // SAFETY: as above.
    let first = call(|frame: *mut bitwire_frame, error| unsafe {
        bitwire_frame_parse(more.as_ptr(), more.len(), frame, error)
    });
    match (&exact, &first) {
        (Ok(exact), Ok(first)) => assert_eq!((exact.len, first.len), (bytes.len(), bytes.len())),
        (Err(error), Ok(first)) if error.status == bitwire_status::BITWIRE_ERR_TRAILING_BYTES => {
            assert_eq!(error.offset, first.len as u64);
        }
        (Err(error), _) if error.status == bitwire_status::BITWIRE_ERR_TRUNCATED => {}
        (Err(exact), Err(first)) => {
            assert_eq!((exact.status, exact.offset), (first.status, first.offset));
        }
        _ => panic!("{:?}, {:?}", exact.is_ok(), first.is_ok()),
    }
    exact
}

fn frame_view(frame: &bitwire_frame) -> Value {
    // SAFETY: what the frame points to is there.
    let (bytes, payload) = unsafe {
        (
            slice::from_raw_parts(frame.bytes, frame.len),
            slice::from_raw_parts(frame.payload, frame.payload_len),
        )
    };
    let payload_off = payload.as_ptr().addr() - bytes.as_ptr().addr();
    let mut key = [0; BITWIRE_ROUTING_KEY_LEN];
    // SAFETY: room for a key.
    let status = unsafe { bitwire_frame_routing_key(frame, key.as_mut_ptr(), ptr::null_mut()) };
    assert_eq!(status, bitwire_status::BITWIRE_OK);
    // The TLVs once more: this interface has two of them alone.
    let (mut tlvs, mut at) = (Vec::new(), 12);
    while at < payload_off {
        let len = usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        let value = &bytes[at + 3..at + 3 + len];
        match bytes[at] {
            0x80 => {
                // SAFETY: as above.
                let context = unsafe { slice::from_raw_parts(frame.context, frame.context_len) };
                assert_eq!((context, context.as_ptr()), (value, value.as_ptr()));
            }
            0xF0 => assert_eq!(frame.digest, value[1..].as_ptr()),
            _ => {}
        }
        tlvs.push((bytes[at], at, len));
        at += 3 + len;
    }
    let has = |tlv| tlvs.iter().any(|&(found, ..)| found == tlv);
    assert_eq!(
        (has(0x80), has(0xF0), has(0xF1)),
        (!frame.context.is_null(), !frame.digest.is_null(), frame.has_hmac)
    );
    json!({
        "ctx": hex(&frame.ctx),
        "kind": frame.kind,
        "element": frame.element,
        "rows": frame.rows,
        "dim": frame.dim,
        "delta_q16": frame.delta_q16,
        "payload_len": frame.payload_len,
        "flags": frame.flags,
        "tlvs": tlvs,
        "payload_off": payload_off,
        "crc": u16::from_be_bytes([bytes[bytes.len() - 2], bytes[bytes.len() - 1]]),
        "routing_key": hex(&key),
    })
}

#[test]
fn frames() {
    let (mut frames, mut verified) = (0, 0);
    for case in cases("frame.json") {
        let bytes = from_hex(&case["hex"]);
        let parsed = parse_exact(&bytes);
        match case["view"].as_str().unwrap() {
            "frame" => {
                frames += 1;
                hold(&case, parsed.map(|frame| frame_view(&frame)));
            }
            "verify" => {
                verified += 1;
                let key = from_hex(&case["key"]);
                // A key of no bytes has no place; this one is not read.
                let at = if key.is_empty() { b"-".as_ptr() } else { key.as_ptr() };
                let found = parsed.and_then(|frame| {
                    // SAFETY: bytes and key are there.
                    call(|out: *mut bitwire_authenticated_frame, error| unsafe {
                        bitwire_frame_verify(&frame, at, key.len(), out, error)
                    })
                });
                hold(
                    &case,
                    found.map(|authenticated| {
                        let view = frame_view(&authenticated.frame);
                        let at = view["tlvs"].as_array().unwrap().iter().find(|tlv| tlv[0] == 0xF1).unwrap()
                            [1]
                        .as_u64()
                        .unwrap() as usize;
                        json!({ "hmac": hex(&bytes[at + 4..at + 36]) })
                    }),
                );
            }
            view => panic!("{view}"),
        }
    }
    assert!(frames > 400 && verified > 50, "{frames}, {verified}");
}

/// As the vectors write a double; null for NaN, which is how one is told that the beacon has none.
fn double(value: f64) -> Value {
    if value.is_nan() { Value::Null } else { json!(hex(&value.to_be_bytes())) }
}

fn beacon_view(frame: &bitwire_frame, beacon: &bitwire_beacon) -> Value {
    assert!(!beacon.authenticated);
    let (rows, dim) = (beacon.rows, beacon.dim as usize);
    let (mut all_q, mut all_x, mut sums) = (Vec::new(), Vec::new(), vec![0.0; dim]);
    for row in 0..rows {
        // One more than is needed stays as it is.
        let (mut q, mut x) = (vec![77i16; dim + 1], vec![77f32; dim + 1]);
        // SAFETY: room for the row, the beacon's bytes are there.
        let statuses = unsafe {
            [
                bitwire_beacon_q(beacon, row, q.as_mut_ptr(), q.len(), ptr::null_mut()),
                bitwire_beacon_row(beacon, row, x.as_mut_ptr(), x.len(), ptr::null_mut()),
            ]
        };
        assert_eq!(statuses, [bitwire_status::BITWIRE_OK; 2]);
        assert_eq!((q.pop(), x.pop()), (Some(77), Some(77.0)));
        for (i, &q) in q.iter().enumerate() {
            sums[i] += f64::from(q);
            assert_eq!(x[i], (f64::from(q) * beacon.step) as f32);
        }
        all_q.extend(q);
        all_x.extend(x.iter().map(|x| hex(&x.to_be_bytes())));
    }
    let mut mean = vec![0.0; dim];
    // SAFETY: as above.
    let status = unsafe { bitwire_beacon_mean(beacon, mean.as_mut_ptr(), dim, ptr::null_mut()) };
    assert_eq!(status, bitwire_status::BITWIRE_OK);
    let mu: Vec<String> = mean.iter().map(|&mu| hex(&(mu as f32).to_be_bytes())).collect();
    if !beacon.has_mu {
        for (sum, mean) in sums.iter().zip(&mean) {
            assert!((sum * beacon.step / f64::from(rows) - mean).abs() <= 1e-15 * mean.abs());
        }
    }
    assert_eq!(beacon.alert, frame.flags & BITWIRE_FLAG_ALERT != 0);
    assert_eq!(beacon.baseline, frame.flags & BITWIRE_FLAG_BASELINE != 0);
    assert_eq!(beacon.has_drift, !beacon.sds.is_nan());
    assert_eq!(beacon.has_cos_mu, !beacon.cos_mu.is_nan());
    assert_eq!(beacon.has_sds_threshold, !beacon.sds_threshold.is_nan());
    assert_eq!(beacon.has_results, !beacon.tr_sigma.is_nan());
    assert_eq!(beacon.has_calibration, !beacon.w.is_nan());
    json!({
        "rows": rows,
        "dim": dim,
        "delta_q16": beacon.step * 65536.0,
        "flags": frame.flags,
        "q": all_q,
        "dequantised_hex": all_x,
        "calib": beacon.has_calibration.then(|| json!({
            "sigma_kind": beacon.sigma_kind,
            "w": double(beacon.w),
            "t0": double(beacon.t0),
            "t1": double(beacon.t1),
            "mu": beacon.has_mu.then_some(mu),
        })),
        "results": beacon.has_results.then(|| json!({
            "SDS": double(beacon.sds),
            "cos_mu": double(beacon.cos_mu),
            "norm_dmu": double(beacon.norm_dmu),
            "reference": if !beacon.has_drift { "none" } else if beacon.baseline { "baseline" } else { "window-half" },
            "threshold_SDS": double(beacon.sds_threshold),
            "tr_Sigma": double(beacon.tr_sigma),
            "w_mu": double(beacon.weight_mu),
            "w_trS": double(beacon.weight_tr_sigma),
        })),
    })
}

#[test]
fn beacons() {
    let cases = cases("beacon.json");
    assert!(cases.len() > 400);
    for mut case in cases {
        // A number like any other here, and Sigma's values have no place in this interface.
        if let Some(delta) = case["expect"]["delta_q16"].as_f64() {
            case["expect"]["delta_q16"] = json!(delta);
        }
        if let Some(calib) = case["expect"]["calib"].as_object_mut() {
            calib.remove("sigma");
        }
        let bytes = from_hex(&case["hex"]);
        let found = parse_exact(&bytes).and_then(|frame| {
            // SAFETY: the bytes are there.
            let beacon =
                call(|beacon, error| unsafe { bitwire_beacon_open_unverified(&frame, beacon, error) })?;
            Ok(beacon_view(&frame, &beacon))
        });
        hold(&case, found);
    }
}
