/*
 * bitwire: read, verify and route beacons.
 *
 * Made by cbindgen from capi/src; to change it, change them, and run
 *     UPDATE_HEADER=1 cargo test -p bitwire-capi --test header
 *
 * The rules, once for all functions:
 *
 * - A call returns BITWIRE_OK (0) or says what was wrong. It fills the struct it is to fill, or empties it: what an earlier
 *   call left is never there after a failure. `error` may be NULL, for those who need the number alone.
 * - No memory is allocated, and none is kept but the structs here, which are the caller's and need no release. Structs filled
 *   point into the bytes parsed: these have to stay, unchanged, while the structs are used.
 * - NULL, misaligned pointers, lengths past the end of the address space (-1), structs that no call filled, keys of a wrong
 *   length, buffers too small: an error. What cannot be told is in each function's "Safety": a pointer that is neither NULL
 *   nor valid, a length over what is there, bytes that change, structs whose private fields were written.
 * - Any number of threads may call at once. Structs may be read by many, and filled by one.
 * - No call ends the program, whatever the bytes hold.
 */

#ifndef BITWIRE_H
#define BITWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__GNUC__) || defined(__clang__)
/* The compiler warns where the status of a call is not looked at. */
#define BITWIRE_MUST_USE __attribute__((warn_unused_result))
#else
#define BITWIRE_MUST_USE
#endif

// The version of what this header says: struct sizes, functions and numbers. See `bitwire_abi`.
#define BITWIRE_ABI 1

// `kind`: a drift beacon, or a quantised matrix.
#define BITWIRE_KIND_BEACON 0

// `element`: signed 16-bit multiples of a step (MU16), the element of every beacon. The others: spec/frame.md.
#define BITWIRE_ELEMENT_I16 1

// `flags`: the beacon's SDS is at or over its threshold. Tells without `bitwire_beacon_open`, which holds it to the numbers.
#define BITWIRE_FLAG_ALERT 2

// `flags`: the beacon's drift is against an outside baseline.
#define BITWIRE_FLAG_BASELINE 4

// Bytes of ctx, the context hash.
#define BITWIRE_CTX_LEN 8

// Bytes of a routing key.
#define BITWIRE_ROUTING_KEY_LEN 32

// Bytes of a SHA-256 digest.
#define BITWIRE_DIGEST_LEN 32

// The least length of an HMAC key.
#define BITWIRE_KEY_LEN_MIN 16

// The greatest length of an HMAC key.
#define BITWIRE_KEY_LEN_MAX 64

// `sigma_kind`: the beacon carries nothing of the covariance.
#define BITWIRE_SIGMA_NONE 0

// `sigma_kind`: its trace.
#define BITWIRE_SIGMA_TRACE 1

// `sigma_kind`: its diagonal, `dim` variances.
#define BITWIRE_SIGMA_DIAGONAL 2

// `sigma_kind`: its upper triangle, row by row.
#define BITWIRE_SIGMA_FULL 3

