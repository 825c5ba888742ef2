#!/usr/bin/env python3
"""Holds the readers of this folder to a corpus that `bitwire fuzz-corpus` wrote.

    python3 spec/vectors/corpus.py DIR                  do they say what its manifest says?
    python3 spec/vectors/corpus.py DIR --without-each   is a reader found out that leaves out a check, whichever it is?

The readers were made from the documents in spec/ alone and share no code with the library, so what both say of a frame is
what the documents say. Exit status: 0 if they agree on every file, 1 if not, 2 if there is no corpus. With --without-each every
check of theirs is taken out in turn: 0 if each is missed in some file, for which ten of a kind (--count 10) are enough. That takes minutes.
Standard library only.
"""

import ast
import hashlib
import importlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


class Readers:
    """The readers of the modules as they are now."""

    def __init__(self):
        self.frame, ledger, mirror, engram, gist = map(importlib.import_module, ("generate", "ledger", "mirror", "engram", "gist"))
        read = self.frame.read_frame
        self.views = {
            "frame": read, "verify": read, "frame+context": self.read_context, "beacon": self.frame.read_beacon,
            "chunk": ledger.read_chunk, "index": ledger.read_index, "mirror": mirror.read_mirror,
            "engram-index": engram.read_index, "gist": gist.read_gist, "blocks": mirror.read_blocks,
            "whitening": engram.read_whitening,
        }

    def read_context(self, data):
        """Step 18 of frame.md: the value, then its dim against CONFIG_V1."""
        f, bad = self.frame.read_frame(data), self.frame.Bad
        tlv = f.find(self.frame.CONTEXT)
        if not tlv:
            return
        try:
            context = self.frame.read_context(tlv.value)
        except bad as error:
            raise bad(error.kind, None if error.offset is None else tlv.val_off + error.offset)
        if context["dim"] != (0 if f.cfg["kind"] in (1, 2) else f.cfg["dim"]):
            raise bad("Context", None)

    def verdict(self, case, data):
        """None if the readers accept, else the error's kind and offset."""
        views = [case["view"]]
        if case["verdict"] == "accept" or case["view"] not in ("frame", "verify"):
            # The context comes before the typed view, and is right unless it is what is broken.
            views = ["frame", "frame+context"] + views
        try:
            if "key" in case:
                self.frame.verify_frame(data, bytes.fromhex(case["key"]))
            for view in views:
                self.views[view](data)
        except self.frame.Bad as error:
            return (error.kind, error.offset)
        return None


def fault(readers, case, rules, data):
    """What is wrong with what the manifest says of a file; None if nothing is."""
    if hashlib.sha256(data).hexdigest() != case["sha256"] or len(data) != case["len"]:
        return "is not the file of the manifest"
    found = readers.verdict(case, data)
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


# The functions that read frames, by module.
READS = {
    "generate": ("read_frame", "verify_frame", "read_context", "read_calib", "ResultsReader", "read_beacon", "JsonReader"),
    "ledger": ("only_tlv", "read_name", "read_marks", "read_chunk", "read_index"),
    "mirror": ("foreign", "read_blocks", "read_mirror"),
    "gist": ("read_gist",),
    "engram": ("foreign", "read_index", "read_whitening"),
}


def checks():
    """Every place at which one of them refuses something: module, line."""
    for module, names in READS.items():
        with open(os.path.join(HERE, module + ".py"), encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for part in tree.body:
            if getattr(part, "name", None) in names:
                raised = (node for node in ast.walk(part) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call))
                calls = (node for node in raised if getattr(node.exc.func, "id", None) == "Bad")
                # Not an error that is passed on, nor the length of a key, which is no rule of frames.
                kinds = ((node, getattr(node.exc.args[0], "value", None)) for node in calls)
                yield from ((module, node.lineno) for node, kind in kinds if isinstance(kind, str) and kind != "KeyLength")


class Without(ast.NodeTransformer):
    def __init__(self, line):
        self.line = line

    def visit_Raise(self, node):
        return ast.copy_location(ast.Pass(), node) if node.lineno == self.line else node


def readers_without(module, line):
    """The readers without the check of that line."""
    for name in READS:
        sys.modules.pop(name, None)
    for name in READS:
        # Those after it find it among the modules that are there.
        with open(os.path.join(HERE, name + ".py"), encoding="utf-8") as file:
            tree = ast.parse(file.read())
        if name == module:
            tree = Without(line).visit(tree)
        made = type(sys)(name)
        made.__file__ = os.path.join(HERE, name + ".py")
        sys.modules[name] = made
        exec(compile(tree, name + ".py", "exec"), made.__dict__)
    return Readers()


def is_found_out(readers, files, rules):
    for case, data in files:
        try:
            if fault(readers, case, rules, data):
                return True
        except Exception:
            # What a check kept it from falling over.
            return True
    return False


def without_each(files, rules):
    """How many checks are missed by no file."""
    count = missed = 0
    for module, line in checks():
        count += 1
        if not is_found_out(readers_without(module, line), files, rules):
            missed += 1
            print("no file misses the check of %s.py, line %d" % (module, line))
    print("%d checks, each left out in turn: %d are missed by no file" % (count, missed))
    return missed


def main(folder, each=False):
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
    files = []
    for case in manifest["files"]:
        with open(os.path.join(folder, case["file"]), "rb") as file:
            files.append((case, file.read()))
    if each:
        return 1 if without_each(files, rules) else 0
    faults, seen, accepts, readers = [], set(), 0, Readers()
    for case, data in files:
        wrong = fault(readers, case, rules, data)
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
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--without-each"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], len(sys.argv) == 3))
