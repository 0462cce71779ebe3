//! Hook points: the named places where a tensor may be read or changed.
//!
//! Names and tensors are those of `TransformerLens`; the same name means the same tensor. A model has those that its
//! family has a place for: one without gate has no `mlp.hook_pre_linear`, one whose attention and MLP read the same stream no
//! `hook_resid_mid`. What is added to the stream is `hook_attn_out` and `hook_mlp_out` in every family, so
//! `resid_mid = resid_pre + attn_out` and `resid_post = resid_mid + mlp_out`; without a stream between them,
//! `resid_post = resid_pre + attn_out + mlp_out`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, near};

/// A place inside one block, in the order in which a forward pass meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Site {
    /// Residual stream before the block. `[pos, d_model]`
    ResidPre,
    /// Input of attention divided by its root mean square, or standardized, before the learned weight. `[pos, d_model]`
    Ln1Normalized,
    /// Queries of a gated delta net, behind its convolution. `[pos, key heads, width]`
    DeltaQ,
    /// Keys of a gated delta net, behind its convolution. `[pos, key heads, width]`
    DeltaK,
    /// Values of a gated delta net, behind its convolution. `[pos, value heads, width]`
    DeltaV,
    /// How much of what a state lacks is put right at this token, between 0 and 1. `[pos, value heads]`
    DeltaBeta,
    /// Logarithm of what is left of a state at this token. `[pos, value heads]`
    DeltaDecay,
    /// What is read from a gated delta net's states, before its norm. `[pos, value heads, width]`
    DeltaOut,
    /// What decides how much of that goes on, before its activation. `[pos, value heads, width]`
    DeltaGate,
    /// Queries before norm and rotary embedding. `[pos, n_heads, d_head]`
    Q,
    /// Keys before norm and rotary embedding. `[pos, n_kv_heads, d_head]`
    K,
    /// Values. `[pos, n_kv_heads, d_head]`
    V,
    /// Queries after rotary embedding. `[pos, n_heads, d_head]`
    RotQ,
    /// Keys after rotary embedding. `[pos, n_kv_heads, d_head]`
    RotK,
    /// Scaled and masked attention scores. `[n_heads, query, key]`
    AttnScores,
    /// Attention probabilities. `[n_heads, query, key]`
    Pattern,
    /// Weighted values before the output projection, and before a gate. `[pos, n_heads, d_head]`
    Z,
    /// What decides how much of the weighted values goes on, before its sigmoid. `[pos, n_heads, d_head]`
    AttnGate,
    /// What attention puts out divided by its root mean square, before the learned weight, where a norm follows
    /// attention. `[pos, d_model]`
    Ln1PostNormalized,
    /// What attention adds to the stream. `[pos, d_model]`
    AttnOut,
    /// Residual stream between attention and MLP. `[pos, d_model]`
    ResidMid,
    /// Input of the MLP divided by its root mean square, or standardized, before the learned weight. `[pos, d_model]`
    Ln2Normalized,
    /// How much each expert of a router is worth to the token, before some are chosen; a sum of 1. `[pos, experts]`
    ExpertWeights,
    /// What the activation function is applied to: the gate, where there is one. `[pos, d_mlp]`
    MlpPre,
    /// The linear branch that the gate multiplies. `[pos, d_mlp]`
    MlpPreLinear,
    /// What the last projection reads: activated gate times linear branch, where there is one. `[pos, d_mlp]`
    MlpPost,
    /// What the MLP puts out divided by its root mean square, before the learned weight, where a norm follows the
    /// MLP. `[pos, d_model]`
    Ln2PostNormalized,
    /// What the MLP adds to the stream. `[pos, d_model]`
    MlpOut,
    /// Residual stream after the block, before any final norm. `[pos, d_model]`
    ResidPost,
}

