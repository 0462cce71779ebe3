"""Tiny random models of every family but Llama and Mistral, with every hook point, logits in f32 and bf16, and gradients.

Each folder under crates/heirloom-model/tests/fixtures/families/ is a complete Hugging Face folder plus `inputs.json`,
`expected.safetensors` (`{row}.{hook}`, f32, no batch axis; `{row}.logits_bf16`: of the same model in bf16) and
`gradients.safetensors` (one per weight, by its name in model.safetensors; loss on the last two thirds of each row).
Of models of images and text it is the text part on text, its gradients by a text model's names.
f32 is held against f64, and some of them against TransformerLens (`lens_family.py`), before anything is written.

Usage: make_family_fixtures.py [NAME …]
"""

import json
import math
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.utils import logging

import lens_family
from capture_family import capture
from fixtures import MODEL_FIXTURES, versions, write_json
from make_gradient_fixtures import relative
from make_model_fixtures import distance, kind

FOLDER = MODEL_FIXTURES / "families"
LENGTHS = (9, 3, 6)
SMALL = dict(num_hidden_layers=2, hidden_size=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=20, vocab_size=61,
             max_position_embeddings=48, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=None)
GPT = dict(vocab_size=61, bos_token_id=1, eos_token_id=2, pad_token_id=None, tie_word_embeddings=False)
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 12}
MIX = ["sliding_attention", "full_attention"]
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.4, 2.0], "long_factor": [1.5, 4.0, 9.0]}


def plain(theta=10000.0, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


CASES = {
    "llama-yarn": ("llama", dict(rope_parameters=YARN)),
    "llama-yarn-exact": ("llama", dict(rope_parameters=YARN | {"truncate": False, "beta_fast": 8.0, "beta_slow": 0.5, "mscale": 1.2, "mscale_all_dim": 0.7})),
    "llama-dynamic": ("llama", dict(rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0})),
    "qwen2-tied": ("qwen2", dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=1, tie_word_embeddings=True)),
    "qwen2-window": ("qwen2", dict(use_sliding_window=True, sliding_window=4, max_window_layers=1, rope_parameters=YARN)),
    "qwen3-tied": ("qwen3", dict(head_dim=6, tie_word_embeddings=True, rope_parameters=plain(1000000.0))),
    "qwen3-window": ("qwen3", dict(head_dim=4, num_key_value_heads=4, attention_bias=True, use_sliding_window=True, sliding_window=4, max_window_layers=1)),
    "smollm3-nope": ("smollm3", dict(no_rope_layers=[1, 0], tie_word_embeddings=True)),
    "smollm3-window": ("smollm3", dict(no_rope_layers=[0, 1], use_sliding_window=True, sliding_window=4, mlp_bias=True, rope_parameters=plain(500.0))),
    "olmo2-gqa": ("olmo2", dict(num_key_value_heads=1)),
    "olmo2-tied": ("olmo2", dict(num_key_value_heads=4, attention_bias=True, tie_word_embeddings=True)),
    "olmo3-yarn": ("olmo3", dict(layer_types=MIX, sliding_window=4, rope_parameters={"sliding_attention": plain(100.0), "full_attention": YARN})),
    "olmo3-default": ("olmo3", dict(num_hidden_layers=4, hidden_size=12, num_attention_heads=3, num_key_value_heads=3, intermediate_size=8, sliding_window=3)),
    "gemma2-capped": ("gemma2", dict(head_dim=6, query_pre_attn_scalar=10, sliding_window=4, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True)),
    "gemma2-free": ("gemma2", dict(head_dim=4, num_key_value_heads=1, query_pre_attn_scalar=4, sliding_window=5, attn_logit_softcapping=None, final_logit_softcapping=None, attention_bias=True, layer_types=["full_attention", "sliding_attention"])),
    "gemma3-text": ("gemma3_text", dict(head_dim=6, query_pre_attn_scalar=9, sliding_window=4, layer_types=MIX, tie_word_embeddings=True, rope_parameters={"sliding_attention": plain(50.0), "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0}})),
    "gemma3-old-keys": ("gemma3_text", dict(head_dim=4, num_key_value_heads=1, query_pre_attn_scalar=4, sliding_window=3, final_logit_softcapping=5.0, layer_types=MIX, tie_word_embeddings=True)),
    "phi3-partial": ("phi3", dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=1, rope_parameters=plain(partial_rotary_factor=0.75))),
    "phi3-longrope": ("phi3", dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=96, original_max_position_embeddings=16, rope_parameters=LONG | {"partial_rotary_factor": 0.75}, tie_word_embeddings=True)),
    "phi3-window": ("phi3", dict(sliding_window=4)),
    "neox-parallel": ("gpt_neox", GPT | dict(num_hidden_layers=2, hidden_size=24, num_attention_heads=3, intermediate_size=32, max_position_embeddings=48, hidden_act="gelu", rope_parameters=plain(partial_rotary_factor=0.25))),
    "neox-sequential": ("gpt_neox", GPT | dict(num_hidden_layers=2, hidden_size=16, num_attention_heads=4, intermediate_size=20, max_position_embeddings=48, hidden_act="gelu_new", use_parallel_residual=False, attention_bias=False, rope_parameters=plain(partial_rotary_factor=1.0))),
    "gpt2-tied": ("gpt2", GPT | dict(n_layer=2, n_embd=16, n_head=4, n_positions=32, tie_word_embeddings=True)),
    "gpt2-inner": ("gpt2", GPT | dict(n_layer=2, n_embd=18, n_head=3, n_positions=24, n_inner=25, activation_function="gelu")),
    "olmoe": ("olmoe", dict(intermediate_size=6, num_experts=5, num_experts_per_tok=2, norm_topk_prob=False)),
    "qwen3-moe": ("qwen3_moe", dict(head_dim=6, moe_intermediate_size=6, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True, tie_word_embeddings=True)),
    "qwen3-moe-dense": ("qwen3_moe", dict(head_dim=4, attention_bias=True, moe_intermediate_size=5, num_experts=6, num_experts_per_tok=3, mlp_only_layers=[0])),
    "qwen35": ("qwen3_5_text", dict(head_dim=8, layer_types=["linear_attention", "full_attention"], linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=4, linear_value_head_dim=6, linear_conv_kernel_dim=3, rope_parameters=plain(100.0, partial_rotary_factor=0.5))),
    "qwen35-tied": ("qwen3_5_text", dict(head_dim=8, num_attention_heads=2, num_key_value_heads=2, layer_types=["full_attention", "linear_attention"], linear_num_key_heads=3, linear_num_value_heads=3, linear_key_head_dim=5, linear_value_head_dim=4, linear_conv_kernel_dim=4, tie_word_embeddings=True)),
}

