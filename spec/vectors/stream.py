"""Independent reader of streams of frames, raw and in COBS, and their test vectors.

Made from spec/README.md, spec/frame.md and spec/stream.md alone; the envelope is that of generate.py, which imports this module. The reader is the plain
one: it has the whole stream, and judges each place by its window from the start. As in the other modules, the events are stated by hand or follow
from the layout that a case was built with, and the reader has to agree with every one of them. Where only the reader can say what is wrong with damaged
bytes, the case still states which frames come out.
"""

import hmac as hmac_module
import struct

from generate import (
    BODIES, Bad, CHUNK, CONTEXT, Cases, DIGEST, END, Frame, HMAC, KEY, Lcg, MAGIC, OTHER_KEY, context_text, crc16, frame_faults, full_frame, hmac256,
    read_frame, with_faults,
)

SIZES = (44, 55, 64, 128, 256, 600, 16384)  # the N of the cases; 44 is the least
U64 = 1 << 64


# ---------------------------------------------------------------------------------------------------------
# The reader
# ---------------------------------------------------------------------------------------------------------

def needed(window):
    """Of a frame that is Truncated in this window: the offset of the field that is not there and the bytes it needs together."""
    if len(window) < 4:
        return 4
    if len(window) < 12:
        return 12
    at = 12
    while True:
        if len(window) - at < 3:
            return at + 3
        type_, length = struct.unpack_from(">BH", window, at)
        at += 3 + length
        if len(window) < at:
            return at
        if type_ == END:
            return at + struct.unpack_from(">Q", window, 12 + 3 + 16)[0] + 2


def passes(data, exact, key):
    """The frame at the start of data; Bad if it does not pass."""
    f = read_frame(data, exact)
    if key is not None:
        tlv = f.find(HMAC)
        if not tlv:
            raise Bad("HmacMissing", f.would_stand(HMAC))
        if not hmac_module.compare_digest(tlv.value[1:], f.mac(key)):
            raise Bad("Hmac", tlv.val_off + 1)
    return f


def read_raw(stream, n, key=None):
    events = []
    p = 0
    while p < len(stream):
        window = stream[p:p + n]
        try:
            end = p + passes(window, False, key).end
            events.append(["frame", p, end])
        except Bad as error:
            end = stream.find(MAGIC, p + 1)
            if end < 0:
                end = len(stream)
            if error.kind == "Truncated" and needed(window) > n:
                events.append(["skipped", p, end, "FrameTooLong", p])
            else:
                assert error.kind != "Truncated" or len(window) < n, "Truncated is at the end of the stream"
                events.append(["skipped", p, end, error.kind, p + error.offset])
        p = end
    return events


def decoded(runs):
    """What comes out of runs, and whether the last of them is whole."""
    out = b""
    at = 0
    while at < len(runs):
        count = runs[at]
        out += runs[at + 1:at + count]
        at += count
        if at < len(runs) and count < 255:
            out += b"\x00"
    return out, at == len(runs)


def read_cobs(stream, n, key=None):
    events = []
    start = 0
    while start < len(stream):
        zero = stream.find(b"\x00", start)
        end = zero + 1 if zero >= 0 else len(stream)
        runs = stream[start:zero] if zero >= 0 else stream[start:]
        out, whole = decoded(runs)
        if len(out) > n:
            events.append(["skipped", start, end, "FrameTooLong", start])
        elif zero < 0:
            events.append(["skipped", start, end, "Truncated", end])
        elif not whole:
            events.append(["skipped", start, end, "Cobs", zero])
        elif runs:
            try:
                passes(out, True, key)
                events.append(["frame", start, end])
            except Bad as error:
                events.append(["skipped", start, end, error.kind, error.offset])
        start = end
    return events


def encoded(data):
    """COBS, as short as it can be, without the zero byte at the end."""
    out = bytearray()
    rest = data + b"\x00"                       # each run stands for its bytes and a zero; the last zero is not part of the data
    while rest:
        zero = rest.index(0)
        if zero >= 254:
            out += b"\xff" + rest[:254]
            rest = rest[254:]
            if rest == b"\x00":                 # nothing follows the full run
                break
        else:
            out += bytes([zero + 1]) + rest[:zero]
            rest = rest[zero + 1:]
    return bytes(out)


def segment(data):
    return encoded(data) + b"\x00"


# ---------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------

FRAME = "frame"


class At:
    """An offset in a piece of a stream in COBS; plain numbers are offsets in the frame."""

    def __init__(self, offset):
        self.offset = offset


class StreamCases(Cases):
    @staticmethod
    def run(view, stream, n, key):
        events = {"raw": read_raw, "cobs": read_cobs}[view](stream, n, key)
        # What the document says of all streams.
        at = 0
        for event in events:
            assert event[1] >= at and event[2] > event[1], events
            assert (event[1] == at) if view == "raw" else not any(stream[at:event[1]]), events
            assert event[0] == "skipped" or n >= 44, events
            at = event[2]
        assert at == len(stream) if view == "raw" else not any(stream[at:]), events
        return {"events": events}

    def stream(self, id_, comment, view, stream, n, events=None, key=None):
        assert n in SIZES
        case = {"id": "%s-%s" % (view, id_), "comment": comment, "view": view, "max_frame": n, "hex": stream.hex()}
        if key is not None:
            case["key"] = key.hex()
        case["verdict"] = "accept"
        case["expect"] = self.run(view, stream, n, key) if events is None else {"events": events}
        self.check(case, lambda: self.run(view, stream, n, key))
        self.add(case)
        return case["expect"]["events"]

    def pieces(self, id_, comment, view, n, pieces, key=None):
        """The stream is a list of (bytes, what they are): FRAME, None (they belong to what is before them; in COBS: to nothing), or the kind and the offset
        of the error of a stretch that starts here, from the piece's start."""
        stream, events = b"", []
        for data, what in pieces:
            at = len(stream)
            stream += data
            if what is None:
                if events and view == "raw":
                    events[-1][2] = len(stream)
            elif data and what == FRAME:
                events.append(["frame", at, len(stream)])
            elif data:
                kind, offset = what
                offset = at + offset.offset if isinstance(offset, At) else offset if view == "cobs" else at + offset
                events.append(["skipped", at, len(stream), kind, offset])
        return self.stream(id_, comment, view, stream, n, events, key)

    def raw(self, id_, comment, n, *pieces, key=None):
        return self.pieces(id_, comment, "raw", n, pieces, key)

    def cobs(self, id_, comment, n, *pieces, key=None):
        return self.pieces(id_, comment, "cobs", n, pieces, key)

    def around(self, id_, comment, view, n, before, damaged, after, key=None):
        """Damaged bytes between two frames: these two come out, and not the one that was damaged. What else is wrong with it the reader says."""
        stream = before + damaged + after
        events = self.stream(id_, comment, view, stream, n, None, key)
        expected = [[0, len(before)], [len(stream) - len(after), len(stream)]]
        assert [event[1:3] for event in events if event[0] == "frame"] == expected, (id_, events)


