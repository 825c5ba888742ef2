//! State blobs, and the typed view of the index.

use bitwire::ErrorKind;
use bitwire::engram::index::Index;
use bitwire::engram::state::{Cache, Envelope, Known, Layout, State, Stream, Tensor};
use serde_json::{Map, Value, json};

use super::{Held, each, f32_hex, from_hex, hex, hold};

fn envelope_view(envelope: &Envelope<'_>) -> Value {
    let mut view = Map::from_iter([("kind".to_owned(), json!(envelope.kind()))]);
    let mut put = |name: &str, value: Value| view.insert(name.to_owned(), value);
    if let Some(arch) = envelope.arch() {
        put("arch", json!(arch));
    }
    if let Some(tokens) = envelope.tokens() {
        put("tokens", json!(tokens.iter().collect::<Vec<_>>()));
    }
    match envelope {
        Envelope::Session { version, .. } | Envelope::SequenceFile { version, .. } => {
            put("version", json!(version));
        }
        Envelope::Sequence { seq_id: Some(seq_id) } => {
            put("seq_id", json!(seq_id));
        }
        _ => (),
    }
    Value::Object(view)
}

fn tensor_view(tensor: &Tensor<'_>, blob: &[u8], data: bool) -> Value {
    let (start, length) = (tensor.offset() as usize, tensor.byte_len());
    assert_eq!(tensor.as_bytes(), data.then(|| &blob[start..start + length as usize]));
    let mut view = json!({
        "type": tensor.ggml_type().name(),
        "n_embd": tensor.width(),
        "offset": start,
        "length": length,
    });
    if tensor.is_transposed() {
        view["el_size"] = json!(tensor.ggml_type().block_bytes());
    } else {
        view["row_size"] = json!(tensor.row_size());
    }
    view
}

fn stream_view(stream: &Stream<'_>, blob: &[u8], layout: Layout) -> Value {
    let cells: Vec<Value> = stream
        .cells()
        .map(|cell| {
            let mut view = json!({ "pos": cell.pos, "seq_ids": cell.seq_ids().collect::<Vec<_>>() });
            if cell.extension().len() > 0 {
                view["ext"] = json!(cell.extension().collect::<Vec<_>>());
            }
            view
        })
        .collect();
    let mut view =
        json!({ "cell_count": stream.cell_count(), "cells_offset": stream.cells_offset(), "cells": cells });
    // A stream that ends after its number of cells has nothing else.
    if stream.cell_count() > 0 || stream.layer_count() > 0 || !layout.streams {
        let tensors = |tensors: &mut dyn Iterator<Item = Tensor<'_>>| -> Vec<Value> {
            tensors.map(|tensor| tensor_view(&tensor, blob, layout.data)).collect()
        };
        view["v_trans"] = json!(u32::from(stream.is_transposed()));
        view["n_layer"] = json!(stream.layer_count());
        view["k"] = json!(tensors(&mut stream.keys()));
        view["v"] = json!(tensors(&mut stream.values()));
    }
    view
}

fn cache_view(cache: &Cache<'_>, blob: &[u8], layout: Layout) -> Value {
    let streams: Vec<Value> = cache.streams().map(|stream| stream_view(&stream, blob, layout)).collect();
    assert_eq!(streams.len(), cache.stream_count() as usize);
    json!({
        "class": if cache.is_recurrent() { "recurrent" } else { "kv" },
        "offset": cache.offset(),
        "length": cache.byte_len(),
        "streams": streams,
    })
}

fn state_view(state: &State<'_>, blob: &[u8]) -> Value {
    let layout = state.layout();
    json!({
        "envelope": envelope_view(state.envelope()),
        "layout": layout.to_string(),
        "outputs": state.outputs().map(|outputs| json!({
            "offset": outputs.offset,
            "output_pos": outputs.positions.iter().collect::<Vec<_>>(),
            "logits_offset": outputs.logits_offset,
            "logits": hex(outputs.logits),
            "embeddings_offset": outputs.embeddings_offset,
            "embeddings": hex(outputs.embeddings),
        })),
        "caches": state.caches().map(|cache| cache_view(&cache, blob, layout)).collect::<Vec<_>>(),
    })
}

#[cfg_attr(test, test)]
pub(crate) fn states() -> Held {
    each("state.json", 700, |case| {
        let blob = from_hex(case["hex"].as_str().unwrap());
        let layout = case["layout"].as_str().map(|layout| layout.parse().unwrap());
        let known = Known { arch: case["arch"].as_str(), layout };
        let found = State::parse_as(&blob, &known);
        if known.arch.is_none() && known.layout.is_none() {
            let layout = |state: &State<'_>| state.layout();
            assert_eq!(State::parse(&blob).as_ref().map(layout), found.as_ref().map(layout));
        }
        if let Some(layouts) = case["error"]["layouts"].as_array()
            && let Err(error) = &found
            && let ErrorKind::Ambiguous { layouts: found } = error.kind()
        {
            let found: Vec<Value> = found.iter().map(|layout| json!(layout.to_string())).collect();
            assert_eq!(&found, layouts, "{}", case["id"]);
        }
        hold(case, found.map(|state| state_view(&state, &blob)));
    })
}

pub(super) fn index_view(index: &Index<'_>) -> Value {
    let entries: Vec<Value> = index
        .entries()
        .map(|entry| {
            json!({
                "l2_norm": f32_hex(entry.l2_norm),
                "context_len": entry.context_len,
                "created_at": entry.created_at,
                "cache_id": entry.cache_id,
                "task_description": entry.task_description,
                "model_id": entry.model_id,
            })
        })
        .collect();
    assert_eq!(entries.len(), index.len() as usize);
    let (config, vectors) = (index.frame().config(), index.search().vectors());
    json!({
        "element": config.element.code(),
        "rows": vectors.rows(),
        "dim": vectors.dim(),
        "delta_q16": config.delta_q16,
        "metric": index.search().metric().code(),
        "method": index.method().code(),
        "vectors_per_entry": index.vectors_per_entry(),
        "whitening_prefix": hex(&index.whitening_prefix().unwrap_or_default()),
        "vectors": hex(vectors.as_bytes()),
        "scales": hex(vectors.scale_bytes()),
        "entries": entries,
    })
}

#[cfg_attr(test, test)]
pub(crate) fn indexes() -> Held {
    each("engram_index.json", 300, |case| {
        let bytes = from_hex(case["hex"].as_str().unwrap());
        hold(case, Index::parse_exact(&bytes).map(|index| index_view(&index)));
    })
}
