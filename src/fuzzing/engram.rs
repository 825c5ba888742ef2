//! Indexes and whitenings, held to second readers, and search to sums in f64.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::mend::mended;
use super::second_engram as second;
use super::{Choices, plausible, turn};
use crate::beacon::mu16::Step;
use crate::engram::index::{
    Entry, Filter, Hit, Index, IndexOptions, Method, Metric, OwnedIndex, Query, TopK, VectorType, encode_row,
};
use crate::engram::whitening::Whitening;
use crate::error::ErrorKind;
use crate::frame::{ContextHash, Frame};

/// [`Index::from_frame`]: what an index holds is what a second reader finds, what is found in it is what sums in f64 find,
/// and an owned copy of it says the same. Then an owned index that the input adds to and removes from, held to a list.
pub fn engram_index(data: &[u8]) {
    operations(&mut Choices(data));
    let view = |frame: &Frame<'_>| Index::from_frame(frame).map(|_| ());
    let Some(bytes) = mended(data, view, second::index) else { return };
    let index = Index::parse_exact(&bytes).unwrap();
    let (naive, _) = second::index_parts(&bytes).unwrap();
    let search = index.search();
    let vectors = search.vectors();
    assert_eq!((search.metric().code(), index.method().code()), (naive.metric, naive.method));
    assert_eq!(
        (usize::from(index.vectors_per_entry()), vectors.dim() as usize),
        (naive.per_entry, naive.dim)
    );
    assert_eq!(index.whitening_prefix().unwrap_or_default(), naive.prefix);
    assert_eq!((index.len() as usize, vectors.rows() as usize), (naive.entries.len(), naive.vectors.len()));
    assert!(index.entry(index.len()).is_none() && vectors.row(vectors.rows()).is_none());
    for (i, entry) in naive.entries.iter().enumerate() {
        assert_eq!(parts(&index.entry(i as u32).unwrap()), *entry);
    }
    assert!(index.entries().map(|entry| parts(&entry)).eq(naive.entries.iter().cloned()));
    if naive.dim <= 1 << 12 {
        let mut row = vec![0.0; naive.dim];
        for (i, expected) in naive.vectors.iter().enumerate() {
            vectors.row_into(i as u32, &mut row).unwrap();
            let same =
                |(x, expected): (&f32, &f64)| x.to_bits() == (*expected as f32).to_bits() || x.is_nan();
            assert!(row.iter().zip(expected).all(same), "{row:?} {expected:?}");
        }
        found(&index, &naive, data);
    }
    filtered(&index);
    owned(&index);
}

fn parts(entry: &Entry<'_>) -> second::Entry {
    let strings = [entry.cache_id, entry.task_description, entry.model_id].map(ToString::to_string);
    (strings, entry.context_len, entry.created_at, entry.l2_norm.to_bits())
}

/// Score and how far it may be off; `None` where f32 may overflow on the way, or a component is no number.
fn score(naive: &second::Index, entry: usize, queries: &[&[f32]], weights: &[f32]) -> Option<(f64, f64)> {
    let vectors = &naive.vectors[entry * naive.per_entry..][..naive.per_entry];
    if vectors.iter().flatten().any(|x| !x.is_finite()) {
        return None;
    }
    // Two roundings for each of the terms of a lane, at the very worst.
    let unit = (naive.dim as f64 + 16.0) * 1.2e-7;
    let dot = |q: &[f32], x: &[f64]| q.iter().zip(x).map(|(q, x)| f64::from(*q) * x).sum::<f64>();
    if naive.metric == 0 {
        let all: f64 = queries[0].iter().zip(&vectors[0]).map(|(q, x)| (f64::from(*q) * x).abs()).sum();
        return (all < 1e30).then(|| (dot(queries[0], &vectors[0]), unit * all + 1e-30));
    }
    let cosine = |q: &[f32], x: &[f64]| {
        let norm = |squares: f64| squares.sqrt();
        let q_norm = norm(q.iter().map(|q| f64::from(*q) * f64::from(*q)).sum());
        let x_norm = norm(x.iter().map(|x| x * x).sum());
        if q_norm == 0.0 || x_norm == 0.0 { 0.0 } else { dot(q, x) / (q_norm * x_norm) }
    };
    let best = |q: &[f32]| vectors.iter().map(|x| cosine(q, x)).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = queries.iter().zip(weights).map(|(q, w)| f64::from(*w) * best(q)).sum();
    let all: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    Some((sum / all, unit + 1e-6))
}

