#!/usr/bin/env python3
"""Writes the files of data/ and those of tests/data/stream/, or with --check compares them with what is there.

signed.bit     tests/data/beacon.bit with a MAC
forged.bit     a chunk in place of tests/data/ledger/chunk1.bit, with one other token; all that it says of itself is right,
               digest and CRC-16 too
ledger.bit     the ledger that tests/data/ledger/chunk1.bit is from, and its index
index.bit
line.bin       what comes over the serial line: signed beacons, a forged one, and damage
line.json      what is where in it, and what a reader should make of it

Made from the tables of spec/ with the standard library alone. Prints what a reader should make of the other data.
"""

import binascii
import hashlib
import hmac
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "..", "tests", "data")
sys.path.insert(0, os.path.join(DATA, "ledger"))
sys.dont_write_bytecode = True

import make as ledger  # noqa: E402: tests/data/ledger/make.py

MAGIC = b"BIT\x01"
KEY = b"the key of the firmware example"
OTHER_KEY = b"a key that nobody was told about"
CONFIG, FLAGS, RESULTS, INDEX, CONTEXT, HMAC, END = 0x01, 0x02, 0x04, 0x11, 0x80, 0xF1, 0xFF
AUTHENTICATED, ALERT, BASELINE = 1, 2, 4


def sealed(covered):
    return MAGIC + covered + struct.pack(">H", binascii.crc_hqx(covered, 0xFFFF))


def frame(content):
    """ctx, TLVs as (type, value) and payload of a frame, whose CRC-16 has to be right."""
    covered, crc = content[4:-2], struct.unpack(">H", content[-2:])[0]
    assert content[:4] == MAGIC and binascii.crc_hqx(covered, 0xFFFF) == crc
    tlvs, at = [], 8
    while not tlvs or tlvs[-1][0] != END:
        kind, length = struct.unpack(">BH", covered[at:at + 3])
        tlvs.append((kind, covered[at + 3:at + 3 + length]))
        at += 3 + length
    return covered[:8], tlvs, covered[at:]


def signed(content, key):
    ctx, tlvs, payload = frame(content)
    flags = struct.unpack(">I", dict(tlvs)[FLAGS])[0] | AUTHENTICATED
    tlvs = [(kind, struct.pack(">I", flags) if kind == FLAGS else value) for kind, value in tlvs if kind != END]
    body = b"".join(ledger.tlv(kind, value) for kind, value in tlvs)
    mac = hmac.new(key, ctx + body + payload, hashlib.sha256).digest()
    return sealed(ctx + body + ledger.tlv(HMAC, b"\x01" + mac) + ledger.tlv(END, b"") + payload)


def beacon(payload, sds, threshold):
    """A beacon of one row, with steps of 1/64, whose drift is what is asked for."""
    dim = len(payload) // 2
    context = b'{"dim":%d,"model_id":"lis3dh","pi_id":"raw","space_id":"pump 7"}' % dim
    results = b'{"SDS":%s,"cos_mu":null,"norm_dmu":0,"reference":"baseline","thresholds":{"SDS":%s},' \
        b'"tr_Sigma":%s,"weights":{"mu":1,"trS":1}}'
    number = lambda x: b"%g" % x
    flags = BASELINE | (ALERT if sds >= threshold else 0)
    body = ledger.tlv(CONFIG, struct.pack(">BBHIIIQ", 0, 1, 0, 1, dim, 1024, len(payload)))
    body += ledger.tlv(FLAGS, struct.pack(">I", flags))
    body += ledger.tlv(RESULTS, results % (number(sds), number(threshold), number(sds)))
    body += ledger.tlv(CONTEXT, context) + ledger.tlv(END, b"")
    return sealed(hashlib.blake2b(context, digest_size=8).digest() + body + payload)


def flip(content, at, bit=0):
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1:]


