//! Gists in files: those that the original wrote (tests/data/gist, with expected.json), those of the Python library
//! (tests/data/gist/python, by make.py there), and those nobody should have written.
#![cfg(feature = "safetensors")]
// Tests state expectations by panicking.

use std::fs;
use std::path::{Path, PathBuf};

use bitwire::beacon::StepChoice;
use bitwire::beacon::mu16::Step;
use bitwire::engram::state::{State, StreamKeys};
use bitwire::engram::{KeyShape, KeySource};
use bitwire::frame::ContextHash;
use bitwire::gist::{GistBuilder, GistPayload, GistView, Part, Store, TokensOf, cells_of};
use bitwire::io::gist::{Export, KvLayers, Sidecar, sidecar_path};
use bitwire::io::safetensors::{NewTensor, TensorFile, write_tensors};
use bitwire::mirror::Scalar;
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gist").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn expected() -> Value {
    serde_json::from_slice(&read("expected.json")).unwrap()
}

fn tensors(name: &str) -> TensorFile<Vec<u8>> {
    TensorFile::parse(read(name)).unwrap()
}

/// The data behind the header of a .npy file of version 1, as NumPy describes it.
fn npy(name: &str) -> Vec<u8> {
    let file = read(name);
    file[10 + usize::from(u16::from_le_bytes([file[8], file[9]]))..].to_vec()
}

fn scalar(dtype: &Value) -> (Scalar, Store) {
    match dtype.as_str().unwrap() {
        "float32" => (Scalar::F32, Store::F32),
        "float16" => (Scalar::F16, Store::F16),
        "bfloat16" => (Scalar::Bf16, Store::Bf16),
        other => panic!("{other}"),
    }
}

fn u32s(shape: &Value) -> [u32; 4] {
    let dims: Vec<u32> = shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect();
    dims.try_into().unwrap()
}

/// A header's JSON and the data behind it.
fn parts(file: &[u8]) -> (Value, &[u8]) {
    let len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&file[8..8 + len]).unwrap(), &file[8 + len..])
}

/// A file with this header, padded with spaces, and so many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let header = format!("{header:<width$}", width = header.len().next_multiple_of(8));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

/// The frame of a gist: rows of `payload`, with what the sidecar says.
fn frame(payload: &GistPayload, sidecar: Option<&Sidecar>) -> Vec<u8> {
    let mut gist = payload.builder().unwrap();
    if let Some(sidecar) = sidecar {
        gist = gist.metadata(sidecar.as_str());
    }
    gist.to_frame(ContextHash([7; 8])).unwrap().encode().unwrap()
}

fn exported(bytes: &[u8], store: Option<Store>) -> Vec<u8> {
    let gist = GistView::parse_exact(bytes).unwrap();
    let export = Export::new(&gist, store).unwrap().sidecar(Sidecar::of(&gist).unwrap()).unwrap();
    let mut out = Vec::new();
    export.write(&mut out).unwrap();
    out
}

#[test]
fn the_originals_files_come_in_and_go_out_byte_by_byte() {
    for (name, case) in expected()["kv"].as_object().unwrap() {
        let (scalar, store) = scalar(&case["dtype"]);
        let file = tensors(&format!("{name}.safetensors"));
        let layers = KvLayers::from_tensors(&file, None).unwrap();
        let [1, heads, tokens, head_dim] = u32s(&case["shape"]) else { panic!("{name}") };
        let in_file = case["layers_in_file"].as_u64().unwrap() as u32;
        let shape = KeyShape { layers: in_file, heads, tokens, head_dim };
        assert_eq!((layers.shape(), layers.scalar()), (shape, scalar), "{name}");

        let sidecar = Sidecar::beside(path(&format!("{name}.safetensors"))).unwrap();
        assert_eq!(sidecar.is_some(), !case["sidecar"].is_null(), "{name}");
        let smaller = name == "num_layers_smaller_than_file";
        let mut layers = layers;
        if let Some(sidecar) = &sidecar {
            assert_eq!(sidecar.as_str().as_bytes(), read(&format!("{name}.json")));
            assert_eq!(serde_json::from_str::<Value>(sidecar.as_str()).unwrap(), case["metadata_loaded"]);
            let strings: serde_json::Map<_, _> =
                sidecar.strings().map(|(name, text)| (name.to_owned(), text.into())).collect();
            assert_eq!(Value::from(strings), case["safetensors_metadata_strings"], "{name}");
            let checked = sidecar.check(&layers.shape());
            assert_eq!(checked.is_err(), smaller, "{name}");
            layers = layers.trusting(sidecar).unwrap();
        }
        assert_eq!(u64::from(layers.shape().layers), case["layers_loaded"].as_u64().unwrap(), "{name}");

        let payload = layers.payload(0..tokens, store).unwrap();
        assert_eq!((payload.scalar(), payload.loss().max_error), (scalar, 0.0));
        let bytes = frame(&payload, sidecar.as_ref());
        let gist = GistView::parse_exact(&bytes).unwrap();
        assert_eq!(gist.layer(Part::Keys, 0), Some(&npy(&format!("{name}.k0.npy"))[..]), "{name}");
        assert_eq!(gist.layer(Part::Values, 0), Some(&npy(&format!("{name}.v0.npy"))[..]), "{name}");

        let (out, original) = (exported(&bytes, None), read(&format!("{name}.safetensors")));
        if smaller {
            let (header, data) = parts(&out);
            assert!(parts(&original).1.starts_with(data));
            assert_eq!(header.as_object().unwrap().len(), 5);
        } else if sidecar.as_ref().is_none_or(|sidecar| sidecar.strings().len() < 2) {
            assert_eq!(out, original, "{name}");
        } else {
            // Of several members Python's order is that of a hash map; all else is equal, the length and the padding too.
            assert_eq!(parts(&out), parts(&original), "{name}");
            assert_eq!(out.len(), original.len());
            let behind = |file: &[u8]| {
                let at = file.windows(13).position(|text| text == b"\"layer_0_key\"").unwrap();
                file[at..].to_vec()
            };
            assert_eq!(behind(&out), behind(&original));
            assert!(
                out[8..].starts_with(b"{\"__metadata__\":{\"num_gist_tokens\":"),
                "the order is that of the sidecar"
            );
        }
    }
}

