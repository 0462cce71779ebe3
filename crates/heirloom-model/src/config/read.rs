//! `config.json` to [`Config`], family by family.
//!
//! Source: the configuration and modeling files of transformers 5.23.

use serde_json::{Map, Value};

use super::keys::Keys;
use super::positions::Positions;
use super::{
    Activation, BlockKind, Config, DeltaShape, Experts, Family, NormPlaces, Normalization, QkNorm, Rope,
    RopeScaling, Wrapper, field, positions, unread,
};
use crate::{Error, Result};

pub(super) fn config(value: &Value) -> Result<Config> {
    let empty = Map::new();
    let keys = Keys(value.as_object().unwrap_or(&empty));
    if let Some(wrapper) = Wrapper::named(keys.model_type()) {
        let text = wrapper.text(keys)?;
        return Ok(Config { wrapper: Some(wrapper), ..text_model(Keys(&text))? });
    }
    text_model(keys)
}

fn text_model(keys: Keys<'_>) -> Result<Config> {
    let family = keys.family()?;
    unread::check(keys, family)?;
    match family {
        Family::Gpt2 => gpt2(keys),
        Family::GptNeoX => gpt_neox(keys),
        _ => gated(keys, family),
    }
}

/// All families with gates and root-mean-square norms.
fn gated(keys: Keys<'_>, family: Family) -> Result<Config> {
    let defaults = family.defaults();
    let (d_model, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let d_head = keys.optional_size("head_dim")?.or(defaults.d_head).unwrap_or(d_model / n_heads);
    let n_layers = keys.size("num_hidden_layers")?;
    let (sliding_window, blocks) = blocks(keys, family, n_layers)?;
    let Positions { rope, local, d_rotary, n_ctx } = positions::read(keys, family, d_head)?;
    let (gemma, recurs) = (family.is_gemma(), family == Family::Qwen35);
    let (act, default) =
        if gemma { ("hidden_activation", Activation::GeluTanh) } else { ("hidden_act", Activation::Silu) };
    let attention_bias = keys.flag("attention_bias")?;
    // transformers caps no scores of Gemma 3, whatever the key says.
    let caps = |key, default: f64| match family {
        Family::Gemma2 => keys.number_or(key, Some(default)),
        Family::Gemma3 => keys.number(key),
        _ => Ok(None),
    };
    let scalar = if gemma { keys.number_or("query_pre_attn_scalar", Some(256.0))? } else { None };
    Ok(Config {
        family,
        wrapper: None,
        n_layers,
        d_model,
        n_heads,
        n_kv_heads: keys.size_or("num_key_value_heads", defaults.n_kv_heads)?.unwrap_or(n_heads),
        d_head,
        d_mlp: keys.size("intermediate_size")?,
        d_vocab: keys.size("vocab_size")?,
        n_ctx,
        normalization: if gemma || recurs { Normalization::RmsPlusOne } else { Normalization::Rms },
        norms: match family {
            Family::Olmo2 | Family::Olmo3 => NormPlaces::After,
            Family::Gemma2 | Family::Gemma3 => NormPlaces::Both,
            _ => NormPlaces::Before,
        },
        qk_norm: match family {
            Family::Qwen3 | Family::Qwen3Moe | Family::Qwen35 | Family::Gemma3 => Some(QkNorm::Head),
            Family::Olmo2 | Family::Olmo3 | Family::Olmoe => Some(QkNorm::All),
            _ => None,
        },
        norm_eps: keys.number("rms_norm_eps")?.unwrap_or(defaults.eps),
        rope,
        local_rope: local,
        d_rotary,
        learned_positions: false,
        sliding_window,
        blocks,
        attn_scalar: scalar.unwrap_or(d_head as f64),
        attn_softcap: caps("attn_logit_softcapping", 50.0)?,
        final_softcap: caps("final_logit_softcapping", 30.0)?,
        embed_scale: gemma.then(|| (d_model as f64).sqrt()),
        parallel: false,
        delta: recurs.then(|| delta(keys)).transpose()?,
        attn_gate: recurs,
        experts: family.has_experts().then(|| experts(keys, family)).transpose()?,
        gated: true,
        activation: keys.activation(act, default)?,
        qkv_bias: attention_bias || family == Family::Qwen2,
        o_bias: attention_bias,
        mlp_bias: keys.flag("mlp_bias")?,
        tied: keys.flag_or("tie_word_embeddings", defaults.tied)?,
        eos: keys.ids("eos_token_id")?,
    })
}

fn delta(keys: Keys<'_>) -> Result<DeltaShape> {
    let size = |key, default| Ok::<_, Error>(keys.optional_size(key)?.unwrap_or(default));
    Ok(DeltaShape {
        n_k_heads: size("linear_num_key_heads", 16)?,
        n_v_heads: size("linear_num_value_heads", 32)?,
        d_k: size("linear_key_head_dim", 128)?,
        d_v: size("linear_value_head_dim", 128)?,
        taps: size("linear_conv_kernel_dim", 4)?,
    })
}

/// Which blocks have a recurrence.
fn recurrent(keys: Keys<'_>, family: Family, n_layers: usize) -> Result<Vec<bool>> {
    if family != Family::Qwen35 {
        return Ok(vec![false; n_layers]);
    }
    let every = keys.optional_size("full_attention_interval")?.unwrap_or(4);
    keys.kinds(n_layers, "linear_attention", |layer| !(layer + 1).is_multiple_of(every))
}

fn experts(keys: Keys<'_>, family: Family) -> Result<Experts> {
    let n = match keys.optional_size("num_experts")? {
        Some(n) => n,
        None => keys.size("num_local_experts")?,
    };
    let width = if family == Family::Olmoe { "intermediate_size" } else { "moe_intermediate_size" };
    let per_token = keys.size("num_experts_per_tok")?;
    Ok(Experts { n, per_token, d_mlp: keys.size(width)?, normalized: keys.flag("norm_topk_prob")? })
}

/// Which blocks have experts.
fn sparse(keys: Keys<'_>, family: Family, n_layers: usize) -> Result<Vec<bool>> {
    let every = keys.optional_size("decoder_sparse_step")?.unwrap_or(1);
    let dense = keys.wholes("mlp_only_layers")?;
    let sparse = |layer: usize| !dense.contains(&layer) && (layer + 1).is_multiple_of(every);
    Ok((0..n_layers).map(|layer| family.has_experts() && sparse(layer)).collect())
}

/// The window, and which blocks have it.
fn blocks(keys: Keys<'_>, family: Family, n_layers: usize) -> Result<(Option<usize>, Vec<BlockKind>)> {
    let default = match family {
        Family::Llama | Family::Olmo2 | Family::Olmoe | Family::SmolLm3 | Family::Phi3 => None,
        _ => Some(4096),
    };
    let window = keys.size_or("sliding_window", default)?;
    let rotary = rotary(keys, family, n_layers)?;
    let (window, windowed) = match family {
        Family::Mistral | Family::Phi3 => (window, keys.windowed(n_layers, |_| window.is_some())?),
        Family::Qwen3Moe => {
            let window = keys.flag("use_sliding_window")?.then_some(window).flatten();
            (window, keys.windowed(n_layers, |_| window.is_some())?)
        }
        Family::Qwen2 | Family::Qwen3 => {
            let window = keys.flag("use_sliding_window")?.then_some(window).flatten();
            let first = keys.whole("max_window_layers")?.unwrap_or(28);
            (window, keys.windowed(n_layers, |layer| window.is_some() && layer >= first)?)
        }
        Family::SmolLm3 => {
            let used = keys.flag("use_sliding_window")?;
            let window = window.filter(|_| used);
            (window, keys.windowed(n_layers, |layer| window.is_some() && !rotary[layer])?)
        }
        Family::Olmo3 | Family::Gemma2 | Family::Gemma3 => {
            let every = match family {
                Family::Olmo3 => 4,
                Family::Gemma2 => 2,
                _ => keys.optional_size("sliding_window_pattern")?.unwrap_or(6),
            };
            (window, keys.windowed(n_layers, |layer| !(layer + 1).is_multiple_of(every))?)
        }
        Family::Qwen35 => (None, vec![false; n_layers]),
        _ => (None, keys.windowed(n_layers, |_| false)?),
    };
    let all = match family {
        Family::Mistral | Family::Phi3 | Family::Qwen3Moe => Some(window.is_some()),
        Family::Llama | Family::Olmo2 | Family::Olmoe => Some(false),
        _ => None,
    };
    if all.is_some_and(|all| windowed.iter().any(|one| *one != all)) {
        let expected =
            if all == Some(true) { "`sliding_attention` everywhere" } else { "`full_attention` everywhere" };
        return Err(field("layer_types", expected, &keys.0["layer_types"]));
    }
    if window.is_none() && windowed.contains(&true) {
        return Err(field(
            "sliding_window",
            "a number of tokens, as `layer_types` has sliding blocks",
            &"none",
        ));
    }
    let window = window.filter(|_| windowed.contains(&true));
    let sparse = sparse(keys, family, n_layers)?;
    let recurrent = recurrent(keys, family, n_layers)?;
    let kind = |layer: usize| BlockKind {
        windowed: windowed[layer],
        rotary: rotary[layer],
        sparse: sparse[layer],
        recurrent: recurrent[layer],
    };
    Ok((window, (0..n_layers).map(kind).collect()))
}

/// Which blocks rotate queries and keys.
fn rotary(keys: Keys<'_>, family: Family, n_layers: usize) -> Result<Vec<bool>> {
    if family != Family::SmolLm3 {
        return Ok(vec![true; n_layers]);
    }
    let every = keys.optional_size("no_rope_layer_interval")?.unwrap_or(4);
    let Some(value) = keys.get("no_rope_layers") else {
        return Ok((1..=n_layers).map(|layer| !layer.is_multiple_of(every)).collect());
    };
    let one = |value: &Value| match value.as_u64() {
        Some(0) => Some(false),
        Some(1) => Some(true),
        _ => None,
    };
    let all: Option<Vec<bool>> = value.as_array().and_then(|all| all.iter().map(one).collect());
    let wrong = || field("no_rope_layers", format!("0 or 1 for each of {n_layers} blocks"), value);
    let mut all = all.filter(|all| all.len() >= n_layers).ok_or_else(wrong)?;
    all.truncate(n_layers);
    Ok(all)
}

fn gpt_neox(keys: Keys<'_>) -> Result<Config> {
    let family = Family::GptNeoX;
    let (d_model, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let d_head = head_width("hidden_size", d_model, n_heads)?;
    let n_layers = keys.size("num_hidden_layers")?;
    let Positions { rope, d_rotary, n_ctx, .. } = positions::read(keys, family, d_head)?;
    let attention_bias = keys.flag_or("attention_bias", true)?;
    let layer = Layered {
        family,
        n_layers,
        d_model,
        n_heads,
        d_mlp: keys.size("intermediate_size")?,
        n_ctx,
        eps: keys.number("layer_norm_eps")?,
        activation: keys.activation("hidden_act", Activation::Gelu)?,
        attention_bias,
        rotary: true,
    };
    let parallel = keys.flag_or("use_parallel_residual", true)?;
    Ok(Config { rope, d_rotary, parallel, ..layer.config(keys, d_head)? })
}

fn gpt2(keys: Keys<'_>) -> Result<Config> {
    let (d_model, n_heads) = (keys.size("n_embd")?, keys.size("n_head")?);
    let d_head = head_width("n_embd", d_model, n_heads)?;
    let layer = Layered {
        family: Family::Gpt2,
        n_layers: keys.size("n_layer")?,
        d_model,
        n_heads,
        d_mlp: keys.optional_size("n_inner")?.unwrap_or(4 * d_model),
        n_ctx: keys.size("n_positions")?,
        eps: keys.number("layer_norm_epsilon")?,
        activation: keys.activation("activation_function", Activation::GeluTanh)?,
        attention_bias: true,
        rotary: false,
    };
    Ok(Config { learned_positions: true, ..layer.config(keys, d_head)? })
}

fn head_width(key: &str, d_model: usize, n_heads: usize) -> Result<usize> {
    if d_model.is_multiple_of(n_heads) {
        return Ok(d_model / n_heads);
    }
    Err(field(key, format!("a multiple of the {n_heads} heads"), &d_model))
}

/// What the two families without gates and with layer norms read differently.
struct Layered {
    family: Family,
    n_layers: usize,
    d_model: usize,
    n_heads: usize,
    d_mlp: usize,
    n_ctx: usize,
    eps: Option<f64>,
    activation: Activation,
    attention_bias: bool,
    rotary: bool,
}

impl Layered {
    fn config(self, keys: Keys<'_>, d_head: usize) -> Result<Config> {
        let defaults = self.family.defaults();
        Ok(Config {
            family: self.family,
            wrapper: None,
            n_layers: self.n_layers,
            d_model: self.d_model,
            n_heads: self.n_heads,
            n_kv_heads: self.n_heads,
            d_head,
            d_mlp: self.d_mlp,
            d_vocab: keys.size("vocab_size")?,
            n_ctx: self.n_ctx,
            normalization: Normalization::Layer,
            norms: NormPlaces::Before,
            qk_norm: None,
            norm_eps: self.eps.unwrap_or(defaults.eps),
            rope: Rope { theta: defaults.theta, scaling: RopeScaling::None },
            local_rope: None,
            d_rotary: 0,
            learned_positions: false,
            sliding_window: None,
            blocks: vec![
                BlockKind { windowed: false, rotary: self.rotary, sparse: false, recurrent: false };
                self.n_layers
            ],
            attn_scalar: d_head as f64,
            attn_softcap: None,
            final_softcap: None,
            embed_scale: None,
            parallel: false,
            delta: None,
            attn_gate: false,
            experts: None,
            gated: false,
            activation: self.activation,
            qkv_bias: self.attention_bias,
            o_bias: self.attention_bias,
            mlp_bias: true,
            tied: keys.flag_or("tie_word_embeddings", defaults.tied)?,
            eos: keys.ids("eos_token_id")?,
        })
    }
}
