//! Gists in files: the original's safetensors with a JSON sidecar, both ways, and full KVs that gists are taken out of
//! (spec/gist.md, "Import and export").
//!
//! - [`KvLayers`]: the KV in a file, layer by layer, without copying it: a gist's, or a full one.
//! - [`Sidecar`]: what the JSON beside it says.
//! - [`Export`]: writes both.
//!
//! ```
//! use bitwire::gist::{GistView, Store};
//! use bitwire::io::gist::{Export, KvLayers, Sidecar};
//! use bitwire::io::safetensors::TensorFile;
//!
//! let file = TensorFile::open("tests/data/gist/f32.safetensors")?;
//! let sidecar = Sidecar::beside("tests/data/gist/f32.safetensors")?.ok_or("no sidecar")?;
//! let layers = KvLayers::from_tensors(&file, None)?;
//! sidecar.check(&layers.shape())?;
//! let tokens = layers.shape().tokens;
//! let payload = layers.payload(0..tokens, Store::F32)?;
//! let gist = payload.builder()?.metadata(sidecar.as_str());
//! let bytes = gist.to_frame(bitwire::frame::ContextHash([0; 8]))?.encode()?;
//!
//! let gist = GistView::parse_exact(&bytes)?;
//! let mut again = Vec::new();
//! Export::new(&gist, None)?.sidecar(Sidecar::of(&gist)?)?.write(&mut again)?;
//! assert_eq!(again.len(), std::fs::read("tests/data/gist/f32.safetensors")?.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod export;
mod layers;
mod python;
mod sidecar;

pub use export::Export;
pub use layers::{KvLayers, KvRows};
pub use sidecar::{Sidecar, sidecar_path};
