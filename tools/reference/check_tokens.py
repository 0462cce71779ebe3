"""Compares smollm2_tokens.json and gguf-words/cases.json with llama.cpp's tokenizer on the same GGUFs (checked with xllamacpp 2026.10.11549;
own environment).

Usage: python tools/reference/check_tokens.py
"""

import json
import urllib.request
from pathlib import Path

import xllamacpp

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "crates/heirloom-model/tests/fixtures"


def differing(model, cases, begins):
    """Texts of which llama.cpp makes other ids; `begins` has it put the token there that begins a text."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx = 256
    server = xllamacpp.Server(params)
    wrong = []
    for case in cases:
        body = json.dumps({"content": case["text"], "parse_special": True, "add_special": begins}).encode()
        request = urllib.request.Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
        found = json.load(urllib.request.urlopen(request))["tokens"]
        if found != case["ids"]:
            wrong.append((case["text"], case["ids"], found))
    print(f"{model.name}: {len(cases)} texts, {len(wrong)} differ: {wrong}")
    return wrong


cases = json.loads((FIXTURES / "smollm2/smollm2_tokens.json").read_text())["cases"]
wrong = differing(ROOT / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", cases, False)
cases = json.loads((FIXTURES / "gguf-words/cases.json").read_text())["cases"]
for name in sorted({case["model"] for case in cases}):
    wrong += differing(FIXTURES / f"gguf-words/{name}.gguf", [case for case in cases if case["model"] == name], True)
raise SystemExit(bool(wrong))