def plain(payload=b"\x20\x00\xc0\xff", **more):
    return Frame(**{"element": 0, "delta_q16": 0, "dim": len(payload), "payload": payload, **more})


def of_length(length, byte=0x61, **more):
    f = plain(b"", **more)
    payload = bytes([byte]) * (length - f.end())
    f = plain(payload, **more)
    assert f.end() == length
    return f


SMALL = plain().bytes()                                             # 55 bytes, with FLAGS_V1
LEAST = plain(b"", flags=None).bytes()                              # 44 bytes
THIRD = plain(b"abcdef", flags=None).bytes()                        # 50 bytes
SIGNED = plain().seal(False, KEY).bytes()                           # 91 bytes
GARBAGE = bytes((37 * i + 101) % 251 for i in range(100))           # without a magic
assert (len(SMALL), len(LEAST), len(THIRD), len(SIGNED)) == (55, 44, 50, 91) and b"BIT" not in GARBAGE


def with_length(f, at, length):
    """The bytes of a frame with another u16 at an offset, and the CRC as it was: damage, not forgery."""
    data = f.bytes()
    return data[:at] + struct.pack(">H", length) + data[at + 2:]


def cut_reason(f, length):
    """What is missing of a frame of which so many bytes are there, from the layout."""
    if length < 4:
        return "Truncated", 0
    if length < 12:
        return "Truncated", 4
    for i, item in enumerate(f.items):
        if length < f.off_at(i) + 3:
            return "Truncated", f.off_at(i)
        if length < f.off_at(i) + 3 + len(item[1]):
            return "Truncated", f.off_at(i) + 3
    return "Truncated", f.payload_off()


def flipped(data, bit, mask):
    """The bits of mask, the highest of 16 at `bit`, are flipped."""
    bits = int.from_bytes(data + bytes(2), "big") ^ mask << 8 * len(data) - bit
    return bits.to_bytes(len(data) + 2, "big")[:-2]


def whole_streams(c):
    c.raw("empty", "no byte, no event", 44)
    c.raw("least", "the shortest frame, and the least N", 44, (LEAST, FRAME))
    c.raw("one", "one frame", 64, (SMALL, FRAME))
    c.raw("back-to-back", "frames one after the other", 64, (SMALL, FRAME), (LEAST, FRAME), (THIRD, FRAME), (SMALL, FRAME))
    c.raw("back-to-back-n", "frames of N bytes", 44, (LEAST, FRAME), (LEAST, FRAME), (LEAST, FRAME))
    c.raw("kinds", "kinds, known and unknown, are all the same", 256, *((plain(kind=kind).bytes(), FRAME) for kind in (0, 2, 3, 4, 5, 6, 7, 200)))
    c.raw("chunk-digest", "kind 1 has its digest", 256, (plain(kind=1).put(CHUNK, BODIES[CHUNK]).seal(True).bytes(), FRAME), (SMALL, FRAME))
    c.raw("full", "every TLV of the envelope", 256, (full_frame().bytes(), FRAME), (full_frame().bytes(), FRAME))
    c.raw("beacon-unread", "what the typed views refuse passes: the results are no JSON", 128, (plain().put(0x04, b"no").bytes(), FRAME))
    c.raw("context-unread", "CONTEXT_V1 that is no JSON, of the right hash", 128, (plain(context=b"no").bytes(), FRAME))


def garbage_cases(c):
    for length in (1, 3, 4, 5, 44, 100):
        kind = "Truncated" if length < 4 else "Magic"
        part = GARBAGE[:length]
        c.raw("garbage-%d" % length, "nothing but garbage", 44, (part, (kind, 0)))
        c.raw("garbage-before-%d" % length, "garbage, then a frame", 64, (part, ("Magic", 0)), (SMALL, FRAME))
        c.raw("garbage-after-%d" % length, "a frame, then garbage", 64, (SMALL, FRAME), (part, (kind, 0)))
    for length in (1, 5, 100):
        c.raw("garbage-between-%d" % length, "garbage between frames", 64, (SMALL, FRAME), (GARBAGE[:length], ("Magic", 0)), (LEAST, FRAME), (GARBAGE[length:], None if length == 100 else ("Magic", 0)),
              (SMALL, FRAME))
    c.raw("zeros", "zeros around a frame", 64, (bytes(70), ("Magic", 0)), (SMALL, FRAME), (bytes(3), ("Truncated", 0)))
    for name, part in (("b", b"B"), ("bi", b"BI"), ("bit", b"BIT"), ("other-version", b"BIT\x02"), ("version-0", b"BIT\x00"), ("bbb", b"BBBBB"), ("bit-bit", b"BITBIT"), ("bibi", b"BIBI"), ("lower", b"bit\x01")):
        c.raw("part-before-" + name, "what begins like a magic, then a frame", 64, (part, ("Magic", 0)), (SMALL, FRAME))
        c.raw("part-after-" + name, "a frame, then what begins like a magic", 64, (SMALL, FRAME), (part, ("Truncated" if len(part) < 4 else "Magic", 0)))
    c.raw("part-alone", "a magic without its last byte", 44, (b"BIT", ("Truncated", 0)))
    c.raw("part-after-garbage", "a magic that the stream's end cuts off does not end a stretch", 44, (b"\xaaBIT", ("Magic", 0)))
    c.raw("part-after-long-garbage", "the same after more of it", 44, (GARBAGE + b"BIT", ("Magic", 0)))
    c.raw("magic-in-garbage", "a magic in garbage is judged", 64, (GARBAGE[:20], ("Magic", 0)), (MAGIC + GARBAGE[20:60], ("FrameTooLong", 0)), (SMALL, FRAME))
    c.raw("magic-in-garbage-short", "the same where the first TLV's length is small", 64, (GARBAGE[:20], ("Magic", 0)), (MAGIC + GARBAGE[:8] + b"\x05\x00\x02ab", ("ConfigNotFirst", 12)), (SMALL, FRAME))
    c.raw("magic-last", "a whole magic at the end", 44, (GARBAGE[:9], ("Magic", 0)), (MAGIC, ("Truncated", 4)))
    c.raw("magic-alone", "nothing but a magic", 44, (MAGIC, ("Truncated", 4)))
    c.raw("magic-doubled", "a magic before a frame, whose ctx is taken for a TLV with a length of a5a6", 64, (MAGIC, ("FrameTooLong", 0)), (SMALL, FRAME))
    c.raw("magic-four", "four magics before a frame", 64, *[(MAGIC, ("FrameTooLong", 0))] * 4, (SMALL, FRAME))
    c.raw("magic-many", "nothing but magics", 44, *[(MAGIC, ("FrameTooLong", 0))] * 3, (MAGIC, ("Truncated", 12)), (MAGIC, ("Truncated", 4)), (MAGIC, ("Truncated", 4)))
    c.raw("magic-three-bytes", "three bytes of a magic, then a frame", 64, (b"BIT", ("Magic", 0)), (SMALL, FRAME))


