/*
 * The library as a C program uses it, and misuses it. tests/c.rs builds and runs it:
 *
 *     test BEACON.BIT SIGNED.BIT
 *
 * What it expects was computed by expected.py. Every input is copied into a block of its very length, so that a sanitizer
 * sees any byte read past its end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitwire.h"
#include "expected.h"

static int failures;

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
            if (++failures > 20) exit(1);                                       \
        }                                                                       \
    } while (0)

/* A call that has to fail with a status and, where `at` is not NOWHERE, at an offset. */
#define NOWHERE UINT64_MAX
#define REFUSED(call, what, at)                                                 \
    do {                                                                        \
        CHECK((call) == (what));                                                \
        CHECK(error.status == (what));                                          \
        CHECK(error.has_offset == ((at) != NOWHERE));                           \
        CHECK(error.offset == ((at) != NOWHERE ? (at) : 0));                    \
    } while (0)

static const uint8_t *const key = (const uint8_t *)KEY;
static const size_t key_len = sizeof KEY - 1;

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct input load(const char *path)
{
    struct input input = {NULL, 0};
    FILE *file = fopen(path, "rb");
    long len;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) <= 0) {
        perror(path);
        exit(1);
    }
    rewind(file);
    input.len = (size_t)len;
    input.bytes = malloc(input.len);
    if (input.bytes == NULL || fread(input.bytes, 1, input.len, file) != input.len) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return input;
}

/* The first `len` bytes in a block of that length. */
static uint8_t *copy_of(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len);

    if (copy == NULL) {
        perror("malloc");
        exit(1);
    }
    memcpy(copy, bytes, len);
    return copy;
}

