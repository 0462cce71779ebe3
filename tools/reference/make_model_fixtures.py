"""Tiny random models saved by transformers, with every hook point of every row: heirloom-model's parity fixtures.

Each folder under crates/heirloom-model/tests/fixtures/ is a complete Hugging Face folder plus
`inputs.json` (rows and measured errors) and `expected.safetensors` (`{row}.{hook}`, f32, no batch axis).
The tensors are checked here against plain numpy in f64 and against TransformerLens before they are written.
"""

import copy
import json
import shutil

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from capture import capture
from fixtures import MODEL_FIXTURES, versions, write_json
from lens import lens_cache, to_lens
from plain_llama import forward, read_folder

LENGTHS = (3, 7, 12, 16)
SMALL = dict(
    num_hidden_layers=2,
    hidden_size=32,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    intermediate_size=48,
    vocab_size=97,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
    bos_token_id=1,
    eos_token_id=2,
    attn_implementation="eager",
)
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CASES = {
    "llama-gqa": (LlamaConfig, dict(rope_parameters=DEFAULT_ROPE)),
    "llama-tied-mha": (LlamaConfig, dict(num_key_value_heads=4, tie_word_embeddings=True, rope_parameters=DEFAULT_ROPE)),
    "llama3-rope": (LlamaConfig, dict(max_position_embeddings=256, rope_parameters=LLAMA3_ROPE)),
    "llama-linear-rope": (LlamaConfig, dict(rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0})),
    "llama-bias": (LlamaConfig, dict(attention_bias=True, mlp_bias=True, rope_parameters=DEFAULT_ROPE)),
    "mistral-window": (MistralConfig, dict(head_dim=12, sliding_window=5, rope_parameters=DEFAULT_ROPE)),
    "smollm-like": (
        LlamaConfig,
        dict(
            hidden_size=24,
            num_attention_heads=3,
            num_key_value_heads=1,
            intermediate_size=64,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        ),
    ),
}
SHARDED = {"smollm-like": "16KB"}
OLDER_ROPE_KEYS = ("llama-tied-mha", "llama3-rope")
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = [
    "The cat sat on the mat, and the dog sat by the door.",
    "What is the capital of France? The capital of France is Paris.",
    "Be brief. Be kind. Answer the question of the user.",
    "the system, the user and the assistant talk about the weather in Paris",
]
CONVERSATIONS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hé, 12 cats! 🙂"}],
    [
        {"role": "user", "content": "The weather?"},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "  And the dog\n"},
    ],
]


def draw_weights(model, seed):
    """Weights at which activations are of order one, attention is uneven and no norm weight is one."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        noise = torch.randn(weight.shape, generator=generator)
        if weight.ndim == 1:
            weight.data = 0.3 * noise if name.endswith("bias") else 1 + 0.3 * noise
        elif "embed_tokens" in name:
            weight.data = noise * (0.4 if model.config.tie_word_embeddings else 1.0)
        else:
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.0
            weight.data = noise * gain / weight.shape[1] ** 0.5
    return model


def older_rope_keys(folder):
    """Rewrites `rope_parameters` (transformers 5) as `rope_theta` and `rope_scaling` (transformers 4)."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope == {"rope_type": "default"} else rope
    config["torch_dtype"] = config.pop("dtype")
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def kind(hook):
    """`blocks.1.attn.hook_q` → `attn.hook_q`: errors are reported per kind of hook."""
    return hook.split(".", 2)[2] if hook.startswith("blocks.") else hook


def distance(left, right):
    """Largest absolute difference; both must be infinite at the same places."""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    assert left.shape == right.shape, (left.shape, right.shape)
    finite = np.isfinite(left)
    assert (finite == np.isfinite(right)).all()
    return float(np.abs(left[finite] - right[finite]).max())


def errors(expected, rows, other):
    """Per kind of hook, the largest distance to `other(row)`, which must have every expected hook."""
    worst = {}
    for index, row in enumerate(rows):
        found = other(row)
        for name, value in expected[index].items():
            worst[kind(name)] = max(worst.get(kind(name), 0.0), distance(value, found[name]))
    return worst


def against_lens(model, rows, expected):
    """Errors against TransformerLens; gate and up biases, which it lacks, are set to zero on both sides first."""
    if getattr(model.config, "mlp_bias", False):
        model = copy.deepcopy(model)
        for layer in model.model.layers:
            layer.mlp.gate_proj.bias.data.zero_()
            layer.mlp.up_proj.bias.data.zero_()
        expected = [{k: v.numpy() for k, v in capture(model, row).items()} for row in rows]
    lens = to_lens(model)
    return errors(expected, rows, lambda row: lens_cache(lens, row))