def within_cases(c):
    inner = plain(b"ab" + MAGIC + b"cdefgh", flags=None)
    data = inner.bytes()
    at = inner.payload_off() + 2
    c.raw("magic-in-payload", "a magic in the payload of a frame that passes", 64, (data, FRAME), (data, FRAME))
    bad = data[:-1] + bytes([data[-1] ^ 1])
    c.raw("magic-in-payload-crc", "the frame does not pass: the magic in it is judged", 64, (bad[:at], ("Crc", inner.crc_off())), (bad[at:], ("Truncated", 12)))
    c.raw("magic-in-payload-crc-next", "the same before a frame", 64, (bad[:at], ("Crc", inner.crc_off())), (bad[at:], ("FrameTooLong", 0)), (SMALL, FRAME))
    outer = plain(b"<" + LEAST + b">", flags=None)
    data = outer.bytes()
    at = outer.payload_off() + 1
    c.raw("inside", "a frame in the payload of a frame that passes is no event", 128, (data, FRAME), (SMALL, FRAME))
    for name, flip, reason in (("crc", outer.crc_off(), ("Crc", outer.crc_off())), ("ctx", 4, ("Crc", outer.crc_off())), ("magic", 0, ("Magic", 0)), ("end", 39, ("FrameTooLong", 0)),
                               ("payload", outer.payload_off(), ("Crc", outer.crc_off()))):
        bad = data[:flip] + bytes([data[flip] ^ 0x20 if name != "end" else 0x90]) + data[flip + 1:]
        if name == "end":                                               # an unknown TLV of 0 bytes, then the payload is read as TLVs
            assert 42 + 3 + struct.unpack_from(">H", bad, 43)[0] > 128
        c.raw("inside-damaged-" + name, "a frame in a frame that does not pass", 128, (bad[:at], reason), (LEAST, FRAME), (bad[at + 44:], ("Truncated", 0)))
        c.raw("inside-damaged-next-" + name, "the same, then a frame", 128, (bad[:at], reason), (LEAST, FRAME), (bad[at + 44:], ("Magic", 0)), (SMALL, FRAME))
    c.raw("inside-too-long", "a frame in a frame of more than N bytes", 64, (data[:at], ("FrameTooLong", 0)), (LEAST, FRAME), (data[at + 44:], ("Magic", 0)), (SMALL, FRAME))
    c.raw("inside-cut", "a frame in a frame that the stream's end cuts off", 128, (data[:at], ("Truncated", outer.payload_off())), (LEAST, FRAME), (data[at + 44:-1], ("Truncated", 0)))
    c.raw("inside-begun", "the stream begins within a frame that holds a frame", 128, (data[5:at], ("Magic", 0)), (LEAST, FRAME), (data[at + 44:], ("Magic", 0)), (SMALL, FRAME))
    context = plain(context=b"ab" + SMALL).bytes()
    at = context.index(SMALL)
    c.raw("inside-tlv", "a frame in a TLV", 128, (context, FRAME), (SMALL, FRAME))
    bad = context[:-1] + bytes([context[-1] ^ 1])
    c.raw("inside-tlv-damaged", "a frame in a TLV of a frame that does not pass", 128, (bad[:at], ("Crc", len(bad) - 2)), (SMALL, FRAME), (bad[at + 55:], ("Magic", 0)), (SMALL, FRAME))
    false = plain(SMALL[:30], flags=None)
    c.raw("inside-begins", "the frame within begins in a frame that passes, and its rest is skipped", 128, (false.bytes(), FRAME), (SMALL[30:], ("Magic", 0)), (SMALL, FRAME))
    for name, cut in (("crc-cut", 1), ("both-crc-cut", 2)):
        bad = SMALL[:-cut]
        c.raw("lost-" + name, "the frame takes the next one's first bytes for its CRC, and does not pass", 64, (bad, ("Crc", 53)), (SMALL, FRAME))
    for k in range(1 << 16):                                            # a frame that ends in 42 49, before 54 01: a magic across the border
        f = plain(struct.pack(">H", k), flags=None).bytes()
        if f[-2:] == b"BI":
            break
    c.raw("magic-across-end", "a magic across a frame's end: the frame's end is judged, not the magic", 64, (f, FRAME), (b"T\x01" + GARBAGE[:20], ("Magic", 0)), (SMALL, FRAME))
    bad = f[:20] + bytes([f[20] ^ 1]) + f[21:]
    c.raw("magic-across-end-damaged", "the same where the frame does not pass", 64, (bad[:-2], ("Crc", len(bad) - 2)), (b"BIT\x01" + GARBAGE[:20], ("FrameTooLong", 0)), (SMALL, FRAME))


