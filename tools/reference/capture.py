"""Reads every hook point of a transformers Llama or Mistral model, under the names and meanings of TransformerLens.

Source of the meanings: TransformerLens 3.9.0 (`components/`), the last line with HookedTransformer.
Shapes have no batch axis: `[pos, d_model]`, `[pos, head, d_head]`, `[head, query, key]`.
"""

import sys

import torch


def normalized(norm, x):
    """`hook_normalized`: x / sqrt(mean(x²) + eps), before the learned weight."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)


@torch.no_grad()
def capture(model, input_ids):
    """Runs one row alone in eager attention; returns `{hook name: tensor}` with `logits` last."""
    assert model.config._attn_implementation == "eager" and model.dtype == torch.float32
    found, handles = {}, []
    heads, n_kv = model.config.num_attention_heads, model.config.num_key_value_heads
    modeling = sys.modules[type(model).__module__]
    eager = modeling.eager_attention_forward

    def keep(name, value):
        assert name not in found, name
        found[name] = value[0].clone().contiguous()

    def on_output(module, name, shape=None):
        def hook(_module, _args, output):
            value = output[0] if isinstance(output, tuple) else output
            keep(name, value.unflatten(-1, shape) if shape else value)

        handles.append(module.register_forward_hook(hook))

    def on_norm(module, name, also=None):
        def hook(_module, args, output):
            value = normalized(module, args[0])
            assert torch.equal(module.weight * value, output)
            keep(name, value)
            if also:
                keep(also, args[0])

        handles.append(module.register_forward_hook(hook))

    def attention(module, query, key, value, mask, scaling, **kwargs):
        output, pattern = eager(module, query, key, value, mask, scaling, **kwargs)
        at = f"blocks.{module.layer_idx}.attn"
        scores = query @ modeling.repeat_kv(key, module.num_key_value_groups).transpose(2, 3) * scaling
        keep(f"{at}.hook_rot_q", query.transpose(1, 2))
        keep(f"{at}.hook_rot_k", key.transpose(1, 2))
        keep(f"{at}.hook_attn_scores", scores.masked_fill(mask != 0, float("-inf")))
        keep(f"{at}.hook_pattern", pattern)
        keep(f"{at}.hook_z", output)
        return output, pattern

    on_output(model.model.embed_tokens, "hook_embed")
    for index, layer in enumerate(model.model.layers):
        block = f"blocks.{index}"
        on_norm(layer.input_layernorm, f"{block}.ln1.hook_normalized", also=f"{block}.hook_resid_pre")
        on_output(layer.self_attn.q_proj, f"{block}.attn.hook_q", (heads, -1))
        on_output(layer.self_attn.k_proj, f"{block}.attn.hook_k", (n_kv, -1))
        on_output(layer.self_attn.v_proj, f"{block}.attn.hook_v", (n_kv, -1))
        on_output(layer.self_attn, f"{block}.hook_attn_out")
        on_norm(layer.post_attention_layernorm, f"{block}.ln2.hook_normalized", also=f"{block}.hook_resid_mid")
        on_output(layer.mlp.gate_proj, f"{block}.mlp.hook_pre")
        on_output(layer.mlp.up_proj, f"{block}.mlp.hook_pre_linear")
        handles.append(
            layer.mlp.down_proj.register_forward_pre_hook(
                lambda _module, args, block=block: keep(f"{block}.mlp.hook_post", args[0])
            )
        )
        on_output(layer.mlp, f"{block}.hook_mlp_out")
        on_output(layer, f"{block}.hook_resid_post")
    on_norm(model.model.norm, "ln_final.hook_normalized")

    modeling.eager_attention_forward = attention
    try:
        logits = model(torch.tensor([input_ids]), use_cache=False).logits
    finally:
        modeling.eager_attention_forward = eager
        for handle in handles:
            handle.remove()
    keep("logits", logits)
    return found
