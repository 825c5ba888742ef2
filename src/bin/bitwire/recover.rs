//! `recover`: the frames of a damaged capture.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bitwire::ErrorKind;
use bitwire::frame::{AuthenticatedFrame, Frame, Key};
use bitwire::io::output::OutputFile;
use bitwire::io::{Cause, Escaped, FileError};
use bitwire::stream::{self, Event, RecoverCobs, Skipped};
use clap::Args;
use serde_json::{Value, json};

use crate::args::Common;
use crate::exit::{Outcome, Output, Problem, error_json};
use crate::progress::Progress;
use crate::verify::summary;
use crate::{input, keys};

/// Save the frames of a damaged capture, each as a file of its own
///
/// Takes any bytes: what came over a serial line, a file of frames that was cut or overwritten, a disk image. Where no frame
/// passes, the search goes on one byte later. With a key, frames that are not signed with it are damage too. A file is named for
/// its frame's number and its place in the capture: 000001-at-4096.bit. No file is overwritten: a folder with such files is
/// refused.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire recover line.bin frames --hmac-key-file team.key && bitwire verify frames/*.bit\n\n\
    Exit status: 0 a frame was recovered, whatever damage there was; 1 none was; 2 the capture cannot be read, or a file \
    not be written.")]
pub(crate) struct Recover {
    /// The capture, mapped and not read into memory, so that nobody may cut it short meanwhile; - for standard input
    capture: PathBuf,
    /// Folder to write to; made if it is not there
    out_dir: PathBuf,
    /// The capture is in COBS: a zero byte ends each frame
    #[arg(long)]
    cobs: bool,
    /// Longest frame that is taken, in bytes: what claims to be longer is damage [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = max_frame, allow_negative_numbers = true)]
    max_frame: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// The smallest frame has 44 bytes.
fn max_frame(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|&bytes| bytes >= 44)
        .ok_or("has to be a whole number from 44 to 18446744073709551615".to_owned())
}

pub(crate) fn recover(args: &Recover, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let capture = input::map(&args.capture)?;
    prepare(&args.out_dir)?;
    let mut report = Report { args, out, total: capture.as_ref().len() as u64, sums: Sums::default() };
    report.start();
    let done = report.all(capture.as_ref(), key.as_ref());
    // What was recovered before a problem is recovered.
    report.end(done.as_ref().err());
    done.map(|()| Outcome::valid(report.sums.frames > 0))
}

/// Makes the folder, if need be, and sees to it that files can be put there which are not there yet.
fn prepare(folder: &Path) -> Result<(), Problem> {
    if input::is_stream(folder) {
        return Err(Problem::Usage("frames are written to a folder, not to standard output (-)".to_owned()));
    }
    let failed = |error| FileError::new(folder, error);
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error).into()),
        _ => {}
    }
    let mut ours = None;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name.to_str().is_some_and(is_ours) && ours.as_ref().is_none_or(|least| name < *least) {
            ours = Some(name);
        }
    }
    match ours {
        Some(name) => Err(taken(&folder.join(name))),
        None => input::check_output(&folder.join(file_name(1, 0))),
    }
}

fn taken(path: &Path) -> Problem {
    Problem::Usage(format!(
        "{}: is there already, and recovered frames overwrite nothing; name another folder",
        Escaped::path(path)
    ))
}

/// Puts a file where there is none, also if another process does the same.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let mut file = OutputFile::create(path)?;
    file.write_all(bytes).map_err(|error| FileError::new(path, error))?;
    file.commit_new().map_err(|error| match error.cause() {
        Cause::Io(cause) if cause.kind() == io::ErrorKind::AlreadyExists => taken(path),
        _ => error.into(),
    })
}

fn file_name(number: u64, offset: u64) -> String {
    format!("{number:06}-at-{offset}.bit")
}

/// Whether [`file_name`] makes such names.
fn is_ours(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_suffix(".bit").and_then(|name| name.split_once("-at-"));
    parts.is_some_and(|(number, offset)| number.len() >= 6 && digits(number) && digits(offset))
}

#[derive(Default)]
struct Sums {
    frames: u64,
    frame_bytes: u64,
    stretches: u64,
    skipped_bytes: u64,
}

/// What is written and told of each event when it is met: a capture may have more of them than memory holds.
struct Report<'a> {
    args: &'a Recover,
    out: &'a mut Output,
    total: u64,
    sums: Sums,
}