// What a call came to. The numbers are stable: none is ever given another meaning, and new ones may come.
//
// Those below 100 are about the bytes of a frame, and are the error kinds of spec/frame.md and spec/beacon.md; those from 100 on
// are about the arguments of a call. 0 is the only success: compare with `BITWIRE_OK`, not with true.
enum bitwire_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Everything that the call checks is as it has to be.
    BITWIRE_OK = 0,
    // A field claims more bytes than there are: the frame is cut, or not all of it has come yet.
    BITWIRE_ERR_TRUNCATED = 1,
    // A size computed from the frame overflows 64 bits.
    BITWIRE_ERR_SIZE = 2,
    // Bytes follow where the frame should end.
    BITWIRE_ERR_TRAILING_BYTES = 3,
    // The first four bytes are not "BIT" and 1: no frame, or another version of it.
    BITWIRE_ERR_MAGIC = 10,
    // A TLV type does not increase: out of order, or twice.
    BITWIRE_ERR_TLV_ORDER = 11,
    // The first TLV is not CONFIG_V1.
    BITWIRE_ERR_CONFIG_NOT_FIRST = 12,
    // A critical TLV (02 to 7F) that this version does not know.
    BITWIRE_ERR_CRITICAL_TLV = 13,
    // A TLV type that is reserved (F2 to FD).
    BITWIRE_ERR_RESERVED_TLV = 14,
    // A TLV has not the length of its type.
    BITWIRE_ERR_TLV_LENGTH = 15,
    // The CRC-16 does not match: bytes were damaged.
    BITWIRE_ERR_CRC = 16,
    // A reserved field is not zero.
    BITWIRE_ERR_RESERVED = 17,
    // CONFIG_V1 names an element code above 9.
    BITWIRE_ERR_ELEMENT = 18,
    // delta_q16 is 0 for i16, or not 0 for another element.
    BITWIRE_ERR_DELTA_Q16 = 19,
    // FLAGS_V1 sets a bit of 3 to 15.
    BITWIRE_ERR_FLAG_BITS = 20,
    // A versioned value is of a version other than 1.
    BITWIRE_ERR_VALUE_VERSION = 21,
    // PAD_V1 has a byte that is not zero.
    BITWIRE_ERR_PADDING = 22,
    // CONTEXT_V1 does not hash to the frame's ctx.
    BITWIRE_ERR_CONTEXT_HASH = 23,
    // DIGEST_V1 is missing where it is mandatory.
    BITWIRE_ERR_DIGEST_MISSING = 24,
    // The SHA-256 digest does not match.
    BITWIRE_ERR_DIGEST = 25,
    // The AUTHENTICATED flag and the presence of HMAC_V1 disagree.
    BITWIRE_ERR_FLAGS_HMAC = 26,
    // A key was given and the frame carries no MAC. As bad as a wrong one: anybody can take a MAC off.
    BITWIRE_ERR_HMAC_MISSING = 27,
    // The MAC does not match: the frame was altered, or made with another key.
    BITWIRE_ERR_HMAC = 28,
    // The frame is no beacon.
    BITWIRE_ERR_KIND = 40,
    // A TLV that the kind requires is missing. A beacon requires none.
    BITWIRE_ERR_TLV_MISSING = 41,
    // A TLV of 03 to 7F that a beacon does not have.
    BITWIRE_ERR_FOREIGN_TLV = 42,
    // A field has not the value that the other fields require.
    BITWIRE_ERR_SHAPE = 43,
    // A code outside its table.
    BITWIRE_ERR_CODE = 44,
    // A number is not finite, or out of its range.
    BITWIRE_ERR_NUMBER = 45,
    // RESULTS_V1 is not the JSON of spec/beacon.md, to the letter.
    BITWIRE_ERR_RESULTS = 46,
    // ALERT or BASELINE does not agree with RESULTS_V1.
    BITWIRE_ERR_FLAGS_RESULTS = 47,
    // The frame comes from another context.
    BITWIRE_ERR_CONTEXT_DIFFERS = 48,
    // An error of the library that has no number here. `bitwire_error_message` says which.
    BITWIRE_ERR_OTHER = 99,
    // A pointer is NULL or misaligned, or its length reaches past the end of the address space (as -1 does).
    BITWIRE_ERR_POINTER = 100,
    // A struct that no successful call has filled: of zeros, or emptied by one that failed.
    BITWIRE_ERR_NOT_FILLED = 101,
    // A frame that is checked, but whose MAC was not verified, where a verified one is needed.
    BITWIRE_ERR_NOT_AUTHENTICATED = 102,
    // A buffer has less room than is needed.
    BITWIRE_ERR_BUFFER_TOO_SMALL = 103,
    // A key outside 16 to 64 bytes.
    BITWIRE_ERR_KEY_LENGTH = 104,
    // An argument that makes no sense: a row past the last, no shards.
    BITWIRE_ERR_ARGUMENT = 105,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum bitwire_status bitwire_status;
#else
typedef int32_t bitwire_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What went wrong, and where. Plain data: it may be copied, and borrows nothing.
typedef struct bitwire_error {
    // The same number that the call returned.
    bitwire_status status;
    // Whether `offset` is a place in the bytes; mistakes in arguments have none.
    bool has_offset;
    // The first byte of the offending field, counted from the start of the bytes parsed; 0 without a place.
    uint64_t offset;
    // Private.
    uint32_t private_state;
    // Private.
    uint64_t private_words[12];
} bitwire_error;