fn found(index: &Index<'_>, naive: &second::Index, data: &[u8]) {
    let search = index.search();
    let mut floats: Vec<f32> =
        Choices(data).f32s().into_iter().filter(|x| x.is_finite() && x.abs() < 1e10).collect();
    floats.push(1.0);
    let count = if naive.metric == 2 { 1 + data.len() % 3 } else { 1 };
    let query: Vec<f32> = floats.iter().rev().copied().cycle().take(count * naive.dim).collect();
    let queries: Vec<&[f32]> = query.chunks(naive.dim).collect();
    let weights: Vec<f32> =
        if naive.metric == 2 { (0..count).map(|i| i as f32 / 2.0 + 0.5).collect() } else { vec![1.0] };
    let asked = if naive.metric == 2 { Query::weighted(&query, &weights) } else { Query::new(&query) };
    let all = search.top_k(asked, usize::MAX, |_| true).unwrap();

    let seen: BTreeSet<u32> = all.iter().map(|hit| hit.entry).collect();
    assert_eq!(seen.len(), all.len());
    for pair in all.windows(2) {
        let before = |a: &Hit, b: &Hit| a.score > b.score || a.score == b.score && a.entry < b.entry;
        assert!(before(&pair[0], &pair[1]), "{pair:?}");
    }
    for entry in 0..naive.entries.len() {
        let Some((expected, off)) = score(naive, entry, &queries, &weights) else { continue };
        let hit = all.iter().find(|hit| hit.entry as usize == entry);
        let hit = hit.unwrap_or_else(|| panic!("entry {entry} of score {expected} is not found"));
        assert!((f64::from(hit.score) - expected).abs() <= off, "{hit:?} of score {expected}");
    }
    // Fewer, some, by threads, in memory that is there, and many queries at once: the same to the bit.
    let same = |found: &[Hit], expected: &[Hit]| {
        let bits = |hits: &[Hit]| hits.iter().map(|hit| (hit.entry, hit.score.to_bits())).collect::<Vec<_>>();
        assert_eq!(bits(found), bits(expected));
    };
    let k = data.len() % 5;
    same(&search.top_k(asked, k, |_| true).unwrap(), &all[..k.min(all.len())]);
    let even: Vec<Hit> = all.iter().filter(|hit| hit.entry % 2 == 0).copied().collect();
    same(&search.top_k(asked, usize::MAX, |entry| entry % 2 == 0).unwrap(), &even);
    if turn(data, 8) {
        same(&search.top_k_parallel(asked, usize::MAX, |_| true, 2).unwrap(), &all);
    }
    let mut memory = [Hit { entry: 7, score: f32::NAN }; 3];
    let mut top = TopK::new(&mut memory);
    search.top_k_into(asked, |_| true, &mut [], &mut top).unwrap();
    same(top.into_sorted(), &all[..all.len().min(3)]);
    if naive.metric != 2 {
        let batch: Vec<f32> = query.iter().chain(floats.iter().cycle().take(naive.dim)).copied().collect();
        let many = search.batch(&batch, usize::MAX, |_| true).unwrap();
        assert_eq!(many.len(), 2);
        same(&many[0], &all);
        same(&many[1], &search.top_k(Query::new(&batch[naive.dim..]), usize::MAX, |_| true).unwrap());
    }
}

fn filtered(index: &Index<'_>) {
    let Some(first) = index.entry(0) else { return };
    let filter = Filter {
        model_id: Some(first.model_id),
        min_context_len: first.context_len,
        max_context_len: Some(first.context_len),
    };
    for entry in index.entries() {
        let alike = (entry.model_id, entry.context_len) == (first.model_id, first.context_len);
        assert_eq!(filter.admits(&entry), alike);
        assert!(Filter::default().admits(&entry));
    }
}

