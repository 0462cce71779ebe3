"""The Llama/Mistral forward pass in plain numpy f64, from config.json and safetensors alone.

An implementation that shares no code with transformers: it says how far f32 strays, and that the names mean what we think.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def read_folder(folder):
    """config.json and all weights of a Hugging Face folder, sharded or not, as f64."""
    folder = Path(folder)
    weights = {}
    for file in sorted(folder.glob("model*.safetensors")):
        weights |= load_file(file)
    return json.loads((folder / "config.json").read_text()), {k: v.astype(np.float64) for k, v in weights.items()}


def inverse_frequencies(config, d_head):
    """RoPE frequencies: plain, linear (position interpolation) and llama3 (by parts)."""
    rope = config.get("rope_parameters") or {"rope_theta": config["rope_theta"], **(config.get("rope_scaling") or {})}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    frequency = rope["rope_theta"] ** (-np.arange(0, d_head, 2) / d_head)
    if kind == "default":
        return frequency
    if kind == "linear":
        return frequency / rope["factor"]
    assert kind == "llama3", kind
    length = 2 * np.pi / frequency
    old = rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = np.clip((old / length - low) / (high - low), 0, 1)
    return smooth * frequency + (1 - smooth) * frequency / rope["factor"]


def forward(config, weights, input_ids):
    """`{hook name: f64 array}` for one row, with `logits`."""
    heads, n_kv = config["num_attention_heads"], config["num_key_value_heads"]
    d_head = config.get("head_dim") or config["hidden_size"] // heads
    window = config.get("sliding_window")
    found = {}

    def linear(x, path):
        bias = weights.get(f"{path}.bias")
        out = x @ weights[f"{path}.weight"].T
        return out if bias is None else out + bias

    def norm(x, path, name):
        found[name] = x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"])
        return found[name] * weights[f"{path}.weight"]

    position = np.arange(len(input_ids))
    angle = position[:, None] * inverse_frequencies(config, d_head)[None, :]
    cos, sin = (np.tile(f(angle), 2)[:, None, :] for f in (np.cos, np.sin))

    def rotate(x):
        left, right = np.split(x, 2, axis=-1)
        return x * cos + np.concatenate([-right, left], -1) * sin

    distance = position[:, None] - position[None, :]
    seen = distance >= 0
    if window:
        seen &= distance < window

    x = found["hook_embed"] = weights["model.embed_tokens.weight"][input_ids]
    for index in range(config["num_hidden_layers"]):
        path, block = f"model.layers.{index}", f"blocks.{index}"
        found[f"{block}.hook_resid_pre"] = x
        h = norm(x, f"{path}.input_layernorm", f"{block}.ln1.hook_normalized")
        q, k, v = (
            linear(h, f"{path}.self_attn.{letter}_proj").reshape(len(x), -1, d_head) for letter in "qkv"
        )
        found |= {f"{block}.attn.hook_q": q, f"{block}.attn.hook_k": k, f"{block}.attn.hook_v": v}
        q, k = rotate(q), rotate(k)
        found |= {f"{block}.attn.hook_rot_q": q, f"{block}.attn.hook_rot_k": k}
        k, v = (np.repeat(t, heads // n_kv, axis=1) for t in (k, v))
        scores = np.where(seen, np.einsum("qhd,khd->hqk", q, k) / np.sqrt(d_head), -np.inf)
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        z = np.einsum("hqk,khd->qhd", pattern, v)
        attn_out = linear(z.reshape(len(x), -1), f"{path}.self_attn.o_proj")
        found |= {
            f"{block}.attn.hook_attn_scores": scores,
            f"{block}.attn.hook_pattern": pattern,
            f"{block}.attn.hook_z": z,
            f"{block}.hook_attn_out": attn_out,
        }
        x = found[f"{block}.hook_resid_mid"] = x + attn_out
        h = norm(x, f"{path}.post_attention_layernorm", f"{block}.ln2.hook_normalized")
        pre, pre_linear = linear(h, f"{path}.mlp.gate_proj"), linear(h, f"{path}.mlp.up_proj")
        post = pre / (1 + np.exp(-pre)) * pre_linear
        mlp_out = linear(post, f"{path}.mlp.down_proj")
        found |= {
            f"{block}.mlp.hook_pre": pre,
            f"{block}.mlp.hook_pre_linear": pre_linear,
            f"{block}.mlp.hook_post": post,
            f"{block}.hook_mlp_out": mlp_out,
        }
        x = found[f"{block}.hook_resid_post"] = x + mlp_out
    h = norm(x, "model.norm", "ln_final.hook_normalized")
    head = weights["model.embed_tokens.weight"] if config["tie_word_embeddings"] else weights["lm_head.weight"]
    found["logits"] = h @ head.T
    return found
