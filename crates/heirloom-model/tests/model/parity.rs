//! Every hook point and the logits against Hugging Face transformers; logits against candle-transformers.

use std::collections::BTreeMap;

use candle_core::{DType, Device, IndexOp, Tensor};
use heirloom_model::{Dtype, LoadOptions, Student, TokenRow};
use heirloom_record::HookPoint;

use crate::support::{
    FAMILIES, all_models, block, fixture, gap, json, options, rows, scale, see_all, student, tensors,
};

/// f32, relative to the largest magnitude of the tensor (or to 1).
const TOLERANCE: f32 = 2e-5;

#[test]
fn every_hook_point_and_the_logits_equal_transformers() {
    let mut table = Vec::new();
    let mut failed = false;
    for name in all_models() {
        let mut expected = tensors(&fixture(name).join("expected.safetensors"));
        expected.retain(|name, _| !name.ends_with("logits_bf16"));
        let (student, rows) = (student(name), rows(name));
        let caches = see_all(&student, &rows);
        let mut seen = 0;
        let mut worst: BTreeMap<String, f32> = BTreeMap::new();
        for (row, cache) in caches.iter().enumerate() {
            let logits = cache.logits.clone().unwrap().into_dyn();
            let named = cache.activations.iter().map(|(point, array)| (point.to_string(), array));
            for (hook, found) in named.chain([("logits".to_owned(), &logits)]) {
                let expected = &expected[&format!("{row}.{hook}")];
                let error = gap(found, expected) / scale(expected).max(1.0);
                let kind = hook.rsplit_once("blocks.").map_or(hook.as_str(), |(_, rest)| &rest[2..]);
                let top = worst.entry(kind.to_owned()).or_default();
                *top = if error.is_nan() { error } else { top.max(error) };
                seen += 1;
            }
        }
        assert_eq!(seen, expected.len(), "{name}: hook points left out");
        for (kind, error) in worst {
            let bad = error.is_nan() || error > TOLERANCE;
            failed |= bad;
            let mark = if bad { "  <-- too far" } else { "" };
            let name = name.rsplit('/').next().unwrap();
            table.push(format!("{name:18} {kind:24} {error:.1e}{mark}"));
        }
    }
    assert!(!failed, "\n{}", table.join("\n"));
    println!("{}", table.join("\n"));
}

#[test]
fn the_stream_is_the_sum_of_what_is_added() {
    for name in all_models() {
        let (student, rows) = (student(name), rows(name));
        let parallel = student.config().parallel;
        let (last, norm) = (student.config().n_layers - 1, HookPoint::LnFinalNormalized);
        for cache in see_all(&student, &rows) {
            let at = |layer: usize, hook: &str| cache.activations[&block(layer, hook)].clone();
            for layer in 0..=last {
                let mid = at(layer, "hook_resid_pre") + at(layer, "hook_attn_out");
                let seen = cache.activations.get(&block(layer, "hook_resid_mid"));
                assert_eq!(seen, (!parallel).then_some(&mid), "{name} {layer}");
                assert_eq!(at(layer, "hook_resid_post"), mid + at(layer, "hook_mlp_out"), "{name} {layer}");
            }
            let embed = cache.activations[&HookPoint::Embed].clone();
            let positions = cache.activations.get(&HookPoint::PosEmbed);
            let first = positions.map_or(embed.clone(), |positions| embed + positions);
            assert_eq!(at(0, "hook_resid_pre"), first, "{name}");
            assert_eq!(at(last, "hook_resid_pre"), at(last - 1, "hook_resid_post"));
            // The last stream is not normed; the norm has its own name.
            assert!(gap(&at(last, "hook_resid_post"), &cache.activations[&norm]) > 0.1);
        }
    }
}

#[test]
fn a_mixed_batch_is_each_row_alone() {
    for name in all_models() {
        let (student, rows) = (student(name), rows(name));
        let logits = |rows: &[TokenRow]| student.run_with_hooks(rows, &[], &[], true).unwrap();
        let together = see_all(&student, &rows);
        for ((row, together), blind) in rows.iter().zip(&together).zip(logits(&rows)) {
            assert_eq!(blind, logits(std::slice::from_ref(row))[0], "{name} row {}: not a bit", row.id);
            // Scores and pattern are composed of products that do know of other rows.
            let alone = &see_all(&student, std::slice::from_ref(row))[0];
            for (point, array) in &together.activations {
                let error = gap(array, &alone.activations[point]) / scale(array).max(1.0);
                assert!(error < 2e-6, "{name} row {} {point}: {error:e}", row.id);
            }
        }
    }
}

