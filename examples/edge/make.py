#!/usr/bin/env python3
"""Writes data/signed.bit and data/forged.bit, or with --check compares them with what is there.

signed.bit: tests/data/beacon.bit with a MAC. forged.bit: a chunk in place of tests/data/ledger/chunk1.bit, with one
other token; all that it says of itself is right, digest and CRC-16 too.

Made from the tables of spec/frame.md and spec/ledger.md with the standard library alone. Prints what a reader should
make of the data.
"""

import binascii
import hashlib
import hmac
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "..", "tests", "data")
sys.path.insert(0, os.path.join(DATA, "ledger"))
sys.dont_write_bytecode = True

import make as ledger  # noqa: E402: tests/data/ledger/make.py

KEY = b"the key of the firmware example"
FLAGS, HMAC, END = 0x02, 0xF1, 0xFF
AUTHENTICATED = 1


def frame(content):
    """ctx, TLVs as (type, value) and payload of a frame, whose CRC-16 has to be right."""
    covered, crc = content[4:-2], struct.unpack(">H", content[-2:])[0]
    assert content[:4] == b"BIT\x01" and binascii.crc_hqx(covered, 0xFFFF) == crc
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
    covered = ctx + body + ledger.tlv(HMAC, b"\x01" + mac) + ledger.tlv(END, b"") + payload
    return b"BIT\x01" + covered + struct.pack(">H", binascii.crc_hqx(covered, 0xFFFF))


def main():
    tokens = [(100 + k) * 7 % 1000 for k in range(100)]
    assert ledger.chunk(1, 100, tokens, 10)[0] == open(os.path.join(DATA, "ledger", "chunk1.bit"), "rb").read()
    beacon = open(os.path.join(DATA, "beacon.bit"), "rb").read()
    files = {
        "forged.bit": ledger.chunk(1, 100, tokens[:-1] + [tokens[-1] ^ 1], 10)[0],
        "signed.bit": signed(beacon, KEY),
    }
    for name, content in files.items():
        path = os.path.join(HERE, "data", name)
        if sys.argv[1:] == ["--check"]:
            assert open(path, "rb").read() == content, name
        else:
            with open(path, "wb") as file:
                file.write(content)

    _, tlvs, payload = frame(beacon)
    _, _, _, rows, dim, delta_q16, length = struct.unpack(">BBHIIIQ", dict(tlvs)[0x01])
    row = struct.unpack("<%dh" % dim, payload)
    largest = max(range(dim), key=lambda i: abs(row[i]))
    print("tokens: sum", sum(tokens))
    print("beacon: flags", dict(tlvs)[FLAGS].hex(), "largest", largest, row[largest] * delta_q16 / 65536)
    print("beacon:", dict(tlvs).get(0x04, b""))


if __name__ == "__main__":
    main()
