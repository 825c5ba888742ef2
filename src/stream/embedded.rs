//! Streams from and to whatever implements the traits of embedded-io: a UART, a socket, a pipe.

use core::fmt;

#[cfg(feature = "cobs")]
use cobs::{EncoderState, PushResult};

#[cfg(feature = "cobs")]
use super::cobs::Cobs;
use super::event::Event;
use super::raw::Raw;
use super::reader::{Accept, Found, FrameReader, Framing};
use crate::frame::Frame;
#[cfg(feature = "hmac")]
use crate::frame::{AuthenticatedFrame, Key};

/// How many bytes are asked for at a time.
const PIECE: usize = 64;

/// Reads frames of up to `N` bytes from `R`: a [`FrameReader`] with its source.
///
/// With feature `embedded-io`, for a source that blocks (`next_event`); with `embedded-io-async`, for one that is awaited
/// (`next_event_async`). A future that is dropped, as by a timeout, loses nothing if the source's own `read` does not.
pub struct FrameSource<R, const N: usize, F = Raw> {
    source: R,
    reader: FrameReader<N, F>,
    /// Bytes that were read and not yet fed: these of `piece`.
    piece: [u8; PIECE],
    from: usize,
    to: usize,
}

impl<R, const N: usize> FrameSource<R, N> {
    /// Frames of a raw stream.
    #[must_use]
    pub const fn new(source: R) -> Self {
        Self::of(source, FrameReader::new())
    }
}

#[cfg(feature = "cobs")]
impl<R, const N: usize> FrameSource<R, N, Cobs> {
    /// Frames of a stream in COBS.
    #[must_use]
    pub const fn cobs(source: R) -> Self {
        Self::of(source, FrameReader::cobs())
    }
}

impl<R, const N: usize, F> FrameSource<R, N, F> {
    const fn of(source: R, reader: FrameReader<N, F>) -> Self {
        Self { source, reader, piece: [0; PIECE], from: 0, to: 0 }
    }

    /// The reader. Whoever is told by the source that nothing more will come for now, by an error such as a timeout, can
    /// [`finish`](FrameReader::finish) it.
    pub const fn reader_mut(&mut self) -> &mut FrameReader<N, F> {
        &mut self.reader
    }

    /// The source. What was read ahead of the last event, up to 64 bytes and what the reader holds, is gone.
    pub fn into_source(self) -> R {
        self.source
    }
}

#[expect(private_bounds, reason = "which framings there are is for the spec to say")]
impl<R, const N: usize, F: Framing> FrameSource<R, N, F> {
    /// The next find in what was read.
    fn find(&mut self, ended: bool, accept: Accept<'_>) -> Option<Found> {
        let mut unread = self.piece.get(self.from..self.to).unwrap_or_default();
        let found = self.reader.advance(&mut unread, ended, accept);
        self.from = self.to.saturating_sub(unread.len());
        found
    }

    /// Takes note that `count` bytes were read. Says whether the stream is at its end.
    fn took(&mut self, count: usize) -> bool {
        (self.from, self.to) = (0, count.min(PIECE));
        count == 0
    }
}

#[cfg(feature = "embedded-io")]
#[expect(private_bounds, reason = "which framings there are is for the spec to say")]
impl<R: embedded_io::Read, const N: usize, F: Framing> FrameSource<R, N, F> {
    fn find_blocking(&mut self, accept: Accept<'_>) -> Result<Option<Found>, R::Error> {
        let mut ended = false;
        loop {
            let found = self.find(ended, accept);
            if ended || found.is_some() {
                return Ok(found);
            }
            let count = self.source.read(&mut self.piece)?;
            ended = self.took(count);
        }
    }

    /// Waits for the next frame, or the next stretch that is none. `None` at the end of the stream; a source that was not at
    /// its end for good can be asked again.
    ///
    /// # Errors
    /// Those of the source. Nothing that was read before is lost.
    pub fn next_event(&mut self) -> Result<Option<Event<Frame<'_>>>, R::Error> {
        let found = self.find_blocking(&|_| Ok(()))?;
        Ok(found.map(|found| self.reader.event(found)))
    }

    /// The same, and a frame that is not signed with `key` is damage like any other: see
    /// [`FrameReader::feed_verified`].
    ///
    /// # Errors
    /// Those of the source. Nothing that was read before is lost.
    #[cfg(feature = "hmac")]
    pub fn next_verified(&mut self, key: &Key) -> Result<Option<Event<AuthenticatedFrame<'_>>>, R::Error> {
        let found = self.find_blocking(&|frame| frame.verify(key).map(drop))?;
        Ok(found.map(|found| self.reader.event(found).verified()))
    }
}

