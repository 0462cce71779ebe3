"""Reads every hook point of a transformers model of any family that heirloom runs, under TransformerLens's names.

What differs between families is where their modules are; `parts` says so. Shapes have no batch axis. What is added to the stream
(`hook_attn_out`, `hook_mlp_out`) is taken after a norm that follows attention or MLP, where there is one.
"""

import sys
from types import SimpleNamespace

import torch
from torch import nn

POST_NORM = ("olmo2", "olmo3")


def text_of(model):
    """The configuration of a model, or of the text part of a model of images and text."""
    return model.config.get_text_config()


def parts(model):
    """Embedding, positions, blocks and last norm of a model; of a block its norms, projections, attention and MLP."""
    kind = text_of(model).model_type
    if kind == "gpt_neox":
        base = model.gpt_neox
        top = SimpleNamespace(embed=base.embed_in, positions=None, blocks=base.layers, norm=base.final_layer_norm)
    elif kind == "gpt2":
        base = model.transformer
        top = SimpleNamespace(embed=base.wte, positions=base.wpe, blocks=base.h, norm=base.ln_f)
    else:
        base = getattr(model.model, "language_model", model.model)
        top = SimpleNamespace(embed=base.embed_tokens, positions=None, blocks=base.layers, norm=base.norm)
    return top


def block_parts(kind, layer):
    if kind == "gpt_neox":
        attention, mlp = layer.attention, layer.mlp
        return SimpleNamespace(attention=attention, mlp=mlp, ln1=layer.input_layernorm, ln2=layer.post_attention_layernorm, ln1_post=None,
                               ln2_post=None, qkv=attention.query_key_value, up=mlp.dense_h_to_4h, down=mlp.dense_4h_to_h)
    if kind == "gpt2":
        return SimpleNamespace(attention=layer.attn, mlp=layer.mlp, ln1=layer.ln_1, ln2=layer.ln_2, ln1_post=None, ln2_post=None,
                               qkv=layer.attn.c_attn, up=layer.mlp.c_fc, down=layer.mlp.c_proj)
    attention, mlp = getattr(layer, "self_attn", None) or layer.linear_attn, layer.mlp
    found = SimpleNamespace(attention=attention, mlp=mlp, ln1=None, ln2=None, ln1_post=None, ln2_post=None)
    if kind in POST_NORM:
        found.ln1_post, found.ln2_post = layer.post_attention_layernorm, layer.post_feedforward_layernorm
    elif kind.startswith("gemma"):
        found.ln1, found.ln1_post = layer.input_layernorm, layer.post_attention_layernorm
        found.ln2, found.ln2_post = layer.pre_feedforward_layernorm, layer.post_feedforward_layernorm
    else:
        found.ln1, found.ln2 = layer.input_layernorm, layer.post_attention_layernorm
    if kind == "phi3":
        found.qkv, found.gate_up, found.down = attention.qkv_proj, mlp.gate_up_proj, mlp.down_proj
    elif hasattr(mlp, "gate_proj"):
        found.gate, found.up, found.down = mlp.gate_proj, mlp.up_proj, mlp.down_proj
    elif hasattr(mlp, "experts"):
        found.router = mlp.gate
    return found


def normalized(norm, x):
    """`hook_normalized`: the input on a scale of one, before the learned weight."""
    if isinstance(norm, nn.LayerNorm):
        return (x - x.mean(-1, keepdim=True)) * torch.rsqrt(x.var(-1, keepdim=True, unbiased=False) + norm.eps)
    eps = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def weighted(norm, x):
    """What the norm makes of `normalized`."""
    if isinstance(norm, nn.LayerNorm):
        return x * norm.weight + norm.bias
    return x * (1 + norm.weight) if type(norm).__name__.startswith(("Gemma", "Qwen3_5")) else x * norm.weight


def turns(config, index):
    """Whether a block has rotary embedding."""
    if config.model_type == "gpt2":
        return False
    return bool(config.no_rope_layers[index]) if config.model_type == "smollm3" else True


def split_heads(config, kind, qkv):
    """Queries, keys and values `[_, pos, head, d_head]` out of a fused projection's output."""
    heads = config.num_attention_heads
    n_kv = getattr(config, "num_key_value_heads", None) or heads
    if kind == "gpt_neox":
        return qkv.unflatten(-1, (heads, 3, -1)).unbind(-2)
    e = qkv.shape[-1] // (heads + 2 * n_kv)
    return qkv.unflatten(-1, (-1, e)).split([heads, n_kv, n_kv], dim=-2)