def length_cases(c):
    for n in (55, 64, 128, 256):
        exact, over = of_length(n).bytes(), of_length(n + 1).bytes()
        c.raw("n-%d-exact" % n, "a frame of N bytes", n, (exact, FRAME), (LEAST, FRAME))
        c.raw("n-%d-over" % n, "a frame of N + 1 bytes, then one of N", n, (over, ("FrameTooLong", 0)), (exact, FRAME))
        c.raw("n-%d-over-last" % n, "a frame of N + 1 bytes at the end", n, (exact, FRAME), (over, ("FrameTooLong", 0)))
        c.raw("n-%d-over-cut" % n, "a frame of N + 1 bytes, cut off at N: what it needs counts, not what is there", n, (over[:-1], ("FrameTooLong", 0)))
        c.raw("n-%d-cut" % n, "a frame of N bytes, cut off by one", n, (exact[:-1], ("Truncated", 49)))
    c.raw("n-44-over", "a frame of 45 bytes where N is 44", 44, (plain(b"a", flags=None).bytes(), ("FrameTooLong", 0)), (LEAST, FRAME))
    c.raw("n-44-flags", "FLAGS_V1 needs more than N", 44, (SMALL, ("FrameTooLong", 0)), (LEAST, FRAME))
    c.raw("n-44-flags-cut", "the same, cut off before the length of FLAGS_V1: nothing says yet that it is too long", 44, (SMALL[:41], ("Truncated", 39)))
    c.raw("n-44-flags-cut-after", "cut off behind the length of FLAGS_V1", 44, (SMALL[:42], ("FrameTooLong", 0)))
    # payload_len of a frame at the stream's start, two good frames after it
    f = plain(b"wxyz", flags=None)                                      # 48 bytes, the payload at 42
    for name, value, n, reason in (
            ("less", 3, 128, "Crc"), ("none", 0, 128, "Crc"), ("more", 5, 128, "Crc"), ("to-n", 128 - 44, 128, "Crc"), ("over-n", 128 - 43, 128, "FrameTooLong"), ("64k", 65536, 128, "FrameTooLong"),
            ("over-all", 600 - 44, 600, "Truncated"), ("over-all-n", 600 - 43, 600, "FrameTooLong"), ("2-31", 1 << 31, 128, "FrameTooLong"), ("2-32-less", (1 << 32) - 1, 128, "FrameTooLong"),
            ("2-32", 1 << 32, 128, "FrameTooLong"), ("2-32-more", (1 << 32) + 4, 128, "FrameTooLong"), ("2-63", 1 << 63, 128, "FrameTooLong"), ("2-64-less", U64 - 1, 128, "FrameTooLong"),
            ("wrap-to-0", U64 - 44, 128, "FrameTooLong"), ("wrap-crc", U64 - 2, 128, "FrameTooLong"),
            ("wrap-payload", U64 - 42, 128, "FrameTooLong"), ("wrap-less", U64 - 43, 128, "FrameTooLong")):
        bad = f.copy().cfg(payload_len=value).bytes(0x1234)
        offset = {"Crc": 42 + value, "FrameTooLong": 0, "Truncated": 42}[reason]
        c.raw("payload-len-" + name, "payload_len is %d in place of 4" % value, n, (bad, (reason, offset)), (SMALL, FRAME), (SMALL, FRAME))
    good = f.copy().cfg(payload_len=U64 - 1).bytes()
    c.raw("payload-len-signed-off", "payload_len of 2^64 - 1 with a CRC over what is there", 64, (good, ("FrameTooLong", 0)), (LEAST, FRAME))
    c.raw("payload-len-order", "the TLVs are walked before payload_len is looked at", 64, (f.copy().cfg(payload_len=U64 - 1).insert(1, 0x05, b"").bytes(), ("CriticalTlv", 39)), (LEAST, FRAME))
    c.raw("payload-len-last", "too long by what it says, at the end of the stream", 64, (SMALL, FRAME), (f.copy().cfg(payload_len=21).bytes(), ("FrameTooLong", 0)))
    c.raw("payload-len-last-n", "not too long by what it says, at the end of the stream", 64, (SMALL, FRAME), (f.copy().cfg(payload_len=20).bytes(), ("Truncated", 42)))
    # lengths of TLVs
    f = plain()
    for name, at, value, n, reason in (
            ("config-less", 13, 23, 128, ("TlvLength", 13)), ("config-more", 13, 25, 128, ("TlvLength", 13)), ("config-0", 13, 0, 128, ("TlvLength", 13)), ("config-to-n", 13, 128 - 15, 128, ("TlvLength", 13)),
            ("config-over-n", 13, 128 - 14, 128, ("FrameTooLong", 0)), ("config-64k", 13, 65535, 128, ("FrameTooLong", 0)), ("config-512", 13, 512 + 24, 600, ("Truncated", 15)),
            ("flags-less", 40, 3, 128, ("TlvLength", 40)), ("flags-more", 40, 5, 128, ("TlvLength", 40)), ("flags-to-n", 40, 128 - 42, 128, ("TlvLength", 40)), ("flags-over-n", 40, 128 - 41, 128, ("FrameTooLong", 0)),
            ("end-more", 47, 1, 128, ("TlvLength", 47)), ("end-to-n", 47, 128 - 49, 128, ("TlvLength", 47)), ("end-over-n", 47, 128 - 48, 128, ("FrameTooLong", 0)), ("end-256", 47, 256, 128, ("FrameTooLong", 0))):
        c.raw("tlv-len-" + name, "a TLV's length is %d" % value, n, (with_length(f, at, value), reason), (SMALL, FRAME), (LEAST, FRAME))
    swap = SMALL[:39] + b"\x01" + SMALL[40:]
    c.raw("tlv-order", "a type that is not over the one before, its value there", 128, (swap, ("TlvOrder", 39)), (SMALL, FRAME))
    swap = SMALL[:39] + b"\x01\x00\xff" + SMALL[42:]
    c.raw("tlv-order-long", "the same with a length over N: the value comes first in the order of checks", 128, (swap, ("FrameTooLong", 0)), (SMALL, FRAME), (SMALL, FRAME), (SMALL, FRAME), (SMALL, FRAME))
    c.raw("tlv-order-cut", "the same at the end of the stream", 256, (swap[:42] + b"ab", ("FrameTooLong", 0)))
    c.raw("tlv-order-cut-n", "the same where N allows it", 600, (swap[:42] + b"ab", ("Truncated", 42)))
    c.raw("tlv-order-zero", "a type that is not over the one before, of length 0, at the end of the stream", 64, (SMALL[:39] + b"\x01\x00\x00", ("TlvOrder", 39)))
    for left in range(0, 5):                                            # the next TLV's 3 bytes start so many before N
        first = plain(b"").put(0x90, bytes(128 - left - 46 - 3))
        assert first.off(END) == 128 - left
        c.raw("tlv-at-n-%d" % left, "END starts %d bytes before N: it, the payload or the CRC is beyond N" % left, 128, (first.bytes(), ("FrameTooLong", 0)), (LEAST, FRAME))
    last = plain(b"").put(0x90, bytes(128 - 5 - 46 - 3))
    assert last.end() == 128
    c.raw("tlv-at-n-5", "END starts 5 bytes before N, as late as it can", 128, (last.bytes(), FRAME), (LEAST, FRAME))
    bad = plain(b"").put(0x90, bytes(128 - 3 - 46 - 3)).bytes()
    c.raw("tlv-at-n-3-bad", "a TLV of length 0 that is out of order ends at N", 128, (bad[:125] + b"\x90\x00\x00" + bad[128:], ("TlvOrder", 125)), (LEAST, FRAME))
    c.raw("tlv-at-n-2-bad", "a byte later it is beyond N", 128, (plain(b"").put(0x90, bytes(128 - 2 - 46 - 3)).bytes()[:126] + b"\x90\x00\x00\x00\x00", ("FrameTooLong", 0)), (LEAST, FRAME))


