#!/usr/bin/env python3
"""Writes chunk1.bit, chunk1.proof and root.bin: a chunk of a ledger of three, its proof and the root it leads to.

Made from the tables of spec/ledger.md with the standard library alone.
"""

import binascii
import hashlib
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
CONTEXT = b'{"dim":0,"model_id":"","pi_id":"","space_id":""}'


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def chunk(chunk_id, start, tokens, bits):
    """The frame of a bit-packed chunk, and its digest."""
    stream = sum(token << (i * bits) for i, token in enumerate(tokens))
    payload = stream.to_bytes((len(tokens) * bits + 7) // 8, "little")
    ctx = hashlib.blake2b(CONTEXT, digest_size=8).digest()
    tlvs = tlv(0x01, struct.pack(">BBHIIIQ", 1, 2, 0, 1, len(payload), 0, len(payload)))
    tlvs += tlv(0x02, bytes(4))
    tlvs += tlv(0x10, struct.pack(">QQIBBH", chunk_id, start, len(tokens), 1, bits, 0))
    tlvs += tlv(0x80, CONTEXT)
    digest = hashlib.sha256(ctx + tlvs + payload).digest()
    covered = ctx + tlvs + tlv(0xF0, b"\x01" + digest) + tlv(0xFF, b"") + payload
    return b"BIT\x01" + covered + struct.pack(">H", binascii.crc_hqx(covered, 0xFFFF)), digest


def main():
    chunks = [chunk(i, 100 * i, [(100 * i + k) * 7 % 1000 for k in range(100)], 10) for i in range(3)]
    leaves = [hashlib.sha256(b"\x00" + digest).digest() for _, digest in chunks]
    left = hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    root = hashlib.sha256(b"\x01" + left + leaves[2]).digest()
    proof = b"BIP\x01" + struct.pack(">BBHQQ", 0, 2, 0, 1, 3) + leaves[0] + leaves[2]
    for name, content in [("chunk1.bit", chunks[1][0]), ("chunk1.proof", proof), ("root.bin", root)]:
        with open(os.path.join(HERE, name), "wb") as file:
            file.write(content)


if __name__ == "__main__":
    main()