fn owned(index: &Index<'_>) {
    // Strings may overlap, and copies of them do not.
    let copied =
        |entry: Entry<'_>| entry.cache_id.len() + entry.task_description.len() + entry.model_id.len();
    if index.entries().map(copied).sum::<usize>() > 1 << 16 {
        return;
    }
    let names: BTreeSet<&str> = index.entries().map(|entry| entry.cache_id).collect();
    let own = match OwnedIndex::from_index(index) {
        Ok(own) => own,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Duplicate { field: "cache_id" });
            assert!(names.len() < index.len() as usize);
            return;
        }
    };
    assert_eq!((own.len(), names.len()), (index.len() as usize, index.len() as usize));
    let bytes = encoded(&own);
    let again = Index::parse_exact(&bytes).unwrap();
    assert!(again.entries().map(|entry| parts(&entry)).eq(index.entries().map(|entry| parts(&entry))));
    let (a, b) = (again.search().vectors(), index.search().vectors());
    assert_eq!((a.kind(), a.as_bytes(), a.scale_bytes()), (b.kind(), b.as_bytes(), b.scale_bytes()));
    assert_eq!((again.method(), again.search().metric()), (index.method(), index.search().metric()));
    assert_eq!(again.whitening_prefix(), index.whitening_prefix());
    // What this wrote, it writes again.
    assert_eq!(encoded(&OwnedIndex::from_index(&again).unwrap()), bytes);
}

fn encoded(index: &OwnedIndex) -> Vec<u8> {
    index.encode_payload().unwrap().to_frame(ContextHash([7; 8])).unwrap().encode().unwrap()
}

fn operations(choices: &mut Choices<'_>) {
    let [kind, dim, per_entry, metric] = choices.array();
    let vector_type = match kind % 5 {
        0 => VectorType::F32,
        1 => VectorType::F16,
        2 => VectorType::Mu16(Step::new(1 << (kind % 32)).unwrap()),
        3 => VectorType::I8,
        _ => VectorType::Bits,
    };
    let options = IndexOptions {
        vector_type,
        dim: u32::from(dim % 20),
        vectors_per_entry: (per_entry % 4).into(),
        metric: Metric::from_code(metric % 3).unwrap(),
        method: Method::from_code(metric % 8).unwrap(),
        whitening_prefix: (metric & 8 != 0).then_some([metric; 8]),
    };
    let sound = options.dim > 0
        && (options.vectors_per_entry == 1
            || options.metric == Metric::MaxSim && options.vectors_per_entry > 0);
    let mut index = match OwnedIndex::new(options) {
        Ok(index) => index,
        Err(_) => return assert!(!sound),
    };
    assert!(sound);
    let (dim, per_entry) = (options.dim as usize, usize::from(options.vectors_per_entry));
    // The name, the tokens, the rows, the scales.
    let mut list: Vec<(alloc::string::String, u32, Vec<u8>, Vec<u8>)> = Vec::new();
    for _ in 0..if turn(choices.0, 16) { 64 } else { 12 } {
        if choices.0.is_empty() {
            break;
        }
        let (what, id) = (choices.byte(), format!("{}", choices.byte() % 16));
        match what % 8 {
            0 => {
                assert_eq!(index.remove(&id), list.iter().any(|(name, ..)| *name == id));
                list.retain(|(name, ..)| *name != id);
            }
            1 => {
                let bound = u32::from(choices.byte());
                let before = list.len();
                list.retain(|(_, tokens, ..)| *tokens < bound);
                assert_eq!(index.retain(|entry| entry.context_len < bound), before - list.len());
            }
            2 => {
                let bytes = encoded(&index);
                index = OwnedIndex::from_index(&Index::parse_exact(&bytes).unwrap()).unwrap();
            }
            _ => {
                let tokens = u32::from(choices.byte());
                let count = dim * per_entry + usize::from(what == 255);
                let values: Vec<f32> = (0..count)
                    .map(|_| {
                        if what & 64 == 0 {
                            f32::from(choices.byte() as i8) / 4.0
                        } else {
                            f32::from_le_bytes(choices.array())
                        }
                    })
                    .collect();
                let (mut rows, mut scales, mut fits) = (Vec::new(), Vec::new(), count == dim * per_entry);
                for vector in values.chunks(dim) {
                    let len = vector_type.row_len(vector.len() as u32) as usize;
                    let mut row = vec![0; len];
                    match encode_row(vector_type, vector, &mut row) {
                        Ok(encoded) => scales.extend(encoded.scale.to_le_bytes()),
                        Err(_) => fits = false,
                    }
                    rows.extend(row);
                }
                let fits = fits && list.iter().all(|(name, ..)| *name != id);
                let model = if what & 32 == 0 { "m" } else { "n" };
                let entry = Entry {
                    cache_id: &id,
                    task_description: model,
                    model_id: model,
                    context_len: tokens,
                    created_at: -1,
                    l2_norm: 0.5,
                };
                let added = index.add(&entry, &values);
                if let Err(error) = &added {
                    plausible(error, 0);
                }
                assert_eq!(added.is_ok(), fits, "{added:?}");
                if fits {
                    list.push((id, tokens, rows, scales));
                }
            }
        }
        assert!(
            index
                .entries()
                .map(|entry| (entry.cache_id.to_string(), entry.context_len))
                .eq(list.iter().map(|(id, tokens, ..)| (id.clone(), *tokens)))
        );
    }
    let search = index.search().unwrap();
    let rows: Vec<u8> = list.iter().flat_map(|(_, _, rows, _)| rows.clone()).collect();
    let scales: Vec<u8> = list.iter().flat_map(|(.., scales)| scales.clone()).collect();
    assert_eq!(search.vectors().as_bytes(), rows);
    assert_eq!(search.vectors().scale_bytes(), if vector_type == VectorType::I8 { &scales[..] } else { &[] });
    let bytes = encoded(&index);
    owned(&Index::parse_exact(&bytes).unwrap());
}

