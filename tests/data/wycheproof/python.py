"""Writes python.json beside this file: MACs of one frame under keys of every length, by Python's hmac."""

import hashlib
import hmac
import json
import pathlib

# The first frame of tests/exhaustive/macs.rs: ctx, CONFIG_V1, FLAGS_V1, TLV 90, PAD_V1 (all but HMAC_V1 and END), payload.
covered = bytes.fromhex(
    "0102030405060708"
    "010018" + "c8000000" + "00000001" + "00000004" + "00000000" + "0000000000000004"
    "020004" + "00000001"
    "900003" + "616263"
    "fe0002" + "0000" + "deadbeef"
)
tags = []
for length in range(0, 81):
    key = bytes((7 * i + 1) % 256 for i in range(length))
    tags.append({"key": key.hex(), "tag": hmac.new(key, covered, hashlib.sha256).hexdigest()})
lines = ",\n".join(json.dumps(tag) for tag in tags)
path = pathlib.Path(__file__).with_name("python.json")
path.write_text(f'{{"covered": "{covered.hex()}",\n"tags": [\n{lines}\n]}}\n')
