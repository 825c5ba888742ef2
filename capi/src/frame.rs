//! Frames: parsed, verified, routed.

use core::mem::MaybeUninit;
use core::num::NonZeroU64;
use core::ptr;

use bitwire::frame::{ContextHash, Frame, Key, RoutingKey};
use bitwire::{Error, ErrorKind};

use crate::error::{Fault, bitwire_error, check_error, finish};
use crate::memory::{Slot, check_struct, input, pack, store, unpack};
use crate::status::bitwire_status;

/// `kind`: a drift beacon, or a quantised matrix.
pub const BITWIRE_KIND_BEACON: u8 = 0;

/// `element`: signed 16-bit multiples of a step (MU16), the element of every beacon. The others: spec/frame.md.
pub const BITWIRE_ELEMENT_I16: u8 = 1;

/// `flags`: the beacon's SDS is at or over its threshold. Tells without `bitwire_beacon_open`, which holds it to the numbers.
pub const BITWIRE_FLAG_ALERT: u32 = 2;

/// `flags`: the beacon's drift is against an outside baseline.
pub const BITWIRE_FLAG_BASELINE: u32 = 4;

/// Bytes of ctx, the context hash.
pub const BITWIRE_CTX_LEN: usize = 8;

/// Bytes of a routing key.
pub const BITWIRE_ROUTING_KEY_LEN: usize = 32;

/// Bytes of a SHA-256 digest.
pub const BITWIRE_DIGEST_LEN: usize = 32;

/// The least length of an HMAC key.
pub const BITWIRE_KEY_LEN_MIN: usize = 16;

/// The greatest length of an HMAC key.
pub const BITWIRE_KEY_LEN_MAX: usize = 64;

/// A frame that passed every check that needs no key: structure, CRC-16, value rules, context hash, SHA-256 digest.
///
/// Says nothing of who wrote it: anybody can compute a CRC and a digest. `bitwire_frame_verify` tells.
///
/// A view: its pointers lead into the bytes that were parsed, which have to stay where and as they are for as long as it, or
/// anything made from it, is used. A receive buffer that is written again makes it worthless, verified or not. It may be copied.
/// The fields are for reading; the functions take what they need from the private ones. After a call that failed, all are 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bitwire_frame {
    /// The frame, magic through CRC-16.
    pub bytes: *const u8,
    /// Its length. What follows the frame starts at `bytes + len`.
    pub len: usize,
    /// The payload. For a beacon: little-endian int16_t, without alignment; `bitwire_beacon_q` reads them.
    pub payload: *const u8,
    /// Bytes of the payload.
    pub payload_len: usize,
    /// CONTEXT_V1: the JSON of the context, UTF-8 without a NUL at its end; NULL if the frame carries none. Its hash is `ctx`.
    pub context: *const u8,
    /// Bytes of `context`.
    pub context_len: usize,
    /// DIGEST_V1: the SHA-256 digest of `BITWIRE_DIGEST_LEN` bytes, checked; NULL if the frame carries none.
    pub digest: *const u8,
    /// Rows of the payload.
    pub rows: u32,
    /// Columns of the payload.
    pub dim: u32,
    /// The step of MU16 in units of 2^-16; 0 if the element is not i16.
    pub delta_q16: u32,
    /// FLAGS_V1; 0 if the frame has none.
    pub flags: u32,
    /// The 64-bit hash of the context.
    pub ctx: [u8; 8],
    /// What the frame carries: `BITWIRE_KIND_BEACON`, or another number of spec/frame.md.
    pub kind: u8,
    /// The type of the payload's elements.
    pub element: u8,
    /// The frame carries a MAC. Whether the MAC is right is for `bitwire_frame_verify` to say.
    pub has_hmac: bool,
    /// Private.
    private_state: u32,
    /// Private.
    private_words: MaybeUninit<[u64; 11]>,
}

/// A frame whose MAC was verified: made by `bitwire_frame_verify` alone, and as long-lived as the frame it was made from.
///
/// A type of its own, so that a compiler tells the two apart. Parsing another frame into `frame` takes away what was
/// verified. A MAC does not stop replay: an old frame of the same author stays authentic.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bitwire_authenticated_frame {
    /// The frame, for reading and for the functions that take any frame.
    pub frame: bitwire_frame,
}

/// In `private_state`: the words hold a [`Frame`] that was parsed, and one that was verified.
const CHECKED: u32 = 0xB17E_0002;
const AUTHENTICATED: u32 = 0xB17E_0003;

impl bitwire_frame {
    pub(crate) const EMPTY: Self = Self {
        bytes: ptr::null(),
        len: 0,
        payload: ptr::null(),
        payload_len: 0,
        context: ptr::null(),
        context_len: 0,
        digest: ptr::null(),
        rows: 0,
        dim: 0,
        delta_q16: 0,
        flags: 0,
        ctx: [0; 8],
        kind: 0,
        element: 0,
        has_hmac: false,
        private_state: 0,
        private_words: MaybeUninit::zeroed(),
    };