impl Site {
    /// Every site, in execution order, with its `TransformerLens` name inside a block.
    pub const ALL: [(Self, &'static str); 29] = [
        (Self::ResidPre, "hook_resid_pre"),
        (Self::Ln1Normalized, "ln1.hook_normalized"),
        (Self::DeltaQ, "delta.hook_q"),
        (Self::DeltaK, "delta.hook_k"),
        (Self::DeltaV, "delta.hook_v"),
        (Self::DeltaBeta, "delta.hook_beta"),
        (Self::DeltaDecay, "delta.hook_decay"),
        (Self::DeltaOut, "delta.hook_out"),
        (Self::DeltaGate, "delta.hook_gate"),
        (Self::Q, "attn.hook_q"),
        (Self::K, "attn.hook_k"),
        (Self::V, "attn.hook_v"),
        (Self::RotQ, "attn.hook_rot_q"),
        (Self::RotK, "attn.hook_rot_k"),
        (Self::AttnScores, "attn.hook_attn_scores"),
        (Self::Pattern, "attn.hook_pattern"),
        (Self::Z, "attn.hook_z"),
        (Self::AttnGate, "attn.hook_gate"),
        (Self::Ln1PostNormalized, "ln1_post.hook_normalized"),
        (Self::AttnOut, "hook_attn_out"),
        (Self::ResidMid, "hook_resid_mid"),
        (Self::Ln2Normalized, "ln2.hook_normalized"),
        (Self::ExpertWeights, "mlp.hook_expert_weights"),
        (Self::MlpPre, "mlp.hook_pre"),
        (Self::MlpPreLinear, "mlp.hook_pre_linear"),
        (Self::MlpPost, "mlp.hook_post"),
        (Self::Ln2PostNormalized, "ln2_post.hook_normalized"),
        (Self::MlpOut, "hook_mlp_out"),
        (Self::ResidPost, "hook_resid_post"),
    ];

    /// The name inside a block: `hook_resid_post`, `attn.hook_q`, …
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl From<Site> for String {
    fn from(site: Site) -> Self {
        site.name().into()
    }
}

impl TryFrom<String> for Site {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == name);
        found.map(|(site, _)| site).ok_or_else(|| {
            let known = Self::ALL.map(|(_, known)| known).join(", ");
            format!("no place inside a block is called `{name}`; there are {known}")
        })
    }
}

/// A named place where a tensor may be read or changed, ordered as a forward pass meets them.
///
/// Layer 0 is the first block; the embedding has its own name. Displayed and parsed as
/// `blocks.11.hook_resid_post`, `hook_embed`, `ln_final.hook_normalized`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum HookPoint {
    /// Token embeddings. `[pos, d_model]`
    Embed,
    /// What a table of positions adds to the embeddings, where there is one. `[pos, d_model]`
    PosEmbed,
    /// A place inside block `layer`.
    Block {
        /// The block, counted from 0.
        layer: usize,
        /// The place inside it.
        site: Site,
    },
    /// The last residual stream divided by its root mean square, or standardized, before the learned weight.
    /// `[pos, d_model]`
    LnFinalNormalized,
}

impl HookPoint {
    /// Every hook point that a model with `n_layers` blocks may have, in execution order.
    pub fn all(n_layers: usize) -> Vec<Self> {
        let blocks = (0..n_layers).flat_map(|layer| Site::ALL.map(|(site, _)| Self::Block { layer, site }));
        [Self::Embed, Self::PosEmbed].into_iter().chain(blocks).chain([Self::LnFinalNormalized]).collect()
    }

    /// The residual stream after block `layer`.
    pub fn resid_post(layer: usize) -> Self {
        Self::Block { layer, site: Site::ResidPost }
    }

    /// The block it lies in, if any.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Block { layer, .. } => Some(layer),
            Self::Embed | Self::PosEmbed | Self::LnFinalNormalized => None,
        }
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => f.pad("hook_embed"),
            Self::PosEmbed => f.pad("hook_pos_embed"),
            Self::Block { layer, site } => f.pad(&format!("blocks.{layer}.{}", site.name())),
            Self::LnFinalNormalized => f.pad("ln_final.hook_normalized"),
        }
    }
}

impl FromStr for HookPoint {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || not_a_hook_point(name);
        match name {
            "hook_embed" => return Ok(Self::Embed),
            "hook_pos_embed" => return Ok(Self::PosEmbed),
            "ln_final.hook_normalized" => return Ok(Self::LnFinalNormalized),
            _ => {}
        }
        let layer = layer_of(name).ok_or_else(unknown)?;
        let rest = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        let (digits, site) = rest.ok_or_else(unknown)?;
        // `+3` and `03` parse as numbers but are not names.
        if digits != layer.to_string() {
            return Err(unknown());
        }
        let found = Site::ALL.into_iter().find(|(_, known)| *known == site);
        found.map(|(site, _)| Self::Block { layer, site }).ok_or_else(unknown)
    }
}

impl From<HookPoint> for String {
    fn from(hook: HookPoint) -> Self {
        hook.to_string()
    }
}

