"""Gradients of every weight, and ten AdamW steps, of the tiny models of make_model_fixtures.py: heirloom-model's training parity.

For each model, crates/heirloom-model/tests/fixtures/gradients/ gets `{model}.safetensors` (one gradient per parameter, f32, by its
Hugging Face name) and `{model}.json`: the rows, where each response begins, the loss, the distance of f32 to f64 per parameter,
and the losses, norms and learning rates of the steps. The rows are one batch of mixed lengths, loss on responses only.
"""

import json
import math

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from fixtures import MODEL_FIXTURES, versions, write_json
from make_model_fixtures import CASES

FOLDER = MODEL_FIXTURES / "gradients"
STEPS = 10
ADAMW = dict(lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
CLIP, WARMUP, FLOOR = 1.0, 3, 0.1


def load(name, dtype):
    return AutoModelForCausalLM.from_pretrained(MODEL_FIXTURES / name, attn_implementation="eager", dtype=dtype).train()


def loss_of(model, rows, responses):
    """Mean cross-entropy over the tokens of all responses; each row alone, as padding is NaN under a sliding window in f64."""
    total = 0.0
    for row, (start, end) in zip(rows, responses):
        logits = model(input_ids=torch.tensor([row]), use_cache=False).logits[0, start - 1 : end - 1]
        total = total + F.cross_entropy(logits, torch.tensor(row[start:end]), reduction="sum")
    return total / sum(end - start for start, end in responses)


def gradients(name, dtype, rows, responses):
    model = load(name, dtype)
    loss = loss_of(model, rows, responses)
    loss.backward()
    return loss.item(), {name: weight.grad.numpy() for name, weight in sorted(model.named_parameters())}


def relative(found, exact):
    """Distances to `exact`: of norms, and of the largest number."""
    found, exact = found.astype(np.float64), exact.astype(np.float64)
    gap = found - exact
    return [float(np.linalg.norm(gap) / np.linalg.norm(exact)), float(np.abs(gap).max() / np.abs(exact).max())]


def learning_rate(step, scheduled):
    """Linear warm-up, then a cosine down to a tenth."""
    if not scheduled:
        return ADAMW["lr"]
    if step < WARMUP:
        return ADAMW["lr"] * (step + 1) / WARMUP
    done = (step - WARMUP) / (STEPS - WARMUP)
    return ADAMW["lr"] * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def steps(name, dtype, rows, responses, scheduled):
    """Ten steps, each over all rows but one, another one each time."""
    model = load(name, dtype)
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    plain = [weight for weight in model.parameters() if weight.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": plain, "weight_decay": 0.0}], **ADAMW)
    log = []
    for step in range(STEPS):
        batch = [i for i in range(len(rows)) if i != step % len(rows)]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, scheduled)
        loss = loss_of(model, [rows[i] for i in batch], [responses[i] for i in batch])
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP if scheduled else math.inf).item()
        optimizer.step()
        log.append({"batch": batch, "lr": learning_rate(step, scheduled), "loss": loss.item(), "gradient_norm": norm})
    norms = {name: weight.detach().double().norm().item() for name, weight in sorted(model.named_parameters())}
    return {"steps": log, "weight_norms": norms}


def make(name):
    rows = json.loads((MODEL_FIXTURES / name / "inputs.json").read_text())["input_ids"]
    responses = [[max(1, len(row) // 3), len(row)] for row in rows]
    loss, found = gradients(name, torch.float32, rows, responses)
    exact_loss, exact = gradients(name, torch.float64, rows, responses)
    floor = {weight: relative(found[weight], exact[weight]) for weight in found}
    assert all(np.abs(gradient).max() > 0 for gradient in found.values()), name
    assert max(max(pair) for pair in floor.values()) < 1e-5, (name, floor)
    save_file(found, FOLDER / f"{name}.safetensors")

    runs = {}
    for kind, scheduled in (("constant", False), ("scheduled", True)):
        run, exact_run = (steps(name, dtype, rows, responses, scheduled) for dtype in (torch.float32, torch.float64))
        gaps = [abs(a["loss"] - b["loss"]) / b["loss"] for a, b in zip(run["steps"], exact_run["steps"])]
        assert max(gaps) < 2e-5, (name, kind, gaps)
        if scheduled:
            assert max(step["gradient_norm"] for step in run["steps"]) > CLIP, name
        runs[kind] = run | {"max_relative_error_to_f64": max(gaps)}
    write_json(FOLDER / f"{name}.json", {
        "made_by": "tools/reference/make_gradient_fixtures.py",
        "versions": versions("torch", "transformers", "numpy"),
        "input_ids": rows,
        "responses": responses,
        "loss": loss,
        "loss_f64": exact_loss,
        "relative_error_to_f64": floor,
        "adamw": ADAMW | {"clip": CLIP, "warmup": WARMUP, "floor": FLOOR, "decayed": "weights of two dimensions"},
        **runs,
    })
    worst = max(max(pair) for pair in floor.values())
    print(f"{name}: {len(found)} gradients, f32 to f64 {worst:.1e}; losses of ten steps {max(run['max_relative_error_to_f64'] for run in runs.values()):.1e}")


if __name__ == "__main__":
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in CASES:
        make(name)
