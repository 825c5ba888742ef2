//! Gists: the typed view, what they are bound to, how rows are stored, where gist tokens are.

use bitwire::beacon::StepChoice;
use bitwire::beacon::mu16::Step;
use bitwire::engram::KeyShape;
use bitwire::frame::{Config, Context, ContextHash, Element, Frame, FrameBuilder, Kind, TlvType};
use bitwire::gist::{GistIds, GistPayload, GistView, Part, Store};
use bitwire::ledger::Index;
use bitwire::mirror::Scalar;
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};

use super::{Held, each, f64_hex, from_hex, hex, hold, note};

pub(super) fn gist_view(gist: &GistView<'_>) -> Value {
    let KeyShape { layers, heads, tokens, head_dim } = gist.shape();
    let part = |part: Part| -> Vec<Vec<String>> {
        let layer = |layer| -> Vec<String> {
            let heads: Vec<_> = (0..heads).map(|head| gist.head(part, layer, head).unwrap()).collect();
            let all = heads.iter().flat_map(|head| head.as_bytes()).copied().collect::<Vec<u8>>();
            assert_eq!(gist.layer(part, layer).unwrap(), all);
            assert!(gist.head(part, layer, heads.len() as u32).is_none());
            heads.iter().map(|head| hex(head.as_bytes())).collect()
        };
        assert!(gist.layer(part, layers).is_none());
        (0..layers).map(layer).collect()
    };
    json!({
        "element": gist.scalar().element().code(),
        "delta_q16": gist.scalar().delta_q16(),
        "n_layers": layers,
        "n_kv_heads": heads,
        "n_gist": tokens,
        "head_dim": head_dim,
        "source_tokens": gist.source_tokens(),
        "source_root": hex(gist.source_root().unwrap_or(&[0; 32])),
        "metadata": gist.metadata(),
        "keys": part(Part::Keys),
        "values": part(Part::Values),
    })
}

/// The reader's part and the caller's: the caller reads both contexts as values.
fn for_model(gist: &GistView<'_>, context: Option<&[u8]>) -> Result<Value, Error> {
    let found = gist.for_model(context);
    if let Some((own, context)) = gist.frame().context_json().zip(context) {
        Context::parse(own)?;
        Context::parse(context)?;
    }
    found.map(|injection| {
        assert_eq!(injection.gist().payload(), gist.payload());
        json!({})
    })
}

/// An index that says no more than its totals: of chunks as long as they may be, with as few anchors as there may be.
fn index_of(root: &[u8], total_tokens: u64) -> Vec<u8> {
    let (chunks, stride) = (total_tokens.div_ceil(u32::MAX.into()), u32::MAX);
    let chunk_tokens = if chunks == 0 { 0 } else { total_tokens.div_ceil(chunks) as u32 };
    let anchors = chunks.div_ceil(stride.into());
    let mut value = Vec::new();
    for total in [total_tokens, chunks, chunks * 108] {
        value.extend(total.to_be_bytes());
    }
    for field in [chunk_tokens, stride, anchors as u32, 0, 0, 0] {
        value.extend(field.to_be_bytes());
    }
    value.extend(root);
    value.extend([0; 8]);
    let mut payload = Vec::new();
    for i in 0..anchors {
        for place in [i * u64::from(stride), i, i] {
            payload.extend(place.to_le_bytes());
        }
        payload.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend([7; 8]);
    }
    let config = Config::new(Kind::LEDGER_INDEX, Element::Structured, 0, 0, 0);
    let frame = FrameBuilder::new(ContextHash([0; 8]), config, &payload);
    frame.tlv(TlvType::LEDGER_INDEX, &value).unwrap().encode().unwrap()
}

fn number(case: &Value, name: &str) -> u32 {
    case[name].as_u64().unwrap().try_into().unwrap()
}

fn store(case: &Value) -> Result<GistPayload, Error> {
    let values = case["x_hex"].as_array().unwrap().iter();
    let payload: Vec<u8> =
        values.flat_map(|x| from_hex(x.as_str().unwrap()).into_iter().rev().collect::<Vec<_>>()).collect();
    let shape = KeyShape {
        layers: number(case, "n_layers"),
        heads: number(case, "n_kv_heads"),
        tokens: number(case, "n_gist"),
        head_dim: number(case, "head_dim"),
    };
    let store = match (number(case, "element"), case["delta_q16"].as_u64()) {
        (7, _) => Store::F32,
        (5, _) => Store::F16,
        (6, _) => Store::Bf16,
        (1, None) => Store::Mu16(StepChoice::Auto),
        (1, Some(delta)) => Store::Mu16(StepChoice::Fixed(Step::new(delta as u32).unwrap())),
        other => panic!("{other:?}"),
    };
    GistPayload::convert(shape, Scalar::F32, &payload, store)
}

