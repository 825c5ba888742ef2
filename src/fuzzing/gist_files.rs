//! Gists in files: safetensors with a JSON sidecar, against `serde_json` and the crate `safetensors`.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use super::python_tree::Tree;
use super::safetensors::mend;
use super::second_mirror::{narrowed, widened};
use super::{Choices, plausible, turn};
use crate::beacon::StepChoice;
use crate::engram::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind};
use crate::frame::ContextHash;
use crate::gist::{GistPayload, GistView, Part, Store};
use crate::io::Cause;
use crate::io::gist::{Export, KvLayers, Sidecar};
use crate::io::safetensors::TensorFile;
use crate::mirror::Scalar;

/// [`KvLayers`], [`Sidecar`] and [`Export`]: on the input as a sidecar and a file, mended by what errors say, and on files laid
/// out by choices. What is accepted, and the rows of it, are what a walk over the header's `Value` finds, a sidecar is what a
/// reader that keeps order and repetitions sees, and what is written is what the crate `safetensors` would write.
pub fn gist_files(data: &[u8]) {
    sidecar(data);
    let mut choices = Choices(data);
    let len = usize::from(u16::from_le_bytes(choices.array()));
    let beside = sidecar(choices.bytes(len));
    let mut bytes = choices.0.to_vec();
    for _ in 0..4 {
        let Err(error) = TensorFile::parse(&bytes[..]) else {
            imported(&bytes, beside.as_ref(), &mut Choices(data));
            break;
        };
        plausible(&error, bytes.len());
        if mend(&mut bytes, error).is_none() {
            break;
        }
    }
    if turn(data, 4) {
        laid_out(&mut Choices(data));
    }
}

/// The sidecar in `bytes`, if they are one.
fn sidecar(bytes: &[u8]) -> Option<Sidecar> {
    let read = Sidecar::read(bytes).map_err(|cause| match cause {
        Cause::Format(error) => error,
        other => panic!("{other:?}"),
    });
    if let Err(error) = &read {
        plausible(error, bytes.len());
    }
    if bytes.len() > 0xFFFF {
        assert!(matches!(read.unwrap_err().kind(), ErrorKind::TooLarge { .. }));
        return None;
    }
    let text = match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to() as u64;
            assert_eq!(read, Err(Error::new(ErrorKind::Utf8 { field: "the sidecar" }, at)));
            return None;
        }
    };
    let parsed = Sidecar::parse(text);
    assert_eq!(parsed, read);
    let tree = serde_json::from_str::<Tree>(text);
    let expected = match &tree {
        Ok(tree @ Tree::Object(members)) => {
            let whole = members
                .iter()
                .filter(|(name, _)| matches!(name.as_str(), "num_layers" | "num_gist_tokens"))
                .all(|(_, value)| matches!(value, Tree::Whole(number) if u64::try_from(*number).is_ok()));
            tree.is_unique() && tree.depth() <= 101 && whole
        }
        Ok(_) => false,
        // Numbers beyond f64 are infinite in Python.
        Err(error) if error.to_string().contains("number out of range") => parsed.is_ok(),
        Err(_) => false,
    };
    assert_eq!(parsed.is_ok(), expected, "{parsed:?} {text:?}");
    let parsed = parsed.ok()?;
    assert_eq!(parsed.as_str(), text);
    let Ok(Tree::Object(members)) = tree else { return Some(parsed) };
    assert_eq!((parsed.strings().len(), parsed.is_empty()), (members.len(), members.is_empty()));
    for ((name, string), (expected, value)) in parsed.strings().zip(&members) {
        assert_eq!(name, expected);
        match value {
            Tree::Float(x) => assert_eq!(string.parse::<f64>().ok(), Some(*x), "{string}"),
            value => assert!(value.str().is_none_or(|expected| string == expected), "{string:?} {value:?}"),
        }
    }
    let number = |name| members.iter().find(|(found, _)| found == name).map(|(_, value)| value);
    for (name, found) in [("num_layers", parsed.num_layers()), ("num_gist_tokens", parsed.num_gist_tokens())]
    {
        let expected = number(name).map(|value| match value {
            Tree::Whole(number) => *number as u64,
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected);
    }
    Some(parsed)
}