@torch.no_grad()
def capture(model, input_ids):
    """Runs one row alone in eager attention; returns `{hook name: tensor}` with `logits` last."""
    config = text_of(model)
    kind = config.model_type
    assert config._attn_implementation == "eager"
    found, handles, current = {}, [], []
    # The text part of a larger model may be of another module's class.
    text = getattr(getattr(model, "model", None), "language_model", model)
    modeling = sys.modules[type(text).__module__]
    eager = modeling.eager_attention_forward

    def keep(name, value):
        assert name not in found, name
        found[name] = value[0].clone().contiguous()

    def after(module, use):
        def hook(_module, args, out):
            use(args, out[0] if isinstance(out, tuple) else out)

        handles.append(module.register_forward_hook(hook))

    def before(module, use):
        def hook(_module, args, kwargs):
            use(args[0] if args else kwargs["hidden_states"])

        handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def on_norm(module, name):
        def use(args, out):
            value = normalized(module, args[0])
            assert torch.allclose(weighted(module, value), out, rtol=1e-5, atol=1e-6), name
            keep(name, value)

        after(module, use)

    def attention(module, query, key, value, mask, *args, **kwargs):
        output, pattern = eager(module, query, key, value, mask, *args, **kwargs)
        at = f"blocks.{module.layer_idx}.attn"
        group = query.shape[1] // key.shape[1]
        scores = query @ key.repeat_interleave(group, dim=1).transpose(2, 3) * kwargs.get("scaling", module.scaling)
        if kwargs.get("softcap"):
            scores = kwargs["softcap"] * torch.tanh(scores / kwargs["softcap"])
        if turns(config, module.layer_idx):
            keep(f"{at}.hook_rot_q", query.transpose(1, 2))
            keep(f"{at}.hook_rot_k", key.transpose(1, 2))
        keep(f"{at}.hook_attn_scores", scores.masked_fill(mask != 0, float("-inf")))
        keep(f"{at}.hook_pattern", pattern)
        keep(f"{at}.hook_z", output)
        return output, pattern

    def delta(query, key, value, g, beta, **kwargs):
        block = f"blocks.{current.pop()}.delta"
        for name, x in (("q", query), ("k", key), ("v", value), ("beta", beta), ("decay", g)):
            keep(f"{block}.hook_{name}", x)
        out, state = chunked(query, key, value, g=g, beta=beta, **kwargs)
        keep(f"{block}.hook_out", out)
        return out, state

    def on_block(index, layer):
        block, p = f"blocks.{index}", block_parts(kind, layer)
        before(layer, lambda x: keep(f"{block}.hook_resid_pre", x))
        for name in ("ln1", "ln2", "ln1_post", "ln2_post"):
            if getattr(p, name) is not None:
                on_norm(getattr(p, name), f"{block}.{name}.hook_normalized")
        if hasattr(p, "qkv"):
            after(p.qkv, lambda _, out: [keep(f"{block}.attn.hook_{n}", x) for n, x in zip("qkv", split_heads(config, kind, out))])
        elif hasattr(p.attention, "in_proj_z"):
            before(p.attention, lambda _: current.append(index))
            after(p.attention.in_proj_z, lambda _, out: keep(f"{block}.delta.hook_gate", out.unflatten(-1, (-1, p.attention.head_v_dim))))
        elif kind == "qwen3_5_text":
            e = p.attention.head_dim
            after(p.attention.q_proj, lambda _, out: [keep(f"{block}.attn.{n}", x) for n, x in zip(("hook_q", "hook_gate"), out.unflatten(-1, (-1, 2 * e)).split(e, -1))])
            for n in "kv":
                after(getattr(p.attention, f"{n}_proj"), lambda _, out, n=n: keep(f"{block}.attn.hook_{n}", out.unflatten(-1, (-1, e))))
        elif hasattr(p.attention, "q_proj"):
            for n in "qkv":
                after(getattr(p.attention, f"{n}_proj"), lambda _, out, n=n: keep(f"{block}.attn.hook_{n}", out.unflatten(-1, (-1, p.attention.head_dim))))
        after(p.ln1_post or p.attention, lambda _, out: keep(f"{block}.hook_attn_out", out))
        if not getattr(config, "use_parallel_residual", False):
            before(p.ln2 or p.mlp, lambda x: keep(f"{block}.hook_resid_mid", x))
        if hasattr(p, "router"):
            after(p.router, lambda _, out: keep(f"{block}.mlp.hook_expert_weights", out.float().softmax(-1)[None]))
        if hasattr(p, "gate_up"):
            after(p.gate_up, lambda _, out: [keep(f"{block}.mlp.{n}", x) for n, x in zip(("hook_pre", "hook_pre_linear"), out.chunk(2, -1))])
        elif hasattr(p, "gate"):
            after(p.gate, lambda _, out: keep(f"{block}.mlp.hook_pre", out))
            after(p.up, lambda _, out: keep(f"{block}.mlp.hook_pre_linear", out))
        elif hasattr(p, "up"):
            after(p.up, lambda _, out: keep(f"{block}.mlp.hook_pre", out))
        if hasattr(p, "down"):
            before(p.down, lambda x: keep(f"{block}.mlp.hook_post", x))
        after(p.ln2_post or p.mlp, lambda _, out: keep(f"{block}.hook_mlp_out", out))
        after(layer, lambda _, out: keep(f"{block}.hook_resid_post", out))

    top = parts(model)
    after(top.embed, lambda _, out: keep("hook_embed", out))
    if top.positions is not None:
        after(top.positions, lambda _, out: keep("hook_pos_embed", out.reshape(1, -1, out.shape[-1])))
    for index, layer in enumerate(top.blocks):
        on_block(index, layer)
    on_norm(top.norm, "ln_final.hook_normalized")

    chunked = getattr(modeling, "torch_chunk_gated_delta_rule", None)
    modeling.torch_chunk_gated_delta_rule = delta
    modeling.eager_attention_forward = attention
    try:
        logits = model(torch.tensor([input_ids]), use_cache=False).logits
    finally:
        modeling.eager_attention_forward = eager
        modeling.torch_chunk_gated_delta_rule = chunked
        for handle in handles:
            handle.remove()
    keep("logits", logits)
    return found