#[test]
fn what_is_watched_changes_nothing() {
    for name in all_models() {
        let (student, rows) = (student(name), rows(name));
        let blind = student.run_with_hooks(&rows, &[], &[], true).unwrap();
        let pattern = |point: &HookPoint| student.config().width(*point).is_none();
        let points: Vec<_> = student.config().hooks().into_iter().filter(|point| !pattern(point)).collect();
        let seeing = student.run_with_hooks(&rows, &points, &[], true).unwrap();
        for (blind, seeing) in blind.iter().zip(&seeing) {
            assert_eq!(blind.logits, seeing.logits, "{name}");
        }
        // A look at scores and pattern takes the composed path, which rounds differently and no more.
        for (blind, seeing) in blind.into_iter().zip(see_all(&student, &rows)) {
            let (blind, seeing) = (blind.logits.unwrap().into_dyn(), seeing.logits.unwrap().into_dyn());
            assert!(gap(&blind, &seeing) / scale(&blind) < 2e-6, "{name}");
        }
    }
}

#[test]
fn half_precision_stays_near_f32() {
    for (dtype, tolerance) in [(Dtype::Bf16, 0.05), (Dtype::F16, 0.008)] {
        for name in all_models() {
            // Soft caps and narrow heads let rounding show more.
            let tolerance = if FAMILIES.contains(&name) { 2.0 * tolerance } else { tolerance };
            let rows = rows(name);
            let low = Student::load(&fixture(name), &LoadOptions { dtype, ..options() }).unwrap();
            let low = see_all(&low, &rows);
            for (low, full) in low.into_iter().zip(see_all(&student(name), &rows)) {
                let (low, full) = (low.logits.unwrap().into_dyn(), full.logits.unwrap().into_dyn());
                let error = gap(&low, &full) / scale(&full);
                assert!(error < tolerance && error > 0.0, "{name} {dtype}: {error}");
            }
        }
    }
}

/// bf16, relative: of norms.
const TOLERANCE_BF16: f32 = 1e-2;

#[test]
fn logits_in_bf16_equal_those_of_transformers() {
    let mut table = Vec::new();
    let mut failed = false;
    for name in FAMILIES {
        let expected = tensors(&fixture(name).join("expected.safetensors"));
        let low = Student::load(&fixture(name), &LoadOptions { dtype: Dtype::Bf16, ..options() }).unwrap();
        let low = low.run_with_hooks(&rows(name), &[], &[], true).unwrap();
        let (mut gap, mut size) = (0.0, 0.0);
        for (row, cache) in low.into_iter().enumerate() {
            let expected = &expected[&format!("{row}.logits_bf16")];
            let found = cache.logits.unwrap().into_dyn();
            gap += (&found - expected).mapv(|x| x * x).sum();
            size += expected.mapv(|x| x * x).sum();
        }
        let error = (gap / size).sqrt();
        let bad = error.is_nan() || error > TOLERANCE_BF16;
        failed |= bad;
        let name = name.rsplit('/').next().unwrap();
        table.push(format!("{name:18} logits-bf16 {error:.1e}{}", if bad { "  <-- too far" } else { "" }));
    }
    assert!(!failed, "\n{}", table.join("\n"));
    println!("{}", table.join("\n"));
}

/// The peer reads the same folder by its own loader; biases and windows it does not know.
#[test]
fn last_logits_equal_candle_transformers() {
    use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
    for name in ["llama-gqa", "llama-tied-mha", "llama3-rope", "chat-llama"] {
        let folder = fixture(name);
        let mut config = json(&folder.join("config.json"));
        if let Some(theta) = config["rope_parameters"]["rope_theta"].as_f64() {
            config["rope_theta"] = theta.into();
        }
        config["rope_scaling"] = match config["rope_scaling"].take() {
            scaling if scaling.is_object() => scaling,
            _ => serde_json::Value::Null,
        };
        let config: LlamaConfig = serde_json::from_value(config).unwrap();
        let config = config.into_config(false);
        let weights = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let vars = candle_nn::VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let llama = Llama::load(vars, &config).unwrap();
        for (row, cache) in rows(name).iter().zip(see_all(&student(name), &rows(name))) {
            let mut kept = Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
            let ids = Tensor::new(row.ids.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let theirs: Vec<f32> =
                llama.forward(&ids, 0, &mut kept).unwrap().i(0).unwrap().to_vec1().unwrap();
            let ours = cache.logits.unwrap();
            let ours = ours.row(ours.nrows() - 1).to_owned().into_dyn();
            let theirs = ndarray::Array1::from(theirs).into_dyn();
            let error = gap(&ours, &theirs) / scale(&theirs).max(1.0);
            assert!(error < TOLERANCE, "{name} row {}: {error:e}", row.id);
        }
    }
}