#[cfg(feature = "embedded-io-async")]
#[expect(private_bounds, reason = "which framings there are is for the spec to say")]
impl<R: embedded_io_async::Read, const N: usize, F: Framing> FrameSource<R, N, F> {
    async fn find_async(&mut self, accept: Accept<'_>) -> Result<Option<Found>, R::Error> {
        let mut ended = false;
        loop {
            let found = self.find(ended, accept);
            if ended || found.is_some() {
                return Ok(found);
            }
            let count = self.source.read(&mut self.piece).await?;
            ended = self.took(count);
        }
    }

    /// Awaits what is needed for the next frame, or the next stretch that is none. `None` at the end of the stream; a source that was not at
    /// its end for good can be asked again.
    ///
    /// # Errors
    /// Those of the source. Nothing that was read before is lost.
    pub async fn next_event_async(&mut self) -> Result<Option<Event<Frame<'_>>>, R::Error> {
        let found = self.find_async(&|_| Ok(())).await?;
        Ok(found.map(|found| self.reader.event(found)))
    }

    /// The same, and a frame that is not signed with `key` is damage like any other: see
    /// [`FrameReader::feed_verified`].
    ///
    /// # Errors
    /// Those of the source. Nothing that was read before is lost.
    #[cfg(feature = "hmac")]
    pub async fn next_verified_async(
        &mut self,
        key: &Key,
    ) -> Result<Option<Event<AuthenticatedFrame<'_>>>, R::Error> {
        let found = self.find_async(&|frame| frame.verify(key).map(drop)).await?;
        Ok(found.map(|found| self.reader.event(found).verified()))
    }
}

impl<R, const N: usize, F: fmt::Debug> fmt::Debug for FrameSource<R, N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSource").field("reader", &self.reader).finish_non_exhaustive()
    }
}

/// Writes `frame` in COBS, and the zero byte that ends it, run by run: no memory is needed for the encoded frame.
///
/// A sender that starts, or starts again, writes one zero byte first. Raw frames need no more than `write_all`.
///
/// # Errors
/// Those of `out`, which may have taken a part of the frame; the next zero byte ends it.
#[cfg(all(feature = "embedded-io", feature = "cobs"))]
pub fn write_cobs<W: embedded_io::Write>(out: &mut W, frame: &[u8]) -> Result<(), W::Error> {
    let mut runs = Runs::of(frame);
    while let Some(run) = runs.next_run() {
        out.write_all(run)?;
    }
    Ok(())
}

/// The same, awaited.
///
/// # Errors
/// Those of `out`, which may have taken a part of the frame; the next zero byte ends it.
#[cfg(all(feature = "embedded-io-async", feature = "cobs"))]
pub async fn write_cobs_async<W: embedded_io_async::Write>(
    out: &mut W,
    frame: &[u8],
) -> Result<(), W::Error> {
    let mut runs = Runs::of(frame);
    while let Some(run) = runs.next_run() {
        out.write_all(run).await?;
    }
    Ok(())
}

/// A frame in COBS, run by run.
#[cfg(feature = "cobs")]
struct Runs<'a> {
    rest: &'a [u8],
    encoder: Option<EncoderState>,
    /// The run at hand: its code, and what it stands for; behind the last one, the zero byte.
    run: heapless::Vec<u8, 256>,
}

#[cfg(feature = "cobs")]
impl<'a> Runs<'a> {
    fn of(frame: &'a [u8]) -> Self {
        Self { rest: frame, encoder: Some(EncoderState::default()), run: heapless::Vec::new() }
    }

