#!/usr/bin/env python3
"""A long campaign: every target in turns, until each has run often enough or the time is up.

    fuzz/campaign.py --minutes 600                (20,000,000 executions of each target, 60 seconds a turn)
    fuzz/campaign.py --minutes 600 --fast         (edges only, short inputs: several times as many executions)
    fuzz/campaign.py --minutes 60 --asan state npz

What was executed is added to the table in fuzz/README.md after every turn: a campaign can be stopped at any time, and
the next one goes on where it ended. Targets that have run least come first. The corpus is in fuzz/corpus (not committed).
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
README = FUZZ / "README.md"
BEGIN, END = "<!-- campaign.py: begin -->\n", "<!-- campaign.py: end -->\n"
HEAD = (
    "| target | executions | of these with ASan | edges | features | findings |\n"
    "|---|---:|---:|---:|---:|---:|\n"
)
RUN = re.compile(r"^(\w+): (\d+) runs, (?:cov: (\d+) ft: (\d+))?")


def read_table() -> dict[str, list[int]]:
    text = README.read_text()
    table = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    rows = {target.stem: [0] * 5 for target in FUZZ.glob("fuzz_targets/*.rs")}
    for line in table.splitlines():
        cells = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")]
        if cells[0].strip("`") in rows:
            rows[cells[0].strip("`")] = [int(cell) for cell in cells[1:]]
    return dict(sorted(rows.items()))


def write_table(rows: dict[str, list[int]]) -> None:
    lines = [f"| `{target}` | " + " | ".join(f"{n:,}" for n in row) + " |\n" for target, row in rows.items()]
    total = [sum(row[i] for row in rows.values()) for i in (0, 1, 4)]
    lines.append(f"| all | {total[0]:,} | {total[1]:,} | | | {total[2]:,} |\n")
    text = README.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    new = README.with_name("README.md.new")
    new.write_text(before + HEAD + "".join(lines) + after)
    os.replace(new, README)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--goal", type=int, default=20_000_000, help="executions of a target (default: 20,000,000)")
    parser.add_argument("--turn", type=int, default=60, help="seconds of a turn (default: 60)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--asan", action="store_true", help="with AddressSanitizer")
    how.add_argument("--fast", action="store_true", help="as fuzz/run.sh --fast")
    parser.add_argument("targets", nargs="*", help="default: all")
    arguments = parser.parse_args()

    rows = read_table()
    unknown = set(arguments.targets) - set(rows)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    jobs = int(os.environ.get("JOBS", len(os.sched_getaffinity(0))))
    end = time.monotonic() + 60 * arguments.minutes
    broken: set[str] = set()
    while time.monotonic() < end:
        left = [target for target in arguments.targets or rows if rows[target][0] < arguments.goal]
        left = sorted((target for target in left if target not in broken), key=lambda target: rows[target][0])
        if not left:
            break
        turn = max(1, min(arguments.turn, int(end - time.monotonic())))
        command = ["bash", str(FUZZ / "run.sh"), *["--asan"] * arguments.asan, *["--fast"] * arguments.fast, str(turn), *left[:jobs]]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace")
        seen = set()
        for line in output.stdout.splitlines():
            if match := RUN.match(line):
                target, (runs, edges, features) = match[1], (int(n or 0) for n in match.groups()[1:])
                row = rows[target]
                row[0] += runs
                row[1] += runs * arguments.asan
                # Those of the other builds are of another count.
                if not (arguments.asan or arguments.fast):
                    row[2], row[3] = edges, features
                seen.add(target)
        for target in set(left[:jobs]) - seen:
            if f"{target}: FAILED" not in output.stdout:
                print(output.stdout, file=sys.stderr)
                return 2
            rows[target][4] += 1
            broken.add(target)
        print(output.stdout, end="", flush=True)
        write_table(rows)
    short = [target for target in arguments.targets or rows if rows[target][0] < arguments.goal]
    print(f"{len(short)} of {len(arguments.targets or rows)} targets are below {arguments.goal:,} executions")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
