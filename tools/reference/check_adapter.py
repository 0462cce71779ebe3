"""What PEFT makes of an adapter and of heirloom's copy of it: the same factors and logits.

Usage: cargo run -p heirloom-model --example resave -- MODEL COPY --adapter ADAPTER; python tools/reference/check_adapter.py MODEL ADAPTER COPY
"""

import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

model, adapter, copy = sys.argv[1:]
theirs, ours = (load_file(f"{folder}/adapter_model.safetensors") for folder in (adapter, copy))
assert theirs.keys() == ours.keys(), theirs.keys() ^ ours.keys()
assert all(torch.equal(tensor, ours[name]) for name, tensor in theirs.items())


def logits(folder):
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), folder).eval()
    return adapted(torch.arange(24)[None] % adapted.config.vocab_size).logits


plain = AutoModelForCausalLM.from_pretrained(model).eval()
plain = plain(torch.arange(24)[None] % plain.config.vocab_size).logits
assert torch.equal(logits(copy), logits(adapter))
print(f"{copy}: equal, {len(ours)} factors, logits change by up to {(logits(copy) - plain).abs().max():.3f}")