/// What a file holds, found by a walk over the header.
struct Naive<'a> {
    dtype: Dtype,
    /// Heads, tokens, components.
    dims: [usize; 3],
    /// Of every layer keys and values, `[heads][tokens][head_dim]`.
    layers: Vec<[&'a [u8]; 2]>,
}

impl<'a> Naive<'a> {
    /// The KV of `header` and the data behind it; `None` if it is not to be accepted.
    fn of(header: &Value, data: &'a [u8], batch: Option<u32>) -> Option<Self> {
        let tensors: BTreeMap<&str, &Value> = header
            .as_object()?
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .filter(|(name, _)| *name != "__metadata__")
            .collect();
        let count = tensors.len() / 2;
        let first = tensors.get("layer_0_key")?;
        let dtype = match first["dtype"].as_str()? {
            "F32" => Dtype::F32,
            "F16" => Dtype::F16,
            "BF16" => Dtype::BF16,
            _ => return None,
        };
        let dims: Vec<u64> = first["shape"].as_array()?.iter().filter_map(Value::as_u64).collect();
        let [batches, heads, tokens, head_dim] = dims[..] else { return None };
        if dims.iter().any(|dim| !(1..1 << 32).contains(dim)) {
            return None;
        }
        let batch = match batch {
            None if batches > 1 => return None,
            batch => u64::from(batch.unwrap_or(0)),
        };
        if batch >= batches || tensors.len() != 2 * count {
            return None;
        }
        let part = |layer: usize, part: &str| {
            let tensor = tensors.get(format!("layer_{layer}_{part}").as_str())?;
            if tensor["dtype"] != first["dtype"] || tensor["shape"] != first["shape"] {
                return None;
            }
            let at = |i: usize| tensor["data_offsets"][i].as_u64().unwrap() as usize;
            let whole = &data[at(0)..at(1)];
            Some(whole.chunks(whole.len() / batches as usize).nth(batch as usize).unwrap())
        };
        let layers = (0..count).map(|layer| Some([part(layer, "key")?, part(layer, "value")?]));
        let dims = [heads, tokens, head_dim].map(|dim| dim as usize);
        Some(Self { dtype, dims, layers: layers.collect::<Option<_>>()? })
    }

    fn shape(&self) -> KeyShape {
        let [heads, tokens, head_dim] = self.dims.map(|dim| dim as u32);
        KeyShape { layers: self.layers.len() as u32, heads, tokens, head_dim }
    }

    /// Its code as an element, the scalar, and how to keep it.
    fn types(&self) -> (u8, Scalar, Store) {
        match self.dtype {
            Dtype::F16 => (5, Scalar::F16, Store::F16),
            Dtype::BF16 => (6, Scalar::Bf16, Store::Bf16),
            _ => (7, Scalar::F32, Store::F32),
        }
    }

    fn size(&self) -> usize {
        if self.dtype == Dtype::F32 { 4 } else { 2 }
    }

    fn row(&self, layer: usize, part: usize, head: usize, token: usize) -> &'a [u8] {
        let [_, tokens, head_dim] = self.dims;
        let len = head_dim * self.size();
        &self.layers[layer][part][(head * tokens + token) * len..][..len]
    }

    fn payload(&self, positions: Range<usize>) -> Vec<u8> {
        let mut all = Vec::new();
        for layer in 0..self.layers.len() {
            for part in 0..2 {
                for head in 0..self.dims[0] {
                    positions.clone().for_each(|token| all.extend(self.row(layer, part, head, token)));
                }
            }
        }
        all
    }
}

/// The number of layers that are there, if that is what the sidecar says.
fn agrees(sidecar: &Sidecar, shape: KeyShape) -> bool {
    [(sidecar.num_layers(), shape.layers), (sidecar.num_gist_tokens(), shape.tokens)]
        .into_iter()
        .all(|(says, there)| says.is_none_or(|says| says == u64::from(there)))
}

