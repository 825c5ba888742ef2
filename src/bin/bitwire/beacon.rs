//! `beacon emit` and `beacon show`.

use std::io::Read;
use std::path::{Path, PathBuf};

use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Beacon, Encoded, Measured, Reference, Results, StepChoice, Weights, WindowOptions};
use bitwire::frame::{Context, Frame, Key, MAGIC};
use bitwire::io::measure::{mean, measure};
use bitwire::io::npy::MatrixReader;
use bitwire::io::{Cause, Escaped, FileError};
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::args::{Emit, Show};
use crate::exit::{Outcome, Output, Problem, tell};
use crate::progress::Progress;
use crate::verify::{context_json, context_text, print_frame};
use crate::{input, keys};

pub(crate) fn emit(args: &Emit, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let at = |cause: Cause| match cause.format().map(Error::kind) {
        Some(ErrorKind::WindowRows { needed: 2, found }) => {
            let name = input::name(&args.window);
            Problem::Usage(format!(
                "{name}: a window of {found} rows; at least 2 are needed, or 1 with --baseline"
            ))
        }
        _ => Problem::File(cause.at(input::label(&args.window))),
    };
    input::one_result(&args.out, args.common.json)?;
    input::one_stream(
        [Some(&args.window), args.baseline.as_ref()].into_iter().flatten().map(PathBuf::as_path),
    )?;

    input::check_output(&args.out)?;
    let mut matrix = MatrixReader::new(input::open(&args.window)?).map_err(at)?;
    let dim = u32::try_from(matrix.dim()).unwrap_or(u32::MAX);
    let context = input::context(&args.context, dim)?;
    let baseline = args.baseline.as_deref().map(|path| baseline(path, &context, key.as_ref())).transpose()?;
    let t1 = args.t1.unwrap_or(args.t0);
    if t1 < args.t0 {
        return Err(Problem::Usage(format!("--t1 {t1} is before --t0 {}", args.t0)));
    }
    let options = WindowOptions {
        sigma: args.sigma.chosen(),
        weights: Weights { mu: args.sds_w_mu, tr_sigma: args.sds_w_trs },
        sds_threshold: args.sds_threshold,
        t0: args.t0,
        t1,
    };
    let mut progress = Progress::new("rows");
    let measured = measure(&mut matrix, baseline, options, args.max_rows, |done, rows| {
        // One look at the clock in 1,024 rows.
        if done & 1023 == 0 {
            progress.show(done, Some(rows));
        }
    })
    .map_err(at)?;
    drop(progress);
    write(
        &measured,
        &context,
        args.delta_q16,
        key.as_ref(),
        &args.out,
        "beacon-emit",
        args.common.json,
        out,
    )?;

    let alert = measured.results.is_some_and(|results| results.alert());
    if alert {
        tell!("bitwire: ALERT: the drift is at or over the threshold");
    }
    Ok(Outcome::valid(!alert))
}

/// Encodes a beacon, writes it, and reports it.
#[allow(clippy::too_many_arguments)] // emit and scl import end alike
pub(crate) fn write(
    measured: &Measured,
    context: &Context,
    step: StepChoice,
    key: Option<&Key>,
    path: &Path,
    verb: &str,
    json: bool,
    out: &mut Output,
) -> Result<(), Problem> {
    let encoded = match key {
        Some(key) => measured.encode_signed(context, step, key),
        None => measured.encode(context, step),
    };
    let Encoded { frame, saturated, .. } = encoded.map_err(|error| Problem::Usage(error.to_string()))?;
    if saturated > 0 {
        let hint = "a larger --delta-q16, or auto, holds them";
        tell!("bitwire: warning: {saturated} components of the mean saturate; {hint}");
    }
    input::write(path, &frame, out)?;
    if input::is_stream(path) {
        return Ok(());
    }
    // What is reported is read back from what was written.
    let name = input::name(path);
    let written = Frame::parse_exact(&frame).and_then(|frame| Beacon::from_frame(&frame));
    let beacon = written.map_err(|error| Problem::frame(&name, error))?;
    if json {
        let mut members = describe(&name, &beacon, key.is_some());
        members.push(("saturated", saturated.into()));
        out.json(verb, members);
    } else {
        print(&name, &beacon, key, out);
    }
    Ok(())
}

