"""Times training transformers' Llama with PyTorch on rows of token ids, the way its users do, f32 on CPU.

Batches of 32 rows in the order of the file, right-padded to the longest, loss on every token but a row's first through `labels`,
fused AdamW with weight decay on matrices only, clipped gradients, warm-up and cosine: heirloom's default options.
`--side-by-side N` trains N models at once, one process and one thread each. `--compile` goes through torch.compile, compiled
before the clock starts. Prints one JSON object; `tokens` are those of all models of a pass, padding not counted.

Usage: python tools/bench/train_torch.py MODEL rows.json [--epochs 2] [--attention sdpa] [--repeat 3] [--side-by-side 1] [--compile]
"""

import argparse
import copy
import json
import math
import multiprocessing
import os
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM
from transformers.utils import logging

BATCH_ROWS, LR, WARMUP, FLOOR, WEIGHT_DECAY, CLIP, FIRST = 32, 5e-4, 0.05, 0.1, 0.01, 1.0, 10


def lr_at(done, steps):
    rising = math.ceil(steps * WARMUP)
    if done < rising:
        return LR * (done + 1) / rising
    progress = (done - rising) / max(steps - rising, 1)
    return LR * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))


def collate(rows):
    lengths = torch.tensor([len(row) for row in rows])
    ids = pad_sequence(rows, batch_first=True)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return dict(input_ids=ids, attention_mask=mask.long(), labels=ids.masked_fill(~mask, -100))


def train(model, rows, epochs, adamw, most=None):
    """Losses and gradient norms of all steps, or of the first `most`."""
    batches = [rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)]
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [dict(params=matrices, weight_decay=WEIGHT_DECAY), dict(params=vectors, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, **({adamw: True} if adamw != "plain" else {}))
    losses, norms = [], []
    steps = epochs * len(batches)
    for done in range(min(steps, most or steps)):
        loss = model(**collate(batches[done % len(batches)]), use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = lr_at(done, steps)
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms


def run(options, barrier, results):
    """One training in a process of its own; all begin together and the clock stops with the last."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1 if options.side_by_side > 1 else options.threads)
    rows = [torch.tensor(row) for row in json.loads(options.rows.read_text())["rows"]]
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32, attn_implementation=options.attention).train()
    untrained = copy.deepcopy(model.state_dict())
    compiled = torch.compile(model, dynamic=True) if options.compile else model
    start = time.perf_counter()
    train(compiled, rows, options.epochs, options.adamw, most=2)
    warmed = time.perf_counter() - start
    passes = []
    for _ in range(options.repeat):
        model.load_state_dict(untrained)
        barrier.wait()
        start = time.perf_counter()
        losses, norms = train(compiled, rows, options.epochs, options.adamw)
        barrier.wait()
        passes.append(time.perf_counter() - start)
    results.put((passes, losses, norms, warmed, torch.get_num_threads()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path, help='JSON: {"rows": [[id, …], …]}')
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--attention", default="sdpa", choices=("sdpa", "eager"))
    parser.add_argument("--adamw", default="fused", choices=("fused", "foreach", "plain"))
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many passes counts")
    parser.add_argument("--side-by-side", type=int, default=1, help="trainings at once, one thread each")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "2")))
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    n = options.side_by_side
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(n), spawn.SimpleQueue()
    others = [spawn.Process(target=run, args=(options, barrier, results), daemon=True) for _ in range(n - 1)]
    for process in others:
        process.start()
    run(options, barrier, results)
    passes, losses, norms, warmed, threads = [results.get() for _ in range(n)][0]
    for process in others:
        process.join()

    lengths = [len(row) for row in json.loads(options.rows.read_text())["rows"]]
    batches = [lengths[start : start + BATCH_ROWS] for start in range(0, len(lengths), BATCH_ROWS)]
    seconds, passed = min(passes), n * options.epochs
    tokens = passed * sum(lengths)
    print(json.dumps({
        "what": "transformers training" + (", compiled" if options.compile else ""),
        "torch": version("torch"), "transformers": version("transformers"), "model": options.model.name,
        "rows": len(lengths), "batch_rows": BATCH_ROWS, "epochs": options.epochs, "steps": len(losses),
        "side_by_side": n, "tokens": tokens, "padded_tokens": passed * sum(len(b) * max(b) for b in batches),
        "loss_tokens": tokens - passed * len(lengths),
        "seconds": seconds, "passes": passes, "tokens_per_second": round(tokens / seconds), "warm_up_seconds": round(warmed, 2),
        "first_ten_loss": sum(losses[:FIRST]) / len(losses[:FIRST]), "first_ten_grad_norm": sum(norms[:FIRST]) / len(norms[:FIRST]),
        "last_loss": losses[-1], "attention": options.attention, "adamw": options.adamw, "threads": threads, "dtype": "f32",
        "load_average": os.getloadavg()[0],
    }))


if __name__ == "__main__":
    main()