/// The KV of a good file; what is written of it again.
fn imported(bytes: &[u8], sidecar: Option<&Sidecar>, choices: &mut Choices<'_>) -> Option<Vec<u8>> {
    let file = TensorFile::parse(bytes).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (header, data) = bytes[8..].split_at(len);
    // Numbers beyond f64, and deep nesting, in members that are skipped.
    let header: Value = serde_json::from_slice(header).ok()?;
    let mut written = None;
    for batch in [Some(choices.below(3) as u32), None] {
        let found = KvLayers::from_tensors(&file, batch);
        let expected = Naive::of(&header, data, batch);
        let (layers, naive) = match (found, expected) {
            (Ok(layers), Some(naive)) => (layers, naive),
            (Err(error), None) => {
                plausible(&error, 0);
                continue;
            }
            (found, expected) => panic!("{found:?}, {}", expected.is_some()),
        };
        assert_eq!((layers.shape(), layers.scalar()), (naive.shape(), naive.types().1));
        rows_alike(&layers, &naive);
        payloads_alike(&layers, &naive, choices);
        if let Some(sidecar) = sidecar {
            trusted(&layers, &naive, sidecar);
        }
        written = Some(exported(&layers, &naive, sidecar, choices));
    }
    written
}

fn rows_alike(layers: &KvLayers<'_>, naive: &Naive<'_>) {
    let ([heads, tokens, head_dim], (code, ..)) = (naive.dims, naive.types());
    let mut row = alloc::vec![0.0; head_dim];
    for (i, part) in Part::BOTH.into_iter().enumerate() {
        let rows = layers.rows(part);
        assert_eq!(rows.shape(), naive.shape());
        for layer in 0..naive.layers.len() {
            for (head, token) in (0..heads).flat_map(|head| (0..tokens).map(move |token| (head, token))) {
                rows.key_into(layer as u32, head as u32, token as u32, &mut row).unwrap();
                let expected = naive.row(layer, i, head, token).chunks(naive.size());
                let expected = expected.map(|bytes| widened(code, bytes));
                assert!(row.iter().zip(expected).all(|(x, y)| *x == y || x.is_nan() && y.is_nan()));
            }
        }
        for [layer, head, token] in [[naive.layers.len(), 0, 0], [0, heads, 0], [0, 0, tokens]] {
            let error = rows.key_into(layer as u32, head as u32, token as u32, &mut row).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::PastEnd { .. }));
        }
        assert!(rows.key_into(0, 0, 0, &mut row[1..]).is_err());
    }
}

fn payloads_alike(layers: &KvLayers<'_>, naive: &Naive<'_>, choices: &mut Choices<'_>) {
    let (tokens, (_, scalar, store)) = (naive.dims[1], naive.types());
    let start = choices.below(tokens);
    let end = start + 1 + choices.below(tokens - start);
    for positions in [0..tokens, start..end] {
        let payload = layers.payload(positions.start as u32..positions.end as u32, store).unwrap();
        let shape = KeyShape { tokens: positions.len() as u32, ..naive.shape() };
        assert_eq!((payload.shape(), payload.scalar()), (shape, scalar));
        assert_eq!(payload.as_bytes(), naive.payload(positions));
    }
    let past = layers.payload(start as u32..tokens as u32 + 1, store).unwrap_err();
    assert!(matches!(past.kind(), ErrorKind::PastEnd { .. }));
    assert!(layers.payload(1..1, store).is_err() && layers.payload(u32::MAX..u32::MAX, store).is_err());
    // The same rows out of arrays.
    let all = naive.payload(0..tokens);
    let half = |part: usize| naive.layers.iter().flat_map(|layer| layer[part]).copied().collect::<Vec<u8>>();
    let (keys, values, shape) = (half(0), half(1), naive.shape());
    let halves = KvLayers::from_halves(shape, scalar, &keys, &values).unwrap();
    let whole = KvLayers::from_whole(shape, scalar, &all).unwrap();
    for layers in [halves, whole] {
        assert_eq!((layers.shape(), layers.scalar()), (shape, scalar));
        assert_eq!(layers.payload(0..tokens as u32, store).unwrap().as_bytes(), all);
    }
    assert!(KvLayers::from_halves(shape, scalar, &keys[1..], &values).is_err());
    assert!(KvLayers::from_halves(shape, scalar, &all, &values).is_err());
    assert!(KvLayers::from_whole(shape, scalar, &all[1..]).is_err());
}