// A frame that passed every check that needs no key: structure, CRC-16, value rules, context hash, SHA-256 digest.
//
// Says nothing of who wrote it: anybody can compute a CRC and a digest. `bitwire_frame_verify` tells.
//
// A view: its pointers lead into the bytes that were parsed, which have to stay where and as they are for as long as it, or
// anything made from it, is used. A receive buffer that is written again makes it worthless, verified or not. It may be copied.
// The fields are for reading; the functions take what they need from the private ones. After a call that failed, all are 0.
typedef struct bitwire_frame {
    // The frame, magic through CRC-16.
    const uint8_t *bytes;
    // Its length. What follows the frame starts at `bytes + len`.
    size_t len;
    // The payload. For a beacon: little-endian int16_t, without alignment; `bitwire_beacon_q` reads them.
    const uint8_t *payload;
    // Bytes of the payload.
    size_t payload_len;
    // CONTEXT_V1: the JSON of the context, UTF-8 without a NUL at its end; NULL if the frame carries none. Its hash is `ctx`.
    const uint8_t *context;
    // Bytes of `context`.
    size_t context_len;
    // DIGEST_V1: the SHA-256 digest of `BITWIRE_DIGEST_LEN` bytes, checked; NULL if the frame carries none.
    const uint8_t *digest;
    // Rows of the payload.
    uint32_t rows;
    // Columns of the payload.
    uint32_t dim;
    // The step of MU16 in units of 2^-16; 0 if the element is not i16.
    uint32_t delta_q16;
    // FLAGS_V1; 0 if the frame has none.
    uint32_t flags;
    // The 64-bit hash of the context.
    uint8_t ctx[8];
    // What the frame carries: `BITWIRE_KIND_BEACON`, or another number of spec/frame.md.
    uint8_t kind;
    // The type of the payload's elements.
    uint8_t element;
    // The frame carries a MAC. Whether the MAC is right is for `bitwire_frame_verify` to say.
    bool has_hmac;
    // Private.
    uint32_t private_state;
    // Private.
    uint64_t private_words[11];
} bitwire_frame;

// A frame whose MAC was verified: made by `bitwire_frame_verify` alone, and as long-lived as the frame it was made from.
//
// A type of its own, so that a compiler tells the two apart. Parsing another frame into `frame` takes away what was
// verified. A MAC does not stop replay: an old frame of the same author stays authentic.
typedef struct bitwire_authenticated_frame {
    // The frame, for reading and for the functions that take any frame.
    struct bitwire_frame frame;
} bitwire_authenticated_frame;

// A beacon that passed every check of spec/beacon.md: a mean vector (or a quantised matrix), with the window's statistics and
// drift where it carries them.
//
// A view like the frame it was made from, and no longer-lived. It may be copied. The fields are for reading; the functions
// take what they need from the private ones. A double that the beacon does not carry is NaN, so that it cannot pass for a
// small number: compare only what its `has_` says is there. After a call that failed, everything is false, 0 or NaN.
typedef struct bitwire_beacon {
    // SDS: norm_dmu and tr_sigma, weighted and added. With `has_drift`.
    double sds;
    // The SDS at which `alert` is set. With `has_sds_threshold`.
    double sds_threshold;
    // Cosine of the angle between the mean and that of the reference. With `has_cos_mu`.
    double cos_mu;
    // L2 norm of the difference of the two. With `has_drift`.
    double norm_dmu;
    // Trace of the window's sample covariance. With `has_results`.
    double tr_sigma;
    // The weight of norm_dmu in SDS. With `has_results`.
    double weight_mu;
    // The weight of tr_sigma in SDS. With `has_results`.
    double weight_tr_sigma;
    // W: the number of vectors in the window. With `has_calibration`.
    double w;
    // The window's first time, in seconds. With `has_calibration`.
    double t0;
    // The window's last time, in seconds. With `has_calibration`.
    double t1;
    // The step of the payload's integers, in the units of the vectors.
    double step;
    // Rows of the payload: 1 for the beacon of a window.
    uint32_t rows;
    // Components of a vector.
    uint32_t dim;
    // How much of the covariance the beacon carries: one of `BITWIRE_SIGMA_...`. With `has_calibration`.
    uint8_t sigma_kind;
    // The MAC of its frame was verified. Only `bitwire_beacon_open` sets it.
    bool authenticated;
    // SDS is at or over its threshold.
    bool alert;
    // The drift is from an outside baseline, not between the halves of the window.
    bool baseline;
    // The beacon carries RESULTS_V1.
    bool has_results;
    // There was a reference to drift from.
    bool has_drift;
    // Neither of the two means is zero.
    bool has_cos_mu;
    // A threshold was set.
    bool has_sds_threshold;
    // The beacon carries CALIB_STATS_V1.
    bool has_calibration;
    // CALIB_STATS_V1 has the mean in float, which `bitwire_beacon_mean` then takes.
    bool has_mu;
    // Private.
    uint32_t private_state;
    // Private.
    uint64_t private_words[32];
} bitwire_beacon;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// `BITWIRE_ABI` as the library was built with. A program that may be linked with a library other than its header's compares
// the two before anything else.
uint32_t bitwire_abi(void);

