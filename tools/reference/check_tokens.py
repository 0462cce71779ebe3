"""Compares smollm2_tokens.json with llama.cpp's tokenizer on the same GGUF (checked with xllamacpp 2026.10.11549; own environment).

Usage: python tools/reference/check_tokens.py
"""

import json
import urllib.request
from pathlib import Path

import xllamacpp

ROOT = Path(__file__).resolve().parents[2]
params = xllamacpp.CommonParams()
params.model.path = str(ROOT / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
params.n_ctx = 256
server = xllamacpp.Server(params)
cases = json.loads((ROOT / "crates/heirloom-model/tests/fixtures/smollm2/smollm2_tokens.json").read_text())["cases"]
wrong = []
for case in cases:
    body = json.dumps({"content": case["text"], "parse_special": True, "add_special": False}).encode()
    request = urllib.request.Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
    found = json.load(urllib.request.urlopen(request))["tokens"]
    if found != case["ids"]:
        wrong.append((case["text"], case["ids"], found))
print(f"{len(cases)} texts, {len(wrong)} differ: {wrong}")
raise SystemExit(bool(wrong))