    fn of(frame: &Frame<'static>, private_state: u32) -> Self {
        let (bytes, payload, config) = (frame.as_bytes(), frame.payload(), frame.config());
        let context = frame.context_json();
        Self {
            bytes: bytes.as_ptr(),
            len: bytes.len(),
            payload: payload.as_ptr(),
            payload_len: payload.len(),
            context: context.map_or(ptr::null(), <[u8]>::as_ptr),
            context_len: context.map_or(0, <[u8]>::len),
            digest: frame.digest().map_or(ptr::null(), |digest| digest.as_ptr()),
            rows: config.rows,
            dim: config.dim,
            delta_q16: config.delta_q16,
            flags: frame.flags().bits(),
            ctx: frame.ctx().0,
            kind: config.kind.0,
            element: config.element.code(),
            // Parsing holds the flag to the presence of HMAC_V1.
            has_hmac: frame.flags().authenticated(),
            private_state,
            private_words: pack(*frame),
        }
    }
}

impl bitwire_authenticated_frame {
    const EMPTY: Self = Self { frame: bitwire_frame::EMPTY };
}

/// Reads a frame of the caller's back; whether it was verified comes with it. The lifetime is the caller's promise.
///
/// # Safety
/// `ptr` is NULL, or points to a `bitwire_frame` whose private fields are as a call left them, or anything but that state; the
/// bytes parsed are still there, unchanged.
unsafe fn read(name: &'static str, ptr: *const bitwire_frame) -> Result<(Frame<'static>, bool), Fault> {
    check_struct(name, ptr)?;
    // SAFETY: not NULL and aligned, as checked; readable, as the caller promises. Only a number is read, no `bool` that
    // memory nobody wrote to may not hold.
    let state = unsafe { (&raw const (*ptr).private_state).read() };
    if state != CHECKED && state != AUTHENTICATED {
        return Err(Fault::NotFilled(name));
    }
    // SAFETY: as above; words may hold anything.
    let words = unsafe { (&raw const (*ptr).private_words).read() };
    // SAFETY: `bitwire_frame::of` wrote them with either state.
    let frame = unsafe { unpack(&words) };
    Ok((frame, state == AUTHENTICATED))
}

/// # Safety
/// As [`read`].
pub(crate) unsafe fn any_frame(ptr: *const bitwire_frame) -> Result<Frame<'static>, Fault> {
    // SAFETY: as the caller promises.
    unsafe { read("frame", ptr) }.map(|(frame, _)| frame)
}

/// # Safety
/// As [`read`].
pub(crate) unsafe fn authenticated_frame(
    ptr: *const bitwire_authenticated_frame,
) -> Result<Frame<'static>, Fault> {
    // The frame is the first field, and all there is.
    // SAFETY: as the caller promises.
    match unsafe { read("frame", ptr.cast()) }? {
        (frame, true) => Ok(frame),
        (_, false) => Err(Fault::NotAuthenticated),
    }
}

/// What both ways to parse have in common.
///
/// # Safety
/// As [`bitwire_frame_parse`].
unsafe fn parse_with(
    bytes: *const u8,
    len: usize,
    frame: *mut bitwire_frame,
    error: *mut bitwire_error,
    parse: fn(&'static [u8]) -> bitwire::Result<Frame<'static>>,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let slot = unsafe { Slot::emptied("frame", frame, bitwire_frame::EMPTY) };
    // SAFETY: as the caller promises; `'static` stands for as long as the frame is used.
    let bytes = unsafe { input("bytes", bytes, len) };
    let result = check_error(error).and(slot).and_then(|slot| {
        slot.fill(bitwire_frame::of(&parse(bytes?)?, CHECKED));
        Ok(())
    });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}

/// Parses and checks the frame at the start of `bytes`, of which there are `len`. `frame->len` says where it ends.
///
/// `frame` is filled, or emptied on failure; `error` may be NULL. The first breach in the order of spec/frame.md is reported.
/// `BITWIRE_ERR_TRUNCATED` means that more bytes may make it a frame. Time: linear in the frame; no memory is allocated.
///
/// # Safety
/// `len` bytes at `bytes` can be read, and stay unchanged while the frame, or what was made from it, is used. `frame`
/// and `error` can be written and lie outside the bytes.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_frame_parse(
    bytes: *const u8,
    len: usize,
    frame: *mut bitwire_frame,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    unsafe { parse_with(bytes, len, frame, error, |bytes| Frame::parse(bytes).map(|(frame, _)| frame)) }
}

/// Parses and checks a frame that fills `bytes` exactly; otherwise as `bitwire_frame_parse`. Bytes that follow it are
/// `BITWIRE_ERR_TRAILING_BYTES`.
///
/// # Safety
/// As `bitwire_frame_parse`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_frame_parse_exact(
    bytes: *const u8,
    len: usize,
    frame: *mut bitwire_frame,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    unsafe { parse_with(bytes, len, frame, error, Frame::parse_exact) }
}

