"""Models of some other families in TransformerLens, to hold the names of hook points against it."""

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained import weight_conversions

CONVERT = {
    "qwen2": weight_conversions.convert_qwen2_weights,
    "qwen3": weight_conversions.convert_qwen3_weights,
    "gemma2": weight_conversions.convert_gemma_weights,
    "gpt_neox": weight_conversions.convert_neox_weights,
    "gpt2": weight_conversions.convert_gpt2_weights,
}
# Its conversion of OLMo takes as many key heads as query heads, and it has no windows for Qwen.
HELD = ("qwen2-tied", "qwen3-tied", "gemma2-capped", "neox-parallel", "gpt2-tied")


def to_lens(model):
    """HookedTransformer with the weights of a transformers model."""
    config, kind = model.config, model.config.model_type
    heads = config.num_attention_heads
    n_kv = getattr(config, "num_key_value_heads", None) or heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // heads
    settings = dict(n_layers=config.num_hidden_layers, d_model=config.hidden_size, n_ctx=config.max_position_embeddings, d_head=d_head,
                    n_heads=heads, d_vocab=config.vocab_size, device="cpu", d_mlp=getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    if kind != "gpt2":
        rope = config.rope_parameters
        settings |= dict(positional_embedding_type="rotary", rotary_base=rope["rope_theta"], rotary_adjacent_pairs=False,
                         rotary_dim=int(d_head * rope.get("partial_rotary_factor", 1.0)))
    if kind in ("gpt2", "gpt_neox"):
        act = config.hidden_act if kind == "gpt_neox" else config.activation_function
        eps = config.layer_norm_eps if kind == "gpt_neox" else config.layer_norm_epsilon
        settings |= dict(act_fn=act, eps=eps, normalization_type="LN", parallel_attn_mlp=getattr(config, "use_parallel_residual", False))
    else:
        settings |= dict(act_fn="silu", eps=config.rms_norm_eps, normalization_type="RMS", final_rms=True, gated_mlp=True,
                         n_key_value_heads=n_kv, original_architecture=type(model).__name__)
    if kind == "qwen3":
        settings |= dict(use_qk_norm=True)
    if kind == "gemma2":
        settings |= dict(act_fn="gelu_pytorch_tanh", use_normalization_before_and_after=True, attn_scores_soft_cap=config.attn_logit_softcapping,
                         output_logits_soft_cap=config.final_logit_softcapping, use_attn_scale=True, attn_scale=config.query_pre_attn_scalar**0.5,
                         use_local_attn=True, window_size=config.sliding_window,
                         attn_types=["local" if t == "sliding_attention" else "global" for t in config.layer_types])
    lens_config = HookedTransformerConfig(**settings)
    lens = HookedTransformer(lens_config)
    state = {name: value.detach().clone() for name, value in CONVERT[kind](model, lens_config).items()}
    missing = lens.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    buffers = ("mask", "IGNORE", "rotary", "b_U")
    assert all(any(part in name for part in buffers) for name in missing.missing_keys), missing.missing_keys
    return lens.eval()


@torch.no_grad()
def lens_cache(lens, input_ids):
    """`{hook name: tensor}` of one row, without the batch axis, with `logits`."""
    logits, cache = lens.run_with_cache(torch.tensor([input_ids]))
    return {name: value[0] for name, value in cache.items()} | {"logits": logits[0]}
