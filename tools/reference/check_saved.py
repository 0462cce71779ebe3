"""What transformers makes of a model and of heirloom's copy of it: the same weights, logits, words and stop tokens.

Usage: cargo run -p heirloom-model --example resave -- MODEL COPY; python tools/reference/check_saved.py MODEL COPY [MODEL COPY …]
"""

import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

CHAT = [{"role": "user", "content": "hello there"}, {"role": "assistant", "content": "hello you ."}]


def load(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", experts_implementation="eager", output_loading_info=True)
    for kind, names in info.items():
        assert not names, f"{folder}: {kind}: {names}"
    return model


def stop(model):
    ids = model.generation_config.eos_token_id
    return sorted(ids if isinstance(ids, list) else [ids])


for original, copy in zip(*[iter(map(Path, sys.argv[1:]))] * 2, strict=True):
    ours, theirs = load(copy), load(original)
    assert type(ours) is type(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), f"{copy}: {name}"
    ids = torch.arange(24)[None] % AutoConfig.from_pretrained(original).vocab_size
    assert torch.equal(ours(ids).logits, theirs(ids).logits), copy
    words = "no words"
    if (original / "tokenizer.json").is_file():
        assert stop(ours) == stop(theirs), copy
        a, b = (AutoTokenizer.from_pretrained(folder) for folder in (copy, original))
        assert len(a) == len(b) and a.all_special_tokens == b.all_special_tokens, copy
        if b.chat_template:
            assert a.apply_chat_template(CHAT, tokenize=False) == b.apply_chat_template(CHAT, tokenize=False), copy
            assert a.apply_chat_template(CHAT) == b.apply_chat_template(CHAT), copy
        words = f"{len(a)} words"
    print(f"{copy}: equal, {sum(p.numel() for p in ours.parameters())} parameters, {words}")
