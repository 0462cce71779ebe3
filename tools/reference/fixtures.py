"""What every generator here shares: where fixtures live, how JSON is laid out, which versions made them."""

import json
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL_FIXTURES = ROOT / "crates/heirloom-model/tests/fixtures"
PROBE_FIXTURES = ROOT / "crates/heirloom-probe/tests/fixtures"
SMOLLM2 = ROOT / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def versions(*packages):
    """Versions of the packages that made a fixture, stored inside it."""
    return {package: version(package) for package in packages}


def write_json(path, value):
    """One top-level key per line, floats by repr (they read back bit-equal), unicode kept."""
    lines = [f"  {json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_cases(path, head, name, cases):
    """A JSON object whose list `name` has one case per line, so that a changed case is one changed line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}," for key, item in head.items()]
    rows = ",\n".join("    " + json.dumps(case, ensure_ascii=False) for case in cases)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + "\n".join(lines) + f"\n  {json.dumps(name)}: [\n{rows}\n  ]\n}}\n", encoding="utf-8")