// The name of a status, such as "Crc": one word of ASCII that never changes, for logs. "Ok" for `BITWIRE_OK`, "unknown" for a
// number that is none. Never NULL; lives as long as the program.
const char *bitwire_status_name(int32_t status);

// Puts what went wrong into words, in English: "the CRC-16 does not match ... (at byte 1234)".
//
// Writes at most `size` bytes to `text`, always ended by a NUL unless `size` is 0, and cut where they do not fit. Returns the
// length of the whole message without the NUL, as snprintf does: it was cut if that is not below `size`. 160 bytes hold
// most messages. After success, and for an `error` that no call has filled, the message is empty. `text` may be NULL if `size` is 0.
//
// The words may change between versions; for a program to decide by are `status` and `bitwire_status_name`.
//
// # Safety
// `error` points to a `bitwire_error` or is NULL; `size` bytes at `text` can be written.
size_t bitwire_error_message(const struct bitwire_error *error,
                             char *text,
                             size_t size);

// Parses and checks the frame at the start of `bytes`, of which there are `len`. `frame->len` says where it ends.
//
// `frame` is filled, or emptied on failure; `error` may be NULL. The first breach in the order of spec/frame.md is reported.
// `BITWIRE_ERR_TRUNCATED` means that more bytes may make it a frame. Time: linear in the frame; no memory is allocated.
//
// # Safety
// `len` bytes at `bytes` can be read, and stay unchanged while the frame, or what was made from it, is used. `frame`
// and `error` can be written and lie outside the bytes.
BITWIRE_MUST_USE
bitwire_status bitwire_frame_parse(const uint8_t *bytes,
                                   size_t len,
                                   struct bitwire_frame *frame,
                                   struct bitwire_error *error);

// Parses and checks a frame that fills `bytes` exactly; otherwise as `bitwire_frame_parse`. Bytes that follow it are
// `BITWIRE_ERR_TRAILING_BYTES`.
//
// # Safety
// As `bitwire_frame_parse`.
BITWIRE_MUST_USE
bitwire_status bitwire_frame_parse_exact(const uint8_t *bytes,
                                         size_t len,
                                         struct bitwire_frame *frame,
                                         struct bitwire_error *error);

// Verifies the frame's HMAC-SHA-256 under a key of 16 to 64 bytes, in constant time.
//
// `authenticated` is filled, or emptied on failure. A frame without a MAC is refused (`BITWIRE_ERR_HMAC_MISSING`), so that taking
// it off leads nowhere. The states computed from the key are wiped when the call ends; copies that computing them left on the
// stack are not. `frame` may be `&authenticated->frame`. Time: linear in the frame.
//
// # Safety
// `frame` points to a `bitwire_frame`, and the bytes it was parsed from are there, unchanged. `key_len` bytes at `key` can be read.
// `authenticated` and `error` can be written and lie outside the bytes and the key.
BITWIRE_MUST_USE
bitwire_status bitwire_frame_verify(const struct bitwire_frame *frame,
                                    const uint8_t *key,
                                    size_t key_len,
                                    struct bitwire_authenticated_frame *authenticated,
                                    struct bitwire_error *error);

// The frame's routing key, `BITWIRE_ROUTING_KEY_LEN` bytes: BLAKE2b-256 over everything but the CRC-16. The same bytes have the
// same key everywhere. Time: linear in the frame. On failure the key is not written.
//
// # Safety
// `frame` points to a `bitwire_frame`, and the bytes it was parsed from are there, unchanged. 32 bytes at `routing_key` can be
// written. `error` is NULL or can be written.
BITWIRE_MUST_USE
bitwire_status bitwire_frame_routing_key(const struct bitwire_frame *frame,
                                         uint8_t *routing_key,
                                         struct bitwire_error *error);