#[test]
fn what_the_original_takes_out_of_a_full_kv() {
    for (name, case) in expected()["kv"].as_object().unwrap() {
        let (scalar, store) = scalar(&case["dtype"]);
        let [_, heads, tokens, head_dim] = u32s(&case["shape"]);
        let (keys, values) = (npy(&format!("{name}.full_k0.npy")), npy(&format!("{name}.full_v0.npy")));
        let full = (keys.len() / scalar.size()) as u32 / heads / head_dim;
        let shape = KeyShape { layers: 1, heads, tokens: full, head_dim };
        let range = case["gist_start"].as_u64().unwrap() as u32..case["gist_end"].as_u64().unwrap() as u32;
        assert_eq!(range.len() as u32, tokens);
        let expected = [npy(&format!("{name}.k0.npy")), npy(&format!("{name}.v0.npy"))].concat();

        let layers = KvLayers::from_halves(shape, scalar, &keys, &values).unwrap();
        assert_eq!(layers.payload(range.clone(), store).unwrap().as_bytes(), expected, "{name}");
        let whole = [keys.as_slice(), &values].concat();
        let layers = KvLayers::from_whole(shape, scalar, &whole).unwrap();
        assert_eq!(layers.payload(range.clone(), store).unwrap().as_bytes(), expected, "{name}");
        // Row by row, by way of f32.
        let rows = [layers.rows(Part::Keys), layers.rows(Part::Values)];
        let extracted = GistPayload::extract(&rows[0], &rows[1], range.clone(), store).unwrap();
        assert_eq!(extracted.as_bytes(), expected, "{name}");
        // Python's slice would end where the cache does (`extract_end_past_sequence`).
        for past in [range.start..full + 1, full..full + 1] {
            let found = u64::from(past.end);
            let error = layers.payload(past, store).unwrap_err();
            let kind = ErrorKind::PastEnd { field: "the range of positions", end: full.into(), found };
            assert_eq!(error.kind(), kind);
        }
        assert!(matches!(layers.payload(1..1, store).unwrap_err().kind(), ErrorKind::Argument { .. }));
    }
}