/// As many layers as the sidecar says.
fn trusted(layers: &KvLayers<'_>, naive: &Naive<'_>, sidecar: &Sidecar) {
    let count = sidecar.num_layers().unwrap_or(naive.layers.len() as u64);
    let found = layers.clone().trusting(sidecar);
    if !(1..=naive.layers.len() as u64).contains(&count) {
        assert!(matches!(found.unwrap_err().kind(), ErrorKind::SidecarDiffers { .. }));
        return;
    }
    let layers = naive.layers[..count as usize].to_vec();
    let naive = Naive { layers, ..*naive };
    let found = found.unwrap();
    assert_eq!(found.shape(), naive.shape());
    let tokens = naive.dims[1];
    let payload = found.payload(0..tokens as u32, naive.types().2).unwrap();
    assert_eq!(payload.as_bytes(), naive.payload(0..tokens));
}

/// A gist of all the rows, written: as the crate `safetensors` would, and read as the same.
fn exported(
    layers: &KvLayers<'_>,
    naive: &Naive<'_>,
    sidecar: Option<&Sidecar>,
    choices: &mut Choices<'_>,
) -> Vec<u8> {
    let (tokens, (code, scalar, store)) = (naive.dims[1], naive.types());
    let payload = layers.payload(0..tokens as u32, store).unwrap();
    let gist = payload.builder().unwrap();
    let gist = sidecar.into_iter().fold(gist, |gist, sidecar| gist.metadata(sidecar.as_str()));
    let frame = gist.to_frame(ContextHash([7; 8])).unwrap().encode().unwrap();
    let view = GistView::parse_exact(&frame).unwrap();
    assert_eq!(Sidecar::of(&view).unwrap().as_ref(), sidecar);
    let agreeing = sidecar.filter(|sidecar| agrees(sidecar, naive.shape()));
    if let (Some(sidecar), None) = (sidecar, agreeing) {
        let error = sidecar.check(&naive.shape()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::SidecarDiffers { .. }));
        assert!(Export::new(&view, None).unwrap().sidecar(Some(sidecar.clone())).is_err());
    }
    let written = |store| {
        let export = Export::new(&view, store).unwrap().sidecar(agreeing.cloned()).unwrap();
        assert_eq!(export.has_sidecar(), agreeing.is_some_and(|sidecar| !sidecar.is_empty()));
        let mut out = Vec::new();
        export.write(&mut out).unwrap();
        (export.scalar(), out)
    };
    let (of, out) = written(None);
    assert_eq!(of, scalar);
    let halves: Vec<[Vec<u8>; 2]> = naive.layers.iter().map(|layer| layer.map(<[u8]>::to_vec)).collect();
    written_alike(&out, naive.dtype, naive.dims, &halves, agreeing);
    let again = TensorFile::parse(&out[..]).unwrap();
    let again = KvLayers::from_tensors(&again, None).unwrap();
    assert_eq!((again.shape(), again.scalar()), (layers.shape(), layers.scalar()));
    assert_eq!(again.payload(0..tokens as u32, store).unwrap(), payload);
    if !turn(&out, 4) {
        return out;
    }

    // Another type: each component rounded once.
    let (other, to, dtype) =
        [(Store::F32, 7, Dtype::F32), (Store::F16, 5, Dtype::F16), (Store::Bf16, 6, Dtype::BF16)]
            [choices.below(3)];
    let is_nan = |bytes: &[u8]| bytes.chunks(naive.size()).any(|bytes| widened(code, bytes).is_nan());
    if to != code && !halves.iter().flatten().any(|half| is_nan(half)) {
        let convert = |half: Vec<u8>| -> Vec<u8> {
            half.chunks(naive.size()).flat_map(|bytes| narrowed(to, widened(code, bytes))).collect()
        };
        let halves: Vec<_> = halves.into_iter().map(|layer| layer.map(convert)).collect();
        written_alike(&written(Some(other)).1, dtype, naive.dims, &halves, agreeing);
    }
    assert!(Export::new(&view, Some(Store::Mu16(StepChoice::Auto))).is_err());
    // What the original does not read is written as f32.
    let mu16 = GistPayload::convert(view.shape(), scalar, view.payload(), Store::Mu16(StepChoice::Auto));
    if let Ok(mu16) = mu16 {
        let frame = mu16.builder().unwrap().to_frame(ContextHash([0; 8])).unwrap().encode().unwrap();
        let view = GistView::parse_exact(&frame).unwrap();
        let export = Export::new(&view, None).unwrap();
        assert_eq!(export.scalar(), Scalar::F32);
        let mut out = Vec::new();
        export.write(&mut out).unwrap();
        let file = TensorFile::parse(&out[..]).unwrap();
        let layers = KvLayers::from_tensors(&file, None).unwrap();
        let (mut one, mut other) = (alloc::vec![0.0; naive.dims[2]], alloc::vec![0.0; naive.dims[2]]);
        for part in Part::BOTH {
            layers.rows(part).key_into(0, 0, 0, &mut one).unwrap();
            view.rows(part).key_into(0, 0, 0, &mut other).unwrap();
            assert_eq!(one, other);
        }
    }
    out
}

