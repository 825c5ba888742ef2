//! `gist export`.

use std::path::PathBuf;

use bitwire::gist::{GistView, Store};
use bitwire::io::Cause;
use bitwire::io::gist::{Export as Exported, Sidecar, sidecar_path};
use bitwire::{Error, ErrorKind};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::import::{loss_json, loss_text};
use super::show::scalar_text;
use crate::args::{Common, ContextArgs};
use crate::exit::{Outcome, Output, Problem, tell};
use crate::mirror::{check_paths, usage};
use crate::{input, keys};

/// Write a gist as the .safetensors and JSON that a gist model's own code reads
///
/// The context, if one is given, is that of the model which is to read them: every member but dim has to be the gist's.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire gist export gist.bit gist.safetensors kv llama-8b-gist none\n\n\
    The sidecar is gist.json beside it, with what the gist was imported with; no sidecar, no file.\n\
    Its members stand in __metadata__ too, in its order, where Python's safetensors has another order in every run.")]
pub(crate) struct Export {
    /// The gist; - for standard input
    pub(crate) gist: PathBuf,
    /// File to write; - for standard output, without a sidecar
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// What to write a component as [default: what it is; f32 for MU16]
    #[arg(long, value_enum)]
    pub(crate) store: Option<FloatArg>,
    /// Write this as the sidecar, in place of what the gist carries
    #[arg(long, value_name = "FILE")]
    pub(crate) sidecar: Option<PathBuf>,
    /// Write no sidecar
    #[arg(long, conflicts_with = "sidecar")]
    pub(crate) no_sidecar: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum FloatArg {
    /// 32-bit floats
    F32,
    /// 16-bit floats
    F16,
    /// the upper halves of 32-bit floats
    Bf16,
}

pub(super) fn export(args: &Export, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let inputs: Vec<_> =
        [Some(&args.gist), args.sidecar.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
    check_paths(&args.out, args.common.json, &inputs)?;
    let stream = input::is_stream(&args.out);
    if !stream {
        // The sidecar itself may be written where it was read.
        input::not_over(&sidecar_path(&args.out), &[&args.gist])?;
    }
    let name = input::name(&args.gist);
    let bytes = input::read_frames(&args.gist)?;
    let frame = input::frame(&name, &bytes, key.as_ref())?;
    let gist = GistView::from_frame(&frame).map_err(|error| Problem::frame(&name, error))?;
    if input::names_context(&args.context) {
        let model = input::context(&args.context, gist.shape().head_dim)?;
        gist.for_model(model.as_str().as_bytes()).map_err(|error| other_model(&name, &gist, &error))?;
    }
    let sidecar = match &args.sidecar {
        Some(path) => {
            let read = Sidecar::read(input::open(path)?);
            Some(read.map_err(|cause| cause.at(input::label(path)))?)
        }
        None if args.no_sidecar => None,
        None => Sidecar::of(&gist).map_err(|error| not_json(&name, &error))?,
    };
    let from = args.sidecar.as_deref().map_or(name.clone(), input::name);
    let store = args.store.map(|store| match store {
        FloatArg::F32 => Store::F32,
        FloatArg::F16 => Store::F16,
        FloatArg::Bf16 => Store::Bf16,
    });
    let export = Exported::new(&gist, store).map_err(usage)?;
    let export = export.sidecar(sidecar).map_err(|error| not_json(&from, &error))?;
    if export.loss().is_some_and(|loss| !loss.max_error.is_finite()) {
        let scalar = scalar_text(export.scalar());
        tell!("bitwire: warning: {name}: values too large for {scalar} are written as infinite");
    }
    if stream {
        if export.has_sidecar() {
            tell!("bitwire: warning: standard output has no place for a sidecar, which is not written");
        }
        export.write(out.bytes()).map_err(|cause: Cause| Problem::File(cause.at("standard output")))?;
        return Ok(Outcome::Good);
    }
    export.save(&args.out)?;
    let written = export.has_sidecar().then(|| input::name(&sidecar_path(&args.out)));
    if args.common.json {
        let members = vec![
            ("file", input::name(&args.out).into()),
            ("sidecar", written.into()),
            ("gist", name.into()),
            ("element", export.scalar().element().name().into()),
            ("layers", gist.shape().layers.into()),
            ("kv_heads", gist.shape().heads.into()),
            ("gist_tokens", gist.shape().tokens.into()),
            ("head_dim", gist.shape().head_dim.into()),
            ("model_checked", input::names_context(&args.context).into()),
            ("loss", export.loss().map_or(Value::Null, loss_json)),
        ];
        out.json("gist-export", members);
    } else {
        out.labelled("file", input::name(&args.out));
        if let Some(written) = written {
            out.labelled("sidecar", written);
        }
        out.labelled("gist", format_args!("{}; {}", gist.shape(), scalar_text(export.scalar())));
        out.labelled("loss", export.loss().map_or("none".to_owned(), loss_text));
    }
    Ok(Outcome::Good)
}

fn other_model(name: &str, gist: &GistView<'_>, error: &Error) -> Problem {
    match error.kind() {
        ErrorKind::ContextDiffers => Problem::Usage(format!(
            "{name}: the gist was made by another model: its context is {}",
            crate::verify::context_text(gist.frame())
        )),
        _ => Problem::Usage(format!("{name}: {error}")),
    }
}

fn not_json(name: &str, error: &Error) -> Problem {
    Problem::Usage(format!("{name}: {error}; --no-sidecar writes none"))
}