def stream():
    """The bytes of the line, and what there is in them: frames with what they say, and stretches that are none."""
    big = signed(open(os.path.join(DATA, "beacon.bit"), "rb").read(), KEY)
    row = lambda n: struct.pack("<8h", *[(37 * k + n) % 200 - 100 for k in range(8)])
    small = [signed(beacon(row(n), sds, 0.75), KEY) for n, sds in enumerate([0.25, 0.5, 0.875, 1.5])]
    forged = signed(beacon(row(9), 6.5, 0.75), OTHER_KEY)
    # A magic in the payload; what follows it would be a frame whose first TLV is not CONFIG_V1.
    inner = b"\x07\x00\x09\x00" + MAGIC + bytes(8) + b"\x05\x00\x01\x00" + b"\x0B\x00" * 4
    nested = signed(beacon(inner, 0.125, 0.75), KEY)
    inner_at = nested.index(MAGIC, 4)
    noise = hashlib.sha512(b"noise").digest()[:41]
    payload_len = small[0].index(b"\x01\x00\x18") + 3 + 16
    parts, events, at = [], [], 0

    def put(content, *found):
        """Appends bytes; what is found there, in order: a reason per stretch, with its length where there are more."""
        nonlocal at
        parts.append(content)
        start = at
        for what in found:
            length, reason = what if isinstance(what, tuple) else (len(content) - (start - at), what)
            event = {"start": start, "end": start + length}
            if reason in ("ok", "forged"):
                _, tlvs, _ = frame(content)
                event["frame"] = reason
                if reason == "ok":
                    event["sds"] = json.loads(dict(tlvs)[RESULTS])["SDS"]
                    event["alert"] = bool(struct.unpack(">I", dict(tlvs)[FLAGS])[0] & ALERT)
                    key = hashlib.blake2b(content[:-2], digest_size=32).digest()
                    event["routing_key"] = key.hex()
                    event["shard"] = int.from_bytes(key[:8], "big") % 1000
            else:
                event["skipped"] = reason
            events.append(event)
            start += length
        at += len(content)

    put(noise, "Magic")
    put(big, "ok")
    put(small[0], "ok")
    put(forged, "forged")
    put(flip(small[1], len(small[1]) - 9, 6), "Crc")
    put(flip(small[1], payload_len + 4, 2), "FrameTooLong")
    put(small[1], "ok")
    put(small[2][:-12] + small[2][-11:], "Crc")  # a byte was lost
    put(small[2][:-12] + small[2][-14:], "Crc")  # two came twice
    put(small[2], "ok")
    put(nested, "ok")
    put(noise[:7] + small[3][20:], "Magic")  # its beginning was not heard
    put(small[3], "ok")
    put(flip(nested, 6), (inner_at, "Crc"), "ConfigNotFirst")
    put(small[0], "ok")
    put(big[:1000], "Truncated")
    return b"".join(parts), events


def index(chunks, root, stride):
    """The index of a ledger of chunks of 100 tokens, given as (frame, digest)."""
    offsets = [sum(len(content) for content, _ in chunks[:i]) for i in range(len(chunks) + 1)]
    ids = range(0, len(chunks), stride)
    payload = b"".join(
        struct.pack("<QQQII", i, 100 * i, offsets[i], 100, 0) + chunks[i][1][:8] for i in ids)
    value = struct.pack(">QQQIIIIII", 100 * len(chunks), len(chunks), offsets[-1], 100, stride, len(ids), 0, 0, 0)
    body = ledger.tlv(CONFIG, struct.pack(">BBHIIIQ", 2, 0, 0, 0, 0, 0, len(payload))) + ledger.tlv(FLAGS, bytes(4))
    body += ledger.tlv(INDEX, value + root + bytes(8)) + ledger.tlv(CONTEXT, ledger.CONTEXT) + ledger.tlv(END, b"")
    return sealed(hashlib.blake2b(ledger.CONTEXT, digest_size=8).digest() + body + payload)


def main():
    tokens = [[(100 * i + k) * 7 % 1000 for k in range(100)] for i in range(3)]
    chunks = [ledger.chunk(i, 100 * i, tokens[i], 10) for i in range(3)]
    assert chunks[1][0] == open(os.path.join(DATA, "ledger", "chunk1.bit"), "rb").read()
    root = open(os.path.join(DATA, "ledger", "root.bin"), "rb").read()
    content = open(os.path.join(DATA, "beacon.bit"), "rb").read()
    line, events = stream()
    files = {
        "forged.bit": ledger.chunk(1, 100, tokens[1][:-1] + [tokens[1][-1] ^ 1], 10)[0],
        "signed.bit": signed(content, KEY),
        "ledger.bit": b"".join(content for content, _ in chunks),
        "index.bit": index(chunks, root, 2),
        os.path.join(DATA, "stream", "line.bin"): line,
        os.path.join(DATA, "stream", "line.json"): (json.dumps(events, indent=1) + "\n").encode(),
    }
    for name, content in files.items():
        path = os.path.join(HERE, "data", name)
        if sys.argv[1:] == ["--check"]:
            assert open(path, "rb").read() == content, name
        else:
            with open(path, "wb") as file:
                file.write(content)
    print("tokens: sum", sum(tokens[1]), "token 237:", tokens[2][37])


if __name__ == "__main__":
    main()