def damage_cases(c):
    f = plain()
    for length in range(1, 55):
        c.raw("cut-%d" % length, "a frame of 55 bytes, cut off at %d" % length, 64, (SMALL[:length], cut_reason(f, length)))
    for length in (1, 3, 4, 8, 12, 15, 39, 41, 44, 46, 49, 52, 54):
        c.around("cut-between-%d" % length, "a frame cut off at %d before another" % length, "raw", 64, SMALL, SMALL[:length], LEAST)
    for at in (0, 1, 3, 4, 11, 12, 13, 14, 15, 16, 31, 38, 39, 40, 41, 42, 45, 46, 47, 48, 49, 52, 53, 54):
        c.around("lost-%d" % at, "byte %d is lost" % at, "raw", 128, LEAST, SMALL[:at] + SMALL[at + 1:], SMALL)
        if at in (0, 3, 4, 12, 14, 15, 38, 39, 41, 46, 48, 49, 53, 54):
            name, stream = "doubled-%d" % at, SMALL[:at] + SMALL[at:at + 1] + SMALL[at:]
            if at == 0:
                c.raw(name, "the first byte is doubled", 128, (LEAST, FRAME), (b"B", ("Magic", 0)), (SMALL, FRAME), (SMALL, FRAME))
            elif at == 54:
                c.raw(name, "the last byte is doubled", 128, (LEAST, FRAME), (SMALL, FRAME), (SMALL[-1:], ("Magic", 0)), (SMALL, FRAME))
            else:
                c.around(name, "byte %d is doubled" % at, "raw", 128, LEAST, stream, SMALL)
    for bit in (0, 7, 31, 32, 96, 103, 111, 119, 127, 255, 311, 312, 335, 368, 391, 392, 423, 424, 439):
        c.around("flip-%d" % bit, "bit %d is flipped" % bit, "raw", 128, LEAST, flipped(SMALL, bit, 0x8000), SMALL)
    rng = Lcg(0x57AEA)
    for i in range(16):
        mask = rng.u32() & 0x7FFF | 0x8000
        bit = rng.u32() % (8 * len(SMALL) - 16)
        c.around("burst-%d" % i, "bits %d to %d are flipped by %04x" % (bit, bit + 15, mask), "raw", 128, LEAST, flipped(SMALL, bit, mask), SMALL)
    for i, bit in enumerate((8 * 53 - 8, 8 * 53 - 1, 8 * 53, 8 * 12 - 8)):
        c.around("burst-16-%d" % i, "16 bits from bit %d" % bit, "raw", 128, LEAST, flipped(SMALL, bit, 0xFFFF), SMALL)
    false_cases(c)
    damaged = SMALL[:20] + SMALL[25:]
    c.raw("damaged-many", "one frame after another is damaged", 256, *[(SMALL[:50] + b"?" + SMALL[51:], ("Crc", 53))] * 4, (SMALL, FRAME))
    c.raw("damaged-first-cut", "the stream begins within a frame", 64, (SMALL[17:], ("Magic", 0)), (SMALL, FRAME), (LEAST, FRAME))
    c.around("lost-five", "five bytes are lost", "raw", 128, SMALL, damaged, LEAST)


def false_cases(c):
    """Damage that the CRC does not find: a length is damaged, and says that the CRC stands elsewhere."""
    eight = plain(bytes(8), flags=None)
    start = eight.copy().cfg(payload_len=0).bytes()[:42]
    fooled = plain(struct.pack(">H", crc16(start[4:])) + b"abcdef", flags=None).bytes()
    damaged = start + fooled[42:]
    assert sum((a ^ b).bit_count() for a, b in zip(fooled, damaged)) == 1
    c.raw("false-frame-sent", "a frame whose payload begins with the CRC of another", 64, (fooled, FRAME), (SMALL, FRAME))
    c.raw("false-frame", "one bit of its payload_len is flipped: what passes is no frame that was sent", 64, (damaged[:44], FRAME), (damaged[44:], ("Magic", 0)), (SMALL, FRAME))
    c.cobs("false-frame", "in COBS the segment says that the frame is longer", 64, (segment(damaged), ("TrailingBytes", 44)), (segment(SMALL), FRAME))
    start = eight.copy().cfg(payload_len=8 ^ 0b1100001).bytes()[:42] + bytes(8) + eight.bytes()[-2:]
    assert len(start) + len(SIGNED) + 6 == 42 + (8 ^ 0b1100001) + 2
    crc = crc16(start[4:] + SIGNED + MAGIC)
    after = plain(ctx=struct.pack(">H", crc) + b"ctx...").bytes()
    c.raw("false-swallows-sent", "three frames, of which the last has the CRC of another in its ctx", 256, (eight.bytes(), FRAME), (SIGNED, FRAME), (after, FRAME), (SIGNED, FRAME))
    c.raw("false-swallows", "payload_len of the first is damaged: what passes ends in the third, and what lies in its range is lost with it", 256,
          (start + SIGNED + after[:6], FRAME), (after[6:], ("Magic", 0)), (SIGNED, FRAME))
    c.raw("false-swallows-key", "the same to a reader with a key: nothing is lost that was signed", 256,
          (start, ("HmacMissing", 39)), (SIGNED, FRAME), (after, ("HmacMissing", 46)), (SIGNED, FRAME), key=KEY)


def hostile_case(c):
    """Frames in frames, the start of each behind that of the one before; every CRC is good, and no digest."""
    count = 60
    start = plain(b"", flags=None).put(DIGEST, b"\x01" + bytes(32))
    head = start.bytes()[:-2]
    inside = bytes(4200) + SMALL
    stream, ends = b"", count * len(head) + len(inside)
    for i in range(count):
        payload_len = ends + 2 * i - (i + 1) * len(head)
        stream += start.copy().cfg(payload_len=payload_len).bytes()[:-2]
    stream += inside
    for i in range(count):
        stream += struct.pack(">H", crc16(stream[i * len(head) + 4:]))
    pieces = [(stream[i * len(head):(i + 1) * len(head)], ("Digest", start.val(DIGEST) + 1)) for i in range(count)]
    pieces[-1] = (pieces[-1][0] + bytes(4200), pieces[-1][1])
    c.raw("hostile", "60 frames in each other with good CRCs and bad digests, each longer than 4,096 bytes: the frame in them is found by a reader with a bound on N", 16384,
          *pieces, (SMALL, FRAME), (stream[ends:], ("Magic", 0)))


