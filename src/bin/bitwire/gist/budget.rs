//! `gist budget`: KV bytes of a context beside those of gists.

use bitwire::ErrorKind;
use bitwire::gist::budget::{Budget, CacheShape, Kept, KvType};
use clap::Args;
use serde_json::json;

use crate::exit::{Outcome, Output, Problem};

/// Compare the KV bytes of a full context with those of gists
///
/// A gist takes as much as a token: keys and values of kv-heads * head-dim elements in each layer. The ratio
/// by tokens is the one that papers state; the ratio by bytes is another if gists are kept in other types
/// than the context.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire gist budget --layers 32 --kv-heads 8 --head-dim 128 --context 4000 --gists 10\n\n\
    Types: f32, f16, bf16, mu16 (16-bit steps), and those of llama.cpp's caches, q8_0, q5_1, q5_0, q4_1, q4_0 \
    and iq4_nl.\n\
    For a model whose layers differ, such as one with sliding windows, add up a budget for each kind of \
    layer.")]
pub(crate) struct BudgetArgs {
    /// Layers of the model
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    layers: u32,
    /// KV heads of a layer
    #[arg(long, value_name = "H", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    kv_heads: u32,
    /// Components of a key, and of a value
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    head_dim: u32,
    /// Tokens of the context
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    context: u64,
    /// Gists that stand for it
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    gists: u64,
    /// Type of keys and values
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = kv_type)]
    dtype: KvType,
    /// Type of values, if another
    #[arg(long, value_name = "TYPE", value_parser = kv_type)]
    v_dtype: Option<KvType>,
    /// Type of the gists' keys and values, if another
    #[arg(long, value_name = "TYPE", value_parser = kv_type)]
    gist_dtype: Option<KvType>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

fn kv_type(text: &str) -> Result<KvType, String> {
    let names = KvType::ALL.map(KvType::name).join(", ");
    KvType::from_name(text).ok_or(format!("has to be one of {names}"))
}

pub(crate) fn budget(args: &BudgetArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let shape = CacheShape { layers: args.layers, kv_heads: args.kv_heads, head_dim: args.head_dim };
    let (keys, values) = (args.dtype, args.v_dtype.unwrap_or(args.dtype));
    let context = Kept { tokens: args.context, keys, values };
    let gists = match args.gist_dtype {
        Some(ty) => Kept::new(args.gists, ty),
        None => Kept { tokens: args.gists, ..context },
    };
    let width = u64::from(args.kv_heads) * u64::from(args.head_dim);
    let types = [context.keys, context.values, gists.keys, gists.values];
    for ty in types {
        if !width.is_multiple_of(ty.block_elements().into()) {
            return Err(Problem::Usage(format!(
                "{ty} is made of blocks of {} elements: kv-heads * head-dim is {width}, no whole number of them",
                ty.block_elements()
            )));
        }
    }
    let budget = Budget::new(&shape, context, gists).map_err(|error| {
        Problem::Usage(match error.kind() {
            ErrorKind::Size { .. } => format!("{error}: no memory has so many bytes"),
            _ => error.to_string(),
        })
    })?;
    if args.json {
        let side = |kept: &Kept, token_bytes: u64, bytes: u64| {
            json!({
                "tokens": kept.tokens,
                "keys": kept.keys.name(),
                "values": kept.values.name(),
                "token_bytes": token_bytes,
                "bytes": bytes,
            })
        };
        let saved = budget.saved_bytes();
        let saved = match (u64::try_from(saved), i64::try_from(saved)) {
            (Ok(saved), _) => saved.into(),
            (_, Ok(saved)) => saved.into(),
            // The nearest of the numbers that readers of JSON have.
            _ => (saved as f64).into(),
        };
        let members = vec![
            ("layers", args.layers.into()),
            ("kv_heads", args.kv_heads.into()),
            ("head_dim", args.head_dim.into()),
            ("context", side(budget.context(), budget.token_bytes(), budget.full_bytes())),
            ("gists", side(budget.gists(), budget.one_gist_bytes(), budget.gist_bytes())),
            ("saved_bytes", saved),
            ("token_ratio", budget.token_ratio().into()),
            ("byte_ratio", budget.byte_ratio().into()),
        ];
        out.json("gist-budget", members);
        return Ok(Outcome::Good);
    }
    out.line(format_args!("{:<11} {:>12}  {:<14} {:>11} {:>11}", "", "tokens", "type", "each", "together"));
    let mut row = |label, kept: &Kept, each, all| {
        let types = match kept.keys == kept.values {
            true => kept.keys.to_string(),
            false => format!("{}, {}", kept.keys, kept.values),
        };
        let (tokens, each, all) = (kept.tokens, human(each), human(all));
        out.line(format_args!("{label:<11} {tokens:>12}  {types:<14} {each:>11} {all:>11}"));
    };
    row("context", budget.context(), budget.token_bytes(), budget.full_bytes());
    row("gists", budget.gists(), budget.one_gist_bytes(), budget.gist_bytes());
    let saved = budget.saved_bytes();
    let size = human(u64::try_from(saved.unsigned_abs()).unwrap_or(u64::MAX));
    if saved < 0 {
        out.labelled("saved", format_args!("nothing: the gists take {size} more"));
    } else {
        out.labelled("saved", size);
    }
    let (tokens, bytes) = (budget.token_ratio(), budget.byte_ratio());
    out.labelled("ratio", format_args!("{tokens:.2} by tokens, {bytes:.2} by bytes"));
    Ok(Outcome::Good)
}

/// A number of bytes as people read it.
fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // What would be printed as 1024.0 is 1.0 of the next.
    while size >= 1023.95
        && let Some(next) = units.next()
    {
        (size, unit) = (size / 1024.0, next);
    }
    format!("{size:.1} {unit}")
}