/* CRC-16/IBM-3740, for whoever has no key but can count: poly 1021, init FFFF. */
static void mend_crc(uint8_t *bytes, size_t len)
{
    unsigned crc = 0xFFFF;
    size_t i;
    int bit;

    for (i = 4; i < len - 2; i++) {
        crc ^= (unsigned)bytes[i] << 8;
        for (bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xFFFF;
    }
    bytes[len - 2] = (uint8_t)(crc >> 8);
    bytes[len - 1] = (uint8_t)crc;
}

static int is_empty_frame(const bitwire_frame *frame)
{
    return frame->bytes == NULL && frame->len == 0 && frame->payload == NULL && frame->payload_len == 0 &&
           frame->context == NULL && frame->context_len == 0 && frame->digest == NULL && frame->rows == 0 &&
           frame->dim == 0 && frame->delta_q16 == 0 && frame->flags == 0 && !frame->has_hmac;
}

static int is_empty_beacon(const bitwire_beacon *beacon)
{
    /* NaN is what differs from itself. */
    return beacon->sds != beacon->sds && beacon->w != beacon->w && beacon->step != beacon->step && beacon->rows == 0 &&
           beacon->dim == 0 && !beacon->authenticated && !beacon->alert && !beacon->baseline && !beacon->has_results &&
           !beacon->has_drift && !beacon->has_calibration && !beacon->has_mu && !beacon->has_sds_threshold;
}

static void check_beacon(const bitwire_beacon *beacon)
{
    static int16_t q[BEACON_DIM + 1];
    static float x[BEACON_DIM + 1];
    static double mean[BEACON_DIM + 1];
    bitwire_error error;
    bitwire_beacon copy, filled;
    size_t i;

    CHECK(beacon->rows == 1 && beacon->dim == BEACON_DIM);
    CHECK(beacon->step == BEACON_DELTA_Q16 / 65536.0);
    CHECK(beacon->alert == BEACON_ALERT && beacon->baseline == BEACON_BASELINE);
    CHECK(beacon->has_results && beacon->has_drift && beacon->has_cos_mu && beacon->has_sds_threshold);
    CHECK(beacon->sds == BEACON_SDS && beacon->sds_threshold == BEACON_SDS_THRESHOLD);
    CHECK(beacon->cos_mu == BEACON_COS_MU && beacon->norm_dmu == BEACON_NORM_DMU);
    CHECK(beacon->tr_sigma == BEACON_TR_SIGMA);
    CHECK(beacon->weight_mu == BEACON_WEIGHT_MU && beacon->weight_tr_sigma == BEACON_WEIGHT_TR_SIGMA);
    CHECK(beacon->has_calibration && beacon->has_mu && beacon->sigma_kind == BEACON_SIGMA_KIND);
    CHECK(beacon->w == BEACON_W && beacon->t0 == BEACON_T0 && beacon->t1 == BEACON_T1);

    /* One more than is needed stays as it is. */
    q[BEACON_DIM] = 77;
    x[BEACON_DIM] = 77;
    mean[BEACON_DIM] = 77;
    CHECK(bitwire_beacon_q(beacon, 0, q, BEACON_DIM + 1, &error) == BITWIRE_OK);
    CHECK(bitwire_beacon_row(beacon, 0, x, BEACON_DIM + 1, &error) == BITWIRE_OK);
    CHECK(bitwire_beacon_mean(beacon, mean, BEACON_DIM + 1, &error) == BITWIRE_OK);
    CHECK(error.status == BITWIRE_OK);
    for (i = 0; i < BEACON_DIM; i++)
        CHECK(q[i] == beacon_q[i] && x[i] == beacon_x[i] && mean[i] == beacon_mean[i]);
    CHECK(q[BEACON_DIM] == 77 && x[BEACON_DIM] == 77 && mean[BEACON_DIM] == 77);

    /* A copy serves as well, and what the caller does to the fields is between the caller and the fields. */
    copy = *beacon;
    copy.dim = copy.rows = 1000000;
    memset(q, 0, sizeof q);
    CHECK(bitwire_beacon_q(&copy, 0, q, BEACON_DIM, NULL) == BITWIRE_OK);
    CHECK(memcmp(q, beacon_q, sizeof beacon_q) == 0);

    /* Too little room, and rows that are not there: nothing is written. */
    memset(q, 0x55, sizeof q);
    REFUSED(bitwire_beacon_q(beacon, 0, q, BEACON_DIM - 1, &error), BITWIRE_ERR_BUFFER_TOO_SMALL, NOWHERE);
    REFUSED(bitwire_beacon_q(beacon, 0, q, 0, &error), BITWIRE_ERR_BUFFER_TOO_SMALL, NOWHERE);
    REFUSED(bitwire_beacon_q(beacon, 1, q, BEACON_DIM, &error), BITWIRE_ERR_ARGUMENT, NOWHERE);
    REFUSED(bitwire_beacon_q(beacon, UINT32_MAX, q, BEACON_DIM, &error), BITWIRE_ERR_ARGUMENT, NOWHERE);
    for (i = 0; i < BEACON_DIM + 1; i++)
        CHECK(q[i] == 0x5555);
    REFUSED(bitwire_beacon_row(beacon, 0, x, BEACON_DIM - 1, &error), BITWIRE_ERR_BUFFER_TOO_SMALL, NOWHERE);
    REFUSED(bitwire_beacon_row(beacon, 1, x, BEACON_DIM, &error), BITWIRE_ERR_ARGUMENT, NOWHERE);
    REFUSED(bitwire_beacon_mean(beacon, mean, BEACON_DIM - 1, &error), BITWIRE_ERR_BUFFER_TOO_SMALL, NOWHERE);

    /* Pointers and lengths that can be told to be wrong. */
    REFUSED(bitwire_beacon_q(NULL, 0, q, BEACON_DIM, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_beacon_q(beacon, 0, NULL, BEACON_DIM, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_beacon_q(beacon, 0, q, (size_t)-1, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_beacon_q(beacon, 0, q, (size_t)-1 / 2, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_beacon_row(NULL, 0, x, BEACON_DIM, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_beacon_row(beacon, 0, NULL, BEACON_DIM, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_beacon_mean(NULL, mean, BEACON_DIM, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_beacon_mean(beacon, NULL, BEACON_DIM, &error), BITWIRE_ERR_POINTER, NOWHERE);
    memset(&filled, 0, sizeof filled);
    REFUSED(bitwire_beacon_q(&filled, 0, q, BEACON_DIM, &error), BITWIRE_ERR_NOT_FILLED, NOWHERE);
    memset(&filled, 0xA5, sizeof filled);
    REFUSED(bitwire_beacon_row(&filled, 0, x, BEACON_DIM, &error), BITWIRE_ERR_NOT_FILLED, NOWHERE);
}

static void test_beacon(struct input input)
{
    bitwire_error error;
    bitwire_frame frame;
    bitwire_authenticated_frame authenticated;
    bitwire_beacon beacon;
    uint8_t routing_key[BITWIRE_ROUTING_KEY_LEN], ctx[BITWIRE_CTX_LEN];
    const uint8_t *context = (const uint8_t *)BEACON_CONTEXT;
    uint64_t shard;

    CHECK(input.len == BEACON_LEN);
    CHECK(bitwire_frame_parse_exact(input.bytes, input.len, &frame, &error) == BITWIRE_OK);
    CHECK(error.status == BITWIRE_OK && !error.has_offset);
    CHECK(frame.bytes == input.bytes && frame.len == BEACON_LEN);
    CHECK(frame.kind == BITWIRE_KIND_BEACON && frame.element == BITWIRE_ELEMENT_I16);
    CHECK(frame.rows == 1 && frame.dim == BEACON_DIM && frame.delta_q16 == BEACON_DELTA_Q16);
    CHECK(frame.flags == BEACON_FLAGS);
    CHECK(frame.flags == (BITWIRE_FLAG_ALERT | BITWIRE_FLAG_BASELINE));
    CHECK(frame.payload == input.bytes + BEACON_PAYLOAD_AT && frame.payload_len == BEACON_PAYLOAD_LEN);
    CHECK(memcmp(frame.ctx, beacon_ctx, sizeof beacon_ctx) == 0);
    CHECK(frame.context_len == sizeof BEACON_CONTEXT - 1);
    CHECK(memcmp(frame.context, BEACON_CONTEXT, frame.context_len) == 0);
    CHECK(!frame.has_hmac && frame.digest == NULL);

    CHECK(bitwire_frame_routing_key(&frame, routing_key, &error) == BITWIRE_OK);
    CHECK(memcmp(routing_key, beacon_routing_key, sizeof routing_key) == 0);
    CHECK(bitwire_routing_key_shard(routing_key, 1000, &shard, &error) == BITWIRE_OK);
    CHECK(shard == BEACON_SHARD_OF_1000);
    CHECK(bitwire_routing_key_shard(routing_key, 1, &shard, &error) == BITWIRE_OK && shard == 0);
    CHECK(bitwire_routing_key_shard(routing_key, UINT64_MAX, &shard, &error) == BITWIRE_OK);
    CHECK(shard >> 56 == beacon_routing_key[0] && (shard & 0xFF) == beacon_routing_key[7]);
    shard = 5;
    REFUSED(bitwire_routing_key_shard(routing_key, 0, &shard, &error), BITWIRE_ERR_ARGUMENT, NOWHERE);
    REFUSED(bitwire_routing_key_shard(NULL, 1, &shard, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_routing_key_shard(routing_key, 1, NULL, &error), BITWIRE_ERR_POINTER, NOWHERE);
    CHECK(shard == 5);
    {
        /* Where it cannot be said what went wrong, nothing is done. */
        static unsigned char room[2 * sizeof(bitwire_error)];
        bitwire_error *odd = (void *)(room + ((uintptr_t)room % 2 == 0));
        bitwire_frame other = frame;

        CHECK(bitwire_frame_parse_exact(input.bytes, input.len, &other, odd) == BITWIRE_ERR_POINTER);
        CHECK(other.len == 0 && other.bytes == NULL);
        shard = 5;
        CHECK(bitwire_routing_key_shard(routing_key, 3, &shard, odd) == BITWIRE_ERR_POINTER);
        CHECK(shard == 5);
        memset(routing_key, 7, sizeof routing_key);
        CHECK(bitwire_frame_routing_key(&frame, routing_key, odd) == BITWIRE_ERR_POINTER);
        CHECK(routing_key[0] == 7 && routing_key[31] == 7);
        CHECK(bitwire_frame_routing_key(&frame, routing_key, &error) == BITWIRE_OK);
    }
    REFUSED(bitwire_frame_routing_key(NULL, routing_key, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_routing_key(&frame, NULL, &error), BITWIRE_ERR_POINTER, NOWHERE);

    CHECK(bitwire_context_hash(context, sizeof BEACON_CONTEXT - 1, ctx, &error) == BITWIRE_OK);
    CHECK(memcmp(ctx, beacon_ctx, sizeof ctx) == 0);
    REFUSED(bitwire_context_hash(NULL, 0, ctx, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_context_hash(context, 1, NULL, &error), BITWIRE_ERR_POINTER, NOWHERE);
    CHECK(bitwire_frame_check_context(&frame, context, sizeof BEACON_CONTEXT - 1, &error) == BITWIRE_OK);
    REFUSED(bitwire_frame_check_context(&frame, context, sizeof BEACON_CONTEXT, &error), BITWIRE_ERR_CONTEXT_DIFFERS,
            NOWHERE);
    REFUSED(bitwire_frame_check_context(&frame, context, 0, &error), BITWIRE_ERR_CONTEXT_DIFFERS, NOWHERE);
    REFUSED(bitwire_frame_check_context(&frame, NULL, 0, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_check_context(NULL, context, 1, &error), BITWIRE_ERR_POINTER, NOWHERE);

    /* Without a key there is a beacon, and it says that nobody vouches for it. */
    CHECK(bitwire_beacon_open_unverified(&frame, &beacon, &error) == BITWIRE_OK);
    CHECK(!beacon.authenticated);
    check_beacon(&beacon);
    REFUSED(bitwire_beacon_open_unverified(NULL, &beacon, &error), BITWIRE_ERR_POINTER, NOWHERE);
    CHECK(is_empty_beacon(&beacon));
    REFUSED(bitwire_beacon_open_unverified(&frame, NULL, &error), BITWIRE_ERR_POINTER, NOWHERE);

    /* With a key there is none: it carries no MAC. */
    REFUSED(bitwire_frame_verify(&frame, key, key_len, &authenticated, &error), BITWIRE_ERR_HMAC_MISSING, BEACON_HMAC_AT);
    CHECK(is_empty_frame(&authenticated.frame));
    REFUSED(bitwire_beacon_open(&authenticated, &beacon, &error), BITWIRE_ERR_NOT_FILLED, NOWHERE);
}

static void test_signed(struct input input)
{
    bitwire_error error;
    bitwire_frame frame;
    bitwire_authenticated_frame authenticated;
    bitwire_beacon beacon;
    uint8_t routing_key[BITWIRE_ROUTING_KEY_LEN], other[BITWIRE_KEY_LEN_MAX + 1];
    int16_t q;
    size_t i;

    CHECK(input.len == SIGNED_LEN);
    CHECK(bitwire_frame_parse_exact(input.bytes, input.len, &frame, &error) == BITWIRE_OK);
    CHECK(frame.has_hmac && frame.flags == SIGNED_FLAGS && frame.payload == input.bytes + SIGNED_PAYLOAD_AT);
    CHECK(bitwire_frame_verify(&frame, key, key_len, &authenticated, &error) == BITWIRE_OK);
    CHECK(authenticated.frame.bytes == input.bytes && authenticated.frame.len == SIGNED_LEN);
    CHECK(bitwire_frame_routing_key(&authenticated.frame, routing_key, &error) == BITWIRE_OK);
    CHECK(memcmp(routing_key, signed_routing_key, sizeof routing_key) == 0);
    CHECK(bitwire_beacon_open(&authenticated, &beacon, &error) == BITWIRE_OK);
    CHECK(beacon.authenticated);
    check_beacon(&beacon);
    CHECK(bitwire_beacon_open_unverified(&authenticated.frame, &beacon, &error) == BITWIRE_OK);
    CHECK(!beacon.authenticated);

    /* In place. */
    CHECK(bitwire_frame_parse_exact(input.bytes, input.len, &authenticated.frame, NULL) == BITWIRE_OK);
    CHECK(bitwire_frame_verify(&authenticated.frame, key, key_len, &authenticated, NULL) == BITWIRE_OK);
    CHECK(bitwire_beacon_open(&authenticated, &beacon, NULL) == BITWIRE_OK && beacon.authenticated);

    /* Parsing into a struct that held a verified frame leaves one that is not. */
    CHECK(bitwire_frame_parse_exact(input.bytes, input.len, &authenticated.frame, &error) == BITWIRE_OK);
    REFUSED(bitwire_beacon_open(&authenticated, &beacon, &error), BITWIRE_ERR_NOT_AUTHENTICATED, NOWHERE);
    CHECK(is_empty_beacon(&beacon));
    REFUSED(bitwire_beacon_q(&beacon, 0, &q, 1, &error), BITWIRE_ERR_NOT_FILLED, NOWHERE);

    /* A wrong key in any byte; a key that is cut, or continued. (A zero more at its end is the same key: RFC 2104.) */
    for (i = 0; i < key_len; i++) {
        memcpy(other, key, key_len);
        other[i] ^= 1;
        REFUSED(bitwire_frame_verify(&frame, other, key_len, &authenticated, &error), BITWIRE_ERR_HMAC, SIGNED_HMAC_AT);
        CHECK(is_empty_frame(&authenticated.frame));
        REFUSED(bitwire_beacon_open(&authenticated, &beacon, &error), BITWIRE_ERR_NOT_FILLED, NOWHERE);
    }
    memset(other, 0, sizeof other);
    memcpy(other, key, key_len);
    CHECK(bitwire_frame_verify(&frame, other, BITWIRE_KEY_LEN_MAX, &authenticated, &error) == BITWIRE_OK);
    memset(other + key_len, '!', sizeof other - key_len);
    for (i = 0; i <= sizeof other; i++) {
        bitwire_status expected = i < BITWIRE_KEY_LEN_MIN || i > BITWIRE_KEY_LEN_MAX ? BITWIRE_ERR_KEY_LENGTH
                                  : i == key_len                                     ? BITWIRE_OK
                                                                                     : BITWIRE_ERR_HMAC;
        CHECK(bitwire_frame_verify(&frame, other, i, &authenticated, &error) == expected);
        CHECK(is_empty_frame(&authenticated.frame) == (expected != BITWIRE_OK));
    }
    REFUSED(bitwire_frame_verify(&frame, NULL, key_len, &authenticated, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_verify(&frame, NULL, 0, &authenticated, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_verify(&frame, key, (size_t)-1, &authenticated, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_verify(NULL, key, key_len, &authenticated, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_verify(&frame, key, key_len, NULL, &error), BITWIRE_ERR_POINTER, NOWHERE);
    CHECK(is_empty_frame(&authenticated.frame));
    memset(&frame, 0xA5, sizeof frame);
    REFUSED(bitwire_frame_verify(&frame, key, key_len, &authenticated, &error), BITWIRE_ERR_NOT_FILLED, NOWHERE);
}

/* Every how many bits are flipped: fewer where each takes long. */
#ifndef STRIDE
#define STRIDE 1
#endif

/* No bit can be flipped, with the CRC-16 as it was or made good again. */
static void test_flipped_bits(struct input input)
{
    uint8_t *bytes = copy_of(input.bytes, input.len);
    bitwire_error error;
    bitwire_frame frame;
    bitwire_authenticated_frame authenticated;
    bitwire_status status;
    size_t bit, parsed = 0;

    for (bit = 0; bit < 8 * input.len; bit += STRIDE) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(bitwire_frame_parse(bytes, input.len, &frame, &error) != BITWIRE_OK);
        CHECK(error.offset < input.len && is_empty_frame(&frame));
        mend_crc(bytes, input.len);
        status = bitwire_frame_parse(bytes, input.len, &frame, &error);
        if (bit >= 8 * (input.len - 2)) {
            /* The flipped bit was the CRC-16's own. */
            CHECK(status == BITWIRE_OK);
        } else if (status == BITWIRE_OK) {
            parsed++;
            CHECK(bitwire_frame_verify(&frame, key, key_len, &authenticated, &error) == BITWIRE_ERR_HMAC ||
                  error.status == BITWIRE_ERR_HMAC_MISSING);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memcpy(bytes + input.len - 2, input.bytes + input.len - 2, 2);
    }
    /* All of the payload, and much of the header: only the MAC tells. */
    CHECK(parsed >= 8 * SIGNED_PAYLOAD_LEN / STRIDE);
    CHECK(memcmp(bytes, input.bytes, input.len) == 0);
    free(bytes);
}

static void test_truncations(struct input input)
{
    bitwire_error error;
    bitwire_frame frame;
    size_t len;

    for (len = 0; len < input.len; len++) {
        uint8_t *bytes = copy_of(input.bytes, len > 0 ? len : 1);

        CHECK(bitwire_frame_parse_exact(bytes, len, &frame, &error) == BITWIRE_ERR_TRUNCATED);
        CHECK(error.has_offset && error.offset <= len && is_empty_frame(&frame));
        free(bytes);
    }
}

/* Frame after frame in one buffer, and what exactness means. */
static void test_two(struct input first, struct input second)
{
    size_t len = first.len + second.len;
    uint8_t *bytes = malloc(len);
    bitwire_error error;
    bitwire_frame frame;

    if (bytes == NULL)
        exit(1);
    memcpy(bytes, first.bytes, first.len);
    memcpy(bytes + first.len, second.bytes, second.len);
    CHECK(bitwire_frame_parse(bytes, len, &frame, &error) == BITWIRE_OK && frame.len == first.len);
    CHECK(bitwire_frame_parse(bytes + frame.len, len - frame.len, &frame, &error) == BITWIRE_OK);
    CHECK(frame.len == second.len && frame.bytes == bytes + first.len);
    REFUSED(bitwire_frame_parse_exact(bytes, len, &frame, &error), BITWIRE_ERR_TRAILING_BYTES, first.len);
    free(bytes);
}

static void test_misuse(struct input input)
{
    /* Room for a struct, and for the same struct one byte further. */
    static uint64_t room[(sizeof(bitwire_beacon) + sizeof(bitwire_frame)) / 8 + 2];
    bitwire_error error;
    bitwire_frame frame;

    REFUSED(bitwire_frame_parse(NULL, 0, &frame, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_parse(NULL, 100, &frame, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_parse(input.bytes, (size_t)-1, &frame, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_parse(input.bytes, 0, &frame, &error), BITWIRE_ERR_TRUNCATED, 0);
    REFUSED(bitwire_frame_parse(input.bytes, input.len, NULL, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_parse_exact(NULL, 0, NULL, &error), BITWIRE_ERR_POINTER, NOWHERE);
    REFUSED(bitwire_frame_parse(input.bytes, input.len, (bitwire_frame *)((char *)room + 1), &error), BITWIRE_ERR_POINTER,
            NOWHERE);
    CHECK(room[0] == 0);
    CHECK(bitwire_frame_parse(NULL, 0, NULL, NULL) == BITWIRE_ERR_POINTER);
    CHECK(bitwire_frame_parse(input.bytes, 3, &frame, NULL) == BITWIRE_ERR_TRUNCATED);
    CHECK(bitwire_frame_parse(input.bytes, input.len, &frame, (bitwire_error *)((char *)room + 1)) == BITWIRE_ERR_POINTER);
    CHECK(room[0] == 0);
}

static void test_messages(struct input input)
{
    static const char expected[] = "truncated: TLV header needs 3 bytes, 1 are there (at byte 12)";
    bitwire_error error, copy;
    bitwire_frame frame;
    char text[200];
    size_t size, len;

    memset(&error, 0xA5, sizeof error);
    CHECK(bitwire_error_message(&error, text, sizeof text) == 0 && text[0] == '\0');
    CHECK(bitwire_error_message(NULL, text, sizeof text) == 0 && text[0] == '\0');
    CHECK(bitwire_frame_parse(input.bytes, input.len, &frame, &error) == BITWIRE_OK);
    CHECK(bitwire_error_message(&error, text, sizeof text) == 0 && text[0] == '\0');

    CHECK(bitwire_frame_parse(input.bytes, 13, &frame, &error) == BITWIRE_ERR_TRUNCATED);
    copy = error;
    len = bitwire_error_message(&copy, text, sizeof text);
    CHECK(len == sizeof expected - 1 && strcmp(text, expected) == 0);
    /* Cut to every size, with nothing written past it. */
    for (size = 0; size <= sizeof expected + 1; size++) {
        char *cut = malloc(size > 0 ? size : 1);

        if (cut == NULL)
            exit(1);
        cut[0] = 'x';
        CHECK(bitwire_error_message(&error, cut, size) == sizeof expected - 1);
        if (size == 0) {
            CHECK(cut[0] == 'x');
        } else {
            CHECK(strlen(cut) == (size < sizeof expected ? size - 1 : sizeof expected - 1));
            CHECK(strncmp(cut, expected, strlen(cut)) == 0);
        }
        free(cut);
    }
    CHECK(bitwire_error_message(&error, NULL, 0) == sizeof expected - 1);
    CHECK(bitwire_error_message(&error, NULL, 10) == sizeof expected - 1);
    CHECK(bitwire_error_message(&error, text, (size_t)-1) == sizeof expected - 1);

    CHECK(bitwire_frame_parse(input.bytes, input.len, NULL, &error) == BITWIRE_ERR_POINTER);
    bitwire_error_message(&error, text, sizeof text);
    CHECK(strncmp(text, "frame is NULL", 13) == 0);

    CHECK(strcmp(bitwire_status_name(BITWIRE_OK), "Ok") == 0);
    CHECK(strcmp(bitwire_status_name(BITWIRE_ERR_CRC), "Crc") == 0);
    CHECK(strcmp(bitwire_status_name(16), "Crc") == 0);
    CHECK(strcmp(bitwire_status_name(BITWIRE_ERR_NOT_AUTHENTICATED), "NotAuthenticated") == 0);
    CHECK(strcmp(bitwire_status_name(-1), "unknown") == 0);
    CHECK(strcmp(bitwire_status_name(4), "unknown") == 0);
}

/* A frame that is no beacon: another kind, its CRC-16 made good. */
static void test_other_kind(struct input input)
{
    uint8_t *bytes = copy_of(input.bytes, input.len);
    bitwire_error error;
    bitwire_frame frame;
    bitwire_beacon beacon;

    bytes[15] = 200;
    mend_crc(bytes, input.len);
    CHECK(bitwire_frame_parse_exact(bytes, input.len, &frame, &error) == BITWIRE_OK && frame.kind == 200);
    REFUSED(bitwire_beacon_open_unverified(&frame, &beacon, &error), BITWIRE_ERR_KIND, 15);
    CHECK(is_empty_beacon(&beacon));
    free(bytes);
}

int main(int argc, char **argv)
{
    struct input beacon, signed_beacon;

    if (argc != 3) {
        fprintf(stderr, "usage: test BEACON.BIT SIGNED.BIT\n");
        return 2;
    }
    CHECK(bitwire_abi() == BITWIRE_ABI);
    beacon = load(argv[1]);
    signed_beacon = load(argv[2]);
    test_beacon(beacon);
    test_signed(signed_beacon);
    test_flipped_bits(signed_beacon);
    test_truncations(signed_beacon);
    test_two(beacon, signed_beacon);
    test_misuse(beacon);
    test_messages(beacon);
    test_other_kind(beacon);
    free(beacon.bytes);
    free(signed_beacon.bytes);
    if (failures == 0)
        puts("as expected");
    return failures != 0;
}
