"""What SmolLM2-135M-Instruct (Q4_1 GGUF, dequantized to f32) says and thinks in transformers: heirloom's real-model reference.

Writes crates/heirloom-model/tests/fixtures/smollm2/: `smollm2_expected.json` (chat prompts, greedy replies, errors),
`smollm2_hidden.safetensors` (`{row}.hook_resid_post`, [30, 576], last token) and `smollm2_tokens.json` (text ↔ ids).
"""

import hashlib

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers.utils import logging

import smollm2
from fixtures import MODEL_FIXTURES, versions, write_cases
from plain_llama import forward

FOLDER = MODEL_FIXTURES / "smollm2"
TEXTS = [
    "", " ", "  ", "\n", "\n\n\n", "\t\tx", "Hello", " Hello", "Hello world", "Hello  world", "hello\nworld\n", "Hello world ",
    "The year 2026, 3.14159 and 1,000,000.", "x=12", "x  12", "   7", "12 monkeys 007", "a1b22c333", "²½ ٣٤ Ⅷ", "0x1F 1e-05",
    "I'm you're WE'LL don't", "snake_case camelCase kebab-case", "def f(x):\n    return x ** 2\n", "C:\\dir\\file.txt", "https://example.org/a?b=c&d=1",
    "naïve café résumé", "Zürich Straße", "日本語のテキスト", "한국어", "Привет, мир!", "مرحبا بالعالم", "नमस्ते", "🙂", "👩‍👩‍👧 family", "a\u0301 é",
    "\u00a0nbsp\u3000wide", "…—“quotes”", "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|>a<|endoftext|>", "text<|im_end|>", "<|im_start", "<file_sep><repo_name>x",
    "!!!???", "{\"k\": [1, 2.5, null]}", "A" * 40, "zero\u200bwidth",
]
CONVERSATIONS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Name three colors."}],
    [{"role": "system", "content": "You answer with one word."}, {"role": "user", "content": "Is the sky blue?"}],
    [{"role": "user", "content": "What year is it?"}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello! How can I help?"}, {"role": "user", "content": "Tell me a joke about a cat."}],
    [{"role": "user", "content": "I feel sad today. 😢"}],
    [{"role": "user", "content": "Compute 12 + 30."}],
    [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "Where is the treasure?\n\nAnswer in one sentence."}],
]
CAPITAL = [504, 3575, 282, 4649, 314, 7042, 30, 2]
NEW_TOKENS = 16


def tokens(ours, theirs):
    rows = []
    for text in TEXTS:
        ids = ours(text, add_special_tokens=False)["input_ids"]
        other = theirs(text, add_special_tokens=False)["input_ids"]
        row = {"text": text, "ids": ids, "decoded": ours.decode(ids)}
        assert row["decoded"] == text, text
        rows.append(row if ids == other else row | {"ids_transformers_gguf": other})
    return rows


@torch.no_grad()
def last_token(model, ids):
    """[layers, d_model] before the final norm, and the logits, at the last token."""
    found, handles = [], []
    for layer in model.model.layers:
        handles.append(layer.register_forward_hook(lambda _m, _a, out: found.append(out[0, -1].clone())))
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    return torch.stack(found).numpy(), logits


@torch.no_grad()
def greedy(model, ids, eos):
    """Greedy reply with the smallest gap between the first and the second logit, which says how safe the ids are."""
    reply, margin = [], float("inf")
    while len(reply) < NEW_TOKENS and (not reply or reply[-1] != eos):
        top = model(torch.tensor([ids + reply]), use_cache=False).logits[0, -1].topk(2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        reply.append(int(top.indices[0]))
    return reply, margin


if __name__ == "__main__":
    logging.disable_progress_bar()
    torch.set_num_threads(2)
    ours, theirs = smollm2.tokenizer(), smollm2.transformers_tokenizer()
    token_rows = tokens(ours, theirs)
    write_cases(FOLDER / "smollm2_tokens.json", {
        "made_by": "tools/reference/make_smollm2_fixtures.py",
        "versions": versions("transformers", "tokenizers", "gguf"),
        "pre_tokenizer": "digits one by one, then byte-level without prefix space; special tokens in the text are recognized; nothing is added",
        "notes": "`ids_transformers_gguf` is there where transformers, which ignores the GGUF's pre-tokenizer, gives other ids",
    }, "cases", token_rows)

    model = smollm2.load()
    config = model.config.to_dict()
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    rows, hidden = [], {}
    for index, messages in enumerate(CONVERSATIONS):
        text = ours.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert text == theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = ours(text, add_special_tokens=False)["input_ids"]
        states, logits = last_token(model, ids)
        hidden[f"{index}.hook_resid_post"] = states
        plain = forward(config, weights, np.array(ids))
        exact = np.stack([plain[f"blocks.{layer}.hook_resid_post"][-1] for layer in range(len(states))])
        far = np.abs(states - exact).max(1) / np.linalg.norm(exact, axis=1)
        assert far.max() < 1e-5, far
        reply, margin = greedy(model, ids, ours.eos_token_id)
        if index == 0:
            assert reply == CAPITAL, reply
            generated = model.generate(torch.tensor([ids]), max_new_tokens=NEW_TOKENS, do_sample=False)[0, len(ids):].tolist()
            assert generated == CAPITAL, generated
        top = logits.topk(5)
        rows.append({
            "messages": messages, "text": text, "input_ids": ids, "greedy": reply, "greedy_text": ours.decode(reply),
            "smallest_margin": margin, "top_ids": top.indices.tolist(), "top_logits": top.values.tolist(),
            "resid_post_norm": np.linalg.norm(states, axis=1).tolist(), "max_error_to_f64_over_norm": float(far.max()),
            "logits_max_abs_error_to_f64": float(np.abs(logits.numpy() - plain["logits"][-1]).max()),
        })
        print(f"{index}: {len(ids)} tokens, to f64 {far.max():.1e} of the norm, logits {rows[-1]['logits_max_abs_error_to_f64']:.1e}, "
              f"margin {margin:.3f}, {rows[-1]['greedy_text']!r}")
    save_file(hidden, FOLDER / "smollm2_hidden.safetensors")
    again = load_file(FOLDER / "smollm2_hidden.safetensors")
    assert all(np.array_equal(again[name], value) for name, value in hidden.items())
    write_cases(FOLDER / "smollm2_expected.json", {
        "made_by": "tools/reference/make_smollm2_fixtures.py",
        "versions": versions("torch", "transformers", "tokenizers", "gguf", "numpy"),
        "model": {"file": smollm2.path().name, "sha256": hashlib.sha256(smollm2.path().read_bytes()).hexdigest(),
                  "dtype": "f32 after dequantization", "attention": "eager"},
        "chat_template": ours.chat_template,
        "notes": "smollm2_hidden.safetensors has `{row}.hook_resid_post` [30, 576] at the last token, block 29 before the final norm; "
                 "greedy stops at eos or after 16 ids",
    }, "cases", rows)
    differ = [row["text"] for row in token_rows if "ids_transformers_gguf" in row]
    print(f"{len(token_rows)} texts tokenized, transformers differs on {differ}")
