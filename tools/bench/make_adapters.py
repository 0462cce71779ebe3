"""Writes LoRA adapters of rank 32 on every linear layer of a Llama, with random numbers, as PEFT would: `checkpoint-1`, `checkpoint-2`, ….

Usage: python tools/bench/make_adapters.py MODEL FOLDER --count 50
"""

import argparse
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils import logging

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=Path)
parser.add_argument("folder", type=Path)
parser.add_argument("--count", type=int, default=50)
args = parser.parse_args()

logging.disable_progress_bar()
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16)
model = get_peft_model(model, LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM"))
factors = [weight for name, weight in model.named_parameters() if "lora_B" in name]
for step in range(1, args.count + 1):
    with torch.no_grad():
        for weight in factors:
            weight.normal_(std=1e-3)
    model.save_pretrained(args.folder / f"checkpoint-{step}")
