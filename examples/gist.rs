//! A compressed context on its way from the model that made it to another process of the same model: imported, signed, checked,
//! and put into a cache.
//!
//! ```console
//! $ cargo run --example gist --features safetensors -- tests/data/gist/f32.safetensors
//! ```

use bitwire::engram::KeyShape;
use bitwire::engram::ggml::GgmlType;
use bitwire::frame::{Context, Element, Key};
use bitwire::gist::{CacheMut, GistView, Store};
use bitwire::io::gist::{KvLayers, Sidecar};
use bitwire::io::safetensors::TensorFile;
use bitwire::ledger::{Index, LedgerOptions, LedgerWriter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "tests/data/gist/f32.safetensors".into());
    let (key, model) = (Key::new(&[7; 32])?, Context::new("kv", "llama-8b-gist", "none", 8)?);

    // The context that was compressed: its tokens are kept in a ledger, whose index has their root.
    let folder = std::env::temp_dir().join(format!("bitwire-gist-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut ledger = LedgerWriter::create(folder.join("chat.ledger"), LedgerOptions::new())?;
    ledger.extend((0..4_000_u32).map(|i| i * 7 % 32_000))?;
    ledger.commit()?;
    let index = std::fs::read(folder.join("chat.ledger.idx"))?;
    std::fs::remove_dir_all(&folder)?;
    let index = Index::parse_exact(&index)?;

    // The sender: what the model's own code saved, with its sidecar, halved to f16.
    let file = TensorFile::open(&path)?;
    let layers = KvLayers::from_tensors(&file, None)?;
    let sidecar = Sidecar::beside(&path)?;
    if let Some(sidecar) = &sidecar {
        sidecar.check(&layers.shape())?;
    }
    let payload = layers.payload(0..layers.shape().tokens, Store::F16)?;
    println!("{}; largest error of f16: {:e}", payload.shape(), payload.loss().max_error);
    let mut gist = payload.builder()?.source(index.total_tokens(), Some(index.root()));
    if let Some(sidecar) = &sidecar {
        gist = gist.metadata(sidecar.as_str());
    }
    let frame = gist.to_frame(model.hash())?.context_json(model.as_str().as_bytes())?;
    let bytes = frame.align_payload(64).sign(&key).encode()?;

    // The receiver: who sent it, of which text, for which model; then into the cache, at its start.
    let gist = GistView::parse_exact(&bytes)?;
    gist.frame().verify(&key)?;
    gist.check_source(&index)?;
    let injection = gist.for_model(model.as_str().as_bytes())?;
    let other = Context::new("kv", "llama-70b-gist", "none", 8)?;
    println!("another model: {}", gist.for_model(other.as_str().as_bytes()).unwrap_err());
    let cache = KeyShape { tokens: 64, ..gist.shape() };
    let len = cache.rows()? as usize * cache.head_dim as usize * 2;
    let (mut keys, mut values) = (vec![0; len], vec![0; len]);
    injection.write_into(&mut CacheMut::new(cache, Element::F16, &mut keys, &mut values)?, 0)?;

    let (tokens, bytes) = (gist.token_ratio(), gist.byte_ratio(GgmlType::F16)?);
    println!("{} tokens as {}: {:.0} to 1", gist.source_tokens(), gist.shape().tokens, tokens.unwrap_or(0.0));
    println!("bytes of an f16 cache: {:.0} to 1", bytes.unwrap_or(0.0));
    Ok(())
}