fn written_alike(
    out: &[u8],
    dtype: Dtype,
    dims: [usize; 3],
    layers: &[[Vec<u8>; 2]],
    sidecar: Option<&Sidecar>,
) {
    let shape = [&[1], &dims[..]].concat();
    let mut views = BTreeMap::new();
    for (layer, halves) in layers.iter().enumerate() {
        for (part, half) in ["key", "value"].into_iter().zip(halves) {
            let view = TensorView::new(dtype, shape.clone(), half).unwrap();
            views.insert(format!("layer_{layer}_{part}"), view);
        }
    }
    let theirs = SafeTensors::deserialize(out).unwrap();
    assert_eq!(theirs.len(), views.len());
    for (name, view) in &views {
        assert_eq!(&theirs.tensor(name).unwrap(), view);
    }
    let strings: Vec<_> = sidecar.into_iter().flat_map(Sidecar::strings).collect();
    let (_, header) = SafeTensors::read_metadata(out).unwrap();
    let metadata = strings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(header.metadata().clone().unwrap_or_default(), metadata);
    // More members have no order there.
    if strings.len() < 2 {
        let metadata = (!strings.is_empty()).then_some(metadata);
        assert_eq!(safetensors::serialize(views, metadata).unwrap(), out);
    }
}

/// Values of a member, and what Python's `str()` makes of them.
const VALUES: [(&str, &str); 12] = [
    ("null", "None"),
    ("true", "True"),
    ("false", "False"),
    ("-7", "-7"),
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    (r#""a\u00e9\n\ud83d\ude00""#, "aé\n\u{1F600}"),
    (r#"[1,"it's","\"","\u0007"]"#, r#"[1, "it's", '"', '\x07']"#),
    (r#"{"a":false,"b":[[]]}"#, "{'a': False, 'b': [[]]}"),
    ("1e-5", "1e-05"),
    ("1e16", "1e+16"),
    ("[0.10,-0.0,-0,{}]", "[0.1, -0.0, 0, {}]"),
    (r#""\\\u001f""#, "\\\u{1f}"),
];

/// A tensor before it is in a file.
struct Entry {
    name: String,
    dtype: &'static str,
    dims: Vec<u64>,
    bytes: Vec<u8>,
}

/// A file made by choices, whole or with something amiss.
fn laid_out(choices: &mut Choices<'_>) {
    let [how, amiss, order, beside] = choices.array::<4>();
    let layers = [1, 2, 3, if turn(choices.0, 4) { 11 } else { 1 }][usize::from(how % 4)];
    let (dtype, size) = [("F32", 4), ("F16", 2), ("BF16", 2), ("F32", 4)][usize::from(how / 4 % 4)];
    let batch = if how >= 224 { 2 } else { 1 };
    let dims = [batch, 1 + choices.below(3), 1 + choices.below(4), 1 + choices.below(3)];
    let (len, data) = (dims.iter().product::<usize>() * size, choices.bytes(64));
    let dims = dims.map(|dim| dim as u64);
    let byte = |i: usize| data.get(i % data.len().max(1)).copied().unwrap_or(1).wrapping_add((i / 64) as u8);
    let mut entries: Vec<Entry> = (0..2 * layers)
        .map(|i| Entry {
            name: format!("layer_{}_{}", i / 2, ["key", "value"][i % 2]),
            dtype,
            dims: dims.to_vec(),
            bytes: (i * len..(i + 1) * len).map(byte).collect(),
        })
        .collect();
    let at = choices.below(entries.len());
    let mut good = batch == 1;
    let sorted = order % 4 != 0;
    let entry = &mut entries[at];
    match amiss {
        0 => drop(entries.remove(at)),
        1 => entry.name = "layer_0_keys".into(),
        2 => entry.name = "layer_00_key".into(),
        3 => entry.name = "layer_4294967296_key".into(),
        4 => entry.name = format!("layer_{layers}_key"),
        5 => entry.name = "layer_+0_key".into(),
        6 => entry.dtype = if size == 4 { "I32" } else { "I16" },
        7 => entry.dtype = if dtype == "F16" { "BF16" } else { "F16" },
        8 => entry.dims = [&[dims[0] * dims[1]], &dims[2..]].concat(),
        9 => entry.dims.swap(1, 3),
        10 => entry.dims.insert(0, 1),
        11 => {
            entry.dims[2] = 0;
            entry.bytes.clear();
        }
        12 => {
            entry.dims[0] += 1;
            entry.bytes.extend_from_within(..len / batch);
        }
        _ => {}
    }
    if amiss == 7 && size == 4 {
        entries[at].dims[3] *= 2;
    }
    good &= amiss > 12;
    let (json, string) = VALUES[usize::from(beside) % VALUES.len()];
    let text = match beside / 16 {
        0 => None,
        1 => Some("{}".to_string()),
        2 => Some(format!(r#"{{"num_layers": {layers}, "num_gist_tokens": {}, "x": {json}}}"#, dims[2])),
        3 => Some(format!(r#"{{"num_layers": {}}}"#, layers - 1)),
        _ => Some(format!("{{\n  \"n\u{e9}\": {json}\n}}")),
    };
    let sidecar = text.as_ref().map(|text| sidecar(text.as_bytes()).unwrap());
    let metadata = (beside / 16 > 3).then_some(("n\u{e9}", string));
    if let (Some(metadata), Some(sidecar)) = (metadata, &sidecar) {
        assert_eq!(sidecar.strings().collect::<Vec<_>>(), [metadata]);
    }
    match sorted {
        true => entries.sort_by(|one, other| one.name.cmp(&other.name)),
        false => {
            let place = choices.below(entries.len().max(1));
            entries.rotate_left(place);
        }
    }
    let bytes = laid(&entries, metadata, order / 4 % 2);
    let written = imported(&bytes, sidecar.as_ref(), choices);
    assert!(written.is_some() || !good);
    // With the sidecar's members where the original has them.
    let canonical = good && sorted && order / 4 % 2 == 0 && !matches!(beside / 16, 2 | 3);
    if canonical {
        assert_eq!(written.as_deref(), Some(&bytes[..]));
    }
}

/// A file of tensors in their order, its header with so many spaces too many.
fn laid(entries: &[Entry], metadata: Option<(&str, &str)>, spaces: u8) -> Vec<u8> {
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let mut members: Vec<String> = metadata
        .into_iter()
        .map(|(name, value)| format!("\"__metadata__\":{{{}:{}}}", json(name), json(value)))
        .collect();
    let mut at = 0;
    for Entry { name, dtype, dims, bytes } in entries {
        let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
        let end = at + bytes.len();
        members.push(format!(
            "{}:{{\"dtype\":\"{dtype}\",\"shape\":[{}],\"data_offsets\":[{at},{end}]}}",
            json(name),
            dims.join(",")
        ));
        at = end;
    }
    let mut header = format!("{{{}}}", members.join(","));
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    (0..spaces).for_each(|_| header.push(' '));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    entries.iter().for_each(|entry| bytes.extend(&entry.bytes));
    bytes
}