impl TryFrom<String> for HookPoint {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

/// Those of a model's hook points `known` that match any of the glob `patterns`, in execution order.
///
/// `*` stands for any characters, `?` for one, `[3-5]` for one of a set: `blocks.*.hook_resid_post`,
/// `blocks.1[0-9].attn.hook_z`.
///
/// # Errors
/// A pattern that matches nothing is an error that lists near names: no typo becomes an empty capture.
pub fn match_hooks<S: AsRef<str>>(patterns: &[S], known: &[HookPoint]) -> Result<Vec<HookPoint>> {
    let known: Vec<(HookPoint, String)> = known.iter().map(|hook| (*hook, hook.to_string())).collect();
    let mut chosen = std::collections::BTreeSet::new();
    for pattern in patterns.iter().map(AsRef::as_ref) {
        let glob = glob::Pattern::new(pattern)
            .map_err(|source| Error::Pattern { pattern: pattern.into(), source })?;
        let matching = known.iter().filter(|(_, name)| glob.matches(name)).map(|(hook, _)| *hook);
        let matching: Vec<HookPoint> = matching.collect();
        if matching.is_empty() {
            return Err(unknown(pattern, &known));
        }
        chosen.extend(matching);
    }
    Ok(chosen.into_iter().collect())
}

fn unknown(pattern: &str, known: &[(HookPoint, String)]) -> Error {
    let n_layers = known.iter().filter_map(|(hook, _)| hook.layer()).max().map_or(0, |last| last + 1);
    // A starred pattern is compared with starred names, so that its near names can be pasted back.
    let starred = |(hook, name): &(HookPoint, String)| match hook {
        HookPoint::Block { site, .. } if pattern.contains('*') => format!("blocks.*.{}", site.name()),
        _ => name.clone(),
    };
    let candidates: std::collections::BTreeSet<String> = known.iter().map(starred).collect();
    let near = near(pattern, candidates.iter().map(String::as_str));
    Error::UnknownHook { pattern: pattern.into(), n_layers, near }
}

/// Near names are looked for in the layer that `name` gives, however deep: there are few in each.
fn not_a_hook_point(name: &str) -> Error {
    let layer = layer_of(name).unwrap_or(0);
    let names = Site::ALL.map(|(site, _)| HookPoint::Block { layer, site }.to_string());
    let ends =
        [HookPoint::Embed, HookPoint::PosEmbed, HookPoint::LnFinalNormalized].map(|hook| hook.to_string());
    let near = near(name, names.iter().chain(&ends).map(String::as_str));
    Error::NotAHookPoint { name: name.into(), near }
}

pub(crate) fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blocks.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_and_order_is_execution_order() {
        let all = HookPoint::all(3);
        assert_eq!(all.len(), 3 + 3 * Site::ALL.len());
        assert!(all.is_sorted());
        for hook in all {
            assert_eq!(hook.to_string().parse::<HookPoint>().unwrap(), hook);
        }
    }

    #[test]
    fn a_site_is_found_at_its_own_place() {
        for (index, (site, name)) in Site::ALL.into_iter().enumerate() {
            assert_eq!(site as usize, index);
            assert_eq!(site.name(), name);
        }
    }

    #[test]
    fn globs_choose_and_typos_are_errors_with_near_names() {
        let chosen = match_hooks(&["blocks.*.hook_resid_post", "hook_embed"], &HookPoint::all(4)).unwrap();
        assert_eq!(chosen.len(), 5);
        assert_eq!(chosen[0], HookPoint::Embed);
        assert_eq!(match_hooks(&["blocks.1[0-1].hook_resid_post"], &HookPoint::all(12)).unwrap().len(), 2);
        for typo in ["blocks.*.hook_resid_pst", "blocks.2.hook_resid_pots", "blocks.9.hook_resid_post"] {
            let Err(Error::UnknownHook { near, .. }) = match_hooks(&[typo], &HookPoint::all(4)) else {
                panic!("`{typo}` was accepted")
            };
            assert!(near.iter().any(|name| name.ends_with("hook_resid_post")), "{typo}: {near:?}");
        }
        let beyond = match_hooks(&["blocks.40.hook_resid_post"], &HookPoint::all(30)).unwrap_err();
        assert_eq!(beyond.hint().unwrap(), "its blocks are 0 to 29");
        for bad in ["blocks.+1.hook_resid_post", "blocks.01.hook_resid_post", "11", "blocks.1"] {
            assert!(bad.parse::<HookPoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_name_finds_its_near_names_in_its_own_layer_however_deep() {
        for layer in [0, 7, 1_000_000_000_000, usize::MAX] {
            let name = format!("blocks.{layer}.hook_resid_pots");
            let error = name.parse::<HookPoint>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{name}` is not a hook point"));
            let right = format!("blocks.{layer}.hook_resid_post");
            assert!(error.hint().unwrap().contains(&format!("`{right}`")), "{:?}", error.hint());
            assert_eq!(right.parse::<HookPoint>().unwrap(), HookPoint::resid_post(layer));
        }
        // One more than the largest layer, and names that are like none.
        let beyond = format!("blocks.{}0.hook_resid_post", usize::MAX);
        assert!(beyond.parse::<HookPoint>().is_err());
        assert_eq!("zzz".parse::<HookPoint>().unwrap_err().hint(), None);
        assert!("hook_embd".parse::<HookPoint>().unwrap_err().hint().unwrap().contains("`hook_embed`"));
    }

    #[test]
    fn a_pattern_that_adds_nothing_new_is_no_typo() {
        let chosen = match_hooks(&["blocks.0.*", "blocks.0.hook_resid_post"], &HookPoint::all(2)).unwrap();
        assert_eq!(chosen.len(), Site::ALL.len());
        assert!(match_hooks(&["blocks.0.*", "blocks.2.hook_resid_post"], &HookPoint::all(2)).is_err());
    }
}