/// Layer `l` of make.py counts from 32 l (its values from 32 l + 16), less 100, in eighths.
#[test]
fn twelve_layers_in_the_order_of_their_names() {
    let file = tensors("python/twelve_layers.safetensors");
    let layers = KvLayers::from_tensors(&file, None).unwrap();
    assert_eq!(layers.shape(), KeyShape { layers: 12, heads: 1, tokens: 2, head_dim: 2 });
    let mut row = [0.0; 2];
    for layer in 0..12 {
        for (part, start) in [(Part::Keys, 0), (Part::Values, 16)] {
            layers.rows(part).key_into(layer, 0, 1, &mut row).unwrap();
            let first = f32::from((layer * 32 + start + 2) as u16) - 100.0;
            assert_eq!(row, [first / 8.0, (first + 1.0) / 8.0]);
        }
    }
    let sidecar = Sidecar::parse(r#"{"num_layers": 12}"#).unwrap();
    let bytes = frame(&layers.payload(0..2, Store::F16).unwrap(), Some(&sidecar));
    assert!(exported(&bytes, None) == read("python/twelve_layers.safetensors"));
}

#[test]
fn a_batch_is_taken_apart_only_if_it_is_said_how() {
    let file = tensors("python/batch_of_three.safetensors");
    let kind = |batch| KvLayers::from_tensors(&file, batch).unwrap_err().kind();
    assert_eq!(kind(None), ErrorKind::BatchOpen { count: 3 });
    let past = ErrorKind::PastEnd { field: "the sequence of the batch", end: 3, found: 4 };
    assert_eq!(kind(Some(3)), past);
    for batch in 0..3 {
        let layers = KvLayers::from_tensors(&file, Some(batch)).unwrap();
        assert_eq!(layers.shape(), KeyShape { layers: 2, heads: 2, tokens: 2, head_dim: 1 });
        let mut row = [0.0];
        layers.rows(Part::Values).key_into(1, 1, 0, &mut row).unwrap();
        // Sequences of four, of which the third is the second head's first token; layer 1's values start at 48.
        assert_eq!(row, [(f32::from((48 + batch * 4 + 2) as u16) - 100.0) / 8.0]);
        let payload = layers.payload(1..2, Store::F32).unwrap();
        let values: Vec<f32> =
            payload.as_bytes().as_chunks().0.iter().map(|x| f32::from_le_bytes(*x) * 8.0 + 100.0).collect();
        let batch = f32::from(batch as u16) * 4.0;
        assert_eq!(values, [1.0, 3.0, 17.0, 19.0, 33.0, 35.0, 49.0, 51.0].map(|x| x + batch));
    }
    assert!(KvLayers::from_tensors(&tensors("f32.safetensors"), Some(0)).is_ok());
}

#[test]
fn bits_stay_where_the_type_stays() {
    // A signalling NaN, -0, the smallest of all, infinity.
    let f16: Vec<u8> = [0x7D01u16, 0x8000, 1, 0xFC00].into_iter().flat_map(u16::to_le_bytes).collect();
    let shape = KeyShape { layers: 1, heads: 1, tokens: 2, head_dim: 1 };
    let (keys, values) = f16.split_at(4);
    let layers = KvLayers::from_halves(shape, Scalar::F16, keys, values).unwrap();
    let payload = layers.payload(0..2, Store::F16).unwrap();
    assert_eq!((payload.as_bytes(), payload.loss().non_finite), (&f16[..], 2));
    let bytes = frame(&payload, None);
    let out = exported(&bytes, None);
    assert_eq!(parts(&out).1, f16);
    // Widened the values stay.
    let wide: Vec<u32> = parts(&exported(&bytes, Some(Store::F32)))
        .1
        .as_chunks()
        .0
        .iter()
        .map(|x| u32::from_le_bytes(*x))
        .collect();
    assert_eq!(wide[1..], [0x8000_0000, 0x3380_0000, 0xFF80_0000]);
    assert!(f32::from_bits(wide[0]).is_nan());
}

#[test]
fn mu16_goes_out_as_f32() {
    let file = tensors("f32.safetensors");
    let layers = KvLayers::from_tensors(&file, None).unwrap();
    let step = Step::new(64).unwrap();
    let payload = layers.payload(0..4, Store::Mu16(StepChoice::Fixed(step))).unwrap();
    let bytes = frame(&payload, None);
    let gist = GistView::parse_exact(&bytes).unwrap();
    assert_eq!(gist.scalar(), Scalar::Mu16(step));
    let (header, data) = {
        let out = exported(&bytes, None);
        let (h, d) = parts(&out);
        (h, d.to_vec())
    };
    assert_eq!(header["layer_1_value"]["dtype"], "F32");
    let original = read("f32.safetensors");
    let floats =
        |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect() };
    let (ours, theirs) = (floats(&data), floats(parts(&original).1));
    let largest =
        ours.iter().zip(&theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max);
    // Half a step of 64 / 65536, and every value a multiple of it.
    assert!(largest > 0.0 && largest <= 0.5 / 1024.0, "{largest}");
    assert_eq!(payload.loss().max_error, largest);
    assert!(ours.iter().all(|x| (x * 1024.0).fract() == 0.0));
    let half = exported(&bytes, Some(Store::F16));
    assert_eq!(parts(&half).0["layer_1_value"]["dtype"], "F16");
    let refused = Export::new(&gist, Some(Store::Mu16(StepChoice::Auto))).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Argument { .. }));
}

