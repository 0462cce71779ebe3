"""Times transformers keeping the last token's residual stream after every block, the way its users do: of SmolLM2, or of `--model`.

`output_hidden_states=True`, length-sorted right-padded batches under a token budget, f32 on CPU. In transformers the last entry
of `hidden_states` is after the final norm, so the last block's own output comes from a forward hook. `--plain` keeps nothing at all.
Prints one JSON object; `--save` writes `blocks.{l}.hook_resid_post` [rows, d_model] in the order of the file.

Usage: python tools/bench/capture_transformers.py rows.json [--model FOLDER] [--head] [--tokens 1024] [--repeat 3] [--device cuda] [--dtype bf16] [--plain] [--save states.safetensors]
"""

import argparse
import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForCausalLM
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
import smollm2  # noqa: E402


def batches(lengths, budget):
    """Row numbers by length, longest first, so that longest × rows stays within the budget."""
    plan, current = [], []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if current and lengths[current[0]] * (len(current) + 1) > budget:
            plan.append(current)
            current = []
        current.append(row)
    return plan + [current]


def restart_peak():
    """Makes the kernel measure the peak of memory anew, so that loading does not count; false where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_mb():
    """High-water mark of resident memory since the start or the last restart, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def padded(rows, batch, model):
    """Ids and mask of a batch, on the model's device."""
    longest = max(len(rows[row]) for row in batch)
    ids = torch.full((len(batch), longest), model.config.pad_token_id or 0)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for place, row in enumerate(batch):
        ids[place, : len(rows[row])] = torch.tensor(rows[row])
        mask[place, : len(rows[row])] = 1
    return ids.to(model.device), mask.to(model.device)


@torch.inference_mode()
def plain(model, rows, plan, _layers):
    for batch in plan:
        ids, mask = padded(rows, batch, model)
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    if model.device.type == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def capture(model, rows, plan, layers):
    d_model = model.config.hidden_size
    kept = torch.empty(layers, len(rows), d_model)
    decoder = getattr(model, model.base_model_prefix, model)
    blocks = decoder.h if hasattr(decoder, "h") else decoder.layers
    raw = []
    handle = blocks[-1].register_forward_hook(lambda _module, _args, output: raw.append(output[0] if isinstance(output, tuple) else output))
    for batch in plan:
        ids, mask = padded(rows, batch, model)
        states = model(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True).hidden_states
        last = mask.sum(1) - 1
        index = torch.arange(len(batch), device=model.device)
        for layer, state in enumerate((*states[1:layers], raw.pop())):
            kept[layer, batch] = state[index, last].float().cpu()
    handle.remove()
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help='JSON: {"rows": [[id, …], …]}')
    parser.add_argument("--model", type=Path, help="a Hugging Face folder in place of SmolLM2")
    parser.add_argument("--head", action="store_true", help="AutoModelForCausalLM: logits of every position are computed too")
    parser.add_argument("--tokens", type=int, default=1024, help="padded tokens in a batch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attention", default="sdpa", choices=("sdpa", "eager"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="f32", choices=("f32", "bf16"))
    parser.add_argument("--plain", action="store_true", help="the forward pass alone")
    parser.add_argument("--repeat", type=int, default=1, help="the fastest of so many passes counts")
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()

    logging.disable_progress_bar()
    torch.set_num_threads(args.threads)
    rows = json.loads(args.rows.read_text())["rows"]
    plan = batches([len(row) for row in rows], args.tokens)
    start = time.perf_counter()
    if args.model:
        auto = AutoModelForCausalLM if args.head else AutoModel
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
        model = auto.from_pretrained(args.model, dtype=dtype, attn_implementation=args.attention).eval().to(args.device)
    else:
        model = smollm2.load(head=args.head, attention=args.attention)
    loaded = time.perf_counter() - start
    layers = model.config.num_hidden_layers
    once = plain if args.plain else capture
    once(model, [rows[0][:8]], [[0]], layers)

    restarted = restart_peak()
    resident = peak_mb()
    passes = []
    for _ in range(args.repeat):
        start = time.perf_counter()
        kept = once(model, rows, plan, layers)
        passes.append(round(time.perf_counter() - start, 3))
    seconds = min(passes)

    tokens = sum(map(len, rows))
    if args.save:
        save_file({f"blocks.{layer}.hook_resid_post": kept[layer].contiguous() for layer in range(layers)}, args.save)
    print(json.dumps({
        "model": args.model.name if args.model else "smollm2",
        "what": ("transformers, nothing kept" if args.plain else "transformers capture, last token of every block") + (", full logits" if args.head else ""),
        "rows": len(rows), "tokens": tokens, "padded_tokens": sum(len(b) * len(rows[b[0]]) for b in plan), "batches": len(plan),
        "seconds": seconds, "passes": passes, "load_average": os.getloadavg()[0], "tokens_per_second": round(tokens / seconds, 1), "load_seconds": round(loaded, 2),
        "resident_mb": round(resident), "peak_rss_mb": round(peak_mb()), "peak_excludes_load": restarted,
        "threads": args.threads, "tokens_per_batch": args.tokens, "attention": args.attention, "device": torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device, "dtype": args.dtype,
        "torch": version("torch"), "transformers": version("transformers"),
    }))


if __name__ == "__main__":
    main()
