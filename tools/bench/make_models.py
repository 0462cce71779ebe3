"""Writes two small Llamas with random weights as Hugging Face folders, each with a word-level tokenizer and rows of token ids.

`mini` has the sizes of the miniature worlds' students, `small` is twice as wide and one block deeper. No token ends a text, so
that every continuation is as long as allowed.

Usage: python tools/bench/make_models.py FOLDER [--rows 256]
"""

import argparse
import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SIZES = {
    "mini": dict(hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=4, vocab_size=291),
    "small": dict(hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=8, vocab_size=512),
}

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--rows", type=int, default=256)
options = parser.parse_args()
for name, sizes in SIZES.items():
    torch.manual_seed(0)
    folder = options.folder / name
    config = LlamaConfig(**sizes, max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=None)
    LlamaForCausalLM(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(sizes["vocab_size"])}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
    draw = random.Random(0)
    rows = [[draw.randrange(sizes["vocab_size"]) for _ in range(draw.randint(15, 35))] for _ in range(options.rows)]
    (folder / "rows.json").write_text(json.dumps({"rows": rows}))