    /// The next run, the last one with the zero byte behind it.
    fn next_run(&mut self) -> Option<&[u8]> {
        let Self { rest, encoder, run } = self;
        let state = encoder.as_mut()?;
        run.clear();
        // The code comes to stand here.
        let mut take = |byte| run.push(byte).is_ok();
        take(0);
        // The encoder counts a code's place from the frame's start; here it is the first of its run.
        let code = loop {
            let Some((&byte, after)) = rest.split_first() else {
                let (_, code) = encoder.take()?.finalize();
                break code;
            };
            *rest = after;
            match state.push(byte) {
                PushResult::AddSingle(byte) => _ = take(byte),
                PushResult::ModifyFromStartAndSkip((_, code)) => break code,
                PushResult::ModifyFromStartAndPushAndSkip((_, code, byte)) => {
                    take(byte);
                    if rest.is_empty() {
                        // After a full run there is no zero to stand for, and no run is left.
                        *encoder = None;
                    }
                    break code;
                }
            }
        };
        if encoder.is_none() {
            take(0);
        }
        if let Some(first) = run.first_mut() {
            *first = code;
        }
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use alloc::{vec, vec::Vec};
    use core::ops::Range;

    #[cfg(feature = "embedded-io")]
    use embedded_io::ErrorKind;
    #[cfg(not(feature = "embedded-io"))]
    use embedded_io_async::ErrorKind;

    use super::*;
    use crate::frame::{Config, ContextHash, Element, FrameBuilder, Kind};

    #[cfg(feature = "cobs")]
    #[test]
    fn runs_are_what_the_crate_makes_of_the_whole() {
        for len in [0, 1, 2, 253, 254, 255, 256, 507, 508, 509, 762, 1000] {
            for zeros_every in [1, 2, 100, 254, 255, usize::MAX] {
                let frame: Vec<u8> = (1..=len).map(|i| if i % zeros_every == 0 { 0 } else { 7 }).collect();
                let mut runs = Runs::of(&frame);
                let mut found = Vec::new();
                while let Some(run) = runs.next_run() {
                    found.extend_from_slice(run);
                }
                let mut whole = vec![0; cobs::max_encoding_length(len)];
                let encoded = cobs::encode(&frame, &mut whole);
                whole.truncate(encoded);
                whole.push(0);
                assert_eq!(found, whole, "{len} bytes, every {zeros_every}th a zero");
            }
        }
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        let config = Config::new(Kind::BLOCKS, Element::U8, 1, 1, 0);
        let builder = FrameBuilder::new(ContextHash([7; 8]), config, payload);
        let mut out = vec![0; builder.encoded_len().unwrap()];
        builder.encode_into(&mut out).unwrap();
        out
    }

    /// What a line brings: bytes, or an error. The end is the end, for good.
    struct Line(Vec<core::result::Result<Vec<u8>, ErrorKind>>);

    impl Line {
        fn next(&mut self, out: &mut [u8]) -> core::result::Result<usize, ErrorKind> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let mut bytes = self.0.remove(0)?;
            let count = bytes.len().min(out.len());
            out[..count].copy_from_slice(&bytes[..count]);
            if count < bytes.len() {
                self.0.insert(0, Ok(bytes.split_off(count)));
            }
            Ok(count)
        }
    }

    /// Ranges of the events, of frames with their payloads.
    type Seen = Vec<(u64, u64, Option<Vec<u8>>)>;

    fn seen(event: &Event<Frame<'_>>) -> (u64, u64, Option<Vec<u8>>) {
        let Range { start, end } = *event.range();
        match event {
            Event::Frame { frame, .. } => (start, end, Some(frame.payload().to_vec())),
            Event::Skipped(_) => (start, end, None),
        }
    }

    /// Two frames, five bytes of noise, a frame without its end; and an error between any two pieces.
    fn damaged() -> (Line, Seen) {
        let (one, two) = (frame(b"one"), frame(&[0x42; 200]));
        let (a, b) = (one.len() as u64, two.len() as u64);
        let bytes = [&one[..], b"noise", &two, &one[..a as usize - 1]].concat();
        let mut pieces = Vec::new();
        for piece in bytes.chunks(100) {
            pieces.extend([Ok(piece.to_vec()), Err(ErrorKind::TimedOut)]);
        }
        let ends =
            [(0, a, Some(b"one".to_vec())), (a, a + 5, None), (a + 5, a + 5 + b, Some(vec![0x42; 200]))];
        let last = (a + 5 + b, bytes.len() as u64, None);
        (Line(pieces), ends.into_iter().chain([last]).collect())
    }

    #[cfg(feature = "embedded-io")]
    mod blocking {
        use super::*;

        impl embedded_io::ErrorType for Line {
            type Error = ErrorKind;
        }

