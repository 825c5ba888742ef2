#!/usr/bin/env python3
"""Writes expected.h and data/signed.bit, or with --check compares them with what is there.

signed.bit is tests/data/beacon.bit with a MAC; expected.h is what a reader should make of the two. Made from the tables of
spec/frame.md and spec/beacon.md with the standard library alone, so that test.c holds the library to something else than itself.
"""

import binascii
import hashlib
import hmac
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BEACON = os.path.join(HERE, "..", "..", "tests", "data", "beacon.bit")
KEY = b"the key of the firmware example"
FLAGS, CALIB_STATS, RESULTS, CONTEXT, HMAC, END = 0x02, 0x03, 0x04, 0x80, 0xF1, 0xFF


def parse(content):
    """ctx, TLVs as (type, value), payload and where it starts, of a frame whose CRC-16 has to be right."""
    covered, crc = content[4:-2], struct.unpack(">H", content[-2:])[0]
    assert content[:4] == b"BIT\x01" and binascii.crc_hqx(covered, 0xFFFF) == crc
    tlvs, at = [], 8
    while not tlvs or tlvs[-1][0] != END:
        kind, length = struct.unpack(">BH", covered[at:at + 3])
        tlvs.append((kind, covered[at + 3:at + 3 + length]))
        at += 3 + length
    return covered[:8], tlvs, covered[at:], at + 4


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def sign(content, key):
    ctx, tlvs, payload, _ = parse(content)
    flags = struct.unpack(">I", dict(tlvs)[FLAGS])[0] | 1
    tlvs = [(kind, struct.pack(">I", flags) if kind == FLAGS else value) for kind, value in tlvs if kind != END]
    body = b"".join(tlv(kind, value) for kind, value in tlvs)
    mac = hmac.new(key, ctx + body + payload, hashlib.sha256).digest()
    covered = ctx + body + tlv(HMAC, b"\x01" + mac) + tlv(END, b"") + payload
    return b"BIT\x01" + covered + struct.pack(">H", binascii.crc_hqx(covered, 0xFFFF))


def c_bytes(data):
    return "{" + ", ".join("0x%02x" % byte for byte in data) + "}"


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def describe(name, content):
    ctx, tlvs, payload, payload_at = parse(content)
    values = dict(tlvs)
    kind, element, _, rows, dim, delta_q16, length = struct.unpack(">BBHIIIQ", values[0x01])
    assert (kind, element, rows, length) == (0, 1, 1, len(payload))
    assert hashlib.blake2b(values[CONTEXT], digest_size=8).digest() == ctx
    key = hashlib.blake2b(content[:-2], digest_size=32).digest()
    q = struct.unpack("<%dh" % dim, payload)
    # Exact in double: 16 + 32 bits. struct rounds to float, half to even.
    x = [struct.unpack("<f", struct.pack("<f", value * delta_q16 / 65536))[0] for value in q]
    results = json.loads(values[RESULTS])
    sigma_kind, has_mu, _, calib_dim, w, t0, t1 = struct.unpack(">BBHIddd", values[CALIB_STATS][:32])
    assert calib_dim == dim and has_mu == 1
    mu = struct.unpack(">%df" % dim, values[CALIB_STATS][32:32 + 4 * dim])
    names = {"LEN": len(content), "PAYLOAD_AT": payload_at, "PAYLOAD_LEN": len(payload), "DIM": dim, "DELTA_Q16": delta_q16}
    names.update({"FLAGS": struct.unpack(">I", values[FLAGS])[0], "SIGMA_KIND": sigma_kind})
    names.update({"SHARD_OF_1000": int.from_bytes(key[:8], "big") % 1000})
    hmac_at, at = None, 12
    for kind, value in tlvs:
        # Where HMAC_V1 stands or would stand: before PAD_V1 and END. Its hash is what is reported.
        if kind == HMAC:
            hmac_at = at + 4
        elif kind > HMAC and hmac_at is None:
            hmac_at = at
        at += 3 + len(value)
    names["HMAC_AT"] = hmac_at
    doubles = {"SDS": results["SDS"], "SDS_THRESHOLD": results["thresholds"]["SDS"], "COS_MU": results["cos_mu"]}
    doubles.update({"NORM_DMU": results["norm_dmu"], "TR_SIGMA": results["tr_Sigma"], "W": w, "T0": t0, "T1": t1})
    doubles.update({"WEIGHT_MU": results["weights"]["mu"], "WEIGHT_TR_SIGMA": results["weights"]["trS"]})
    lines = ["#define %s_%s %s" % (name, key, value) for key, value in names.items()]
    lines += ["#define %s_%s %s" % (name, key, float(value).hex()) for key, value in doubles.items()]
    lines += ["#define %s_ALERT %s" % (name, str(results["SDS"] >= results["thresholds"]["SDS"]).lower())]
    lines += ["#define %s_BASELINE %s" % (name, str(results["reference"] == "baseline").lower())]
    lines += ["#define %s_CONTEXT %s" % (name, c_string(values[CONTEXT].decode()))]
    lower = name.lower()
    lines += ["static const uint8_t %s_ctx[8] = %s;" % (lower, c_bytes(ctx))]
    lines += ["static const uint8_t %s_routing_key[32] = %s;" % (lower, c_bytes(key))]
    if name == "SIGNED":
        # The same vector.
        return lines
    lines += ["static const int16_t %s_q[%d] = {%s};" % (lower, dim, ", ".join(map(str, q)))]
    lines += ["static const float %s_x[%d] = {%s};" % (lower, dim, ", ".join(value.hex() + "F" for value in x))]
    lines += ["static const double %s_mean[%d] = {%s};" % (lower, dim, ", ".join(value.hex() for value in mu))]
    return lines


def main():
    with open(BEACON, "rb") as file:
        beacon = file.read()
    signed = sign(beacon, KEY)
    lines = ["/* Made by expected.py of tests/data/beacon.bit and data/signed.bit. */", "#define KEY " + c_string(KEY.decode())]
    lines += describe("BEACON", beacon) + describe("SIGNED", signed)
    files = {"data/signed.bit": signed, "expected.h": "".join(line + "\n" for line in lines).encode()}
    for name, content in files.items():
        path = os.path.join(HERE, name)
        if sys.argv[1:] == ["--check"]:
            with open(path, "rb") as file:
                assert file.read() == content, name
        else:
            with open(path, "wb") as file:
                file.write(content)


if __name__ == "__main__":
    main()
