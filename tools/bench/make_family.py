"""Writes one model of about 100 M random parameters, of a family that heirloom runs, as a Hugging Face folder.

Weights are those that transformers draws, so that activations stay finite; windows are short enough to matter on the rows.

`llama_8b` and `llama_small` are Llamas in bf16 for the bench of a device.

Usage: python tools/bench/make_family.py FAMILY FOLDER
       python tools/bench/make_family.py --list
"""

import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

SIZES = dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=4, vocab_size=8192,
             max_position_embeddings=1024, bos_token_id=1, eos_token_id=2, pad_token_id=0)
EXPERTS = dict(num_experts=8, num_experts_per_tok=2, norm_topk_prob=True)
GPT = dict(vocab_size=8192, bos_token_id=1, eos_token_id=2)
FAMILIES = {
    "llama": {},
    "mistral": dict(sliding_window=64),
    "qwen2": {},
    "qwen3": dict(head_dim=64),
    "smollm3": {},
    "olmo2": {},
    "olmo3": dict(sliding_window=64),
    "gemma2": dict(head_dim=64, sliding_window=64, query_pre_attn_scalar=64),
    "gemma3_text": dict(head_dim=64, sliding_window=64, query_pre_attn_scalar=64),
    "phi3": {},
    "gpt_neox": dict(intermediate_size=3072),
    "gpt2": GPT | dict(n_layer=12, n_embd=768, n_head=12, n_positions=1024),
    "olmoe": EXPERTS | dict(intermediate_size=352),
    "qwen3_moe": EXPERTS | dict(head_dim=64, moe_intermediate_size=352),
    "qwen3_5_text": dict(head_dim=64, linear_num_key_heads=6, linear_num_value_heads=12, linear_key_head_dim=64, linear_value_head_dim=64),
}
# For a device: the shape of Llama 3.1 8B, and the same thing small, to try the bench without one.
DEVICE = {
    "llama_8b": dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
                     vocab_size=128256, max_position_embeddings=8192, rope_theta=500000.0, bos_token_id=1, eos_token_id=2, pad_token_id=0),
    "llama_small": SIZES,
}

if sys.argv[1:] == ["--list"]:
    print(" ".join(FAMILIES))
    sys.exit()
family, folder = sys.argv[1:]
if family not in FAMILIES | DEVICE:
    sys.exit(f"error: no family `{family}`: there are {', '.join(FAMILIES | DEVICE)}")
logging.disable_progress_bar()
torch.manual_seed(0)
if family in DEVICE:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **DEVICE[family]), dtype=torch.bfloat16)
else:
    settings = FAMILIES[family] if family == "gpt2" else SIZES | FAMILIES[family]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings))
model.save_pretrained(folder)
print(f"{family}: {sum(weight.numel() for weight in model.parameters()) / 1e6:.0f} M parameters", file=sys.stderr)
