"""A JSON ledger as TinyMind's, in Python: what the ledger of bitwire is measured against.

    python3 benches/tinymind_ledger.py [--tokens N] [--chunk-tokens N] [--rounds N] [--folder DIR] [--fsync]

Ingests the evidence stream (src/ledger/evidence.rs) into JSON chunks with their SHA-256, a passkey index, a
semantic index and a manifest; checks the whole ledger; recalls the four passkeys and three spans; and works
out the size of the archive and of the compressed index as TinyMind reports them. Prints one JSON object:
seconds of each step (the median and the least of the rounds, each in a fresh folder) and sizes. TinyMind is
handed a stream and makes the tokens while it ingests; here that is the step make_tokens.

This is a stand-in with the standard library alone, written from the known facts of the format: file names,
rows, digests and the sizes are TinyMind's, how it spends its time is a guess at plain Python of the same
shape.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from bisect import bisect_right
from pathlib import Path

STRIDE = 8
SPAN = 16


def token(p):
    return ((p * 1103515245 + 12345) ^ (p >> 7)) % 32000


def evidence(n):
    tokens = [token(p) for p in range(n)]
    passkeys = {p: 120000000 + i for i, p in enumerate((0, n // 3, 2 * n // 3, n - 1))}
    for position, value in passkeys.items():
        tokens[position] = value
    spans = {"first": (0, SPAN), "middle": (n // 2, SPAN), "last_window": (n - SPAN, SPAN)}
    return tokens, passkeys, spans


def digest(tokens):
    text = json.dumps(tokens, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path, text, fsync):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        if fsync:
            file.flush()
            os.fsync(file.fileno())


class JsonLedger:
    def __init__(self, root, chunk_tokens, fsync=False):
        self.root = Path(root)
        self.chunk_tokens = chunk_tokens
        self.fsync = fsync
        self.manifest_path = self.root / "manifest.json"

    def ingest(self, tokens, passkeys, spans):
        (self.root / "chunks").mkdir(parents=True)
        chunks, located, rolling = [], {}, hashlib.sha256()
        for chunk_id, start in enumerate(range(0, len(tokens), self.chunk_tokens)):
            part = tokens[start : start + self.chunk_tokens]
            path = self.root / "chunks" / f"chunk_{chunk_id:08d}.jsonl"
            sha256 = digest(part)
            row = {"chunk_id": chunk_id, "start": start, "length": len(part), "sha256": sha256, "tokens": part}
            write(path, json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n", self.fsync)
            rolling.update(sha256.encode())
            for position, expected in passkeys.items():
                if start <= position < start + len(part):
                    located[str(position)] = {
                        "chunk_id": chunk_id,
                        "chunk_path": str(path),
                        "offset": position - start,
                        "token": part[position - start],
                        "expected": expected,
                    }
            del row["tokens"]
            chunks.append({**row, "path": str(path)})
        named = {name: {"start": start, "length": length} for name, (start, length) in spans.items()}
        manifest = {
            "schema_version": "tinymind-evidence-ledger-v2",
            "chunk_tokens": self.chunk_tokens,
            "chunk_count": len(chunks),
            "total_tokens": len(tokens),
            "rolling_sha256": rolling.hexdigest(),
            "chunks": chunks,
            "passkeys": located,
            "semantic_spans": named,
        }
        for name, value in (
            ("passkey_index.json", located),
            ("semantic_index.json", named),
            ("manifest.json", manifest),
        ):
            text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
            write(self.root / name, text, self.fsync)
        return manifest

    def open(self):
        self.manifest = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        self.starts = [chunk["start"] for chunk in self.manifest["chunks"]]

    def read_chunk(self, chunk_id):
        entry = self.manifest["chunks"][chunk_id]
        with open(entry["path"], encoding="utf-8") as file:
            row = json.loads(file.readline())
        if digest(row["tokens"]) != entry["sha256"]:
            raise ValueError(f"chunk {chunk_id}: sha256")
        return row

    def verify_integrity(self):
        errors, rolling, expected_start = [], hashlib.sha256(), 0
        for entry in self.manifest["chunks"]:
            try:
                row = self.read_chunk(entry["chunk_id"])
            except (OSError, ValueError) as error:
                errors.append({"chunk_id": entry["chunk_id"], "error": str(error)})
                continue
            for name, value in (
                ("chunk_id", entry["chunk_id"]),
                ("start", expected_start),
                ("length", len(row["tokens"])),
                ("sha256", entry["sha256"]),
            ):
                if row[name] != value or entry[name] != value:
                    errors.append({"chunk_id": entry["chunk_id"], "error": name})
            expected_start += len(row["tokens"])
            rolling.update(entry["sha256"].encode())
        if rolling.hexdigest() != self.manifest["rolling_sha256"]:
            errors.append({"chunk_id": None, "error": "rolling_sha256"})
        return {"passed": not errors, "checked_chunks": len(self.manifest["chunks"]), "errors": errors}

    def recall_position(self, position):
        chunk_id = bisect_right(self.starts, position) - 1
        offset = position - self.starts[chunk_id]
        value = self.read_chunk(chunk_id)["tokens"][offset]
        return {"position": position, "chunk_id": chunk_id, "offset": offset, "token": value}

    def recall_semantic(self, name):
        span = self.manifest["semantic_spans"][name]
        start, end = span["start"], span["start"] + span["length"]
        tokens = []
        for chunk_id in range(bisect_right(self.starts, start) - 1, len(self.starts)):
            if self.starts[chunk_id] >= end:
                break
            first = self.starts[chunk_id]
            tokens += self.read_chunk(chunk_id)["tokens"][max(0, start - first) : end - first]
        return {"name": name, **span, "tokens": tokens}

    def archive_bytes(self):
        return sum(path.stat().st_size for path in (self.root / "chunks").iterdir())

    def index_bytes(self):
        """As TinyMind counts them: anchors and passkeys, but not the manifest, which recall reads."""
        anchors = [
            {key: chunk[key] for key in ("chunk_id", "start", "length")} | {"sha256_prefix": chunk["sha256"][:16]}
            for chunk in self.manifest["chunks"][::STRIDE]
        ]
        return len(json.dumps(anchors, sort_keys=True)) + 24 * len(self.manifest["passkeys"])


parser = argparse.ArgumentParser()
parser.add_argument("--tokens", type=int, default=2_000_000)
parser.add_argument("--chunk-tokens", type=int, default=8192)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--folder", help="where the ledgers are written; the system's temporary folder otherwise")
parser.add_argument("--fsync", action="store_true", help="fsync every file, which TinyMind does not do")
options = parser.parse_args()

seconds = {}


def timed(step, function):
    start = time.perf_counter()
    result = function()
    seconds.setdefault(step, []).append(time.perf_counter() - start)
    return result


random.seed(1)
positions = [random.randrange(options.tokens) for _ in range(100)]
for _ in range(options.rounds):
    folder = tempfile.mkdtemp(prefix="tinymind-", dir=options.folder)
    try:
        tokens, passkeys, spans = timed("make_tokens", lambda: evidence(options.tokens))
        ledger = JsonLedger(Path(folder) / "ledger", options.chunk_tokens, options.fsync)
        timed("ingest", lambda: ledger.ingest(tokens, passkeys, spans))
        timed("open", ledger.open)
        integrity = timed("verify", ledger.verify_integrity)
        hits = timed("recall_passkeys", lambda: [ledger.recall_position(p) for p in passkeys])
        recalled = timed("recall_spans", lambda: {name: ledger.recall_semantic(name) for name in spans})
        timed("recall_100_random", lambda: [ledger.recall_position(p) for p in positions])
        archive_bytes, index_bytes = ledger.archive_bytes(), ledger.index_bytes()
        manifest_bytes = ledger.manifest_path.stat().st_size
    finally:
        shutil.rmtree(folder)
    assert integrity["passed"], integrity
    assert all(hit["token"] == passkeys[hit["position"]] for hit in hits)
    for name, (start, length) in spans.items():
        assert recalled[name]["tokens"] == tokens[start : start + length]

if (options.tokens, options.chunk_tokens) == (2_000_000, 8192):
    # TinyMind's own figures.
    assert (archive_bytes, index_bytes) == (13_340_257, 2_849), (archive_bytes, index_bytes)

report = {
    "tokens": options.tokens,
    "chunk_tokens": options.chunk_tokens,
    "chunk_count": -(-options.tokens // options.chunk_tokens),
    "archive_bytes": archive_bytes,
    "archive_bytes_per_token": archive_bytes / options.tokens,
    "index_bytes": index_bytes,
    "index_bytes_per_token": index_bytes / options.tokens,
    "manifest_bytes": manifest_bytes,
    "fsync": options.fsync,
    "rounds": options.rounds,
    "python": platform.python_version(),
    "median_seconds": {step: statistics.median(times) for step, times in seconds.items()},
    "least_seconds": {step: min(times) for step, times in seconds.items()},
}
print(json.dumps(report, indent=2))