# Models of images and text, of which the text part is captured: (settings of the text part, of the vision tower, of the whole).
DELTA = dict(head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=4, linear_value_head_dim=6, linear_conv_kernel_dim=3)
TOWER = dict(hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, image_size=4, patch_size=2)
WRAPPED = {
    "gemma3-vision": ("gemma3", dict(head_dim=4, num_key_value_heads=1, query_pre_attn_scalar=4, sliding_window=3, final_logit_softcapping=5.0, layer_types=MIX), TOWER | dict(model_type="siglip_vision_model", vision_use_head=False),
                      dict(mm_tokens_per_image=4, eos_token_id=[2, 7])),
    "qwen35-vision": ("qwen3_5", DELTA | dict(layer_types=["linear_attention", "full_attention"], rope_parameters=plain(100.0, partial_rotary_factor=0.5, mrope_section=[1, 1, 0], mrope_interleaved=True)),
                      dict(depth=1, hidden_size=4, intermediate_size=4, num_heads=1, patch_size=2, out_hidden_size=16, num_position_embeddings=4), {}),
    "qwen35-vision-tied": ("qwen3_5", DELTA | dict(num_attention_heads=2, num_key_value_heads=2, layer_types=["full_attention", "linear_attention"]),
                           dict(depth=1, hidden_size=4, intermediate_size=4, num_heads=1, patch_size=2, out_hidden_size=16, num_position_embeddings=4), dict(tie_word_embeddings=True)),
    "mistral3-vision": ("mistral3", dict(model_type="mistral", head_dim=4, sliding_window=None), TOWER | dict(model_type="pixtral", head_dim=4), dict(tie_word_embeddings=False)),
}


