//! EIGENGRAM certificates: what a reader finds, and what a writer makes.

use bitwire::engram::certificate::{
    Certificate, CertificateBuilder, Excess, HalfVector, Layout, RawCertificate,
};
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};

use super::{Held, each, f32_hex, from_hex, hex, hold};

/// One word and how often, if it is always the same; else all of them.
fn listed(vector: HalfVector<'_>) -> Value {
    let words: Vec<String> = vector.iter().map(f32_hex).collect();
    match &words[..] {
        [first, _, ..] if words.iter().all(|word| word == first) => json!([first, words.len()]),
        _ => json!(words.concat()),
    }
}

fn floats(value: &Value) -> Vec<f32> {
    let (text, times) = match value {
        Value::Array(pair) => (pair[0].as_str().unwrap(), pair[1].as_u64().unwrap() as usize),
        value => (value.as_str().unwrap(), 1),
    };
    let bytes = from_hex(text).repeat(times);
    bytes.as_chunks().0.iter().map(|&word| f32::from_be_bytes(word)).collect()
}

fn view(found: &Certificate<'_>) -> Value {
    json!({
        "header_bytes": found.layout().header_len(),
        "corpus_hash": found.corpus_hash(),
        "created_at": found.created_at(),
        "model_id": found.model_id(),
        "basis_rank": found.basis_rank(),
        "n_corpus": found.n_corpus(),
        "context_len": found.context_len(),
        "layer_range": [found.layer_range().0, found.layer_range().1],
        "local_density": found.local_density(),
        "l2_norm": f32_hex(found.l2_norm()),
        "scs": f32_hex(found.scs()),
        "margin_proof": f32_hex(found.margin_proof()),
        "eigenform_score": f32_hex(found.eigenform_score()),
        "task_description": found.task_description(),
        "cache_id": found.cache_id(),
        "extension": found.has_extension(),
        "confusion_flag": found.confusion_flag(),
        "vec_perdoc": listed(found.vec_perdoc()),
        "vec_fcdb": listed(found.vec_fcdb()),
        "joint_center": listed(found.joint_center()),
        "vec_fourier": listed(found.vec_fourier()),
        "vec_fourier_v2": listed(found.vec_fourier_v2()),
    })
}

fn written(case: &Value) -> Result<Value, Error> {
    let text = |name: &str| case[name].as_str().unwrap();
    let number = |name: &str| f32::from_be_bytes(from_hex(text(name)).try_into().unwrap());
    let whole = |name: &str| u32::try_from(case[name].as_u64().unwrap()).unwrap();
    let layer = |i: usize| i8::try_from(case["layer_range"][i].as_i64().unwrap()).unwrap();
    let vectors = ["vec_perdoc", "vec_fcdb", "joint_center", "vec_fourier", "vec_fourier_v2"];
    let [vec_perdoc, vec_fcdb, joint_center, vec_fourier, vec_fourier_v2] =
        &vectors.map(|name| floats(&case[name]));
    let builder = CertificateBuilder {
        corpus_hash: text("corpus_hash"),
        created_at: text("created_at"),
        model_id: text("model_id"),
        n_corpus: whole("n_corpus") as u16,
        layer_range: (layer(0), layer(1)),
        context_len: whole("context_len"),
        l2_norm: number("l2_norm"),
        scs: number("scs"),
        margin_proof: number("margin_proof"),
        task_description: text("task_description"),
        cache_id: text("cache_id"),
        local_density: whole("local_density") as u16,
        eigenform_score: number("eigenform_score"),
        confusion_flag: case["confusion_flag"].as_bool().unwrap(),
        vec_perdoc,
        vec_fcdb,
        joint_center,
        vec_fourier,
        vec_fourier_v2,
        excess: match text("excess") {
            "refuse" => Excess::Refuse,
            "trim" => Excess::Trim,
            "original" => Excess::Original,
            excess => panic!("{excess}"),
        },
    };
    let bytes = builder.to_vec()?;
    let mut buffer = vec![0xAA; bytes.len()];
    assert_eq!((builder.encode_into(&mut buffer), builder.encoded_len()), (Ok(bytes.len()), Ok(bytes.len())));
    assert_eq!(buffer, bytes);
    // What a writer makes is accepted, unless it was told to cut within a character.
    match Certificate::parse(&bytes) {
        Ok(found) => assert_eq!(found.layout(), Layout::Header107),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Utf8 { .. }) && builder.excess == Excess::Original);
        }
    }
    Ok(json!({ "hex": hex(&bytes) }))
}

#[cfg_attr(test, test)]
pub(crate) fn certificates() -> Held {
    each("certificate.json", 200, |case| {
        let bytes = || from_hex(case["hex"].as_str().unwrap());
        let told = |layout| {
            let bytes = bytes();
            let raw = RawCertificate::parse_as(&bytes, layout);
            hold(case, raw.and_then(|raw| Ok(view(&Certificate::from_raw(&raw)?))));
        };
        match case["view"].as_str().unwrap() {
            "certificate" => hold(case, Certificate::parse(&bytes()).map(|found| view(&found))),
            "certificate-99" => told(Layout::Header99),
            "certificate-107" => told(Layout::Header107),
            "certificate-write" => hold(case, written(case)),
            view => panic!("{view}"),
        }
    })
}