// Which of `shards` a routing key belongs to, from 0: its first 8 bytes, big-endian, modulo `shards`. No shards is
// `BITWIRE_ERR_ARGUMENT`. On failure `*shard` is not written.
//
// # Safety
// 32 bytes at `routing_key` can be read; `shard` can be written; `error` is NULL or can be written.
BITWIRE_MUST_USE
bitwire_status bitwire_routing_key_shard(const uint8_t *routing_key,
                                         uint64_t shards,
                                         uint64_t *shard,
                                         struct bitwire_error *error);

// ctx of a context: the 8-byte BLAKE2b digest of its canonical JSON (RFC 8785), `BITWIRE_CTX_LEN` bytes. That the text is canonical
// is not checked.
//
// # Safety
// `len` bytes at `json` can be read; 8 bytes at `ctx` can be written; `error` is NULL or can be written.
BITWIRE_MUST_USE
bitwire_status bitwire_context_hash(const uint8_t *json,
                                    size_t len,
                                    uint8_t *ctx,
                                    struct bitwire_error *error);

// Checks that the frame comes from the context whose canonical JSON (RFC 8785) is given: by the whole text where the frame
// carries it, by its 64-bit hash where not. `BITWIRE_ERR_CONTEXT_DIFFERS` if not.
//
// # Safety
// `frame` points to a `bitwire_frame`, and the bytes it was parsed from are there, unchanged. `len` bytes at `json` can be read.
// `error` is NULL or can be written.
BITWIRE_MUST_USE
bitwire_status bitwire_frame_check_context(const struct bitwire_frame *frame,
                                           const uint8_t *json,
                                           size_t len,
                                           struct bitwire_error *error);

// Checks that a verified frame is a beacon, and reads it. `beacon` is filled, or emptied on failure.
//
// A frame that was parsed but not verified is `BITWIRE_ERR_NOT_AUTHENTICATED`, also if it stands in a struct that held a verified one
// before. Time: linear in the statistics and the drift; the payload is not touched.
//
// # Safety
// `frame` points to a `bitwire_authenticated_frame`, and the bytes it was parsed from are there, unchanged for as long as the beacon
// is used. `beacon` can be written, `error` is NULL or can be written; neither lies in the bytes.
BITWIRE_MUST_USE
bitwire_status bitwire_beacon_open(const struct bitwire_authenticated_frame *frame,
                                   struct bitwire_beacon *beacon,
                                   struct bitwire_error *error);

// The same for a frame of which nobody knows who wrote it: for those who have no key. `beacon->authenticated` is false.
//
// # Safety
// As `bitwire_beacon_open`.
BITWIRE_MUST_USE
bitwire_status bitwire_beacon_open_unverified(const struct bitwire_frame *frame,
                                              struct bitwire_beacon *beacon,
                                              struct bitwire_error *error);

// One row of the payload in float: the first `beacon->dim` of the `capacity` values at `out`. A row past the last is
// `BITWIRE_ERR_ARGUMENT`, too little room `BITWIRE_ERR_BUFFER_TOO_SMALL`; on failure nothing is written.
//
// # Safety
// `beacon` points to a `bitwire_beacon`, and the bytes of its frame are there, unchanged. `capacity` values at `out` can be written,
// and lie outside the bytes. `error` is NULL or can be written.
BITWIRE_MUST_USE
bitwire_status bitwire_beacon_row(const struct bitwire_beacon *beacon,
                                  uint32_t row,
                                  float *out,
                                  size_t capacity,
                                  struct bitwire_error *error);

// One row of the payload as it is stored: integers in units of `beacon->step`. Otherwise as `bitwire_beacon_row`.
//
// # Safety
// As `bitwire_beacon_row`.
BITWIRE_MUST_USE
bitwire_status bitwire_beacon_q(const struct bitwire_beacon *beacon,
                                uint32_t row,
                                int16_t *out,
                                size_t capacity,
                                struct bitwire_error *error);

// The beacon's mean vector: that of CALIB_STATS_V1 where it has one (`has_mu`), else the mean of the rows. Otherwise as
// `bitwire_beacon_row`. Time: one pass over the payload.
//
// # Safety
// As `bitwire_beacon_row`.
BITWIRE_MUST_USE
bitwire_status bitwire_beacon_mean(const struct bitwire_beacon *beacon,
                                   double *out,
                                   size_t capacity,
                                   struct bitwire_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BITWIRE_H */
