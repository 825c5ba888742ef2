//! `scl export` and `scl import`.

use std::fs::File;
use std::io::Cursor;

use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Beacon, Scl};
use bitwire::io::output::write_whole;
use bitwire::io::{FileError, npz};
use serde_json::json;

use crate::args::{Export, Import};
use crate::exit::{Outcome, Output, Problem, tell};
use crate::{beacon, input, keys};

pub(crate) fn export(args: &Export, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_result(&args.out, args.common.json)?;
    let name = input::name(&args.beacon);
    let bytes = input::read_frames(&args.beacon)?;
    let frame = input::frame(&name, &bytes, key.as_ref())?;
    let found = |error| Problem::frame(&name, error);
    let beacon = Beacon::from_frame(&frame).map_err(found)?;
    let scl = Scl::from_beacon(&beacon).map_err(found)?;
    let sigma = match beacon.calibration().map(|calibration| calibration.sigma()) {
        Some(Sigma::Full) => "full",
        Some(Sigma::Diagonal) => "diagonal",
        _ => {
            tell!("bitwire: {name} carries no covariances; Sigma is written as zeros");
            "zero"
        }
    };
    if input::is_stream(&args.out) {
        npz::write_scl(out.bytes(), &scl).map_err(|cause| cause.at("standard output"))?;
        return Ok(Outcome::Good);
    }
    write_whole(&args.out, |file| npz::write_scl(file, &scl))?;
    let written = input::name(&args.out);
    if args.common.json {
        let members = vec![
            ("file", json!(written)),
            ("dim", scl.dim().into()),
            ("sigma", sigma.into()),
            ("W", scl.w.into()),
            ("t0", scl.t0.into()),
            ("t1", scl.t1.into()),
        ];
        out.json("scl-export", members);
    } else {
        let dim = scl.dim();
        out.line(format_args!(
            "{written}: mu ({dim},), Sigma ({dim}, {dim}) {sigma}, W {}, t0 {}, t1 {}",
            scl.w, scl.t0, scl.t1
        ));
    }
    Ok(Outcome::Good)
}

pub(crate) fn import(args: &Import, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_result(&args.out, args.common.json)?;
    let at = |cause: bitwire::io::Cause| Problem::File(cause.at(input::label(&args.archive)));
    let scl = if input::is_stream(&args.archive) {
        // An archive is read from its end.
        npz::read_scl(Cursor::new(input::read(&args.archive)?))
    } else {
        let file = File::open(&args.archive).map_err(|error| FileError::new(&args.archive, error))?;
        npz::read_scl(file)
    };
    let scl = scl.map_err(at)?;
    let measured = scl.to_measured(args.sigma.chosen()).map_err(|error| at(error.into()))?;
    let context = input::context(&args.context, u32::try_from(scl.dim()).unwrap_or(u32::MAX))?;
    beacon::write(
        &measured,
        &context,
        args.delta_q16,
        key.as_ref(),
        &args.out,
        "scl-import",
        args.common.json,
        out,
    )?;
    Ok(Outcome::Good)
}