ADAPTED = {
    "gemma2-capped": ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"],
    "phi3-partial": ["qkv_proj", "gate_up_proj"],
    "neox-parallel": ["query_key_value", "dense", "dense_4h_to_h"],
    "gpt2-tied": ["c_attn", "c_proj", "c_fc"],
    # Its vision tower has the first two, as well.
    "gemma3-vision": ["q_proj", "v_proj", "down_proj"],
    "qwen35-vision": ["in_proj_qkv", "out_proj", "q_proj", "up_proj"],
}


def draw_weights(model, seed):
    """Weights at which activations are of order one, attention is uneven and no norm weight is neutral."""
    generator = torch.Generator().manual_seed(seed)
    centered = model.config.model_type.startswith(("gemma", "qwen3_5"))
    for name, weight in sorted(model.named_parameters()):
        noise = torch.randn(weight.shape, generator=generator)
        if weight.ndim == 1:
            one = not (name.endswith(("bias", "A_log")) or centered) or "linear_attn.norm" in name
            weight.data = 0.3 * noise + float(one)
        elif any(table in name for table in ("embed_tokens", "embed_in", "wte", "wpe")):
            weight.data = noise * (0.4 if model.config.tie_word_embeddings else 1.0)
        else:
            inputs = weight.shape[0] if model.config.model_type == "gpt2" and "lm_head" not in name else weight.shape[-1]
            gain = 1.6 if any(part in name for part in ("q_proj", "k_proj", "qkv", "query_key_value", "c_attn")) else 1.0
            weight.data = noise * gain / inputs**0.5
    return model


def old_keys(folder):
    """Rewrites Gemma 3's and Olmo 3's `rope_parameters` as transformers 4 spelled them."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"], config["rope_local_base_freq"] = rope["full_attention"]["rope_theta"], rope["sliding_attention"]["rope_theta"]
    config["rope_scaling"] = None
    config["sliding_window_pattern"] = 2
    del config["layer_types"]
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def auto(folder):
    return AutoModelForImageTextToText if folder.name in WRAPPED else AutoModelForCausalLM


def config_of(name):
    if name not in WRAPPED:
        family, settings = CASES[name]
        return AutoConfig.for_model(family, **(({} if family.startswith("gpt") else SMALL) | settings))
    family, text, vision, whole = WRAPPED[name]
    tied = whole.get("tie_word_embeddings", family == "gemma3")
    return AutoConfig.for_model(family, text_config=SMALL | text | dict(tie_word_embeddings=tied), vision_config=vision, **whole)


def text_name(name):
    """What a tensor of a text part is called in a text model; None of the other parts' tensors."""
    if any(part in name for part in ("vision_tower", "multi_modal_projector", "visual")):
        return None
    return re.sub(r"^(model\.language_model|language_model\.model)\.", "model.", name).removeprefix("language_model.")


def load(folder, dtype):
    return auto(folder).from_pretrained(folder, attn_implementation="eager", experts_implementation="eager", dtype=dtype)