def envelope(c):
    """The order of checks after the CRC, and the key, in both framings."""
    base = full_frame()
    for fault in frame_faults():
        f, data = with_faults(base, [fault])
        kind, offset = fault[4], fault[5](f)
        text = "the first error of the frame is " + kind
        if fault[0] == "payload-len":
            c.raw("fault-" + fault[0], text + ", but it needs more than N", 256, (data, ("FrameTooLong", 0)), (SMALL, FRAME))
            c.raw("fault-" + fault[0] + "-last", "the same at the end of the stream", 256, (data, ("FrameTooLong", 0)))
        elif fault[0] == "trailing":
            c.raw("fault-" + fault[0], "what follows a frame is judged on its own", 256, (data[:-1], FRAME), (data[-1:], ("Magic", 0)), (SMALL, FRAME))
        else:
            c.raw("fault-" + fault[0], text, 256, (data, (kind, offset)), (SMALL, FRAME))
        c.cobs("fault-" + fault[0], text, 256, (segment(data), (kind, offset)), (segment(SMALL), FRAME))
    other = plain().seal(False, OTHER_KEY)
    tampered = plain().seal(False, KEY)
    tampered.payload = b"\x20\x00\xc0\xfe"
    digest = plain().seal(True, KEY)
    stripped = plain().seal(True)
    bad_digest = plain().seal(True, KEY).poke(DIGEST, 7, b"\x99").rehash(None)
    bad_digest.put(DIGEST, b"\x01" + bytes(32))
    bad_digest.put(HMAC, b"\x01" + hmac256(KEY, bad_digest.ctx + bad_digest.without(HMAC, END) + bad_digest.payload))
    version = plain().seal(False, KEY).poke(HMAC, 0, b"\x02")
    keyed = (
        ("signed", plain().seal(False, KEY), FRAME), ("signed-digest", digest, FRAME), ("unsigned", plain(), ("HmacMissing", 46)), ("unsigned-digest", stripped, ("HmacMissing", stripped.off(HMAC))),
        ("other-key", other, ("Hmac", 50)), ("tampered", tampered, ("Hmac", 50)), ("bad-digest", bad_digest, ("Digest", bad_digest.val(DIGEST) + 1)), ("hmac-version", version, ("ValueVersion", 49)),
        ("flag-alone", plain(flags=1), ("FlagsHmac", 42)), ("flag-missing", plain().seal(False, KEY).flag(1, False), ("FlagsHmac", 42)), ("padded", plain().seal(False, KEY, pad=3), FRAME),
    )
    for name, f, what in keyed:
        data = f.bytes()
        c.raw("key-" + name, "a reader with a key", 256, (data, what), (SIGNED, FRAME), key=KEY)
        c.cobs("key-" + name, "a reader with a key", 256, (segment(data), what), (segment(SIGNED), FRAME), key=KEY)
        c.raw("no-key-" + name, "the same without a key", 256, (data, FRAME if what in (FRAME, ("Hmac", 50)) or what[0] == "HmacMissing" else what), (SIGNED, FRAME))
    c.raw("key-inside", "a signed frame in the payload of an unsigned one is found", 256, (plain(b"<" + SIGNED).bytes()[:50], ("HmacMissing", 46)), (SIGNED, FRAME),
          (plain(b"<" + SIGNED).bytes()[50 + 91:], ("Truncated", 0)), key=KEY)
    c.raw("key-inside-signed", "an unsigned frame in the payload of a signed one is not looked for", 256, (plain(b"<" + SMALL).seal(False, KEY).bytes(), FRAME), key=KEY)
    c.raw("key-order", "the digest comes before the key, the CRC before the digest", 256, (bad_digest.bytes(0), ("Crc", bad_digest.crc_off())), (SIGNED, FRAME), key=KEY)
    c.cobs("key-trailing", "what follows a frame comes before the key", 256, (segment(SMALL + b"a"), ("TrailingBytes", 55)), (segment(other.bytes() + b"a"), ("TrailingBytes", 91)), (segment(SIGNED), FRAME), key=KEY)
    c.raw("key-too-long", "a length comes before the key", 64, (SIGNED, ("FrameTooLong", 0)), (SMALL, ("HmacMissing", 46)), key=KEY)
    wrong = plain(context=context_text(4)).seal()
    wrong.ctx = bytes(8)
    c.raw("context-hash-between", "ctx is not that of CONTEXT_V1, the CRC is good", 128, (SMALL, FRAME), (wrong.bytes(), ("ContextHash", wrong.val(CONTEXT))), (SMALL, FRAME))
    chunk = plain(kind=1).put(CHUNK, BODIES[CHUNK])
    c.raw("digest-missing-chunk", "kind 1 without a digest", 128, (chunk.bytes(), ("DigestMissing", chunk.off(DIGEST))), (SMALL, FRAME))


def cobs_whole(c):
    one, least, third = segment(SMALL), segment(LEAST), segment(THIRD)
    zero = b"\x00"
    c.cobs("empty", "no byte, no event", 44)
    for count in (1, 2, 5):
        c.cobs("zeros-%d" % count, "nothing but zero bytes", 44, (bytes(count), None))
    c.cobs("one", "one frame", 55, (one, FRAME))
    c.cobs("least", "the shortest frame, and the least N", 44, (least, FRAME))
    c.cobs("leading-zero", "a zero byte first", 64, (zero, None), (one, FRAME))
    c.cobs("back-to-back", "frames one after the other", 64, (one, FRAME), (least, FRAME), (third, FRAME), (one, FRAME))
    c.cobs("empty-segments", "more zero bytes than it takes, everywhere", 64, (bytes(3), None), (one, FRAME), (bytes(2), None), (least, FRAME), (zero, None), (third, FRAME), (bytes(4), None))
    c.cobs("no-last-zero", "the last zero byte is missing: the frame is not whole", 64, (one, FRAME), (least[:-1], ("Truncated", At(len(least) - 1))))
    c.cobs("no-last-zero-alone", "the same with one frame", 64, (one[:-1], ("Truncated", At(len(one) - 1))))
    for length in range(1, len(one) - 1, 6):
        c.cobs("cut-%d" % length, "the stream ends after %d bytes of a frame" % length, 64, (least, FRAME), (one[:length], ("Truncated", At(length))))
    for length in (1, 2, 5, 17, 40):
        c.around("begun-%d" % length, "bytes up to %d of a frame are lost, with its zero byte all the frames but it come out" % length, "cobs", 64, least, one[length:], third)
    # the zero byte between two frames is lost
    c.cobs("zero-lost", "the zero byte between two frames is lost: one segment, a zero between the frames", 128, (one[:-1] + least, ("TrailingBytes", 55)), (third, FRAME))
    c.cobs("zero-lost-long", "the same, together over N", 64, (one[:-1] + least, ("FrameTooLong", At(0))), (third, FRAME))
    c.cobs("zero-lost-exact", "together they are N bytes", 128, (segment(of_length(128 - 44 - 1).bytes())[:-1] + least, ("TrailingBytes", 83)), (third, FRAME))
    c.cobs("zero-lost-over", "together they are N + 1 bytes, with the zero between them", 128, (segment(of_length(128 - 44).bytes())[:-1] + least, ("FrameTooLong", At(0))), (third, FRAME))
    c.cobs("zero-lost-last", "the zero byte between two frames is lost, and the last one", 128, (one[:-1] + least[:-1], ("Truncated", At(len(one) + len(least) - 2))))
    c.cobs("zero-lost-first-bad", "the first error is that of the first frame", 128, (segment(SMALL[:-1] + b"\x77")[:-1] + least, ("Crc", 53)), (third, FRAME))
    # a zero too much, at each place
    code, codes = 0, set()
    while code < len(one) - 1:
        codes.add(code)
        code += one[code]
    for at in range(len(one) + 1):
        stream = least + one[:at] + zero + one[at:] + third
        name, text = "zero-at-%d" % at, "a zero byte too much after %d bytes" % at
        if at in (0, len(one) - 1, len(one)):
            c.cobs(name, text, 64, (least, FRAME), (zero * (at == 0), None), (one, FRAME), (zero * (at != 0), None), (third, FRAME))
            continue
        events = c.stream(name, text, "cobs", stream, 64)
        assert events[0] == ["frame", 0, len(least)] and events[-1] == ["frame", len(stream) - len(third), len(stream)] and len(events) == 4, events
        assert [event[1] for event in events[1:3]] == [len(least), len(least) + at + 1] and {event[0] for event in events[1:3]} == {"skipped"}, events
        if at in codes:                                                 # the runs before it are whole, and a frame's start
            assert events[1][3:] == list(cut_reason(plain(), len(decoded(one[:at])[0]))), (at, events)
        else:
            assert events[1][3:] == ["Cobs", len(least) + at], (at, events)


