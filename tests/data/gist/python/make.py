"""Writes the files of this folder: python3 make.py (safetensors 0.8.0, NumPy 2.4.6 and ml_dtypes 0.6.0 when they were
committed, Python 3.11).

*.safetensors are by the Python library, as the original's `save` has them: names, one member of metadata, no more, since the
order of several is that of a hash map.
sidecars.json: texts of sidecars as `json.dumps` writes them or others might, and `str()` of every member.
"""
import json
import os

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def cache(layers, shape, dtype):
    tensors = {}
    for layer in range(layers):
        for part, name in enumerate(("key", "value")):
            start = (layer * 2 + part) * 16
            count = int(np.prod(shape))
            tensors[f"layer_{layer}_{name}"] = ((np.arange(count) + start - 100) / 8).astype(dtype).reshape(shape)
    return tensors


# layer_10_key sorts before layer_1_key.
save_file(cache(12, (1, 1, 2, 2), "<f2"), "twelve_layers.safetensors", {"num_layers": "12"})
save_file(cache(2, (3, 2, 2, 1), "<f4"), "batch_of_three.safetensors")
save_file(cache(2, (1, 2, 6, 3), ml_dtypes.bfloat16), "full_bf16.safetensors")
mixed = {
    "b": np.arange(2, dtype="<f2").reshape(2, 1),
    "a": np.arange(3, dtype="<f2").reshape(1, 3),
    "wide": np.arange(4, dtype="<f4").reshape(2, 2),
    "brain": np.arange(2, dtype="<f4").astype(ml_dtypes.bfloat16).reshape(1, 2),
    "int": np.arange(3, dtype="<i2").reshape(3, 1),
    "\u043a\"\\\n\u0001": np.ones((1, 1), "<f4"),
}
save_file(mixed, "mixed.safetensors", {"quote\"\u00e9": "line\nend\u2028\x7f\x1f"})

texts = [
    json.dumps({"num_layers": 2, "num_gist_tokens": 4, "model": "m\u00e9 \U0001f600"}, indent=2),
    json.dumps({"yes": True, "no": False, "none": None, "empty": "", "list": [], "dict": {}}),
    json.dumps({"list": [1, "a", None, True, [2.5, "b\"c"], {"k": "it's", "l": [{}]}], "d": {"a": {"b": [False]}}}),
    json.dumps([{"f": x} for x in (
        0.0, -0.0, 1.0, -1.5, 0.1, 0.5, 1e-4, 1.234e-4, 1e-5, 9.999e-5, 1e15, 1e16, 123456789012345680.0, 1.5e16, 1e22, 1e23,
        1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 3.141592653589793, 100.0, 1e100, 12345.678, 9007199254740993.0,
        999999999999999.9, 9999999999999998.0, 1125899906842624.25, 1125899906842624.75, -7e-5, 1e21, 1.5e21, 12e20, 0.00099,
    )]),
    '[{"a": 1E5, "b": 1e400, "c": -1e400, "d": 1.0e+2, "e": 1e-400, "f": -0, "g": -0.0, "h": 10.50, "i": 0.000001e3}]',
    '[{"a": 123456789012345678901234567890, "b": -98765432109876543210, "c": 18446744073709551616, "d": 0}]',
    # Repr: quotes, escapes, what is printable and what is not.
    json.dumps({"top": "it's \"top\"\n\t\\", "in": ["it's", "\"", "it's \"both\"", "\\", "\n\r\t\0\x1f\x7f\x80\xa0\xad\u0378"]}),
    json.dumps({"in": ["\u0301e", "\u200b\u200e\u2028\u2029\u3000\ufeff\ue000\uffff", "\U0001f600\U000e0001\U0010ffff\U00020000", "\u043a\u043b\u044e\u0447 \uac00"]}),
    json.dumps({"in": ["".join(map(chr, range(0x300)))]}),
    json.dumps({"\u043a'\"": ["x"], "d": {"it's": 1, "\"": 2, "'\"": 3, "\n\u00ad": 4}}, ensure_ascii=False),
    ' \t\r\n{ "spaced" :\n[ 1 ,\t2 , { "a" : null } ] , "u": "\\u0041\\/\\b\\f\\ud83d\\ude00" }\n ',
]
cases = []
for text in texts:
    value = json.loads(text)
    # A list of objects stands for as many sidecars: members as they are written.
    if isinstance(value, list):
        body = text.strip()[1:-1]
        for part in body.split("}, {"):
            part = "{" + part.strip("{}") + "}"
            cases.append({"text": part, "strs": [[k, str(v)] for k, v in json.loads(part).items()]})
    else:
        cases.append({"text": text, "strs": [[k, str(v)] for k, v in value.items()]})
with open("sidecars.json", "w") as f:
    json.dump(cases, f, indent=1)
    f.write("\n")
