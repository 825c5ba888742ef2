//! What a device does with an index of engrams: it has the index in flash, and finds in it the earlier contexts that are
//! nearest to a query, in a buffer of three hits. No allocator, no std in what it calls.
//!
//! ```console
//! $ cargo run --no-default-features --example device_search
//! ```

use bitwire::engram::index::{Filter, Hit, Index, Query, TopK};

/// 38 fingerprints of 16 components in i8, compared by inner product. Written by `bitwire engram index build` from an
/// index of ENGRAM.
static INDEX: &[u8] = include_bytes!("../tests/data/engram/index/device.bit");
/// A .npy array of six queries, f32; its header has 128 bytes.
static QUERIES: &[u8] = include_bytes!("../tests/data/engram/index/queries.npy");

/// The contexts of one model that are nearest to `query`, the best first.
fn nearest(
    index: &Index<'_>,
    query: &[f32],
    model: &str,
    mut each: impl FnMut(f32, &str),
) -> bitwire::Result<()> {
    let filter = Filter { model_id: Some(model), ..Filter::default() };
    let mut memory = [Hit::default(); 3];
    let mut top = TopK::new(&mut memory);
    let admits = |number| index.entry(number).is_some_and(|entry| filter.admits(&entry));
    index.search().top_k_into(Query::new(query), admits, &mut [], &mut top)?;
    for hit in top.into_sorted() {
        each(hit.score, index.entry(hit.entry).map_or("", |entry| entry.cache_id));
    }
    Ok(())
}

fn main() -> bitwire::Result<()> {
    let index = Index::parse_exact(INDEX)?;
    println!("{} entries of {} components", index.len(), index.search().vectors().dim());
    let queries = QUERIES.get(128..).unwrap_or_default().as_chunks::<4>().0.as_chunks::<16>().0;
    for (number, query) in queries.iter().enumerate() {
        let query = query.map(f32::from_le_bytes);
        nearest(&index, &query, "phi", |score, id| println!("query {number}: {id:3} {score:9.5}"))?;
    }
    Ok(())
}
