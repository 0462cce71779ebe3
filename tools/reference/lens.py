"""The same model in TransformerLens, built from an explicit configuration; it downloads nothing."""

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_llama_weights, convert_mistral_weights


def to_lens(model):
    """HookedTransformer with the weights of a transformers Llama or Mistral model.

    TransformerLens has no bias on the gate and up projections, so a model with `mlp_bias` must have them at zero.
    """
    config = model.config
    heads, n_kv = config.num_attention_heads, config.num_key_value_heads
    rope = config.rope_parameters
    d_head = getattr(config, "head_dim", None) or config.hidden_size // heads
    window = getattr(config, "sliding_window", None)
    scaling = {}
    if rope["rope_type"] == "linear":
        scaling = {"rotary_scaling_factor": rope["factor"]}
    if rope["rope_type"] == "llama3":
        scaling = {
            "use_NTK_by_parts_rope": True,
            "NTK_by_parts_factor": rope["factor"],
            "NTK_by_parts_low_freq_factor": rope["low_freq_factor"],
            "NTK_by_parts_high_freq_factor": rope["high_freq_factor"],
            "NTK_original_ctx_len": rope["original_max_position_embeddings"],
        }
    lens_config = HookedTransformerConfig(
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        n_ctx=config.max_position_embeddings,
        d_head=d_head,
        n_heads=heads,
        n_key_value_heads=n_kv if n_kv != heads else None,
        d_mlp=config.intermediate_size,
        d_vocab=config.vocab_size,
        act_fn=config.hidden_act,
        eps=config.rms_norm_eps,
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        positional_embedding_type="rotary",
        rotary_dim=d_head,
        rotary_base=rope["rope_theta"],
        rotary_adjacent_pairs=False,
        use_local_attn=window is not None,
        window_size=window,
        attn_types=["local"] * config.num_hidden_layers if window else None,
        device="cpu",
        **scaling,
    )
    lens = HookedTransformer(lens_config)
    convert = convert_mistral_weights if config.model_type == "mistral" else convert_llama_weights
    state = {name: value.detach().clone() for name, value in convert(model, lens_config).items()}
    for index, layer in enumerate(model.model.layers):
        at, kv = f"blocks.{index}", "_" if n_kv != heads else ""
        if layer.self_attn.q_proj.bias is not None:
            state[f"{at}.attn.b_Q"] = layer.self_attn.q_proj.bias.detach().reshape(heads, -1)
            state[f"{at}.attn.{kv}b_K"] = layer.self_attn.k_proj.bias.detach().reshape(n_kv, -1)
            state[f"{at}.attn.{kv}b_V"] = layer.self_attn.v_proj.bias.detach().reshape(n_kv, -1)
            state[f"{at}.attn.b_O"] = layer.self_attn.o_proj.bias.detach()
        if layer.mlp.down_proj.bias is not None:
            assert not layer.mlp.gate_proj.bias.any() and not layer.mlp.up_proj.bias.any()
            state[f"{at}.mlp.b_out"] = layer.mlp.down_proj.bias.detach()
    missing = lens.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    assert all("mask" in k or "IGNORE" in k or "rotary" in k for k in missing.missing_keys), missing.missing_keys
    return lens.eval()


@torch.no_grad()
def lens_cache(lens, input_ids):
    """`{hook name: tensor}` of one row, without the batch axis, with `logits`."""
    logits, cache = lens.run_with_cache(torch.tensor([input_ids]))
    return {name: value[0] for name, value in cache.items()} | {"logits": logits[0]}