def loss_of(model, rows):
    total, n = 0.0, 0
    for row in rows:
        start = max(1, len(row) // 3)
        logits = model(input_ids=torch.tensor([row]), use_cache=False).logits[0, start - 1 : -1]
        total, n = total + F.cross_entropy(logits, torch.tensor(row[start:]), reduction="sum"), n + len(row) - start
    return total / n


def gradients(folder, dtype, rows):
    """The loss and its gradients by the names and shapes that the saved file has."""
    model = load(folder, dtype).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = loss_of(model, rows)
    loss.backward()
    for weight in model.parameters():
        # Those of parts that see no text have none.
        weight.data = torch.zeros_like(weight) if weight.grad is None else weight.grad
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        return loss.item(), text_tensors(Path(scratch) / "model.safetensors")


def text_tensors(path):
    """A file's tensors by their names in a text model."""
    return {text_name(name): value for name, value in sorted(load_file(path).items()) if text_name(name)}


def make_adapter(name, targets, rows):
    """An adapter that PEFT saves, on fused, interleaved and transposed projections, with the logits it gives."""
    folder = FOLDER / name / "adapter"
    torch.manual_seed(len(name))
    config = LoraConfig(r=2, lora_alpha=3, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM",
                        fan_in_fan_out=name.startswith("gpt2"))
    model = get_peft_model(load(FOLDER / name, torch.float32), config).eval()
    model.peft_config["default"].base_model_name_or_path = name
    # As a list, so that the file is the same each time.
    model.peft_config["default"].target_modules = targets
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    with torch.no_grad():
        logits = {f"{i}.logits": model(torch.tensor([row])).logits[0].numpy() for i, row in enumerate(rows)}
    save_file(logits, folder / "expected.safetensors")
    print(f"{name}: adapter on {', '.join(targets)}")


def make(name, seed):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    draw_weights(auto(folder).from_config(config_of(name)), seed).save_pretrained(folder)
    if name.endswith("old-keys"):
        old_keys(folder)
    generator = np.random.default_rng(2000 + seed)
    rows = [generator.integers(3, 61, length).tolist() for length in LENGTHS]

    exact_model, low = load(folder, torch.float64).eval(), load(folder, torch.bfloat16).eval()
    model = load(folder, torch.float32).eval()
    tensors, scale, to_f64, to_lens = {}, {}, {}, {}
    lens = lens_family.to_lens(model) if name in lens_family.HELD else None
    for index, row in enumerate(rows):
        found, exact = capture(model, row), capture(exact_model, row)
        theirs = lens_family.lens_cache(lens, row) if lens else {}
        for hook, value in found.items():
            value = value.numpy()
            assert np.isfinite(value).all() or hook.endswith("scores"), hook
            tensors[f"{index}.{hook}"] = value
            scale[kind(hook)] = max(scale.get(kind(hook), 0.0), float(np.abs(value[np.isfinite(value)]).max()))
            to_f64[kind(hook)] = max(to_f64.get(kind(hook), 0.0), distance(value, exact[hook].numpy()))
            if lens:
                to_lens[kind(hook)] = max(to_lens.get(kind(hook), 0.0), distance(value, theirs[hook].numpy()))
        with torch.no_grad():
            tensors[f"{index}.logits_bf16"] = low(torch.tensor([row]), use_cache=False).logits[0].float().numpy()
    for hook, largest in scale.items():
        worst = max(to_f64[hook], to_lens.get(hook, 0.0))
        assert worst < 1e-5 * max(1.0, largest), (hook, worst, largest)

    loss, found = gradients(folder, torch.float32, rows)
    exact_loss, exact = gradients(folder, torch.float64, rows)
    assert found.keys() == text_tensors(folder / "model.safetensors").keys(), name
    assert all(np.abs(gradient).max() > 0 for gradient in found.values()), name
    floor = {weight: relative(found[weight], exact[weight]) for weight in found}
    assert max(max(pair) for pair in floor.values()) < 2e-5, (name, floor)
    save_file(tensors, folder / "expected.safetensors")
    save_file(found, folder / "gradients.safetensors")
    write_json(folder / "inputs.json", {
        "made_by": "tools/reference/make_family_fixtures.py",
        "versions": versions("torch", "transformers", "peft", "transformer-lens", "numpy"),
        "input_ids": rows,
        "max_abs": scale,
        "max_abs_error_to_f64": to_f64,
        **({"max_abs_error_to_transformer_lens": to_lens} if lens else {}),
        "loss": loss,
        "loss_f64": exact_loss,
        "gradients_relative_error_to_f64": max(max(pair) for pair in floor.values()),
    })
    if name in ADAPTED:
        make_adapter(name, ADAPTED[name], rows)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e3
    print(f"{name}: {size:.0f} kB, {len(tensors)} tensors, to f64 {max(to_f64.values()):.1e}, "
          f"stream {scale['hook_resid_post']:.1f}, logits {scale['logits']:.1f}, loss {loss:.2f}")


if __name__ == "__main__":
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    assert math.isclose(sum(LENGTHS), 18)
    for seed, name in enumerate([*CASES, *WRAPPED]):
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            make(name, seed)
