//! Where bytes and contexts come from and go to.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use bitwire::Error;
use bitwire::frame::{Context, Frame, Key, MAGIC};
use bitwire::io::output::{OutputFile, write_whole};
use bitwire::io::{Cause, Escaped, FileError, Map};

use crate::args::{ContextArgs, LeadingContextArgs};
use crate::exit::{Output, Problem};

/// `-` stands for standard input or output.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The name by which messages call an input, for those that escape it themselves, such as [`FileError`].
pub(crate) fn label(path: &Path) -> &Path {
    if is_stream(path) { Path::new("standard input") } else { path }
}

/// The name by which messages call an input, escaped.
pub(crate) fn name(path: &Path) -> String {
    Escaped::path(label(path)).to_string()
}

/// Refuses to read standard input twice: the second reader would find nothing, or wait for the first for ever.
pub(crate) fn one_stream<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<(), Problem> {
    match paths.into_iter().filter(|path| is_stream(path)).count() {
        0 | 1 => Ok(()),
        _ => Err(Problem::Usage("standard input (-) can be given only once".to_owned())),
    }
}

/// A file, or standard input.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, Problem> {
    if is_stream(path) {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| FileError::new(path, error))?;
    Ok(Box::new(file))
}

/// All bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|error| FileError::new(label(path), error))?;
    Ok(bytes)
}

/// A file's bytes: mapped where it is one, read where it is a stream.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Map),
    Read(Vec<u8>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}

/// All bytes of a file, which may be larger than memory. One that is cut short meanwhile ends the process (SIGBUS), and one that is
/// written to changes here: inputs of a verb that signs, or that a key has to verify, are read instead.
pub(crate) fn map(path: &Path) -> Result<Bytes, Problem> {
    if is_stream(path) {
        return read(path).map(Bytes::Read);
    }
    let failed = |error| FileError::new(path, error);
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    // An empty file, or a pipe by name, has nothing to map.
    if about.is_file() && about.len() > 0 {
        return Ok(Bytes::Mapped(Map::new(&file).map_err(failed)?));
    }
    read(path).map(Bytes::Read)
}

/// All bytes of a frame's file: mapped, or read where what a key verified must still be there when it is used, whoever writes to
/// the file meanwhile.
pub(crate) fn map_unless(key: Option<&Key>, path: &Path) -> Result<Bytes, Problem> {
    if key.is_some() { read_frames(path).map(Bytes::Read) } else { map(path) }
}

/// What is wrong with the content of an input that is no frame: it cannot be read.
pub(crate) fn unfit(path: &Path, error: Error) -> Problem {
    Problem::File(Cause::from(error).at(label(path)))
}

/// All bytes of a file of frames; of anything else no more than shows that it is none, however much there is.
pub(crate) fn read_frames(path: &Path) -> Result<Vec<u8>, Problem> {
    frames_of(path, open(path)?)
}

/// The same of a file that is open.
pub(crate) fn frames_of(path: &Path, mut file: impl Read) -> Result<Vec<u8>, Problem> {
    let failed = |error| FileError::new(label(path), error);
    let mut bytes = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut bytes).map_err(failed)?;
    if bytes == MAGIC {
        file.read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// Refuses an object of `--json` where standard output already carries the file.
pub(crate) fn one_result(out: &Path, json: bool) -> Result<(), Problem> {
    if is_stream(out) && json {
        return Err(Problem::Usage(
            "--json needs a file to write to: standard output (-) carries the file".to_owned(),
        ));
    }
    Ok(())
}

/// The frame that fills `bytes`, verified if there is a key.
pub(crate) fn frame<'a>(file: &str, bytes: &'a [u8], key: Option<&Key>) -> Result<Frame<'a>, Problem> {
    let checked = Frame::parse_exact(bytes).and_then(|frame| check(&frame, key).map(|()| frame));
    checked.map_err(|error| Problem::frame(file, error))
}

/// What every verb checks of a frame it has parsed: first the key, so that nothing unproven is looked at further.
pub(crate) fn check(frame: &Frame<'_>, key: Option<&Key>) -> Result<(), Error> {
    if let Some(key) = key {
        frame.verify(key)?;
    }
    frame.check_content()
}

/// Fails early where no file can be put: a window may take hours to measure.
pub(crate) fn check_output(path: &Path) -> Result<(), Problem> {
    if !is_stream(path) {
        drop(OutputFile::create(path)?);
    }
    Ok(())
}

/// Refuses to put a file in the place of an input that is still needed to make sense of it.
pub(crate) fn not_over(out: &Path, inputs: &[&Path]) -> Result<(), Problem> {
    let place = |path: &Path| if is_stream(path) { None } else { fs::canonicalize(path).ok() };
    let over = place(out).and_then(|out| inputs.iter().find(|input| place(input).as_ref() == Some(&out)));
    match over {
        Some(input) => Err(Problem::Usage(format!("{}: is an input, and would be overwritten", name(input)))),
        None => Ok(()),
    }
}

/// Writes a file whole, or the bytes to standard output in place of any other result.
pub(crate) fn write(path: &Path, bytes: &[u8], out: &mut Output) -> Result<(), Problem> {
    if is_stream(path) {
        out.bytes().extend_from_slice(bytes);
        return Ok(());
    }
    write_whole(path, |file| Ok(file.write_all(bytes)?))?;
    Ok(())
}

/// Whether the arguments name a context at all.
pub(crate) fn names_context(args: &ContextArgs) -> bool {
    let ContextArgs { space_id, model_id, pi_id, space, model, pi, members } = args;
    [space_id, model_id, pi_id, space, model, pi, members].into_iter().any(Option::is_some)
}

/// The context that the arguments name.
pub(crate) fn context(args: &ContextArgs, dim: u32) -> Result<Context, Problem> {
    let ContextArgs { space_id, model_id, pi_id, space, model, pi, members } = args;
    let [space, model, pi] = [(space_id, space), (model_id, model), (pi_id, pi)]
        .map(|(by_place, by_name)| by_place.as_deref().or(by_name.as_deref()).unwrap_or_default());
    context_of([space, model, pi], members.as_deref(), dim)
}

/// The context that arguments before a list name.
pub(crate) fn leading_context(args: &LeadingContextArgs, dim: u32) -> Result<Context, Problem> {
    let LeadingContextArgs { space_id, model_id, pi_id, members } = args;
    context_of([space_id, model_id, pi_id], members.as_deref(), dim)
}

fn context_of([space, model, pi]: [&str; 3], members: Option<&str>, dim: u32) -> Result<Context, Problem> {
    Context::with_members(space, model, pi, dim, members.unwrap_or("{}"))
        .map_err(|error| Problem::Usage(Cause::Format(error).to_string()))
}
