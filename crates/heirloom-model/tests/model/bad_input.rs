//! Damaged and hostile models: a clear error each, never a panic or a giant allocation.

use std::path::Path;

use heirloom_model::{Error, Student};

use crate::support::{copy, fixture, json, options};

const NAME: &str = "llama-gqa";
const WEIGHTS: &str = "model.safetensors";

/// Damages a copy of a model and expects `text` in the error's chain.
fn check(name: &str, damage: impl FnOnce(&Path), text: &str) -> Error {
    let folder = copy(name);
    damage(folder.path());
    let Err(error) = Student::load(folder.path(), &options()) else { panic!("loaded, expected `{text}`") };
    let mut chain = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        chain = format!("{chain}: {error}");
        source = error.source();
    }
    assert!(chain.contains(text), "`{chain}` does not say `{text}`");
    error
}

fn edit_config(folder: &Path, key: &str, value: serde_json::Value) {
    let path = folder.join("config.json");
    let mut config = json(&path);
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
}

/// Rewrites the weights through `change`: name → (shape, values).
pub(crate) fn edit_weights(folder: &Path, change: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<f32>)>)) {
    let path = folder.join(WEIGHTS);
    let mut all: Vec<_> = crate::support::tensors(&path)
        .into_iter()
        .map(|(name, array)| (name, array.shape().to_vec(), array.into_raw_vec_and_offset().0))
        .collect();
    change(&mut all);
    let bytes: Vec<Vec<u8>> =
        all.iter().map(|(_, _, values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = all.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn edit_bytes(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = folder.join(WEIGHTS);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_safetensors() {
    let cut = |n: usize| move |folder: &Path| edit_bytes(folder, |bytes| bytes.truncate(n));
    check(NAME, cut(0), "expected at least 8 bytes, found 0");
    check(NAME, cut(5), "expected at least 8 bytes, found 5");
    check(NAME, cut(100), "its header claims");
    check(NAME, |folder| edit_bytes(folder, |bytes| bytes.truncate(bytes.len() - 4)), "its header describes");
    check(NAME, |folder| edit_bytes(folder, |bytes| bytes.push(0)), "its header describes");
    let huge = |folder: &Path| edit_bytes(folder, |bytes| bytes[..8].copy_from_slice(&[0xff; 8]));
    check(NAME, huge, "its header claims 18446744073709551615 bytes");
    let error =
        check(NAME, |folder| edit_bytes(folder, |bytes| bytes[9] = b'?'), "no readable safetensors header");
    assert!(error.hint().unwrap().contains("checksum"));
    let header = br#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    let overflow = |folder: &Path| {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header].concat();
        std::fs::write(folder.join(WEIGHTS), bytes).unwrap();
    };
    check(NAME, overflow, "no readable safetensors header");
}

#[test]
fn tensors_that_do_not_fit() {
    let q = "model.layers.1.self_attn.q_proj.weight";
    let find = move |all: &[(String, Vec<usize>, Vec<f32>)]| all.iter().position(|t| t.0 == q).unwrap();
    let error = check(
        NAME,
        |folder| {
            edit_weights(folder, |all| {
                let at = find(all);
                all.remove(at);
            });
        },
        "has no tensor `model.layers.1.self_attn.q_proj.weight`",
    );
    assert!(error.hint().unwrap().contains("_proj.weight"), "{error}");
    let transposed = |folder: &Path| {
        edit_weights(folder, |all| {
            let at = find(all);
            all[at].1 = vec![64, 16];
        });
    };
    check(
        NAME,
        transposed,
        "`model.layers.1.self_attn.q_proj.weight`: expected shape [32, 32], found [64, 16]",
    );
    let extra = |folder: &Path| {
        edit_weights(folder, |all| all.push(("model.extra.weight".into(), vec![1], vec![0.0])));
    };
    check(NAME, extra, "tensors the model does not use: `model.extra.weight`");
    let harmless = "model.layers.0.self_attn.rotary_emb.inv_freq";
    let folder = copy(NAME);
    edit_weights(folder.path(), |all| all.push((harmless.into(), vec![1], vec![0.0])));
    Student::load(folder.path(), &options()).unwrap();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let poison = |folder: &Path| {
            edit_weights(folder, |all| {
                let at = find(all);
                all[at].2[7] = value;
            });
        };
        check(NAME, poison, &format!("`{q}` holds {value} at index 7"));
    }
    let untied = |folder: &Path| edit_config(folder, "tie_word_embeddings", true.into());
    check(NAME, untied, "`lm_head.weight` that differs from the embedding");
    let tied = |folder: &Path| edit_config(folder, "tie_word_embeddings", false.into());
    check("llama-tied-mha", tied, "has no tensor `lm_head.weight`");
    let bias = |folder: &Path| edit_config(folder, "attention_bias", false.into());
    check("llama-bias", bias, "tensors the model does not use: `model.layers.0.self_attn.k_proj.bias`");
}

#[test]
fn configurations_that_do_not_fit() {
    let set =
        |key: &'static str, value: serde_json::Value| move |folder: &Path| edit_config(folder, key, value);
    check(NAME, set("model_type", "gpt7".into()), "unknown model family `gpt7`, known: `llama`, `mistral`");
    check(NAME, set("hidden_act", "relu".into()), "`hidden_act` = `relu`");
    check(NAME, set("vocab_size", 98.into()), "expected shape [98, 32], found [97, 32]");
    check(NAME, set("vocab_size", 2_000_000.into()), "expected shape [2000000, 32]");
    check(
        NAME,
        |folder| std::fs::write(folder.join("config.json"), "{").unwrap(),
        "could not be read as JSON",
    );
    check(NAME, |folder| std::fs::remove_file(folder.join(WEIGHTS)).unwrap(), "holds no model");
    check(
        NAME,
        |folder| std::fs::remove_file(folder.join("config.json")).unwrap(),
        "a folder with `config.json`",
    );
    let nowhere = Student::load(&fixture("nowhere"), &options()).err().unwrap();
    assert!(nowhere.to_string().contains("could not read"), "{nowhere}");
}

#[test]
fn shards_that_do_not_fit() {
    let name = "smollm-like";
    let index = "model.safetensors.index.json";
    let shard = |folder: &Path| {
        let map = json(&folder.join(index))["weight_map"].clone();
        map.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    };
    check(name, |folder| std::fs::remove_file(folder.join(shard(folder))).unwrap(), "could not read");
    let twice = |folder: &Path| {
        let mut value = json(&folder.join(index));
        std::fs::copy(folder.join(shard(folder)), folder.join("again.safetensors")).unwrap();
        value["weight_map"]["again"] = "again.safetensors".into();
        std::fs::write(folder.join(index), value.to_string()).unwrap();
    };
    check(name, twice, "is in `");
    let outside = |folder: &Path| {
        std::fs::write(folder.join(index), r#"{"weight_map": {"x": "../x.safetensors"}}"#).unwrap();
    };
    check(name, outside, "`../x.safetensors` is not a file name");
    check(name, |folder| std::fs::write(folder.join(index), "{}").unwrap(), "names no files");
}