/// [`Whitening::from_frame`]: what it holds is what a second reader finds, what it makes of a key is what the spec's sums make of
/// it, to the bit, and its frame is written again to the byte.
pub fn whitening(data: &[u8]) {
    let view = |frame: &Frame<'_>| Whitening::from_frame(frame).map(|_| ());
    let Some(bytes) = mended(data, view, second::whitening) else { return };
    let frame = Frame::parse_exact(&bytes).unwrap();
    let whitening = Whitening::from_frame(&frame).unwrap();
    let (rows, _) = second::whitening_parts(&bytes).unwrap();
    let (dim, outputs) = (rows[0].len(), rows.len() - 1);
    assert_eq!((whitening.dim() as usize, whitening.outputs() as usize), (dim, outputs));
    let bits = |values: &mut dyn Iterator<Item = f32>| values.map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&mut whitening.mean()), bits(&mut rows[0].iter().copied()));
    for (i, row) in rows[1..].iter().enumerate() {
        assert_eq!(bits(&mut whitening.direction(i as u32).unwrap()), bits(&mut row.iter().copied()));
    }
    assert!(whitening.direction(whitening.outputs()).is_none() && whitening.direction(u32::MAX).is_none());
    assert_eq!(whitening.prefix(), frame.digest().map(|digest| *digest.first_chunk().unwrap()));

    let mut floats: Vec<f32> = Choices(data).f32s();
    floats.push(1.0);
    let mut keys: Vec<f32> = floats.iter().rev().copied().cycle().take(3 * dim).collect();
    let cut = 1 + data.len() % outputs;
    let expected: Vec<Vec<f32>> = keys.chunks(dim).map(|key| second::whitened(&rows, key)).collect();
    let alike = |found: &[f32], expected: &[f32]| {
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(same),
            "{found:?} {expected:?}"
        );
    };
    for (key, expected) in keys.chunks(dim).zip(&expected) {
        let mut y = vec![0.0; cut];
        whitening.apply_into(key, &mut y).unwrap();
        alike(&y, &expected[..cut]);
    }
    assert!(whitening.apply_into(&keys[..dim], &mut vec![0.0; outputs + 1]).is_err());
    assert!(whitening.apply_into(&keys[1..dim], &mut [0.0]).is_err());
    let mut ys = vec![0.0; 3 * cut];
    whitening.apply_rows_into(&mut keys, cut, &mut ys).unwrap();
    for (y, expected) in ys.chunks(cut).zip(&expected) {
        alike(y, &expected[..cut]);
    }
    let written = Whitening::to_frame(dim as u32, outputs as u32, frame.payload(), frame.ctx()).unwrap();
    let written = written.known_context(frame.context_json()).unwrap().encode().unwrap();
    let is_plain = frame.tlvs().all(|tlv| matches!(tlv.tlv_type, 1 | 2 | 0x80 | 0xF0))
        && frame.tlv(2).is_some_and(|tlv| tlv.value == [0; 4])
        && frame.digest().is_some();
    assert!(!is_plain || written == bytes);
    let frame = Frame::parse_exact(&written).unwrap();
    let again = Whitening::from_frame(&frame).unwrap();
    assert_eq!((again.dim() as usize, again.outputs() as usize), (dim, outputs));
}
