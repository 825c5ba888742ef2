"""Samples made by Python alone, from spec/gist.md: python3 peer.py > peer.json

Every expectation of tests/gist_niah.rs that is a hash, a draw or an interval comes from here.
"""

import hashlib
import json
import math
import pathlib
import random
import statistics
import string

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[3] / "src/gist/niah"
ALPHABET = string.ascii_uppercase + string.digits
SENTENCE = {"en": " The secret passkey is {}. ", "ko": " 비밀 패스키는 {}입니다. "}
QUESTION = {
    "en": "What is the secret passkey mentioned in the text?",
    "ko": "글에서 언급된 비밀 패스키는 무엇입니까?",
}
SPACE = " \t\n\x0b\x0c\r"


def samples(texts, plan, language, seed):
    text = "\n".join(one.rstrip(SPACE) for one in texts)
    starts, at = [], 0
    for line in text.split("\n"):
        if line.strip(SPACE):
            starts.append(at)
        at += len(line) + 1
    draw = random.Random(seed)
    for number, (length, position) in enumerate(plan(draw)):
        start = starts[int(draw.random() * len(starts))]
        chars = length - len(SENTENCE[language].format("X" * 6))
        haystack = text[start : start + chars]
        while len(haystack) < chars:
            haystack += "\n" + text[: chars - len(haystack) - 1]
        haystack = haystack[:chars]
        needle = "".join(draw.choices(ALPHABET, k=6))
        while needle.lower() in haystack.lower():
            needle = "".join(draw.choices(ALPHABET, k=6))
        cut = int(chars * position)
        yield {
            "context": haystack[:cut] + SENTENCE[language].format(needle) + haystack[cut:],
            "question": QUESTION[language],
            "answer": needle,
            "needle": needle,
            "needle_position": position,
            "context_length_chars": length,
            "id": f"{language}-{seed}-{number}",
            "language": language,
        }


def grid(depths, lengths, each):
    return lambda draw: ((length, depth) for length in lengths for depth in depths for _ in range(each))


def at_random(count, shortest, longest):
    return lambda draw: ((draw.randint(shortest, longest), draw.uniform(0.2, 0.8)) for _ in range(count))


def built_in(language):
    return [(SOURCE / f"text_{language}.txt").read_text(encoding="utf-8")]


# Several lines, blank ones, one of a single character, and characters of 1 to 4 bytes.
ODD = ["\n  \nA\n\nÄb\x0b\r\nzwei 두 줄 \U0001f600\n\t\n", "\x0c", "last\r\nline \n \n"]

CASES = [
    ("grid, English", "en", 7, built_in("en"), "grid", [[0.0, 0.25, 0.5, 0.75, 1.0], [1000, 2000, 4001], 3]),
    ("grid, Korean", "ko", 2**40 + 3, built_in("ko"), "grid", [[0.0, 0.29, 0.333, 1.0], [64, 500, 3000], 2]),
    ("random, English", "en", 1234, built_in("en"), "random", [50, 200, 831]),
    ("random, Korean", "ko", 0, built_in("ko"), "random", [40, 32, 5000]),
    ("odd text", "en", 99, ODD, "grid", [[0.0, 0.1, 0.5, 0.9, 1.0], [32, 33, 40, 41, 90, 400], 2]),
]


def case(name, language, seed, texts, mode, arguments):
    plan = {"grid": grid, "random": at_random}[mode](*arguments)
    made = list(samples(texts, plan, language, seed))
    lines = "".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in made)
    return {
        "name": name,
        "language": language,
        "seed": seed,
        "texts": texts if texts is ODD else None,
        mode: arguments,
        "samples": len(made),
        "first": [made[0][key] for key in ("needle", "needle_position", "context_length_chars")],
        "bytes": len(lines.encode()),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def wilson(correct, n):
    """Wilson 1927: the roots of (p - x)^2 = z^2 x (1 - x) / n, by the quadratic formula."""
    z, p = statistics.NormalDist().inv_cdf(0.975), correct / n
    a, b, c = 1 + z * z / n, -2 * p - z * z / n, p * p
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return [(-b - root) / (2 * a), (-b + root) / (2 * a)]


INTERVALS = [(0, 1), (1, 1), (0, 5), (2, 5), (5, 5), (8, 10), (20, 25), (81, 263), (999, 1000), (1, 100000)]
print(
    json.dumps(
        {
            "cases": [case(*one) for one in CASES],
            "wilson": [[correct, n, *wilson(correct, n)] for correct, n in INTERVALS],
        },
        indent=1,
        ensure_ascii=False,
    )
)
