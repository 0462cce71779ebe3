//! The tokenizers that GGUF metadata describe.

use std::collections::HashMap;

use tokenizers::decoders::{
    DecoderWrapper, byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence as Decoders, strip::Strip,
};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, replace::Replace, utils::Sequence as Normalizers};
use tokenizers::pre_tokenizers::{
    PreTokenizerWrapper,
    byte_level::ByteLevel,
    digits::Digits,
    sequence::Sequence,
    split::{Split, SplitPattern},
};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::gguf::Gguf;
use crate::{Error, Result};

/// Kinds of tokens, as `tokenizer.ggml.token_type` numbers them: those of a text, the unknown one, those of control and of a
/// user's own.
///
/// Source: `TokenType` of llama.cpp's `gguf-py/gguf/constants.py`.
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USERS: i64 = 4;

/// What stands for a space in `SentencePiece`'s tokens.
const SPACE: &str = "▁";

/// Builds the tokenizer that GGUF metadata describe.
///
/// Source: `llm_load_vocab` and `LLAMA_VOCAB_PRE_TYPE` of llama.cpp's `llama-vocab.cpp`, and the tokenizer.json files of the
/// models named.
pub(super) fn gguf_tokenizer(gguf: &Gguf) -> Result<Tokenizer> {
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let kinds = gguf.ints("tokenizer.ggml.token_type");
    if gguf.flag("tokenizer.ggml.add_eos_token") == Some(true) {
        return Err(gguf.wrong("tokenizer.ggml.add_eos_token", "false"));
    }
    // Whether texts begin with a token for that where the file does not say.
    let (mut tokenizer, begins, strips) = match gguf.text("tokenizer.ggml.model").unwrap_or_default() {
        "gpt2" => (byte_level(gguf, &tokens)?, gguf.text("tokenizer.ggml.pre") == Some("llama-bpe"), false),
        // llama.cpp takes the space behind them away in Phi 3's files, as its tokenizer.json does.
        "llama" => {
            (by_scores(gguf, &tokens, &kinds)?, true, gguf.text("general.architecture") == Some("phi3"))
        }
        other => {
            let expected = "`gpt2` (byte-level BPE) or `llama` (SentencePiece)";
            return Err(gguf.wrong("tokenizer.ggml.model", &format!("{expected}, found `{other}`")));
        }
    };
    let fail = |source| Error::Tokenizer { path: gguf.path.clone(), source };
    // Cut out of a text before it is split.
    let whole = |kind: i64| matches!(kind, UNKNOWN | CONTROL | USERS);
    for (kind, token) in kinds.iter().zip(&tokens).filter(|(kind, _)| whole(**kind)) {
        let keeps = ["<unk>", "<s>", "<|endoftext|>"].contains(token);
        let added = AddedToken::from((*token).to_owned(), *kind != USERS).normalized(false);
        tokenizer.add_tokens([added.rstrip(strips && !keeps)]).map_err(fail)?;
    }
    if gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(begins)
        && let Some((token, id)) = gguf_special(gguf, "bos")?
    {
        let template = TemplateProcessing::builder()
            .try_single(format!("{token} $A"))
            .map_err(|problem| fail(problem.into()))?
            .special_tokens(vec![(token, id)])
            .build()
            .map_err(|source| fail(source.into()))?;
        tokenizer.with_post_processor(Some(template));
    }
    Ok(tokenizer)
}

fn vocabulary(tokens: &[&str]) -> Vocab {
    tokens.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), id)).collect()
}

/// Byte-level BPE, its merges in their order.
fn byte_level(gguf: &Gguf, tokens: &[&str]) -> Result<Tokenizer> {
    let fail = |source| Error::Tokenizer { path: gguf.path.clone(), source };
    let merges = gguf.texts("tokenizer.ggml.merges")?.into_iter().map(|merge| {
        let pair = merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        pair.ok_or_else(|| gguf.wrong("tokenizer.ggml.merges", "pairs separated by a space"))
    });
    let merges = merges.collect::<Result<_>>()?;
    let pre = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
    let pre_tokenizer = pre_tokenizer(pre).ok_or_else(|| {
        let known = "`smollm`, `gpt-2`, `llama-bpe`, `dbrx`, `qwen2`";
        gguf.wrong("tokenizer.ggml.pre", &format!("one of {known}, found `{pre}`"))
    })?;
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary(tokens), merges)
        .ignore_merges(pre == "llama-bpe")
        .build()
        .map_err(fail)?;
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer.map_err(fail)?));
    tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
    Ok(tokenizer)
}

