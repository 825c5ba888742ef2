//! Writing gists as the original does.
#![deny(clippy::arithmetic_side_effects)]

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::vec::Vec;

use super::layers::name;
use super::sidecar::{Sidecar, sidecar_path};
use crate::engram::KeyShape;
use crate::error::{Error, ErrorKind, Result};
use crate::gist::{GistPayload, GistView, Part, Store, StoreLoss};
use crate::io::output::OutputFile;
use crate::io::safetensors::{NewTensor, write_tensors};
use crate::io::{Cause, FileError};
use crate::mirror::Scalar;

/// A gist to be written as safetensors, with its sidecar.
///
/// Whose model it is, is for the caller to compare: [`GistView::for_model`].
#[derive(Clone, Debug)]
pub struct Export<'a> {
    shape: KeyShape,
    scalar: Scalar,
    rows: Cow<'a, [u8]>,
    loss: Option<StoreLoss>,
    sidecar: Option<Sidecar>,
}

impl<'a> Export<'a> {
    /// The rows of `gist`, as they are or stored anew. `None` stands for the type they have, and for f32 where that is MU16.
    /// Rows of the same type are not copied, and change in no bit.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for [`Store::Mu16`], which the original does not read; as [`GistPayload::convert`].
    pub fn new(gist: &GistView<'a>, store: Option<Store>) -> Result<Self> {
        let (shape, own) = (gist.shape(), gist.scalar());
        let scalar = match store {
            None if own.float().is_some() => own,
            None | Some(Store::F32) => Scalar::F32,
            Some(Store::F16) => Scalar::F16,
            Some(Store::Bf16) => Scalar::Bf16,
            Some(Store::Mu16(_)) => {
                return Err(Error::caller(ErrorKind::Argument { expected: "f32, f16 or bf16" }));
            }
        };
        if scalar == own {
            return Ok(Self { shape, scalar, rows: gist.payload().into(), loss: None, sidecar: None });
        }
        let payload = GistPayload::convert(shape, own, gist.payload(), store.unwrap_or(Store::F32))?;
        let loss = Some(*payload.loss());
        Ok(Self { shape, scalar, rows: payload.as_bytes().to_vec().into(), loss, sidecar: None })
    }

    /// Says what goes into `__metadata__` and the sidecar: [`Sidecar::of`] has what the gist was imported with. One without
    /// members is as none.
    ///
    /// # Errors
    /// As [`Sidecar::check`].
    pub fn sidecar(mut self, sidecar: Option<Sidecar>) -> Result<Self> {
        let sidecar = sidecar.filter(|sidecar| !sidecar.is_empty());
        if let Some(sidecar) = &sidecar {
            sidecar.check(&self.shape)?;
        }
        self.sidecar = sidecar;
        Ok(self)
    }

    /// What a component is written as.
    #[must_use]
    pub const fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// Whether there is a sidecar to be written.
    #[must_use]
    pub const fn has_sidecar(&self) -> bool {
        self.sidecar.is_some()
    }

    /// What storing the rows anew cost; `None` if they are written as they are.
    #[must_use]
    pub const fn loss(&self) -> Option<&StoreLoss> {
        self.loss.as_ref()
    }

    /// Writes the safetensors file, byte by byte as the original does, but that the members of `__metadata__` stand in the
    /// order of the sidecar, where the original has them in any.
    ///
    /// # Errors
    /// The writer's own.
    pub fn write(&self, writer: impl Write) -> Result<(), Cause> {
        let KeyShape { layers, heads, tokens, head_dim } = self.shape;
        let dims = [1, heads.into(), tokens.into(), head_dim.into()];
        let metadata: Vec<_> = self.sidecar.iter().flat_map(Sidecar::strings).collect();
        // A gist has at least a layer, a row and a component, and all of them are in memory.
        let len = self.rows.len().checked_div((layers as usize).saturating_mul(2)).unwrap_or(0).max(1);
        let names = (0..layers).flat_map(|layer| Part::BOTH.map(|part| name(layer, part)));
        let tensor = |(name, bytes): (std::string::String, _)| NewTensor {
            name: name.into(),
            scalar: self.scalar,
            dims: dims.as_slice().into(),
            bytes,
        };
        let tensors: Vec<_> = names.zip(self.rows.chunks_exact(len)).map(tensor).collect();
        write_tensors(writer, &metadata, &tensors)
    }

    /// Writes the safetensors file at `path`, and the sidecar, if there is one, at [`sidecar_path`].
    ///
    /// Both are written and on the disk before either has its name; then the sidecar gets its own first, so that tensors
    /// are never there without it. If the tensors then do not get theirs, a sidecar that was not there before goes again.
    ///
    /// # Errors
    /// Those of the operating system; [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is no sidecar to be written and
    /// one is there, which a reader would take for this gist's.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let beside = sidecar_path(path);
        let refuse = |path: &Path, kind, text: &'static str| FileError::new(path, io::Error::new(kind, text));
        if beside == path {
            let text = "the sidecar would have this name: tensors need another extension than .json";
            return Err(refuse(path, io::ErrorKind::InvalidInput, text));
        }
        let there = match fs::symlink_metadata(&beside) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // Nobody knows: neither a tensor file beside it nor its removal may be risked.
            Err(error) => return Err(FileError::new(&beside, error)),
        };
        let sidecar = match &self.sidecar {
            None if there => {
                let text = "is there, and would be taken for the sidecar of these tensors, which have none";
                return Err(refuse(&beside, io::ErrorKind::AlreadyExists, text));
            }
            None => None,
            Some(sidecar) => {
                let mut file = OutputFile::create(&beside)?;
                file.write_all(sidecar.as_str().as_bytes())
                    .map_err(|error| FileError::new(&beside, error))?;
                Some(file)
            }
        };
        let mut file = OutputFile::create(path)?;
        self.write(&mut file).map_err(|cause| cause.at(path))?;
        let Some(mut sidecar) = sidecar else { return file.commit() };
        sidecar.sync()?;
        file.sync()?;
        let undo = |_: &FileError| {
            if !there {
                let _ = fs::remove_file(&beside);
            }
        };
        sidecar.place()?.sync().inspect_err(undo)?;
        // From here on the tensors are there, and what fails must not take the sidecar from them.
        file.place().inspect_err(undo)?.sync()
    }
}