impl Report<'_> {
    fn all(&mut self, capture: &[u8], key: Option<&Key>) -> Result<(), Problem> {
        let mut progress = Progress::new("bytes");
        let max_frame = self.args.max_frame.unwrap_or(u64::MAX);
        // Both say the same, but the one in COBS lends its frames, which no iterator can.
        if self.args.cobs {
            let mut frames = RecoverCobs::new(capture).with_max_frame(max_frame);
            while let Some(event) = match key {
                Some(key) => frames.next_verified(key).map(plain),
                None => frames.next_event(),
            } {
                self.event(&event, key, &mut progress)?;
            }
        } else {
            let mut frames = stream::Recover::new(capture).with_max_frame(max_frame);
            while let Some(event) = match key {
                Some(key) => frames.next_verified(key).map(plain),
                None => frames.next(),
            } {
                self.event(&event, key, &mut progress)?;
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        event: &Event<Frame<'_>>,
        key: Option<&Key>,
        progress: &mut Progress,
    ) -> Result<(), Problem> {
        match event {
            Event::Frame { range, frame } => {
                let name = file_name(self.sums.frames.saturating_add(1), range.start);
                let path = self.args.out_dir.join(&name);
                // The capture is mapped: what is saved is what was checked, whoever writes to it meanwhile.
                let bytes = frame.as_bytes().to_vec();
                let checked = Frame::parse_exact(&bytes);
                let checked = checked
                    .and_then(|frame| key.map_or(Ok(()), |key| frame.verify(key).map(drop)).map(|()| frame));
                let Ok(frame) = checked else {
                    let capture = input::name(&self.args.capture);
                    let message = "was changed while it was read";
                    return Err(Problem::Usage(format!("{capture}: {message} (at byte {})", range.start)));
                };
                put(&path, &bytes)?;
                self.tell(
                    || {
                        json!({
                            "event": "frame",
                            "offset": range.start,
                            "len": range.end.saturating_sub(range.start),
                            "file": name,
                            "frame_len": frame.as_bytes().len(),
                            "kind": frame.kind().name(),
                            "ctx": frame.ctx().to_string(),
                            "digest": frame.digest().is_some(),
                            "hmac": frame.flags().authenticated(),
                            "authenticated": key.is_some(),
                        })
                    },
                    || {
                        let about = summary(&frame, key);
                        format!("{}-{} frame {name}: {about}, ctx {}", range.start, range.end, frame.ctx())
                    },
                )?;
                self.sums.frames = self.sums.frames.saturating_add(1);
                self.sums.frame_bytes = self.sums.frame_bytes.saturating_add(frame.as_bytes().len() as u64);
                progress.show(range.end, Some(self.total));
            }
            Event::Skipped(skipped) => {
                let Skipped { range, reason } = skipped;
                let len = range.end.saturating_sub(range.start);
                let within = self.args.cobs && is_of_frame(skipped);
                self.tell(
                    || {
                        json!({
                            "event": "skipped",
                            "offset": range.start,
                            "len": len,
                            "error": error_json(reason),
                            "error_offset_in": if within { "frame" } else { "capture" },
                        })
                    },
                    || {
                        let within = if within { " of the decoded frame" } else { "" };
                        let reason = reason.to_string();
                        let reason = Escaped::new(reason.as_bytes());
                        format!("{}-{} skipped, {len} bytes: {reason}{within}", range.start, range.end)
                    },
                )?;
                self.sums.stretches = self.sums.stretches.saturating_add(1);
                self.sums.skipped_bytes = self.sums.skipped_bytes.saturating_add(len);
                progress.show(range.end, Some(self.total));
            }
        }
        Ok(())
    }

    fn tell(&mut self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<(), Problem> {
        if self.args.common.json {
            if self.sums.frames > 0 || self.sums.stretches > 0 {
                self.out.bytes().push(b',');
            }
            self.out.json_part(&json());
        } else {
            self.out.line(text());
        }
        if self.out.bytes().len() > 64 << 10 {
            self.out.flush()?;
        }
        Ok(())
    }

    fn start(&mut self) {
        if self.args.common.json {
            self.out.bytes().extend_from_slice(br#"{"schema":"bitwire/recover/1","file":"#);
            self.out.json_part(&input::name(&self.args.capture));
            self.out.bytes().extend_from_slice(br#","folder":"#);
            self.out.json_part(&input::name(&self.args.out_dir));
            self.out.bytes().extend_from_slice(br#","events":["#);
        }
    }

    fn end(&mut self, problem: Option<&Problem>) {
        let Sums { frames, frame_bytes, stretches, skipped_bytes } = self.sums;
        if self.args.common.json {
            self.out.bytes().extend_from_slice(b"]");
            for (name, value) in [
                ("frames", Value::from(frames)),
                ("frame_bytes", frame_bytes.into()),
                ("stretches", stretches.into()),
                ("skipped_bytes", skipped_bytes.into()),
                ("problem", problem.map(Problem::to_string).into()),
            ] {
                self.out.bytes().extend_from_slice(format!(r#","{name}":"#).as_bytes());
                self.out.json_part(&value);
            }
            self.out.bytes().extend_from_slice(b"}\n");
        } else {
            let plural =
                |count: u64, one: &'static str, many: &'static str| if count == 1 { one } else { many };
            self.out.line(format_args!(
                "{}: {frames} {} recovered, {frame_bytes} bytes; {stretches} {} skipped, {skipped_bytes} bytes",
                input::name(&self.args.capture),
                plural(frames, "frame", "frames"),
                plural(stretches, "stretch", "stretches"),
            ));
        }
    }
}

fn plain<'a>(event: Event<AuthenticatedFrame<'a>>) -> Event<Frame<'a>> {
    match event {
        Event::Frame { range, frame } => Event::Frame { range, frame: frame.into_frame() },
        Event::Skipped(skipped) => Event::Skipped(skipped),
    }
}

/// Whether the offset of an error in COBS counts from the start of the decoded frame (spec/stream.md, "Events"). What was decoded is
/// shorter than its segment, so that an error at the segment's end can only be that the capture ends there.
fn is_of_frame(Skipped { range, reason }: &Skipped) -> bool {
    match reason.kind() {
        ErrorKind::FrameTooLong { .. } | ErrorKind::Cobs => false,
        ErrorKind::Truncated { .. } => reason.offset() != range.end,
        _ => true,
    }
}