/// Two layers of [1, 1, 1, 1] f32, or what `change` makes of the header's members.
fn changed(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<(), Error> {
    let mut header = serde_json::Map::new();
    for (i, name) in ["layer_0_key", "layer_0_value", "layer_1_key", "layer_1_value"].into_iter().enumerate()
    {
        let tensor = json!({ "dtype": "F32", "shape": [1, 1, 1, 1], "data_offsets": [4 * i, 4 * i + 4] });
        header.insert(name.to_owned(), tensor);
    }
    change(&mut header);
    let file = with_header(&Value::from(header).to_string(), 16);
    KvLayers::from_tensors(&TensorFile::parse(file)?, None).map(drop)
}

#[test]
fn tensors_that_are_no_kv() {
    assert_eq!(changed(|_| ()), Ok(()));
    let wrong =
        |change: &dyn Fn(&mut serde_json::Map<String, Value>)| changed(change).unwrap_err().to_string();
    let renamed = |from: &str, to: &str| {
        changed(|header| {
            let tensor = header.remove(from).unwrap();
            header.insert(to.to_owned(), tensor);
        })
        .unwrap_err()
        .to_string()
    };
    assert_eq!(renamed("layer_1_value", "layer_2_value"), "layer_1_value is missing");
    assert_eq!(renamed("layer_1_key", "layer_4000000000_key"), "layer_1_key is missing");
    assert_eq!(renamed("layer_0_key", "layer_2_key"), "layer_0_key is missing");
    let hint = "which are layer_0_key, layer_0_value, layer_1_key and so on";
    for name in [
        "layer_01_key",
        "layer_+1_key",
        "layer_1_keys",
        "layer_1",
        "layer__key",
        "layer_4294967296_key",
        "Layer_1_key",
        "x",
        "layer_-1_key",
        "layer_1_key_scale",
        "",
        "layer_\u{661}_key",
    ] {
        let cut = name.len() > 14;
        let shown: String =
            name.bytes().take(14).flat_map(std::ascii::escape_default).map(char::from).collect();
        let shown = if cut { format!("{shown}...") } else { shown };
        assert_eq!(renamed("layer_1_key", name), format!("the tensor '{shown}' is none of a KV's, {hint}"));
    }
    assert_eq!(
        renamed("layer_1_key", "\u{1b}[2J"),
        format!("the tensor '\\x1b[2J' is none of a KV's, {hint}")
    );

    let set = |name: &str, member: &str, value: Value| wrong(&|header| header[name][member] = value.clone());
    assert_eq!(set("layer_1_key", "dtype", json!("I32")), "layer_1_key is not F32, F16 or BF16");
    assert_eq!(
        wrong(&|header| header.values_mut().for_each(|tensor| tensor["dtype"] = json!("U32"))),
        "layer_0_key is not F32, F16 or BF16"
    );
    assert_eq!(
        wrong(&|header| {
            header["layer_1_value"] =
                json!({ "dtype": "F16", "shape": [1, 1, 1, 2], "data_offsets": [12, 16] });
        }),
        "layer_1_value has another type than layer_0_key"
    );
    for shape in [json!([1, 1, 1]), json!([1, 1, 1, 1, 1]), json!([])] {
        assert_eq!(
            set("layer_0_value", "shape", shape),
            "layer_0_value has not the four dimensions batch, heads, tokens, head_dim"
        );
    }
    // K of 4 components and V of 1, 2 heads and so on: the layers before take what is left.
    for (i, field) in ["batch", "heads", "tokens", "head_dim"].into_iter().enumerate() {
        let error = wrong(&|header| {
            let mut shape = [1, 1, 1, 1];
            shape[i] = 2;
            header.remove("layer_1_key");
            header.remove("layer_1_value");
            header["layer_0_value"] = json!({ "dtype": "F32", "shape": shape, "data_offsets": [4, 12] });
            header.insert(
                "layer_1_key".to_owned(),
                json!({ "dtype": "F32", "shape": [1, 1, 1, 1], "data_offsets": [12, 16] }),
            );
            header.insert(
                "layer_1_value".to_owned(),
                json!({ "dtype": "F32", "shape": [1, 1, 1, 0], "data_offsets": [16, 16] }),
            );
        });
        assert_eq!(error, format!("layer_0_value has {field} 2, and layer_0_key has 1"));
    }
    for i in 0..4 {
        let mut shape = [1, 1, 1, 1];
        shape[i] = 0;
        let error = changed(|header| {
            let empty = json!({ "dtype": "F32", "shape": shape, "data_offsets": [0, 0] });
            header["layer_0_key"] = empty.clone();
            header["layer_0_value"] =
                json!({ "dtype": "F32", "shape": [1, 1, 2, 1], "data_offsets": [0, 8] });
        });
        assert_eq!(error.unwrap_err().to_string(), "layer_0_key has a dimension of 0");
    }
    let error = changed(|header| {
        for (i, tensor) in header.values_mut().enumerate() {
            let at = if i == 3 { [0, 16] } else { [0, 0] };
            let shape = if i == 3 { json!([1, 1, 1, 4]) } else { json!([1, 0, 1u64 << 32, 1]) };
            *tensor = json!({ "dtype": "F32", "shape": shape, "data_offsets": at });
        }
    });
    assert_eq!(error.unwrap_err().to_string(), "layer_0_key has a dimension of 0");
    let none = TensorFile::parse(with_header("{}", 0)).unwrap();
    assert_eq!(KvLayers::from_tensors(&none, None).unwrap_err().to_string(), "layer_0_key is missing");
}

#[test]
fn holes_overlaps_duplicates_and_wrapped_sizes_never_get_so_far() {
    let offsets = |name: &str, start: u64, end: u64| {
        changed(|header| header[name]["data_offsets"] = json!([start, end])).unwrap_err().kind()
    };
    let reason = |kind| match kind {
        ErrorKind::Safetensors { reason } => reason,
        other => panic!("{other:?}"),
    };
    let hole = "the data of a tensor does not start where that before ends: a hole, or an overlap";
    assert_eq!(reason(offsets("layer_1_value", 13, 17)), hole);
    assert_eq!(reason(offsets("layer_1_key", 4, 8)), hole);
    assert_eq!(
        reason(offsets("layer_0_value", 4, 12)),
        "a tensor has another number of bytes than its type and shape take"
    );
    let shape = |shape: Value| changed(|header| header["layer_0_key"]["shape"] = shape).unwrap_err();
    // 2^32 * 2^32 * 4 bytes wrap to 0, 2^62 + 1 floats to 4 bytes.
    assert_eq!(shape(json!([1, 1u64 << 32, 1u64 << 32, 1])).kind(), ErrorKind::Size { field: "a tensor" });
    assert_eq!(shape(json!([1, 1, 1, (1u64 << 62) + 1])).kind(), ErrorKind::Size { field: "a tensor" });
    let tensor = r#"{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[0,4]}"#;
    let twice = with_header(&format!(r#"{{"layer_0_key":{tensor},"layer_0_key":{tensor}}}"#), 4);
    assert_eq!(reason(TensorFile::parse(twice).unwrap_err().kind()), "two tensors have the same name");
    let cut = &read("f32.safetensors")[..1951];
    assert!(matches!(TensorFile::parse(cut).unwrap_err().kind(), ErrorKind::Truncated { .. }));
    let longer = [read("f32.safetensors"), vec![0]].concat();
    assert_eq!(TensorFile::parse(longer).unwrap_err().kind(), ErrorKind::TrailingBytes { count: 1 });
}

#[test]
fn strings_are_those_of_python() {
    let cases: Vec<Value> = serde_json::from_slice(&read("python/sidecars.json")).unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let sidecar = Sidecar::parse(text).unwrap();
        assert_eq!(sidecar.as_str(), text);
        let strings: Vec<Value> = sidecar.strings().map(|(name, value)| json!([name, value])).collect();
        assert_eq!(Value::from(strings), case["strs"], "{text}");
    }
}

#[test]
fn sidecars_that_are_none() {
    for (text, reason, at) in [
        ("", "the text is no valid JSON (NaN and Infinity are none either)", 0),
        ("{\"a\": NaN}", "the text is no valid JSON (NaN and Infinity are none either)", 6),
        ("{\"a\": 1} {}", "the text is no valid JSON (NaN and Infinity are none either)", 9),
        ("{\n \"a\": tru\n}", "the text is no valid JSON (NaN and Infinity are none either)", 11),
        (" [1]", "the text is no JSON object", 1),
        ("null", "the text is no JSON object", 0),
        ("{\"a\":1,\"\\u0061\":2}", "an object has a member twice", 17),
        ("{\"a\":[{\"b\":1,\"c\":0,\"b\":1}]}", "an object has a member twice", 24),
        ("{\"a\": \"\\ud800\"}", "a string has half a surrogate pair, which is no character", 6),
        ("{\"num_layers\": 2.0}", "num_layers is no whole number", 15),
        ("{\"num_layers\": \"2\"}", "num_layers is no whole number", 15),
        ("{\"num_layers\": -2}", "num_layers is no whole number", 15),
        ("{\"num_layers\":99999999999999999999}", "num_layers is no whole number", 14),
        ("{\"num_gist_tokens\": true}", "num_gist_tokens is no whole number", 20),
    ] {
        let error = Sidecar::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Sidecar { reason }, at), "{text}");
    }
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(Sidecar::parse(nested(100)).is_ok());
    for depth in [101, 30_000] {
        let error = Sidecar::parse(nested(depth)).unwrap_err();
        assert_eq!(
            (error.kind(), error.offset()),
            (ErrorKind::Sidecar { reason: "nested over 100 deep" }, 105)
        );
    }
    // 65,535 bytes are what a TLV takes.
    let long = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
    assert!(Sidecar::parse(long(65_535)).is_ok());
    let kind = ErrorKind::TooLarge { field: "the sidecar", max: 65_535, found: 65_536 };
    assert_eq!(Sidecar::parse(long(65_536)).unwrap_err().kind(), kind);
    let read = Sidecar::read(long(70_000).as_bytes()).unwrap_err();
    assert_eq!(read.format().unwrap().kind(), kind);
    let read = Sidecar::read(&b"{\"a\": \"\xff\"}"[..]).unwrap_err();
    assert_eq!(*read.format().unwrap(), Error::new(ErrorKind::Utf8 { field: "the sidecar" }, 7));
}

