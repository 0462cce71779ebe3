"""The parity tests' lines as Markdown: a row for each model, then hook points down and models across for each family.

Usage, from the repository's root: tools/parity-table; the device stands in the argument.
"""

import json
import re
import subprocess
import sys

from fixtures import MODEL_FIXTURES

LINE = re.compile(r"^(?:test \S+ \.\.\. )?([a-z0-9-]+) +(\S+) +(\d\.?\d*e-?\d+)$")


def family(model):
    folder = MODEL_FIXTURES / "families" / model
    folder = folder if folder.is_dir() else MODEL_FIXTURES / model
    return json.loads((folder / "config.json").read_text())["model_type"]


def worst(cells):
    """The largest number, and where it is."""
    return max(((float(value), name) for name, value in cells.items()), default=(None, None))


def table(head, rows):
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def machine(device):
    """What the figures were computed on, and the command."""
    if device == "cpu":
        return "one processor with AVX-512; on others the last digits\ndiffer", "tools/parity-table"
    ask = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return f"`{device}`: {subprocess.check_output(ask, text=True).splitlines()[0]}", f"DEVICE={device} FEATURES=cuda tools/parity-table"


figures_of, command = machine(sys.argv[1])
found = {}
for line in sys.stdin:
    if match := LINE.match(line.strip()):
        model, name, value = match.groups()
        found.setdefault(model, {})[name] = value
assert found, "no lines of the parity tests on the standard input"
families = {}
for model in found:
    families.setdefault(family(model), []).append(model)

print(f"""# Parity with Hugging Face transformers

Tiny random models of every family, each row run alone by transformers 5.23.0 with eager attention, all rows in one batch of mixed lengths
by heirloom. Written by

```
{command}
```

- **f32**: largest absolute difference of every hook point and of the logits, divided by the larger of the tensor's largest value and 1.
  The tests fail above 2e-5.
- **bf16**: distance of the logits to those of transformers in bf16, divided by their norm. The tests fail above 1e-2.
- **gradients**: of every weight, distance to PyTorch's divided by its norm, or of largest numbers where that is larger. The tests fail above
  1e-4.

`gemma3`, `mistral3` and `qwen3_5` are models of images and text, held against transformers' whole classes on text.

The fixtures were made by `tools/reference/make_model_fixtures.py` (Llama and Mistral) and `make_family_fixtures.py` (the others), which hold
transformers' f32 against f64, and Llama, Mistral and one model each of Qwen 2 and 3, Gemma 2, GPT-NeoX and GPT-2 against TransformerLens 3.9.0. The
tests are `crates/heirloom-model/tests/model/parity.rs` and `gradients.rs`. The figures are of {figures_of}.

## Every model
""")
rows = []
for name, models in families.items():
    for model in models:
        cells = found[model]
        gradients = {k: v for k, v in cells.items() if k.endswith((".weight", ".bias", "A_log", "dt_bias"))}
        hooks = {k: v for k, v in cells.items() if k not in gradients and k not in ("logits", "logits-bf16")}
        value, hook = worst(hooks)
        rows.append((f"`{name}`", model, f"{value:.1e}", f"`{hook}`", cells["logits"], cells.get("logits-bf16", ""),
                     f"{worst(gradients)[0]:.1e}" if gradients else ""))
table(("`model_type`", "model", "worst hook point, f32", "which", "logits, f32", "logits, bf16", "worst gradient"), rows)
for name, models in families.items():
    print(f"\n## `{name}`\n")
    hooks = dict.fromkeys(k for m in models for k in found[m] if not k.endswith((".weight", ".bias", "A_log", "dt_bias")) and k != "logits-bf16")
    table(["hook point", *models], [[f"`{hook}`", *(found[m].get(hook, "") for m in models)] for hook in sorted(hooks)])
if sys.argv[1] == "cpu":
    print("""
SmolLM2-135M-Instruct from its GGUF file (`tests/model/smollm2.rs`): last-token streams of all 30 blocks on 8 chat prompts within 2.5e-6
of their norm, greedy replies to 8 prompts and 46 tokenizer cases equal, the reply to "What is the capital of France?" being
504 3575 282 4649 314 7042 30 2.

GGUF (`tests/model/gguf.rs`): what the converter of llama.cpp (llama-cpp-python 0.3.36) makes of twelve random models, among them stretched frequencies (Llama 3.1's, YaRN, LongRoPE), windows,
soft caps, fused projections and 8-bit weights. Streams and logits are within 2.5e-6 of transformers' (worst: Gemma 3; the others below 1e-6), relative to the largest magnitude. What the files do not say is as
llama.cpp has it: Gemma's scores are divided by the square root of a head's width, in the models of 27B of `d_model / n_heads`; Qwen's windows, which no published model uses, are not in its files.
Words of these files, byte-level or SentencePiece's, are rebuilt from their tokens: of 55 texts through three small SentencePiece models (as Llama, Gemma and Phi 3 have them) every id is the library's and llama.cpp's, and every text back the library's.""")
