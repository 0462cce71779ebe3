"""Training and adapters: heirloom-model's `training/` and `peft-llama-gqa/` fixtures.

`training/steps.json`: ten AdamW steps of PyTorch on the models of `make_model_fixtures.py`: every row alone, no padding, the loss
a mean over all tokens that carry it in the batches of a step. Checked here against the loss of transformers on the same tokens.
`peft-*/`: PEFT adapters with random factors on the models that `ADAPTERS` names, and the logits they give.
"""

import math
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from fixtures import MODEL_FIXTURES, versions, write_json

STEPS = 10
CASES = {
    "llama-gqa": dict(batch_rows=4, accumulate=1, lr=2e-3, schedule="cosine", warmup=0.3, floor=0.1, weight_decay=0.1, clip=1.0),
    "llama-tied-mha": dict(batch_rows=2, accumulate=3, lr=1e-3, schedule="linear", warmup=0.0, floor=0.0, weight_decay=0.01, clip=0.5),
    "llama-bias": dict(batch_rows=3, accumulate=1, lr=1e-3, schedule="constant", warmup=0.0, floor=0.0, weight_decay=0.5, clip=None),
    "mistral-window": dict(batch_rows=4, accumulate=2, lr=3e-3, schedule="cosine", warmup=0.1, floor=0.0, weight_decay=0.0, clip=2.0),
}


def lr_at(t, c):
    rising = math.ceil(STEPS * c["warmup"])
    if t < rising:
        return c["lr"] * (t + 1) / rising
    p = (t - rising) / max(STEPS - rising, 1)
    left = {"constant": None, "linear": 1 - p, "cosine": 0.5 * (1 + math.cos(math.pi * p))}[c["schedule"]]
    return c["lr"] if left is None else c["lr"] * (c["floor"] + (1 - c["floor"]) * left)


def make_rows(n, vocab, generator):
    """Ids, and one or two ranges of them that carry loss, the first token among them now and then."""
    rows = []
    for index in range(n):
        length = int(torch.randint(6, 24, (1,), generator=generator))
        ids = torch.randint(0, vocab, (length,), generator=generator).tolist()
        cut = sorted(torch.randperm(length + 1, generator=generator)[:4].tolist())
        loss = [[cut[0], cut[1]], [cut[2], cut[3]]] if index % 2 else [[0, length] if index % 4 == 0 else [cut[0], cut[3]]]
        rows.append(dict(id=str(index), ids=ids, loss=[r for r in loss if max(r[0], 1) < r[1]] or [[0, length]]))
    return rows


def sums(model, row):
    ids = torch.tensor([row["ids"]])
    carried = torch.zeros(len(row["ids"]), dtype=torch.bool)
    for start, end in row["loss"]:
        carried[start:end] = True
    carried[0] = False
    logits = model(ids).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none")
    labels = torch.where(carried, ids[0], -100)
    n = int(carried.sum())
    theirs = model(ids, labels=labels[None]).loss * n
    ours = nll[carried[1:]].sum()
    assert torch.isclose(ours, theirs, rtol=1e-5), (ours, theirs)
    return ours, n


def train(name, c):
    model = AutoModelForCausalLM.from_pretrained(MODEL_FIXTURES / name, attn_implementation="eager")
    generator = torch.Generator().manual_seed(len(name))
    rows = make_rows(STEPS * c["batch_rows"] * c["accumulate"], model.config.vocab_size, generator)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [dict(params=matrices, weight_decay=c["weight_decay"]), dict(params=vectors, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, foreach=False, fused=False)
    steps = []
    for t in range(STEPS):
        n_rows = c["batch_rows"] * c["accumulate"]
        batch = [sums(model, row) for row in rows[t * n_rows : (t + 1) * n_rows]]
        loss = sum(nll for nll, _ in batch) / sum(n for _, n in batch)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), c["clip"] or math.inf)
        for group in optimizer.param_groups:
            group["lr"] = lr_at(t, c)
        optimizer.step()
        steps.append(dict(loss=loss.item(), grad_norm=norm.item(), lr=lr_at(t, c)))
    ends = {key: value.flatten()[:: max(value.numel() // 5, 1)].tolist() for key, value in model.state_dict().items()}
    ends.pop("lm_head.weight" if model.config.tie_word_embeddings else "", None)
    return dict(model=name, options=c, rows=rows, steps=steps, ends=ends)


ADAPTERS = {
    # All but k_proj and o_proj: some of a stacked projection and all of it.
    "peft-llama-gqa": ("llama-gqa", dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"])),
    # Everything that is linear, with ranks and scales of their own, whole modules beside it, `alpha / sqrt(rank)`.
    "peft-patterns": (
        "llama-gqa",
        dict(
            r=4,
            lora_alpha=6,
            target_modules="all-linear",
            use_rslora=True,
            rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.(up|down)_proj": 6},
            alpha_pattern={r"0\.self_attn\.[kv]_proj": 3, "down_proj": 11},
            modules_to_save=["lm_head", "post_attention_layernorm"],
        ),
    ),
    # An embedding of its own on a model whose head is the embedding.
    "peft-untied": ("llama-tied-mha", dict(r=3, lora_alpha=4, target_modules=["o_proj"], modules_to_save=["embed_tokens"])),
}


def make_adapter(name, model_name, options):
    base = AutoModelForCausalLM.from_pretrained(MODEL_FIXTURES / model_name, attn_implementation="eager")
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM", **options)).eval()
    config = model.peft_config["default"]
    folder = MODEL_FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    config.base_model_name_or_path = model_name
    # As a list, so that the file is the same each time.
    targets = options["target_modules"]
    config.target_modules = sorted(config.target_modules) if isinstance(targets, str) else targets
    norms = {}
    for key, parameter in model.named_parameters():
        if ".modules_to_save.default." in key:
            change = 0.1 * torch.randn_like(parameter)
            parameter.data += change
            path = key.removeprefix("base_model.model.").replace(".modules_to_save.default", "").removesuffix(".weight")
            original = model.get_submodule(key.split(".modules_to_save.")[0]).original_module.weight
            norms[path] = (parameter.double() - original.double()).norm().item()
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    rows = [[22, 52, 82, 7], [59, 79, 47, 22, 22, 50, 52]]
    logits = {f"{i}.logits": model(torch.tensor([ids])).logits[0].detach().contiguous() for i, ids in enumerate(rows)}
    save_file(logits, folder / "expected.safetensors")
    for key, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            norms[key.removeprefix("base_model.model.")] = module.get_delta_weight("default").double().norm().item()
    head = dict(made_by="tools/reference/make_training_fixtures.py", versions=versions("torch", "transformers", "peft"))
    write_json(folder / "inputs.json", head | dict(input_ids=rows, norms=norms))
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(MODEL_FIXTURES / model_name), folder).eval()
    assert torch.allclose(again(torch.tensor([rows[0]])).logits[0], logits["0.logits"], atol=1e-5)


if __name__ == "__main__":
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    cases = [train(name, c) for name, c in CASES.items()]
    head = dict(made_by="tools/reference/make_training_fixtures.py", versions=versions("torch", "transformers"))
    write_json(MODEL_FIXTURES / "training/steps.json", head | {case["model"]: case for case in cases})
    for name, (model_name, options) in ADAPTERS.items():
        make_adapter(name, model_name, options)