#[test]
fn a_sidecar_that_disagrees() {
    let larger = tensors("num_layers_larger_than_file.safetensors");
    let layers = KvLayers::from_tensors(&larger, None).unwrap();
    let sidecar = Sidecar::open(path("num_layers_larger_than_file.json")).unwrap();
    let says = "the sidecar says num_layers 9, and the tensors have 3";
    assert_eq!(sidecar.check(&layers.shape()).unwrap_err().to_string(), says);
    // The original runs into a KeyError: 'layer_3_key'.
    assert_eq!(layers.trusting(&sidecar).unwrap_err().to_string(), says);

    let file = tensors("f32.safetensors");
    let layers = || KvLayers::from_tensors(&file, None).unwrap();
    let sidecar = |text: &str| Sidecar::parse(text).unwrap();
    let error = sidecar(r#"{"num_gist_tokens": 5}"#).check(&layers().shape()).unwrap_err();
    assert_eq!(error.to_string(), "the sidecar says num_gist_tokens 5, and the tensors have 4");
    assert!(layers().trusting(&sidecar(r#"{"num_layers": 0}"#)).is_err());
    assert!(layers().trusting(&sidecar(r#"{"num_layers": 4294967297}"#)).is_err());
    assert_eq!(layers().trusting(&sidecar("{}")).unwrap().shape().layers, 2);
    let one = layers().trusting(&sidecar(r#"{"num_layers": 1}"#)).unwrap();
    assert_eq!(one.shape().layers, 1);
    assert_eq!(one.payload(0..4, Store::F32).unwrap().as_bytes(), &parts(&read("f32.safetensors")).1[..768]);
    // Nor does anything go out with one.
    let payload = layers().payload(0..4, Store::F32).unwrap();
    let bytes = frame(&payload, None);
    let gist = GistView::parse_exact(&bytes).unwrap();
    let export = Export::new(&gist, None).unwrap().sidecar(Some(sidecar(r#"{"num_layers": 1}"#)));
    let kind = ErrorKind::SidecarDiffers { field: "num_layers", sidecar: 1, tensors: 2 };
    assert_eq!(export.unwrap_err().kind(), kind);
    // A gist may carry what is no JSON.
    let text =
        payload.builder().unwrap().metadata("not JSON").to_frame(ContextHash([0; 8])).unwrap().encode();
    let text = text.unwrap();
    let odd = GistView::parse_exact(&text).unwrap();
    assert!(matches!(Sidecar::of(&odd).unwrap_err().kind(), ErrorKind::Sidecar { .. }));
}

#[test]
fn both_files_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let names = || {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let file = tensors("bf16.safetensors");
    let payload = KvLayers::from_tensors(&file, None).unwrap().payload(0..4, Store::Bf16).unwrap();
    let sidecar = Sidecar::open(path("bf16.json")).unwrap();
    let bytes = frame(&payload, Some(&sidecar));
    let gist = GistView::parse_exact(&bytes).unwrap();
    let bare = || Export::new(&gist, None).unwrap();
    let both = || bare().sidecar(Some(sidecar.clone())).unwrap();

    both().save(at("a.b.safetensors")).unwrap();
    assert_eq!(names(), ["a.b.json", "a.b.safetensors"]);
    assert_eq!(fs::read(at("a.b.safetensors")).unwrap(), read("bf16.safetensors"));
    assert_eq!(fs::read(at("a.b.json")).unwrap(), read("bf16.json"));
    assert_eq!(sidecar_path("x/a.b.safetensors"), Path::new("x/a.b.json"));
    assert_eq!(Sidecar::beside(at("a.b.safetensors")).unwrap(), Some(sidecar.clone()));

    // Over itself; without a sidecar it would get the old one.
    both().save(at("a.b.safetensors")).unwrap();
    let error = bare().save(at("a.b.safetensors")).unwrap_err();
    assert!(error.to_string().ends_with(
        "a.b.json: is there, and would be taken for the sidecar of these tensors, which have none"
    ));
    let empty = bare().sidecar(Some(Sidecar::parse("{}").unwrap())).unwrap();
    assert!(empty.save(at("a.b.safetensors")).is_err());
    bare().save(at("alone.safetensors")).unwrap();
    assert!(!at("alone.json").exists());
    assert_eq!(Sidecar::beside(at("alone.safetensors")).unwrap(), None);
    assert!(both().save(at("x.json")).unwrap_err().to_string().contains("another extension than .json"));

    let before = names();
    // A folder has the name of the tensors, or of the sidecar.
    for (folder, saved) in [("taken.safetensors", "taken.safetensors"), ("also.json", "also.safetensors")] {
        fs::create_dir(at(folder)).unwrap();
        assert!(both().save(at(saved)).is_err());
        fs::remove_dir(at(folder)).unwrap();
        assert_eq!(names(), before);
    }
    assert!(both().save(at("no folder/x.safetensors")).is_err());
    assert_eq!(names(), before);
}

#[test]
fn arrays_have_to_be_of_their_shape() {
    let shape = KeyShape { layers: 2, heads: 1, tokens: 3, head_dim: 2 };
    let kind = |shape, scalar, keys: usize, values: usize| {
        KvLayers::from_halves(shape, scalar, &vec![0; keys], &vec![0; values]).unwrap_err().kind()
    };
    assert!(KvLayers::from_halves(shape, Scalar::F16, &[0; 24], &[0; 24]).is_ok());
    assert_eq!(kind(shape, Scalar::F16, 23, 24), ErrorKind::BufferTooSmall { needed: 24, available: 23 });
    let longer = ErrorKind::Shape { field: "bytes of the values", needed: 24, found: 25 };
    assert_eq!(kind(shape, Scalar::F16, 24, 25), longer);
    assert!(matches!(kind(KeyShape { tokens: 0, ..shape }, Scalar::F16, 0, 0), ErrorKind::Argument { .. }));
    assert!(matches!(kind(shape, Scalar::Mu16(Step::new(1).unwrap()), 24, 24), ErrorKind::Argument { .. }));
    let most = KeyShape { layers: u32::MAX, heads: u32::MAX, tokens: u32::MAX, head_dim: 1 };
    assert!(matches!(kind(most, Scalar::F32, 0, 0), ErrorKind::Size { .. }));
    assert!(KvLayers::from_whole(shape, Scalar::F16, &[0; 48]).is_ok());
    assert!(KvLayers::from_whole(shape, Scalar::F16, &[0; 47]).is_err());
    let layers = KvLayers::from_whole(shape, Scalar::F16, &[0; 48]).unwrap();
    let rows = layers.rows(Part::Keys);
    for (layer, head, token, room) in [(2, 0, 0, 2), (0, 1, 0, 2), (0, 0, 3, 2), (0, 0, 0, 1)] {
        assert!(rows.key_into(layer, head, token, &mut vec![0.0; room]).is_err());
    }
}

#[test]
fn the_writer_writes_what_python_does() {
    let floats = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let wide = floats(&[0.0, 1.0, 2.0, 3.0]);
    let one = floats(&[1.0]);
    // f16: 0, 1, 2; bf16: 0, 1; integers.
    let half = |values: &[u16]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let (a, b, brain, int) =
        (half(&[0, 0x3C00, 0x4000]), half(&[0, 0x3C00]), half(&[0, 0x3F80]), half(&[0, 1, 2]));
    let step = Scalar::Mu16(Step::new(5).unwrap());
    let tensor = |name: &'static str, scalar, dims: &'static [u64], bytes| NewTensor {
        name: name.into(),
        scalar,
        dims: dims.into(),
        bytes,
    };
    let tensors = [
        tensor("b", Scalar::F16, &[2, 1], b.as_slice()),
        tensor("a", Scalar::F16, &[1, 3], &a),
        tensor("wide", Scalar::F32, &[2, 2], &wide),
        tensor("brain", Scalar::Bf16, &[1, 2], &brain),
        tensor("int", step, &[3, 1], &int),
        tensor("\u{43a}\"\\\n\u{1}", Scalar::F32, &[1, 1], &one),
    ];
    let mut out = Vec::new();
    let metadata = [("quote\"\u{e9}", "line\nend\u{2028}\u{7f}\u{1f}")];
    write_tensors(&mut out, &metadata, &tensors).unwrap();
    assert_eq!(out, read("python/mixed.safetensors"));
    let mut none = Vec::new();
    write_tensors(&mut none, &[], &[]).unwrap();
    assert_eq!(none, with_header("{}", 0));

    let refused = |metadata: &[(&str, &str)], tensors: &[NewTensor<'_>]| {
        write_tensors(Vec::new(), metadata, tensors).unwrap_err().format().unwrap().kind()
    };
    let argument = |kind| matches!(kind, ErrorKind::Argument { .. });
    assert!(argument(refused(&[], &[tensors[0].clone(), tensors[0].clone()])));
    assert!(argument(refused(&[], &[tensor("__metadata__", Scalar::F16, &[2], &b)])));
    assert!(argument(refused(&[("a", ""), ("b", ""), ("a", "")], &[])));
    let short = ErrorKind::Shape { field: "bytes of the tensor", needed: 6, found: 4 };
    assert_eq!(refused(&[], &[tensor("x", Scalar::F16, &[3], &b)]), short);
    let wraps = tensor("x", Scalar::F16, &[1 << 32, 1 << 31], &[]);
    assert_eq!(refused(&[], &[wraps]), ErrorKind::Size { field: "a tensor" });
}

/// A state of llama.cpp against what a second reader found in it (tests/data/llama_state).
#[test]
fn positions_of_a_state() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llama_state");
    let stem = "v0336_llama_f16_vtrans_n37_savestate";
    let blob = fs::read(folder.join(format!("{stem}.bin"))).unwrap();
    let state = State::parse(&blob).unwrap();
    let stream = state.caches().next().unwrap().streams().next().unwrap();
    // [layers][cells][n_embd] of f32, in the order of the positions: 2 heads of 32.
    let npy = |part: &str| -> Vec<f32> {
        let file = fs::read(folder.join(format!("{stem}.{part}.npy"))).unwrap();
        let start = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
        assert!(String::from_utf8_lossy(&file[10..start]).contains("(4, 37, 64)"));
        file[start..].as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
    };
    let (keys, values) = (npy("k"), npy("v"));
    let mut expected = Vec::new();
    for layer in 0..4 {
        for half in [&keys, &values] {
            for head in 0..2 {
                for position in 3..9 {
                    let at = (layer * 37 + position) * 64 + head * 32;
                    expected.extend(half[at..at + 32].iter().flat_map(|x| x.to_le_bytes()));
                }
            }
        }
    }
    let cells = cells_of(&stream, 3..9).unwrap();
    assert_eq!(cells.len(), 6);
    let (source, other) = (StreamKeys::new(&stream, 32).unwrap(), StreamKeys::values(&stream, 32).unwrap());
    let (k, v) = (TokensOf::new(&source, &cells).unwrap(), TokensOf::new(other, &cells).unwrap());
    let payload = GistPayload::extract(&k, &v, 0..6, Store::F32).unwrap();
    assert_eq!(payload.as_bytes(), expected);
    assert_eq!(
        cells_of(&stream, 30..38).unwrap_err().kind(),
        ErrorKind::CellsOfPosition { position: 37, cells: 0 }
    );
    // No memory for positions that cannot be there.
    assert!(cells_of(&stream, 0..u32::MAX).is_err());
    assert!(cells_of(&stream, 5..5).unwrap().is_empty());
    assert!(TokensOf::new(&source, &[37]).is_err());
    assert!(k.key_into(0, 0, 6, &mut [0.0; 32]).is_err());
    assert_eq!(k.shape(), KeyShape { layers: 4, heads: 2, tokens: 6, head_dim: 32 });
}

/// Cells in an order of their own, with a position that two sequences hold, by the layout that spec/llama_state.md describes.
#[test]
fn cells_in_any_order() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llama_state");
    let blob = fs::read(folder.join("v0336_llama_f16_vtrans_multiseq_unified.bin")).unwrap();
    let state = State::parse(&blob).unwrap();
    let stream = state.caches().next().unwrap().streams().next().unwrap();
    let positions: Vec<i32> = stream.cells().map(|cell| cell.pos).collect();
    for position in 0..*positions.iter().max().unwrap() + 2 {
        let count = positions.iter().filter(|&&pos| pos == position).count() as u64;
        let found = cells_of(&stream, position as u32..position as u32 + 1);
        match count {
            1 => assert_eq!(positions[found.unwrap()[0] as usize], position),
            cells => {
                let kind = ErrorKind::CellsOfPosition { position: position as u32, cells };
                assert_eq!(found.unwrap_err().kind(), kind);
            }
        }
    }
    assert!(positions.iter().any(|pos| positions.iter().filter(|&other| other == pos).count() > 1));
}

/// Every string that this test knows of a gist is written by the builder; the rows are nobody's.
#[test]
fn a_gist_of_one_component_goes_both_ways() {
    let shape = KeyShape { layers: 1, heads: 1, tokens: 1, head_dim: 1 };
    let rows = [0x3F80u16, 0xC000].map(u16::to_le_bytes);
    let gist = GistBuilder::new(shape, Scalar::Bf16, rows.as_flattened()).unwrap();
    let bytes = gist.to_frame(ContextHash([1; 8])).unwrap().encode().unwrap();
    let out = exported(&bytes, None);
    let header = concat!(
        r#"{"layer_0_key":{"dtype":"BF16","shape":[1,1,1,1],"data_offsets":[0,2]},"#,
        r#""layer_0_value":{"dtype":"BF16","shape":[1,1,1,1],"data_offsets":[2,4]}}"#,
    );
    let whole = with_header(header, 0);
    assert_eq!(out, [whole.as_slice(), rows.as_flattened()].concat());
}
