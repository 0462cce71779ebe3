//! GGUF files written here from a fixture: the same model from another container, and damaged ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};
use gguf_file::Value;
use heirloom_model::{Source, Student};

use crate::support::{fixture, gap, ids_of, json, options, rows, scale, see_all, student, tensors};

/// llama.cpp's order of a query or key projection's rows.
///
/// Source: `LlamaModel.permute` of `convert_hf_to_gguf.py`.
fn permute(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, width) = tensor.dims2().unwrap();
    let split = tensor.reshape((heads, 2, rows / heads / 2, width)).unwrap();
    split.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, width)).unwrap()
}

fn llama_cpp_name(name: &str) -> String {
    let parts = [
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// Writes `llama-gqa` as GGUF; matrices in `dtype`, `change` may damage the metadata.
fn write(folder: &Path, dtype: GgmlDType, change: impl FnOnce(&mut Vec<(&'static str, Value)>)) -> PathBuf {
    let weights = fixture("llama-gqa").join("model.safetensors");
    let weights = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let mut names: Vec<&String> = weights.keys().collect();
    names.sort();
    let tensors: Vec<(String, QTensor)> = names
        .into_iter()
        .map(|name| {
            let heads = [("q_proj", 4), ("k_proj", 2)].into_iter().find(|(part, _)| name.contains(part));
            let tensor = heads.map_or(weights[name].clone(), |(_, heads)| permute(&weights[name], heads));
            let matrix = tensor.rank() == 2 && tensor.dim(1).unwrap() % dtype.block_size() == 0;
            let dtype = if matrix { dtype } else { GgmlDType::F32 };
            (llama_cpp_name(name), QTensor::quantize(&tensor, dtype).unwrap())
        })
        .collect();
    let mut metadata = vec![
        ("general.architecture", Value::String("llama".into())),
        ("llama.block_count", Value::U32(2)),
        ("llama.embedding_length", Value::U32(32)),
        ("llama.attention.head_count", Value::U32(4)),
        ("llama.attention.head_count_kv", Value::U32(2)),
        ("llama.feed_forward_length", Value::U32(48)),
        ("llama.context_length", Value::U32(64)),
        ("llama.vocab_size", Value::U32(97)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("llama.rope.dimension_count", Value::U32(8)),
    ];
    change(&mut metadata);
    let path = folder.join("model.gguf");
    let mut file = std::fs::File::create(&path).unwrap();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    path
}

#[test]
fn the_same_model_from_another_container() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows("llama-gqa");
    let expected = see_all(&student("llama-gqa"), &rows);
    let path = write(folder.path(), GgmlDType::F32, |_| {});
    let found = Student::load(&path, &options()).unwrap();
    assert_eq!(see_all(&found, &rows), expected, "f32 is the same to the bit");
    // A folder with one GGUF file is that file.
    assert_eq!(Source::open(folder.path()).unwrap().config(), found.config());
    let sha256 = heirloom_record::sha256_file(&path).unwrap();
    assert_eq!(found.sha256().unwrap(), sha256);
    for (dtype, tolerance) in [(GgmlDType::F16, 0.01), (GgmlDType::Q8_0, 0.1)] {
        let low = Student::load(&write(folder.path(), dtype, |_| {}), &options()).unwrap();
        for (low, full) in see_all(&low, &rows).into_iter().zip(&expected) {
            let (low, full) = (low.logits.unwrap().into_dyn(), full.logits.clone().unwrap().into_dyn());
            let error = gap(&low, &full) / scale(&full);
            assert!(error > 0.0 && error < tolerance, "{dtype:?}: {error}");
        }
    }
}

/// What llama.cpp's converter makes of each architecture.
const WRITTEN: [&str; 12] = [
    "llama3",
    "llama-yarn",
    "qwen2",
    "qwen2-yarn",
    "qwen3",
    "qwen3-q8_0",
    "gemma2",
    "gemma3",
    "phi3",
    "phi3-long",
    "olmo2",
    "olmo3",
];

#[test]
fn every_architecture_as_llama_cpp_writes_it() {
    let folder = fixture("gguf");
    let (expected, rows) = (tensors(&folder.join("expected.safetensors")), rows("gguf"));
    let (mut worst, mut held) = (vec![], 0);
    for name in WRITTEN {
        let student = Student::load(&folder.join(format!("{name}.gguf")), &options()).unwrap();
        let mut error: f32 = 0.0;
        for (row, cache) in see_all(&student, &rows).iter().enumerate() {
            let streams = cache.activations.iter().map(|(point, array)| (point.to_string(), array.clone()));
            let logits = cache.logits.clone().unwrap().into_dyn();
            for (hook, found) in streams.chain([("logits".to_owned(), logits)]) {
                let Some(expected) = expected.get(&format!("{name}.{row}.{hook}")) else { continue };
                let gap = gap(&found, expected) / scale(expected).max(1.0);
                error = if gap.is_nan() { gap } else { error.max(gap) };
                held += 1;
            }
        }
        worst.push((name, error));
    }
    println!("{worst:?}");
    assert_eq!(held, expected.len(), "what transformers computed and was held against nothing");
    assert!(worst.iter().all(|(_, error)| *error < 2e-5), "{worst:?}");

    // Twin: eight bits are told apart from thirty-two, and stay within what rounding explains.
    for row in 0..rows.len() {
        let of = |name: &str| &expected[&format!("{name}.{row}.logits")];
        let error = gap(of("qwen3-q8_0"), of("qwen3")) / scale(of("qwen3"));
        assert!(error > 1e-3 && error < 0.03, "{error}");
    }
}

#[test]
fn what_was_read_from_gguf_is_saved_as_hugging_face_has_it() {
    let scratch = tempfile::tempdir().unwrap();
    let rows = rows("gguf");
    for name in WRITTEN {
        let student = Student::load(&fixture("gguf").join(format!("{name}.gguf")), &options()).unwrap();
        let folder = scratch.path().join(name);
        student.save(&folder).unwrap();
        let again = Student::load(&folder, &options()).unwrap();
        assert_eq!(student.config(), again.config(), "{name}");
        assert_eq!(see_all(&student, &rows), see_all(&again, &rows), "{name}");
    }
}

#[test]
fn words_as_sentencepiece_has_them() {
    let folder = fixture("gguf-words");
    let source = |name: &str| Source::open(&folder.join(format!("{name}.gguf"))).unwrap();
    let words = ["llama", "gemma2", "phi3"].map(|name| (name, source(name).words().unwrap()));
    let cases = json(&folder.join("cases.json"));
    let mut held = BTreeMap::new();
    for case in cases["cases"].as_array().unwrap() {
        let (name, text) = (case["model"].as_str().unwrap(), case["text"].as_str().unwrap());
        let (_, words) = words.iter().find(|(known, _)| *known == name).unwrap();
        let (ids, offsets) = words.encode(text, true).unwrap();
        assert_eq!(ids, ids_of(&case["ids"]), "{name} {text:?}");
        assert!(offsets.iter().all(|bytes| text.get(bytes.clone()).is_some()), "{name} {text:?}");
        let decoded = words.decode(&ids[1..], true).unwrap();
        assert_eq!(decoded, case["decoded"].as_str().unwrap(), "{name} {text:?}");
        // A rendered chat gets no beginning of its own.
        assert_eq!(words.encode(text, false).unwrap().0, ids[1..], "{name} {text:?}");
        *held.entry(name.to_owned()).or_insert(0) += 1;
    }
    // What stands for all that is unknown is a token where its name stands, as in llama.cpp; the library spells the name.
    let (_, llama) = &words[0];
    assert_eq!(llama.encode("<unk>", true).unwrap().0, [1, 0]);
    assert_eq!(held, BTreeMap::from([("gemma2".into(), 19), ("llama".into(), 17), ("phi3".into(), 19)]));
}

#[test]
fn words_without_scores_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let words = |from, to| {
        let path = renamed(scratch.path(), "gguf-words/llama", from, to);
        Source::open(&path).unwrap().words()
    };
    let Err(error) = words("tokenizer.ggml.scores", "tokenizer.ggml.scorez") else { panic!("read") };
    let text = "`tokenizer.ggml.scores`: expected a number for each of 420 tokens, found 0";
    assert!(error.to_string().ends_with(text), "{error}");
    // Twin: without a word on the kind of tokenizer there is none, and rows of ids are read.
    assert!(!words("tokenizer.ggml.model", "tokenizer.ggml.mode1").unwrap().has_tokenizer());
}

/// A tensor or a key by another name of the same length, in a file of llama.cpp.
fn renamed(folder: &Path, name: &str, from: &str, to: &str) -> PathBuf {
    let mut bytes = std::fs::read(fixture(&format!("{name}.gguf"))).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    let path = folder.join("renamed.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn what_no_architecture_explains_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, from, to, text) in [
        ("llama3", "rope_freqs.weight", "rope_freqz.weight", "does not use: `rope_freqz.weight`"),
        ("phi3-long", "rope_factors_short", "rope_factors_shirt", "`short_factor`"),
        ("gemma2", "post_ffw_norm", "past_ffw_norm", "has no tensor `blk.0.post_ffw_norm.weight`"),
        (
            "qwen3",
            "qwen3.block_count",
            "qwen3.block_coun7",
            "`qwen3.block_count`: expected a positive whole number",
        ),
    ] {
        refused(&renamed(scratch.path(), &format!("gguf/{name}"), from, to), text);
    }
}

fn refused(path: &Path, text: &str) {
    let Err(error) = Student::load(path, &options()) else { panic!("loaded, expected `{text}`") };
    assert!(error.to_string().contains(text), "`{error}` does not say `{text}`");
}

#[test]
fn metadata_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let check = |key: &'static str, value: Value, text: &str| {
        let change = |metadata: &mut Vec<(&'static str, Value)>| {
            metadata.retain(|(other, _)| *other != key);
            metadata.push((key, value));
        };
        refused(&write(folder.path(), GgmlDType::F32, change), text);
    };
    check(
        "general.architecture",
        Value::String("gpt7".into()),
        "unknown model family `gpt7`, known: `llama`",
    );
    check(
        "llama.block_count",
        Value::U32(0),
        "metadata `llama.block_count`: expected a positive whole number",
    );
    check("llama.block_count", Value::U32(3), "has no tensor `blk.2.attn_norm.weight`");
    check("llama.block_count", Value::U32(1), "tensors the model does not use: `blk.1.attn_k.weight`");
    check("llama.feed_forward_length", Value::U32(64), "expected shape [64, 32], found [48, 32]");
    check(
        "llama.rope.scaling.type",
        Value::String("longrope".into()),
        "`llama.rope.scaling.type` = `longrope`",
    );
    check(
        "llama.rope.scaling.type",
        Value::String("yarn".into()),
        "metadata `llama.rope.scaling.factor`: expected a positive number",
    );
    check(
        "llama.rope.scaling.yarn_beta_fast",
        Value::F32(8.0),
        "`llama.rope.scaling.type`: expected `yarn`, as there is",
    );
    // llama.cpp multiplies by it, transformers puts it in place of what it would multiply.
    check(
        "llama.rope.scaling.yarn_attn_factor",
        Value::F32(1.1),
        "`llama.rope.scaling.yarn_attn_factor` = `1.1",
    );
    check(
        "llama.logit_scale",
        Value::F32(0.5),
        "`llama.logit_scale` = `0.5`, which heirloom does not compute",
    );
    check("llama.expert_count", Value::U32(8), "`llama.expert_count` = `8`");
    check("llama.attention.causal", Value::Bool(false), "`llama.attention.causal` = `false`");
    check("llama.attention.value_length", Value::U32(4), "the width of a key, 8, found 4");
    check("llama.rope.dimension_count", Value::U32(4), "the width of a head, 8, found 4");
    // candle's reader divides by this.
    check("general.alignment", Value::U32(0), "alignment must be a multiple of 8");
}

/// Every prefix and every flipped byte of the header is an error or a model, never a panic.
#[test]
fn damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), GgmlDType::F32, |_| {});
    let whole = std::fs::read(&path).unwrap();
    let header = 2400.min(whole.len());
    for n in (0..header).step_by(7).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..n]).unwrap();
        refused(&path, "is damaged");
    }
    for at in (0..header).step_by(3) {
        for value in [0x00, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            std::fs::write(&path, bytes).unwrap();
            let _ = Source::open(&path);
        }
    }
    std::fs::write(&path, b"GGML and so on").unwrap();
    refused(&path, "does not begin with `GGUF`");
}
