#!/usr/bin/env python3
"""Holds the readers of this folder to a corpus that `bitwire fuzz-corpus` wrote.

    python3 spec/vectors/corpus.py DIR

The readers were made from the documents in spec/ alone and share no code with the library, so what both say of a frame is
what the documents say. Exit status: 0 if they agree on every file, 1 if not, 2 if there is no corpus.
Standard library only.
"""

import hashlib
import json
import os
import sys

from engram import read_index as read_engram_index, read_whitening
from generate import CONTEXT, Bad, read_beacon, read_context, read_frame, verify_frame
from gist import read_gist
from ledger import read_chunk, read_index
from mirror import read_blocks, read_mirror


def read_frame_and_context(data):
    """Step 18 of frame.md: the value, then its dim against CONFIG_V1."""
    f = read_frame(data)
    tlv = f.find(CONTEXT)
    if not tlv:
        return
    try:
        context = read_context(tlv.value)
    except Bad as error:
        raise Bad(error.kind, None if error.offset is None else tlv.val_off + error.offset)
    if context["dim"] != (0 if f.cfg["kind"] in (1, 2) else f.cfg["dim"]):
        raise Bad("Context", None)


VIEWS = {
    "frame": read_frame, "verify": read_frame, "frame+context": read_frame_and_context, "beacon": read_beacon, "chunk": read_chunk,
    "index": read_index, "mirror": read_mirror, "engram-index": read_engram_index, "gist": read_gist, "blocks": read_blocks,
    "whitening": read_whitening,
}


def verdict(case, data):
    """None if the readers accept, else the error's kind and offset."""
    views = [case["view"]]
    if case["verdict"] == "accept" or case["view"] not in ("frame", "verify"):
        # The context comes before the typed view, and is right unless it is what is broken.
        views = ["frame", "frame+context"] + views
    try:
        if "key" in case:
            verify_frame(data, bytes.fromhex(case["key"]))
        for view in views:
            VIEWS[view](data)
    except Bad as error:
        return (error.kind, error.offset)
    return None


def fault(case, rules, data):
    """What is wrong with what the manifest says of a file; None if nothing is."""
    if hashlib.sha256(data).hexdigest() != case["sha256"] or len(data) != case["len"]:
        return "is not the file of the manifest"
    found = verdict(case, data)
    if case["verdict"] == "accept":
        return None if found is None else "is refused: %s at %s" % found
    error, rule = case["error"], rules[case["rule"]]
    if (rule["error"], rule["view"]) != (error["kind"], case["view"]):
        return "is not of its rule"
    due = "%s at %s" % (error["kind"], error.get("offset"))
    if found is None:
        return "is accepted, not " + due
    # A place is not compared where the documents state none, or where a reader has none.
    placed = "offset" in error and found[1] is not None
    if found[0] != error["kind"] or placed and found[1] != error["offset"]:
        return "is refused: %s at %s, not %s" % (found + (due,))
    return None


def main(folder):
    try:
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
    except (OSError, ValueError) as error:
        print("corpus.py: %s" % error, file=sys.stderr)
        return 2
    if manifest["schema"] != "bitwire/fuzz-corpus-manifest/1":
        print("corpus.py: %s is no manifest of a corpus" % folder, file=sys.stderr)
        return 2
    rules = {rule["rule"]: rule for rule in manifest["rules"]}
    faults, seen, accepts = [], set(), 0
    for case in manifest["files"]:
        with open(os.path.join(folder, case["file"]), "rb") as file:
            wrong = fault(case, rules, file.read())
        if wrong:
            faults.append("%s (%s) %s" % (case["file"], case["view"], wrong))
        seen.add(case.get("rule"))
        accepts += case["verdict"] == "accept"
    for name in sorted(set(rules) - seen):
        faults.append("%s: no file breaks this rule" % name)
    there = {os.path.join(part, name) for part in ("valid", "mutant") for name in os.listdir(os.path.join(folder, part))}
    for name in sorted(there ^ {case["file"] for case in manifest["files"]}):
        faults.append("%s: is not both on the disk and in the manifest" % name)
    for line in faults[:40]:
        print(line)
    count = len(manifest["files"])
    print("%d files (%d to accept, %d to refuse by %d rules): %d disagree" % (count, accepts, count - accepts, len(rules), len(faults)))
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
