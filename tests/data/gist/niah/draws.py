"""Numbers drawn by Python's own random, for src/gist/niah/python.rs: python3 draws.py > draws.json"""

import json
import random
import string

ALPHABET = string.ascii_uppercase + string.digits


def row(seed):
    def r():
        return random.Random(seed)

    def draw(count, f):
        one = r()
        return [f(one, i) for i in range(count)]

    def text(numbers):
        return [str(number) for number in numbers]

    return {
        "seed": str(seed),
        "getrandbits_32": text(draw(20, lambda r, i: r.getrandbits(32))),
        "getrandbits_0_to_64": text(draw(65, lambda r, i: r.getrandbits(i))),
        "randrange_1_to_40": text(draw(40, lambda r, i: r.randrange(i + 1))),
        "randrange_2_64_less_1": text(draw(5, lambda r, i: r.randrange(2**64 - 1))),
        "randint_1000_16000": text(draw(20, lambda r, i: r.randint(1000, 16000))),
        "randint_all": text(draw(5, lambda r, i: r.randint(0, 2**64 - 1))),
        "random": draw(20, lambda r, i: r.random()),
        "uniform_2_8": draw(20, lambda r, i: r.uniform(0.2, 0.8)),
        "choices": "".join(r().choices(ALPHABET, k=12)),
    }


late = random.Random(5)
for _ in range(10_000):
    late.random()
rows = [row(seed) for seed in (0, 1, 42, 1234, 2**32 - 1, 2**32, 2**64 - 1)]
print(json.dumps({"seeds": rows, "seed_5_after_20000": late.getrandbits(32)}, indent=1))