/// The mean that a file holds: that of a beacon of the same context, or of a matrix's rows.
fn baseline(path: &Path, context: &Context, key: Option<&Key>) -> Result<Vec<f64>, Problem> {
    let name = input::name(path);
    let label = input::label(path);
    let mut head = Vec::new();
    let mut file = input::open(path)?;
    file.by_ref()
        .take(MAGIC.len() as u64)
        .read_to_end(&mut head)
        .map_err(|error| FileError::new(label, error))?;
    if head != MAGIC {
        let mut matrix = MatrixReader::new(head.chain(file)).map_err(|cause| cause.at(label))?;
        let (needed, found) = (u64::from(context.dim()), matrix.dim() as u64);
        if needed != found {
            let error = Error::caller(ErrorKind::RowLength { row: 0, needed, found });
            return Err(Problem::File(FileError::new(label, error)));
        }
        return Ok(mean(&mut matrix).map_err(|cause| cause.at(label))?);
    }
    let mut bytes = head;
    file.read_to_end(&mut bytes).map_err(|error| FileError::new(label, error))?;
    let frame = input::frame(&name, &bytes, key)?;
    let found = |error| Problem::frame(&name, error);
    let beacon = Beacon::from_frame(&frame).map_err(found)?;
    frame.check_context(context).map_err(|_| {
        let theirs = context_text(&frame);
        let ours = Escaped::new(context.as_str().as_bytes());
        Problem::Usage(format!("{name}: the baseline's context is {theirs}, the window's is {ours}"))
    })?;
    let mut mean = vec![0.0; beacon.dim() as usize];
    beacon.mean_into(&mut mean).map_err(found)?;
    Ok(mean)
}

pub(crate) fn show(args: &Show, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let name = input::name(&args.file);
    let bytes = input::read_frames(&args.file)?;
    let frame = input::frame(&name, &bytes, key.as_ref())?;
    let beacon = Beacon::from_frame(&frame).map_err(|error| Problem::frame(&name, error))?;
    if args.common.json {
        let mut members = describe(&name, &beacon, key.is_some());
        let mut mu = vec![0.0; beacon.dim() as usize];
        beacon.dequantise_row_into(0, &mut mu).map_err(|error| Problem::frame(&name, error))?;
        // Exact: a dequantised value is one of 48 bits.
        members.push(("payload_row_0", mu.iter().map(|&x| f64::from(x)).collect()));
        out.json("beacon-show", members);
    } else {
        print(&name, &beacon, key.as_ref(), out);
    }
    Ok(Outcome::Good)
}

fn print(name: &str, beacon: &Beacon<'_>, key: Option<&Key>, out: &mut Output) {
    let frame = beacon.frame();
    print_frame(name, frame, key, out);
    let step = beacon.step();
    out.labelled(
        "payload",
        format_args!(
            "{} x {} MU16, delta_q16 {} (step {})",
            beacon.rows(),
            beacon.dim(),
            step.get(),
            step.as_f64()
        ),
    );
    match beacon.calibration() {
        Some(calibration) => {
            let (t0, t1) = calibration.times();
            out.labelled("window", format_args!("W {}, t0 {t0}, t1 {t1}", calibration.w()));
            let trace = calibration.trace().map_or(String::new(), |trace| format!(", trace {trace}"));
            out.labelled("sigma", format_args!("{}{trace}", sigma_name(calibration.sigma())));
        }
        None => out.labelled("window", "no CALIB_STATS_V1"),
    }
    match beacon.results() {
        Some(results) => print_results(results, out),
        None => out.labelled("drift", "no RESULTS_V1"),
    }
    let mean = mean_of(beacon);
    let shown = mean.iter().take(6).map(|x| format!("{x:.6}")).collect::<Vec<_>>().join(" ");
    let more = mean.len().saturating_sub(6);
    out.labelled("mean", if more > 0 { format!("{shown} ... ({more} more; --json has all)") } else { shown });
}