def write_fixture(name, folder, rows, extra):
    """Captures from the model as saved, checks it twice, writes inputs.json and expected.safetensors."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    expected = [{k: v.numpy() for k, v in capture(model, row).items()} for row in rows]
    plain = errors(expected, rows, lambda row: forward(*read_folder(folder), row))
    lens = against_lens(model, rows, expected)
    scale = {}
    for hooks in expected:
        for hook, value in hooks.items():
            scale[kind(hook)] = max(scale.get(kind(hook), 0.0), float(np.abs(value[np.isfinite(value)]).max()))
    for hook, largest in scale.items():
        assert max(plain[hook], lens[hook]) < 1e-5 * max(1.0, largest), (hook, plain[hook], lens[hook], largest)
    save_file({f"{row}.{hook}": value for row, hooks in enumerate(expected) for hook, value in hooks.items()},
              folder / "expected.safetensors")
    write_json(folder / "inputs.json", {
        "made_by": "tools/reference/make_model_fixtures.py",
        "versions": versions("torch", "transformers", "transformer-lens", "numpy"),
        "input_ids": rows,
        **extra,
        "max_abs": scale,
        "max_abs_error_to_f64": plain,
        "max_abs_error_to_transformer_lens": lens,
    })
    again = load_file(folder / "expected.safetensors")
    assert all(np.array_equal(again[f"{i}.{k}"], v) for i, hooks in enumerate(expected) for k, v in hooks.items())
    print(f"{name}: {len(again)} tensors, to f64 {max(plain.values()):.1e}, to TransformerLens {max(lens.values()):.1e}, "
          f"largest resid_post {scale['hook_resid_post']:.1f}, logits {scale['logits']:.1f}")


def fresh(name):
    folder = MODEL_FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def random_models():
    for seed, (name, (config_type, settings)) in enumerate(CASES.items()):
        folder = fresh(name)
        config = config_type(**(SMALL | settings))
        model_type = MistralForCausalLM if config_type is MistralConfig else LlamaForCausalLM
        model = draw_weights(model_type(config), seed)
        model.save_pretrained(folder, max_shard_size=SHARDED.get(name, "5GB"))
        if name in OLDER_ROPE_KEYS:
            older_rope_keys(folder)
        generator = np.random.default_rng(1000 + seed)
        rows = [generator.integers(3, config.vocab_size, length).tolist() for length in LENGTHS]
        write_fixture(name, folder, rows, {})


def small_tokenizer():
    """Byte-level BPE with ChatML's special tokens, trained on a few sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=TEMPLATE,
    )


def chat_model():
    """A whole folder: weights, tokenizer, template; rows are rendered conversations.

    `chat-llama` keeps the template in tokenizer_config.json as transformers 4 does;
    `chat-llama-jinja` holds the same tokenizer with chat_template.jinja beside it, transformers 5's default.
    """
    tokenizer = small_tokenizer()
    folder, newer = fresh("chat-llama"), fresh("chat-llama-jinja")
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    tokenizer.save_pretrained(newer)
    special = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    config = LlamaConfig(**(SMALL | dict(vocab_size=len(tokenizer), max_position_embeddings=256,
                                         tie_word_embeddings=True, rope_parameters=DEFAULT_ROPE) | special))
    draw_weights(LlamaForCausalLM(config), 100).save_pretrained(folder)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(newer).chat_template == TEMPLATE
    cases, rows = [], []
    for conversation in CONVERSATIONS:
        text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        assert ids == list(tokenizer.apply_chat_template(conversation, add_generation_prompt=True)["input_ids"])
        cases.append({"messages": conversation, "add_generation_prompt": True, "text": text, "input_ids": ids,
                      "offsets": encoded["offset_mapping"], "decoded": tokenizer.decode(ids)})
        rows.append(ids)
    write_fixture("chat-llama", folder, [row[:24] for row in rows], {"chat": cases})


if __name__ == "__main__":
    logging.disable_progress_bar()
    random_models()
    chat_model()
    total = sum(file.stat().st_size for file in MODEL_FIXTURES.rglob("*") if file.is_file())
    print(f"{total / 1e6:.2f} MB of model fixtures")
