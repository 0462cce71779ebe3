"""Times transformers' `generate` sampling at temperature 1 over the whole vocabulary, left-padded batches, f32 on CPU.

Prints one JSON object; `tokens` are those drawn, up to the one that ended a row.

Usage: python tools/bench/generate_transformers.py MODEL rows.json [--batch 64] [--new 26] [--repeat 3]
`MODEL` is a folder, or `smollm2` for the file that tools/fetch-smollm2 fetched.
"""

import argparse
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
import smollm2  # noqa: E402


@torch.inference_mode()
def generate(model, rows, new):
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    out = model.generate(
        input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=new, pad_token_id=0
    )[:, longest:]
    ends = model.generation_config.eos_token_id
    ends = torch.tensor([] if ends is None else ends).reshape(-1)
    ended = torch.isin(out, ends).int().cumsum(1)
    return int((ended.cumsum(1) <= 1).sum())  # up to and with the first token that ends a row


parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("rows", type=Path)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--new", type=int, default=26)
parser.add_argument("--repeat", type=int, default=3)
options = parser.parse_args()
logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))

if options.model == "smollm2":
    model = smollm2.load(AutoModelForCausalLM)
else:
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
model.eval()
rows = json.loads(options.rows.read_text())["rows"]
batches = [rows[start : start + options.batch] for start in range(0, len(rows), options.batch)]
torch.manual_seed(0)
generate(model, batches[0], options.new)
passes = []
for _ in range(options.repeat):
    start = time.perf_counter()
    tokens = sum(generate(model, batch, options.new) for batch in batches)
    passes.append(time.perf_counter() - start)
print(
    json.dumps(
        {
            "what": "transformers sampling",
            "torch": version("torch"),
            "transformers": version("transformers"),
            "model": Path(options.model).name,
            "rows": len(rows),
            "batch": options.batch,
            "tokens": tokens,
            "seconds": min(passes),
            "passes": passes,
            "tokens_per_second": round(tokens / min(passes)),
            "threads": torch.get_num_threads(),
            "dtype": "f32",
            "load_average": os.getloadavg()[0],
        }
    )
)