fn print_results(results: &Results, out: &mut Output) {
    let Weights { mu, tr_sigma } = results.weights;
    match results.drift {
        Some(drift) => {
            out.labelled("reference", reference_name(drift.reference));
            let threshold = match results.sds_threshold {
                Some(threshold) if results.alert() => format!(" >= {threshold}: ALERT"),
                Some(threshold) => format!(" < {threshold}: no alert"),
                None => " (no threshold)".to_owned(),
            };
            out.labelled("SDS", format_args!("{}{threshold}", drift.sds));
            out.labelled("norm_dmu", format_args!("{} (weight {mu})", drift.norm_dmu));
            out.labelled("tr_Sigma", format_args!("{} (weight {tr_sigma})", results.tr_sigma));
            out.labelled(
                "cos_mu",
                drift.cos_mu.map_or("undefined (a mean is zero)".to_owned(), |cos| cos.to_string()),
            );
        }
        None => {
            out.labelled("reference", "none");
            out.labelled("tr_Sigma", results.tr_sigma);
        }
    }
}

fn describe(name: &str, beacon: &Beacon<'_>, verified: bool) -> Vec<(&'static str, Value)> {
    let frame = beacon.frame();
    let calibration = beacon.calibration().map(|calibration| {
        let (t0, t1) = calibration.times();
        json!({
            "W": calibration.w(), "t0": t0, "t1": t1,
            "sigma": sigma_name(calibration.sigma()),
            "trace": calibration.trace(),
            "has_mu": calibration.mu().is_some(),
            "Sigma": calibration.sigma_values().collect::<Vec<_>>(),
        })
    });
    let results = beacon.results().map(|results| {
        json!({
            "SDS": results.drift.map(|drift| drift.sds),
            "cos_mu": results.drift.and_then(|drift| drift.cos_mu),
            "norm_dmu": results.drift.map(|drift| drift.norm_dmu),
            "reference": results.drift.map_or("none", |drift| reference_name(drift.reference)),
            "thresholds": results.sds_threshold.map_or(json!({}), |sds| json!({ "SDS": sds })),
            "tr_Sigma": results.tr_sigma,
            "weights": { "mu": results.weights.mu, "trS": results.weights.tr_sigma },
        })
    });
    let flags = frame.flags();
    vec![
        ("file", name.into()),
        ("bytes", frame.as_bytes().len().into()),
        ("rows", beacon.rows().into()),
        ("dim", beacon.dim().into()),
        ("delta_q16", beacon.step().get().into()),
        ("ctx", frame.ctx().to_string().into()),
        ("context", context_json(frame)),
        ("alert", flags.alert().into()),
        ("baseline", flags.baseline().into()),
        ("signed", flags.authenticated().into()),
        ("authenticated", verified.into()),
        ("calibration", calibration.into()),
        ("results", results.into()),
        ("mean", mean_of(beacon).into()),
    ]
}

fn mean_of(beacon: &Beacon<'_>) -> Vec<f64> {
    let mut mean = vec![0.0; beacon.dim() as usize];
    // The buffer has the beacon's dim, which is all that can be wrong.
    let _ = beacon.mean_into(&mut mean);
    mean
}

fn sigma_name(sigma: Sigma) -> &'static str {
    match sigma {
        Sigma::None => "none",
        Sigma::Trace => "trace",
        Sigma::Diagonal => "diagonal",
        Sigma::Full => "full",
    }
}

fn reference_name(reference: Reference) -> &'static str {
    match reference {
        Reference::WindowHalf => "window-half",
        Reference::Baseline => "baseline",
    }
}