def cobs_runs(c):
    def mark(payload):
        return plain(payload, flags=None)
    nonzero = bytes(1 + i % 255 for i in range(600))
    # The payload starts after END's length of two zeros: its run begins with it, up to the CRC's end or the first zero in it.
    for length in (251, 252, 253, 254, 255, 260, 506, 508):
        for pad in range(4):
            f = mark(nonzero[pad:pad + length])
            if 0 not in f.bytes()[-2:]:
                break
        data = f.bytes()
        code = encoded(data)
        run = length + 2
        tail = code[-(run + (run + 253) // 254):]
        assert tail[0] == (255 if run >= 254 else run + 1)
        c.cobs("run-%d" % run, "a frame that ends in %d bytes without a zero" % run, 600, (code + b"\x00", FRAME), (segment(LEAST), FRAME))
        if run % 254 == 0:
            c.cobs("run-%d-longer" % run, "the last full run is followed by a run of 1, which changes nothing", 600, (code + b"\x01\x00", FRAME), (segment(LEAST), FRAME))
            c.cobs("run-%d-more" % run, "two runs of 1 after it: a zero comes out", 600, (code + b"\x01\x01\x00", ("TrailingBytes", len(data))), (segment(LEAST), FRAME))
            c.cobs("run-%d-lost" % run, "the zero byte after a full run is lost: no zero between the frames", 600,
                   (code + segment(LEAST), ("TrailingBytes", len(data))) if len(data) + 44 <= 600 else (code + segment(LEAST), ("FrameTooLong", At(0))), (segment(SMALL), FRAME))
            c.cobs("run-%d-cut" % run, "a full run at the end of the stream", 600, (code, ("Truncated", At(len(code)))))
        else:
            c.cobs("run-%d-more" % run, "a run of 1 after it: a zero comes out", 600, (code + b"\x01\x00", ("TrailingBytes", len(data))), (segment(LEAST), FRAME))
    zeros = mark(bytes(30))
    c.cobs("zeros-in-payload", "a payload of zeros", 128, (segment(zeros.bytes()), FRAME), (segment(LEAST), FRAME))
    for length in (253, 254, 255):
        f = mark(nonzero[:length] + b"\x00" + nonzero[:20] + b"\x00")
        c.cobs("zero-after-%d" % length, "a zero in the payload after %d bytes without one" % length, 600, (segment(f.bytes()), FRAME), (segment(LEAST), FRAME))
    # Segments that are no frames
    for name, runs, reason in (
            ("01", b"\x01", ("Truncated", 0)), ("01-01", b"\x01\x01", ("Truncated", 0)), ("01-x5", b"\x01" * 5, ("Magic", 0)), ("02", b"\x02", ("Cobs", At(1))), ("ff", b"\xff", ("Cobs", At(1))),
            ("02-a", b"\x02a", ("Truncated", 0)), ("bit", b"\x05BIT\x01", ("Truncated", 4)), ("bit-cut", b"\x06BIT\x01", ("Cobs", At(5))), ("bit-zeros", b"\x05BIT\x01" + b"\x01" * 7, ("Truncated", 4)),
            ("bit-ctx", b"\x05BIT\x01" + b"\x01" * 9, ("Truncated", 12)), ("bit-12", b"\x0dBIT\x01abcdefgh", ("Truncated", 12)), ("bit-14", b"\x0dBIT\x01abcdefgh" + b"\x01" * 2, ("Truncated", 12)),
            ("bit-16", b"\x0dBIT\x01abcdefgh" + b"\x01" * 4, ("ConfigNotFirst", 12)), ("raw", b"BITxxxx", ("Cobs", At(7)))):
        c.cobs("short-" + name, "a segment that is no frame", 64, (segment(SMALL), FRAME), (runs + b"\x00", reason), (segment(LEAST), FRAME))
    c.cobs("raw-frame", "a raw frame in a stream in COBS, which cuts it at its zeros", 64, *raw_in_cobs(SMALL), (b"\x00", None), (segment(LEAST), FRAME))
    # Needed is not looked at in COBS
    f = plain(b"wxyz", flags=None)
    for name, value in (("5", 5), ("over-n", 100), ("2-64", U64 - 1), ("wrap", U64 - 44)):
        c.cobs("payload-len-" + name, "payload_len is %d in place of 4" % value, 64, (segment(f.copy().cfg(payload_len=value).bytes()), ("Truncated", 42)), (segment(LEAST), FRAME))
    c.cobs("payload-len-3", "payload_len is 3 in place of 4, with a CRC over all", 64, (segment(f.copy().cfg(payload_len=3).bytes()), ("Crc", 45)), (segment(LEAST), FRAME))
    c.cobs("tlv-len-over-n", "a TLV's length is over N", 64, (segment(with_length(plain(), 40, 500)), ("Truncated", 42)), (segment(LEAST), FRAME))
    for extra in (b"a", b"\x00", b"abcdefghi", LEAST, SMALL[:20]):
        c.cobs("trailing-%d-%02x" % (len(extra), extra[0]), "bytes after the frame, in its segment", 128, (segment(SMALL + extra), ("TrailingBytes", 55)), (segment(LEAST), FRAME))


def raw_in_cobs(data):
    """Pieces of a raw frame read as COBS: the first byte is a code of 66 and so on; none of them is a frame."""
    out = []
    for part in data.split(b"\x00"):
        if part:
            start = part + b"\x00"
            text, whole = decoded(part)
            reason = ("Cobs", At(len(part)))
            if whole:
                reason = ("Truncated", 0) if len(text) < 4 else ("Magic", 0)
            out.append((start, reason))
        else:
            out.append((b"\x00", None))
    return out                                                          # the last one ends at a zero byte that the frame does not have


def cobs_long(c):
    one, least = segment(SMALL), segment(LEAST)
    for n in (55, 64, 128, 256):
        exact, over = segment(of_length(n).bytes()), segment(of_length(n + 1).bytes())
        c.cobs("n-%d-exact" % n, "a frame of N bytes", n, (exact, FRAME), (least, FRAME))
        c.cobs("n-%d-over" % n, "a frame of N + 1 bytes, then one of N", n, (over, ("FrameTooLong", At(0))), (exact, FRAME))
        c.cobs("n-%d-over-cut" % n, "N + 1 bytes come out of what the stream's end cuts off", n, (exact, FRAME), (over[:-1], ("FrameTooLong", At(0))))
        c.cobs("n-%d-cut" % n, "N bytes come out of what the stream's end cuts off", n, (exact, FRAME), (exact[:-1], ("Truncated", At(len(exact) - 1))))
        c.cobs("n-%d-over-lost" % n, "the last byte of a frame of N + 1 bytes is lost: N come out, and its run is cut off", n, (over[:-2] + b"\x00", ("Cobs", At(len(over) - 2))), (least, FRAME))
    # 44 bytes come out of 45 of a run: whole, cut by a zero byte, cut by the end
    for count in (43, 44, 45):
        body = b"x" * count
        reason = ("Magic", 0) if count <= 44 else ("FrameTooLong", At(0))
        c.cobs("out-%d" % count, "%d bytes in one run" % count, 44, (bytes([count + 1]) + body + b"\x00", reason), (least, FRAME))
        cut = ("Cobs", At(count + 1)) if count <= 44 else ("FrameTooLong", At(0))
        c.cobs("out-%d-cut" % count, "%d bytes of a run that is to be longer" % count, 44, (b"\xff" + body + b"\x00", cut), (least, FRAME))
        end = ("Truncated", At(count + 1)) if count <= 44 else ("FrameTooLong", At(0))
        c.cobs("out-%d-end" % count, "%d bytes of a run that is to be longer, at the end" % count, 44, (b"\xff" + body, end))
        c.cobs("out-%d-end-whole" % count, "%d bytes in one whole run, at the end: its zero would come out with the next run" % count, 44, (bytes([count + 1]) + body, end))
        after = ("FrameTooLong", At(0)) if count >= 44 else ("Magic", 0)
        c.cobs("out-%d-zero" % count, "%d bytes, then a run of 1: one byte more" % count, 44, (bytes([count + 1]) + body + b"\x01\x00", after), (least, FRAME))
        after = ("FrameTooLong", At(0)) if count >= 44 else ("Truncated", At(count + 2))
        c.cobs("out-%d-zero-end" % count, "the same at the end of the stream", 44, (bytes([count + 1]) + body + b"\x01", after))
        after = ("FrameTooLong", At(0)) if count >= 44 else ("Cobs", At(count + 2))
        c.cobs("out-%d-zero-cut" % count, "%d bytes, then a run's first byte alone" % count, 44, (bytes([count + 1]) + body + b"\x05\x00", after), (least, FRAME))
    c.cobs("long", "a segment far over N", 44, (encoded(GARBAGE * 7) + b"\x00", ("FrameTooLong", At(0))), (least, FRAME))
    c.cobs("long-end", "the same at the end of the stream", 44, (least, FRAME), (encoded(GARBAGE * 7), ("FrameTooLong", At(0))))
    c.cobs("long-cut", "a segment over N that a zero byte cuts off too", 44, (encoded(GARBAGE * 4)[:-3] + b"\x00", ("FrameTooLong", At(0))), (least, FRAME))
    c.cobs("ones", "N runs of 1: N - 1 zeros", 44, (b"\x01" * 44 + b"\x00", ("Magic", 0)), (b"\x01" * 45 + b"\x00", ("Magic", 0)), (b"\x01" * 46 + b"\x00", ("FrameTooLong", At(0))), (least, FRAME))
    c.cobs("full-runs", "full runs give no zeros", 600, (b"\xff" + b"B" * 254 + b"\xff" + b"B" * 254 + b"\x00", ("Magic", 0)), (one, FRAME))


def cobs_damage(c):
    one, least, third = segment(SMALL), segment(LEAST), segment(THIRD)
    code = 0
    while code < len(one) - 1:
        run = one[code]
        for name, value in (("less", run - 1), ("more", run + 1), ("ff", 255)):
            if value and (run > 1 or name == ("more", "ff")[code % 2]):
                c.around("code-%d-%s" % (code, name), "the run at %d is %d long in place of %d" % (code, value, run), "cobs", 64, least, one[:code] + bytes([value]) + one[code + 1:], third)
        code += run
    rng = Lcg(0xC0B5)
    for i in range(8):
        at = rng.u32() % (len(one) - 1)
        c.around("lost-%d" % i, "byte %d is lost" % at, "cobs", 64, least, one[:at] + one[at + 1:], third)
    for i in range(8):
        at = rng.u32() % (len(one) - 1)
        c.around("doubled-%d" % i, "byte %d is doubled" % at, "cobs", 64, least, one[:at] + one[at:at + 1] + one[at:], third)
    for i in range(16):
        at = rng.u32() % (8 * (len(one) - 1) - 16)
        mask = rng.u32() & 0x7FFF | 0x8000
        c.around("burst-%d" % i, "bits %d to %d are flipped by %04x" % (at, at + 15, mask), "cobs", 64, least, flipped(one, at, mask), third)
    c.cobs("garbage-before", "garbage without a zero takes the frame behind it along", 128, (b"\x09garbage!" + one, ("Magic", 0)), (least, FRAME))
    c.cobs("garbage-before-zero", "a sender's first zero byte keeps it from that", 128, (b"\x09garbage!\x00", ("Magic", 0)), (one, FRAME), (least, FRAME))
    c.cobs("garbage-after", "garbage at the end", 128, (one, FRAME), (least, FRAME), (b"\xffgarbage", ("Truncated", At(8))))


def stream_cases():
    c = StreamCases("bit-vectors/stream", "spec/stream.md", [
        "Views \"raw\" and \"cobs\": hex is a stream, max_frame is N. Every stream is read: the verdict is accept, and expect has its events.",
        "An event is [\"frame\", start, end] or [\"skipped\", start, end, kind, offset]. With a key, only frames with its HMAC_V1 pass.",
        "The same events come out however the stream is cut into pieces.",
    ])
    whole_streams(c)
    garbage_cases(c)
    within_cases(c)
    length_cases(c)
    damage_cases(c)
    hostile_case(c)
    envelope(c)
    cobs_whole(c)
    cobs_runs(c)
    cobs_long(c)
    cobs_damage(c)
    return c


def self_test():
    # S. Cheshire and M. Baker, 1999, and the table of the encodings that everybody quotes
    for data, code in (("00", "0101"), ("0000", "010101"), ("001100", "01021101"), ("11220033", "0311220233"), ("11223344", "0511223344"), ("11000000", "0211010101"), ("", "01")):
        assert encoded(bytes.fromhex(data)).hex() == code, data
    run = bytes(range(1, 255))
    assert encoded(run) == b"\xff" + run
    assert encoded(b"\x00" + run) == b"\x01\xff" + run
    assert encoded(run + b"\xff") == b"\xff" + run + b"\x02\xff"
    assert encoded(run[1:] + b"\xff\x00") == b"\xff" + run[1:] + b"\xff\x01\x01"
    assert encoded(run[2:] + b"\xff\x00\x01") == b"\xfe" + run[2:] + b"\xff\x02\x01"
    for length in range(0, 1100, 7):
        for step in (1, 3, 254, 255, 256):
            data = bytes((i + 1) % step % 256 if step < 256 else 1 + i % 255 for i in range(length))
            assert 0 not in encoded(data) and decoded(encoded(data)) == (data, True), (length, step)
    assert crc16(b"123456789") == 0x29B1


FILES = (("stream", stream_cases),)