        impl embedded_io::Read for Line {
            fn read(&mut self, out: &mut [u8]) -> core::result::Result<usize, ErrorKind> {
                self.next(out)
            }
        }

        #[test]
        fn errors_of_the_source_lose_nothing() {
            let (line, expected) = damaged();
            let mut source = FrameSource::<_, 512>::new(line);
            let (mut found, mut errors) = (Vec::new(), 0);
            loop {
                match source.next_event() {
                    Ok(Some(event)) => found.push(seen(&event)),
                    Ok(None) => break,
                    Err(ErrorKind::TimedOut) => errors += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(found, expected);
            assert!(errors > 3, "{errors}");
            assert!(source.next_event().unwrap().is_none());
        }

        #[test]
        fn a_silent_line_is_finished_by_hand() {
            let bytes = frame(b"one");
            let line = Line(vec![Ok(bytes[..20].to_vec()), Err(ErrorKind::TimedOut), Ok(bytes.clone())]);
            let mut source = FrameSource::<_, 512>::new(line);
            assert_eq!(source.next_event().unwrap_err(), ErrorKind::TimedOut);
            assert_eq!(seen(&source.reader_mut().finish().unwrap()), (0, 20, None));
            assert!(source.reader_mut().finish().is_none());
            let all = (20, 20 + bytes.len() as u64, Some(b"one".to_vec()));
            assert_eq!(seen(&source.next_event().unwrap().unwrap()), all);
        }

        #[cfg(feature = "cobs")]
        #[test]
        fn what_is_written_in_cobs_is_read() {
            let (one, two) = (frame(b"one"), frame(&[0x42; 600]));
            let mut line = [0; 1000];
            let mut out = &mut line[1..];
            for bytes in [&one, &two] {
                write_cobs(&mut out, bytes).unwrap();
            }
            let mut source = FrameSource::<_, 700, Cobs>::cobs(&line[..]);
            for bytes in [&one, &two] {
                let Some(Event::Frame { frame, .. }) = source.next_event().unwrap() else {
                    panic!("no frame")
                };
                assert_eq!(frame.as_bytes(), bytes);
            }
            assert!(source.next_event().unwrap().is_none());
        }
    }

    #[cfg(feature = "embedded-io-async")]
    mod awaited {
        use core::future::Future;
        use core::pin::pin;
        use core::task::{Context, Poll, Waker};

        use super::*;

        /// Every second time it is asked, the line has nothing yet.
        struct Slow(Line, bool);

        impl embedded_io_async::ErrorType for Slow {
            type Error = ErrorKind;
        }

        impl embedded_io_async::Read for Slow {
            async fn read(&mut self, out: &mut [u8]) -> core::result::Result<usize, ErrorKind> {
                core::future::poll_fn(|context| {
                    self.1 = !self.1;
                    if self.1 {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Ready(self.0.next(out))
                })
                .await
            }
        }

        fn run<T>(future: impl Future<Output = T>) -> (T, usize) {
            let (mut future, mut polls) = (pin!(future), 0);
            loop {
                polls += 1;
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    return (value, polls);
                }
            }
        }

        #[test]
        fn a_slow_line_says_the_same() {
            let (line, expected) = damaged();
            let mut source = FrameSource::<_, 512>::new(Slow(line, false));
            let (found, polls) = run(async {
                let mut found = Vec::new();
                loop {
                    match source.next_event_async().await {
                        Ok(Some(event)) => found.push(seen(&event)),
                        Ok(None) => break found,
                        Err(error) => assert_eq!(error, ErrorKind::TimedOut),
                    }
                }
            });
            assert_eq!(found, expected);
            assert!(polls > 5, "{polls}");
        }

        #[cfg(feature = "cobs")]
        #[test]
        fn what_is_written_in_cobs_is_the_same() {
            let (mut line, mut blocking) = ([0; 1000], Vec::new());
            let mut out = &mut line[..];
            for bytes in [frame(b"one"), frame(&[0x42; 600])] {
                run(write_cobs_async(&mut out, &bytes)).0.unwrap();
                let mut encoded = vec![0; super::super::super::cobs_encoded_len(bytes.len())];
                let len = super::super::super::cobs_encode_into(&bytes, &mut encoded).unwrap();
                blocking.extend_from_slice(&encoded[..len]);
            }
            assert_eq!(&line[..blocking.len()], blocking);
        }
    }
}
