//! `inspect`: the bytes explained.

use std::io::Write;

use bitwire::inspect::{inspect as explain, inspect_with_key};

use crate::args::Inspect;
use crate::exit::{Outcome, Output, Problem};
use crate::{input, keys};

pub(crate) fn inspect(args: &Inspect, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let bytes = input::read(&args.file)?;
    let report = match &key {
        Some(key) => inspect_with_key(&bytes, key),
        None => explain(&bytes),
    };
    if args.common.json {
        // The report writes its own JSON; going by way of serde_json::Value would hold it three times.
        let name = serde_json::Value::from(input::name(&args.file));
        let (valid, frames) = (report.is_valid(), report.frames_json());
        writeln!(
            out.bytes(),
            r#"{{"schema":"bitwire/inspect/1","file":{name},"valid":{valid},"frames":{frames}}}"#
        )?;
    } else {
        write!(out.bytes(), "{report}")?;
    }
    Ok(Outcome::valid(report.is_valid()))
}