/// The pre-tokenizer llama.cpp knows by this name.
fn pre_tokenizer(pre: &str) -> Option<tokenizers::Result<PreTokenizerWrapper>> {
    const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let bytes = |regex| ByteLevel::new(false, true, regex);
    let split = |pattern: &str| {
        let pattern = SplitPattern::Regex(pattern.into());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
        Ok(Sequence::new(vec![split.into(), bytes(false).into()]).into())
    };
    Some(match pre {
        // Digits one by one, then byte-level without a prefix space; candle's reader adds the space.
        "smollm" => Ok(Sequence::new(vec![Digits::new(true).into(), bytes(true).into()]).into()),
        "default" | "gpt-2" => Ok(bytes(true).into()),
        "llama-bpe" | "dbrx" => split(LLAMA3),
        "qwen2" => split(QWEN2),
        _ => return None,
    })
}

/// `SentencePiece`'s BPE: of all pairs that make a token, the one of the highest score is joined first; what is in no token is
/// spelled in bytes.
///
/// Source: `generate_merges` and `LlamaConverter` of transformers' `convert_slow_tokenizer.py`.
fn by_scores(gguf: &Gguf, tokens: &[&str], kinds: &[i64]) -> Result<Tokenizer> {
    refuse_normalization(gguf)?;
    let fail = |source| Error::Tokenizer { path: gguf.path.clone(), source };
    let scores = gguf.floats("tokenizer.ggml.scores");
    if scores.len() != tokens.len() {
        let expected = format!("a number for each of {} tokens, found {}", tokens.len(), scores.len());
        return Err(gguf.wrong("tokenizer.ggml.scores", &expected));
    }
    let merges = merges(tokens, &scores, kinds);
    let mut bpe =
        BPE::builder().vocab_and_merges(vocabulary(tokens), merges).fuse_unk(true).byte_fallback(true);
    if let Some((token, _)) = gguf_special(gguf, "unknown")? {
        bpe = bpe.unk_token(token);
    }
    let mut tokenizer = Tokenizer::new(bpe.build().map_err(fail)?);
    let prefix = gguf.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
    let mut normalizers: Vec<NormalizerWrapper> = vec![Replace::new(" ", SPACE).map_err(fail)?.into()];
    let mut decoders: Vec<DecoderWrapper> =
        vec![Replace::new(SPACE, " ").map_err(fail)?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix {
        normalizers.insert(0, Prepend::new(SPACE.into()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers))).map_err(fail)?;
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    Ok(tokenizer)
}

/// Texts are taken as they stand, but for spaces.
fn refuse_normalization(gguf: &Gguf) -> Result<()> {
    let key = "tokenizer.ggml.remove_extra_whitespaces";
    if gguf.flag(key) == Some(true) {
        return Err(gguf.wrong(key, "false"));
    }
    let key = "tokenizer.ggml.precompiled_charsmap";
    if gguf.metadata.contains_key(key) { Err(gguf.wrong(key, "absent")) } else { Ok(()) }
}

/// Pairs of tokens that make a token, by its score; the longer first part comes first, then the longer second.
fn merges(tokens: &[&str], scores: &[f64], kinds: &[i64]) -> Vec<(String, String)> {
    let is_text = |id: usize| kinds.get(id).is_none_or(|kind| *kind == NORMAL);
    let texts = || tokens.iter().enumerate().filter(|(id, _)| is_text(*id));
    let ids: HashMap<&str, usize> = texts().map(|(id, token)| (*token, id)).collect();
    let mut found = vec![];
    for (id, token) in texts() {
        let splits = token.char_indices().skip(1).enumerate();
        let length = token.chars().count();
        let pairs = splits.filter_map(|(before, (at, _))| {
            let (left, right) = token.split_at(at);
            Some(((ids.get(left)?, ids.get(right)?), (before + 1, length - before - 1), (left, right)))
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(ids, ..)| *ids);
        found.extend(pairs.into_iter().map(|(_, lengths, pair)| (scores[id], lengths, pair)));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    found.into_iter().map(|(_, _, (left, right))| (left.to_owned(), right.to_owned())).collect()
}

/// The text and id of a special token of GGUF metadata: `bos`, `eos`, `unknown`, `padding`.
pub(crate) fn gguf_special(gguf: &Gguf, name: &str) -> Result<Option<(String, u32)>> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = gguf.int(&key) else { return Ok(None) };
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let token = usize::try_from(id).ok().and_then(|index| tokens.get(index));
    match (token, u32::try_from(id)) {
        (Some(token), Ok(id)) => Ok(Some(((*token).to_owned(), id))),
        _ => Err(gguf.wrong(&key, &format!("below the vocabulary's {}, found {id}", tokens.len()))),
    }
}