/// Verifies the frame's HMAC-SHA-256 under a key of 16 to 64 bytes, in constant time.
///
/// `authenticated` is filled, or emptied on failure. A frame without a MAC is refused (`BITWIRE_ERR_HMAC_MISSING`), so that taking
/// it off leads nowhere. The states computed from the key are wiped when the call ends; copies that computing them left on the
/// stack are not. `frame` may be `&authenticated->frame`. Time: linear in the frame.
///
/// # Safety
/// `frame` points to a `bitwire_frame`, and the bytes it was parsed from are there, unchanged. `key_len` bytes at `key` can be read.
/// `authenticated` and `error` can be written and lie outside the bytes and the key.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_frame_verify(
    frame: *const bitwire_frame,
    key: *const u8,
    key_len: usize,
    authenticated: *mut bitwire_authenticated_frame,
    error: *mut bitwire_error,
) -> bitwire_status {
    // Read before the slot is emptied: the two may be one.
    // SAFETY: as the caller promises.
    let frame = unsafe { any_frame(frame) };
    // SAFETY: as the caller promises.
    let slot = unsafe { Slot::emptied("authenticated", authenticated, bitwire_authenticated_frame::EMPTY) };
    // SAFETY: as the caller promises; the slice is not kept.
    let key = unsafe { input("key", key, key_len) };
    let result = check_error(error).and(slot).and_then(|slot| {
        let verified = frame?.verify(&Key::new(key?)?)?;
        slot.fill(bitwire_authenticated_frame { frame: bitwire_frame::of(&verified, AUTHENTICATED) });
        Ok(())
    });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}

/// The frame's routing key, `BITWIRE_ROUTING_KEY_LEN` bytes: BLAKE2b-256 over everything but the CRC-16. The same bytes have the
/// same key everywhere. Time: linear in the frame. On failure the key is not written.
///
/// # Safety
/// `frame` points to a `bitwire_frame`, and the bytes it was parsed from are there, unchanged. 32 bytes at `routing_key` can be
/// written. `error` is NULL or can be written.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_frame_routing_key(
    frame: *const bitwire_frame,
    routing_key: *mut u8,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let frame = unsafe { any_frame(frame) };
    let key = check_error(error).and(frame).map(|frame| *frame.routing_key().as_bytes());
    // SAFETY: as the caller promises.
    let result = key.and_then(|key| unsafe { store("routing_key", routing_key, &key) });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}

/// Which of `shards` a routing key belongs to, from 0: its first 8 bytes, big-endian, modulo `shards`. No shards is
/// `BITWIRE_ERR_ARGUMENT`. On failure `*shard` is not written.
///
/// # Safety
/// 32 bytes at `routing_key` can be read; `shard` can be written; `error` is NULL or can be written.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_routing_key_shard(
    routing_key: *const u8,
    shards: u64,
    shard: *mut u64,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let key = unsafe { input("routing_key", routing_key, BITWIRE_ROUTING_KEY_LEN) };
    let chosen = check_error(error).and(key).and_then(|key| {
        let none = Error::caller(ErrorKind::Argument { expected: "shards has to be 1 or more" });
        let shards = NonZeroU64::new(shards).ok_or(none)?;
        let key = key.first_chunk().copied().unwrap_or_default();
        Ok(RoutingKey::from_bytes(key).shard(shards))
    });
    // SAFETY: as the caller promises.
    let result = chosen.and_then(|chosen| unsafe { store("shard", shard, &[chosen]) });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}

/// ctx of a context: the 8-byte BLAKE2b digest of its canonical JSON (RFC 8785), `BITWIRE_CTX_LEN` bytes. That the text is canonical
/// is not checked.
///
/// # Safety
/// `len` bytes at `json` can be read; 8 bytes at `ctx` can be written; `error` is NULL or can be written.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_context_hash(
    json: *const u8,
    len: usize,
    ctx: *mut u8,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let json = unsafe { input("json", json, len) };
    let hash = check_error(error).and(json).map(ContextHash::of);
    // SAFETY: as the caller promises.
    let result = hash.and_then(|hash| unsafe { store("ctx", ctx, &hash.0) });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}

/// Checks that the frame comes from the context whose canonical JSON (RFC 8785) is given: by the whole text where the frame
/// carries it, by its 64-bit hash where not. `BITWIRE_ERR_CONTEXT_DIFFERS` if not.
///
/// # Safety
/// `frame` points to a `bitwire_frame`, and the bytes it was parsed from are there, unchanged. `len` bytes at `json` can be read.
/// `error` is NULL or can be written.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_frame_check_context(
    frame: *const bitwire_frame,
    json: *const u8,
    len: usize,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let frame = unsafe { any_frame(frame) };
    // SAFETY: as the caller promises.
    let json = unsafe { input("json", json, len) };
    let result = check_error(error).and(frame).and_then(|frame| {
        let json = json?;
        let same = match frame.context_json() {
            Some(own) => own == json,
            None => frame.ctx() == ContextHash::of(json),
        };
        if same { Ok(()) } else { Err(Error::caller(ErrorKind::ContextDiffers).into()) }
    });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}