fn hold_store(case: &Value) {
    let (id, expect) = (&case["id"], &case["expect"]);
    let stored = match store(case) {
        Ok(stored) => stored,
        Err(error) => {
            note(case, &Err(error));
            let found = match error.kind() {
                ErrorKind::NonFinite { row, column } => {
                    json!({ "kind": "NonFinite", "row": row, "column": column })
                }
                kind => json!({ "kind": kind.name() }),
            };
            assert_eq!(found, case["error"], "{id}");
            return;
        }
    };
    assert_eq!(case["verdict"], "accept", "{id}");
    let scalar = stored.scalar();
    assert_eq!(json!(scalar.element().code()), expect["element"], "{id}");
    assert_eq!(json!(scalar.delta_q16()), expect["delta_q16"], "{id}");
    assert_eq!(json!(hex(stored.as_bytes())), expect["payload"], "{id}");
    let loss = stored.loss();
    for (name, found) in [("max_error", loss.max_error), ("rms_error", loss.rms_error)] {
        let stated = f64::from_be_bytes(from_hex(expect[name].as_str().unwrap()).try_into().unwrap());
        let near = found == stated || (found - stated).abs() <= 1e-12 * stated;
        assert!(near, "{id}: {name} is {stated}, found {found} ({})", f64_hex(found));
    }
    assert_eq!(json!(loss.saturated), expect["saturated"], "{id}");
    let found = json!({
        "element": scalar.element().code(),
        "delta_q16": scalar.delta_q16(),
        "payload": hex(stored.as_bytes()),
        "max_error": f64_hex(loss.max_error),
        "rms_error": f64_hex(loss.rms_error),
        "saturated": loss.saturated,
    });
    note(case, &Ok(json!({ "expect": found })));
}

fn run(case: &Value) -> Result<Value, Error> {
    let list = |name: &str| -> Vec<u32> {
        case[name].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let (tokens, mut ids) = (list("tokens"), list("gists"));
    ids.sort_unstable();
    ids.dedup();
    let ids = GistIds::new(&ids).unwrap();
    let run = match case["which"].as_str().unwrap() {
        "first" => ids.first_run(&tokens).ok_or(Error::caller(ErrorKind::NoGists))?,
        "only" => ids.only_run(&tokens)?,
        which => panic!("{which}"),
    };
    Ok(json!({ "start": run.start, "length": run.len() }))
}

#[cfg_attr(test, test)]
pub(crate) fn gists() -> Held {
    each("gist.json", 800, |case| {
        let input = |name: &str| from_hex(case[name].as_str().unwrap());
        match case["view"].as_str().unwrap() {
            "gist" => {
                let bytes = input("hex");
                hold(case, GistView::parse_exact(&bytes).map(|gist| gist_view(&gist)));
                if GistView::parse_exact(&bytes).is_ok() {
                    let frame = Frame::parse_exact(&bytes).unwrap();
                    assert_eq!(frame.to_builder().encode().unwrap(), bytes, "{}", case["id"]);
                }
            }
            "model" => {
                let bytes = input("hex");
                let gist = GistView::parse_exact(&bytes).unwrap();
                let context = case["context_hex"].as_str().map(from_hex);
                hold(case, for_model(&gist, context.as_deref()));
            }
            "source" => {
                let bytes = input("hex");
                let gist = GistView::parse_exact(&bytes).unwrap();
                let index = index_of(&input("root"), case["total_tokens"].as_u64().unwrap());
                let index = Index::parse_exact(&index).unwrap();
                let found = gist.check_source(&index);
                if let Err(error) = &found {
                    let ErrorKind::ForeignSource { field } = error.kind() else { panic!("{error}") };
                    assert_eq!(field, case["error"]["what"], "{}", case["id"]);
                }
                hold(case, found.map(|()| json!({})));
            }
            "store" => hold_store(case),
            "run" => hold(case, run(case)),
            view => panic!("{view}"),
        }
    })
}
