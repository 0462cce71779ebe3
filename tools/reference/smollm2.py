"""SmolLM2-135M-Instruct out of its GGUF: transformers' dequantized f32 model, and the tokenizer as it was trained."""

import sys

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from fixtures import SMOLLM2


def path():
    if not SMOLLM2.exists():
        sys.exit(f"error: found no `{SMOLLM2.name}`\n\nhint: run tools/fetch-smollm2")
    return SMOLLM2


def load(head=True, attention="eager"):
    kind = AutoModelForCausalLM if head else AutoModel
    file = path()
    model = kind.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation=attention)
    return model.eval()


def transformers_tokenizer():
    """As transformers reads it from this GGUF: byte-level only, it does not split digits (`pre = "smollm"` is ignored)."""
    return AutoTokenizer.from_pretrained(path().parent, gguf_file=path().name)


def tokenizer():
    """As SmolLM2 was trained and as llama.cpp reads `pre = "smollm"`: digits one by one, then byte-level, no prefix space."""
    fields = {name: field for name, field in GGUFReader(path()).fields.items() if name.startswith("tokenizer.")}
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    control = [t for t, kind in zip(tokens, fields["tokenizer.ggml.token_type"].contents()) if kind == 3]
    inner = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=tokens[1], eos_token=tokens[2], unk_token=tokens[0], pad_token=tokens[2],
        chat_template=fields["tokenizer.chat_template"].contents(),
    )
