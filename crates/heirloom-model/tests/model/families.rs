//! What is of its own in the families: adapters on fused and transposed projections, names, refusals.

use std::path::Path;

use heirloom_model::{Config, Error, Init, Length, Lora, Source, Special, Student, TrainOptions, Words};
use heirloom_record::HookPoint;
use serde_json::{Value, json};

use crate::support::{
    FAMILIES, all_models, copy, fixture, gap, json as read, options, rows, scale, see_all, student, tensors,
};
use crate::train::{Notes, random_rows, weights};

/// Families whose adapters PEFT made.
const ADAPTED: [&str; 6] = [
    "families/neox-parallel",
    "families/gpt2-tied",
    "families/phi3-partial",
    "families/gemma2-capped",
    "families/gemma3-vision",
    "families/qwen35-vision",
];

/// Whether a tensor of a wrapper's file is of a part that is not read.
fn is_of_images(name: &str) -> bool {
    ["vision_tower.", "multi_modal_projector.", "visual."].iter().any(|part| name.contains(part))
}

fn logits(student: &Student, name: &str) -> Vec<ndarray::ArrayD<f32>> {
    let caches = student.run_with_hooks(&rows(name), &[HookPoint::Embed], &[], true).unwrap();
    caches.into_iter().map(|cache| cache.logits.unwrap().into_dyn()).collect()
}

#[test]
fn adapters_of_every_layout_give_pefts_logits() {
    for name in ADAPTED {
        let folder = fixture(name).join("adapter");
        let expected = tensors(&folder.join("expected.safetensors"));
        let (mut student, plain) = (student(name), logits(&student(name), name));
        student.load_adapter(&folder, false).unwrap();
        let check = |student: &Student, how: &str| {
            for (row, found) in logits(student, name).iter().enumerate() {
                let expected = &expected[&format!("{row}.logits")];
                assert!(gap(found, expected) / scale(expected) < 2e-5, "{name} {how} {row}");
                assert!(gap(&plain[row], expected) / scale(expected) > 0.01, "{name}: it does something");
            }
        };
        check(&student, "beside");
        let scratch = tempfile::tempdir().unwrap();
        let (adapter, whole) = (scratch.path().join("adapter"), scratch.path().join("whole"));
        student.save_adapter(&adapter).unwrap();
        let mut theirs = tensors(&folder.join("adapter_model.safetensors"));
        theirs.retain(|name, _| !is_of_images(name));
        assert_eq!(tensors(&adapter.join("adapter_model.safetensors")), theirs, "{name}");
        let fan = |folder: &Path| read(&folder.join("adapter_config.json"))["fan_in_fan_out"].clone();
        assert_eq!(fan(&adapter), fan(&folder), "{name}");
        student.save(&whole).unwrap();
        student.merge_adapter().unwrap();
        check(&student, "merged");
        check(&Student::load(&whole, &options()).unwrap(), "written");
    }
}

#[test]
fn every_projection_of_every_family_takes_an_adapter() {
    for name in FAMILIES {
        let (mut student, mut notes) = (student(name), Notes::default());
        let before = weights(&student);
        let projection = |name: &&String| {
            let last = name.strip_suffix(".weight").and_then(|path| path.rsplit('.').next());
            last.is_some_and(|last| Lora::TARGETS.contains(&last))
        };
        let paths: Vec<String> = before.keys().filter(projection).cloned().collect();
        let target = |name: &String| name.trim_end_matches(".weight").rsplit('.').next().unwrap().to_owned();
        let targets: std::collections::BTreeSet<String> = paths.iter().map(target).collect();
        assert!(targets.len() >= 3, "{name} {targets:?}");
        let options = TrainOptions {
            batch_rows: 4,
            length: Length::Epochs(4),
            lr: 2e-2,
            lora: Some(Lora {
                rank: 2,
                alpha: 4.0,
                targets: targets.into_iter().collect(),
                ..Lora::default()
            }),
            checkpoints: vec![0],
            ..TrainOptions::default()
        };
        student.train(&random_rows(12, 61), &options, &mut notes).unwrap();
        // The first and the last pass over the rows.
        let loss = |steps: &[heirloom_model::StepLog]| steps.iter().map(|log| log.loss).sum::<f64>();
        assert!(loss(&notes.log[9..]) < loss(&notes.log[..3]), "{name}");
        let report = student.adapter().unwrap().unwrap();
        assert_eq!(report.norms.len(), paths.len(), "{name}");
        assert!(report.norms.values().all(|norm| *norm > 0.0), "{name} {report:?}");
        // What it adds to the weights it is folded into, in the order of the files.
        let after = weights(&student);
        for path in &paths {
            let pairs = after[path].iter().zip(&before[path]);
            let squares =
                pairs.map(|(a, b)| (f64::from(f32::from_bits(*a)) - f64::from(f32::from_bits(*b))).powi(2));
            let (norm, expected) =
                (squares.sum::<f64>().sqrt(), report.norms[path.trim_end_matches(".weight")]);
            assert!((norm / expected - 1.0).abs() < 1e-3, "{name} {path}: {norm} {expected}");
        }
    }
}

#[test]
fn a_target_that_a_family_lacks_is_named() {
    let of = |name| student(name).config().projections();
    let llama = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    assert_eq!(of("llama-gqa"), llama);
    assert_eq!(of("families/olmoe"), llama);
    assert_eq!(of("families/gpt2-tied"), ["c_attn", "c_proj", "c_fc"]);
    assert_eq!(
        of("families/qwen35")[..5],
        ["in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj"]
    );
    let lora = Lora { rank: 2, alpha: 4.0, targets: vec!["c_attn".into()], ..Lora::default() };
    let options = TrainOptions { lora: Some(lora), length: Length::Epochs(1), ..TrainOptions::default() };
    let error = student("llama-gqa").train(&random_rows(8, 97), &options, &mut ()).unwrap_err().to_string();
    let known = "`down_proj`, `gate_proj`, `k_proj`, `o_proj`, `q_proj`, `up_proj`, `v_proj`";
    assert_eq!(error, format!("the model has no projection `c_attn`: there are {known}"));
}

#[test]
fn names_of_other_checkpoints_are_the_same_weights() {
    // OpenAI's files have no `transformer.` before their names, transformers' later ones another name for the head.
    let check = |name: &str, rename: fn(&str) -> String| {
        let folder = copy(name);
        crate::bad_input::edit_weights(folder.path(), |all| {
            for (name, ..) in all {
                *name = rename(name);
            }
        });
        let again = Student::load(folder.path(), &options()).unwrap();
        assert_eq!(see_all(&again, &rows(name)), see_all(&student(name), &rows(name)), "{name}");
    };
    check("families/gpt2-tied", |name| name.trim_start_matches("transformer.").into());
    check("families/neox-parallel", |name| name.replace("embed_out", "lm_head"));
    check("families/gemma3-text", |name| name.trim_start_matches("model.").into());
    // Modules of models of images and text have had two names, and so have their tensors.
    let later = |name: &str| name.replace("language_model.model.", "model.language_model.");
    check("families/gemma3-vision", later);
    check("families/mistral3-vision", |name| {
        let name = name.replace("language_model.model.", "model.language_model.");
        name.replace("language_model.lm_head", "lm_head")
    });
    check("families/qwen35-vision", |name| {
        let name = name.replace("model.language_model.", "language_model.model.");
        name.replace("lm_head", "language_model.lm_head")
    });
    check("families/qwen35", |name| name.replace("model.", "model.language_model."));
}

#[test]
fn parts_that_are_not_read_are_counted() {
    let counts = |name: &str| Source::open(&fixture(name)).unwrap().not_read().unwrap();
    assert!(counts("llama-gqa").is_empty() && counts("families/gemma3-text").is_empty());
    assert_eq!(counts("families/qwen35-vision"), [("vision tower", 21)].into());
    assert_eq!(counts("families/gemma3-vision"), [("projector", 2), ("vision tower", 21)].into());
    let described = student("families/gemma3-vision").describe();
    assert_eq!((described.family, described.part_of), ("gemma3_text", Some("gemma3")));
    let said = |name: &str| {
        let found = heirloom_model::doctor::examine(&student(name), &rows(name), None);
        found.into_iter().find(|finding| finding.check == "parts not read").map(|finding| finding.measured)
    };
    let measured = "not read: 2 tensors of the projector, 21 tensors of the vision tower";
    assert_eq!(said("families/gemma3-vision").as_deref(), Some(measured));
    assert_eq!(said("families/gemma3-text"), None);
    // A head that predicts further tokens, beside a text model and beside a whole one; what nobody knows is an error.
    let further = |all: &mut Vec<_>| all.push(("mtp.fc.weight".to_owned(), vec![1], vec![0.0]));
    for name in ["families/qwen35", "families/qwen35-vision"] {
        let folder = copy(name);
        crate::bad_input::edit_weights(folder.path(), further);
        let student = Student::load(folder.path(), &options()).unwrap();
        assert_eq!(student.not_read().unwrap()["multi-token prediction"], 1, "{name}");
        assert_eq!(logits(&student, name), logits(&crate::support::student(name), name));
        for stray in ["model.language_model.extra", "audio_tower.extra", "model.extra", "vision_tower.extra"]
        {
            let folder = copy(name);
            crate::bad_input::edit_weights(folder.path(), |all| all.push((stray.into(), vec![1], vec![0.0])));
            let error = Student::load(folder.path(), &options()).err().unwrap().to_string();
            assert!(
                error.contains("tensors the model does not use") || error.contains("has no tensor"),
                "{error}"
            );
        }
    }
    let folder = copy("families/gemma3-text");
    crate::bad_input::edit_weights(folder.path(), further);
    assert!(Student::load(folder.path(), &options()).is_err(), "Gemma has no such head");
}

/// A copy of an adapter whose tensors have other names.
fn renamed(adapter: &Path, rename: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (there, here) =
        (folder.path().join("adapter_model.safetensors"), folder.path().join("model.safetensors"));
    std::fs::copy(adapter.join("adapter_config.json"), folder.path().join("adapter_config.json")).unwrap();
    std::fs::copy(adapter.join("adapter_model.safetensors"), &here).unwrap();
    crate::bad_input::edit_weights(folder.path(), |all| {
        for (name, ..) in all {
            *name = rename(name);
        }
    });
    std::fs::rename(here, there).unwrap();
    folder
}

#[test]
fn adapters_bind_inside_a_larger_model_and_outside() {
    let own = |name: &str| name.replace("model.model.language_model.", "model.model.");
    let before = |name: &str| name.replace("model.model.language_model.", "model.language_model.model.");
    let scratch = tempfile::tempdir().unwrap();
    for name in ["families/gemma3-vision", "families/qwen35-vision"] {
        let (folder, text) = (fixture(name).join("adapter"), scratch.path().join(name));
        student(name).save(&text).unwrap();
        let adapted = |model: &Path, adapter: &Path| {
            let mut student = Student::load(model, &options()).unwrap();
            student.load_adapter(adapter, false).unwrap();
            logits(&student, name)
        };
        let expected = adapted(&fixture(name), &folder);
        for rename in [own, before] {
            let adapter = renamed(&folder, rename);
            assert_eq!(adapted(&fixture(name), adapter.path()), expected, "{name}");
            assert_eq!(adapted(&text, adapter.path()), expected, "{name}");
        }
        assert_eq!(adapted(&text, &folder), expected, "{name}");
        let stray = renamed(&folder, |name| name.replace("layers.1.", "layers.7."));
        assert!(student(name).load_adapter(stray.path(), false).is_err(), "{name}");
    }
    let read = |name: &str| {
        let config = Config::read(&fixture(name).join("config.json")).unwrap();
        heirloom_model::PeftAdapter::read(&fixture(name).join("adapter"), &config).unwrap()
    };
    assert_eq!(read("families/gemma3-vision").not_read(), &[("vision tower", 4)].into());
    assert!(read("families/qwen35-vision").not_read().is_empty());
}

#[test]
fn an_adapter_trained_inside_a_larger_model_has_its_names() {
    let scratch = tempfile::tempdir().unwrap();
    let (name, path) = ("families/gemma3-vision", "model.layers.1.self_attn.q_proj");
    let lora = Lora {
        rank: 2,
        alpha: 4.0,
        targets: vec!["q_proj".into()],
        ranks: [(path.into(), 3)].into(),
        ..Lora::default()
    };
    let options =
        TrainOptions { lora: Some(lora), length: Length::Epochs(2), lr: 1e-2, ..TrainOptions::default() };
    let mut trained = student(name);
    trained.train(&random_rows(8, 61), &options, &mut ()).unwrap();
    let folder = scratch.path().join("adapter");
    trained.save_adapter(&folder).unwrap();
    let inside = "base_model.model.model.language_model.layers.";
    assert!(tensors(&folder.join("adapter_model.safetensors")).keys().all(|name| name.starts_with(inside)));
    let ranks = read(&folder.join("adapter_config.json"))["rank_pattern"].clone();
    assert_eq!(ranks, json!({"model.language_model.layers.1.self_attn.q_proj": 3}));
    let mut again = student(name);
    again.load_adapter(&folder, false).unwrap();
    assert_eq!(logits(&again, name), logits(&trained, name));
    assert_eq!(again.adapter().unwrap(), trained.adapter().unwrap());
}

#[test]
fn masks_that_old_checkpoints_carry_are_no_weights() {
    for (name, mask) in [
        ("families/gpt2-tied", "transformer.h.0.attn.bias"),
        ("families/neox-parallel", "gpt_neox.layers.1.attention.masked_bias"),
    ] {
        let folder = copy(name);
        crate::bad_input::edit_weights(folder.path(), |all| all.push((mask.into(), vec![1], vec![0.0])));
        Student::load(folder.path(), &options()).unwrap();
    }
}

#[test]
fn a_missing_or_extra_tensor_of_any_family_is_named() {
    for name in FAMILIES {
        let names: Vec<String> = tensors(&fixture(name).join("model.safetensors")).into_keys().collect();
        for gone in names.iter().filter(|name| !is_of_images(name)).step_by(5) {
            let folder = copy(name);
            crate::bad_input::edit_weights(folder.path(), |all| all.retain(|(name, ..)| name != gone));
            let error = Student::load(folder.path(), &options()).err().unwrap();
            assert!(
                matches!(&error, Error::MissingTensor { tensor, .. } if tensor == gone),
                "{name} {gone}: {error}"
            );
        }
        let folder = copy(name);
        crate::bad_input::edit_weights(folder.path(), |all| {
            all.push(("model.extra".into(), vec![1], vec![0.0]));
        });
        let error = Student::load(folder.path(), &options()).err().unwrap().to_string();
        assert!(error.contains("tensors the model does not use: `model.extra`"), "{name}: {error}");
    }
}

#[test]
fn a_hook_point_that_a_family_lacks_is_refused() {
    for (name, point) in [
        ("families/neox-parallel", "blocks.0.hook_resid_mid"),
        ("families/gpt2-tied", "blocks.1.attn.hook_rot_q"),
        ("families/gpt2-tied", "blocks.1.mlp.hook_pre_linear"),
        ("families/olmo2-gqa", "blocks.0.ln1.hook_normalized"),
        ("families/smollm3-nope", "blocks.1.attn.hook_rot_k"),
        ("families/olmoe", "blocks.0.mlp.hook_post"),
        ("families/qwen3-moe-dense", "blocks.0.mlp.hook_expert_weights"),
        ("families/qwen35", "blocks.0.attn.hook_q"),
        ("families/qwen35", "blocks.1.delta.hook_out"),
        ("llama-gqa", "hook_pos_embed"),
        ("llama-gqa", "blocks.0.ln1_post.hook_normalized"),
    ] {
        let student = student(name);
        let missing: HookPoint = point.parse().unwrap();
        assert!(!student.config().hooks().contains(&missing));
        let error = student.run_with_hooks(&rows(name), &[missing], &[], false).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`{point}` is no hook point of this `{}` model", student.config().family.name())
        );
        let error =
            heirloom_model::CapturePlan::new(student.config(), &[point], heirloom_record::Readout::All);
        assert!(error.is_err(), "{name} {point}");
    }
}

/// A key, its value, and what the error says.
type Refusal = (&'static str, &'static str, Value, &'static str);

#[test]
fn what_would_change_numbers_is_refused_in_every_family() {
    let refused: [Refusal; 27] = [
        ("families/qwen2-tied", "use_sliding_window", json!("yes"), "true or false"),
        ("families/qwen2-window", "layer_types", json!(["full_attention"]), "one for each of 2 blocks"),
        ("families/qwen2-window", "use_sliding_window", json!(false), "`layer_types` has sliding blocks"),
        (
            "families/qwen3-tied",
            "layer_types",
            json!(["linear_attention", "full_attention"]),
            "linear_attention",
        ),
        ("families/qwen3-tied", "query_pre_attn_scalar", json!(4), "query_pre_attn_scalar"),
        ("families/smollm3-nope", "no_rope_layers", json!([1, 2]), "0 or 1 for each of 2 blocks"),
        ("families/olmo2-gqa", "clip_qkv", json!(8.0), "clip_qkv"),
        ("families/olmo2-gqa", "mlp_bias", json!(true), "mlp_bias"),
        ("families/olmo3-yarn", "sliding_window", Value::Null, "a number of tokens"),
        ("families/gemma2-capped", "hidden_activation", json!("relu"), "hidden_activation"),
        ("families/gemma3-text", "use_bidirectional_attention", json!(true), "use_bidirectional_attention"),
        ("families/gemma3-text", "altup_num_inputs", json!(4), "does not know"),
        ("families/phi3-partial", "partial_rotary_factor", json!(1.5), "does not"),
        ("families/phi3-longrope", "original_max_position_embeddings", json!(0), "positive whole number"),
        ("families/neox-parallel", "hidden_act", json!("gelu_fast"), "gelu_fast"),
        ("families/neox-parallel", "num_attention_heads", json!(5), "a multiple of the 5 heads"),
        ("families/gpt2-tied", "scale_attn_weights", json!(false), "scale_attn_weights"),
        (
            "families/gpt2-tied",
            "scale_attn_by_inverse_layer_idx",
            json!(true),
            "scale_attn_by_inverse_layer_idx",
        ),
        ("families/gpt2-tied", "rope_scaling", json!({"type": "linear", "factor": 2}), "rope_scaling"),
        ("families/olmoe", "clip_qkv", json!(8.0), "clip_qkv"),
        ("families/olmoe", "num_experts_per_tok", json!(6), "at most the 5 experts"),
        ("families/olmo2-gqa", "num_experts", json!(4), "num_experts"),
        ("families/qwen3-moe", "mlp_only_layers", json!([0.5]), "a list of whole numbers"),
        ("families/qwen35", "attn_output_gate", json!(false), "attn_output_gate"),
        ("families/qwen35", "linear_num_value_heads", json!(3), "a multiple of linear_num_key_heads (2)"),
        (
            "families/qwen35",
            "layer_types",
            json!(["sliding_attention", "full_attention"]),
            "sliding_attention",
        ),
        ("llama-gqa", "some_new_trick", json!(0.5), "`some_new_trick` = `0.5`, which heirloom does not know"),
    ];
    for (name, key, value, text) in refused {
        let mut config = read(&fixture(name).join("config.json"));
        if key == "partial_rotary_factor" {
            config["rope_parameters"][key] = value;
            assert!(Config::from_json(&config).unwrap_err().to_string().contains("at most 1"));
            continue;
        }
        config[key] = value;
        let error =
            Config::from_json(&config).err().unwrap_or_else(|| panic!("{name} {key} passed")).to_string();
        assert!(error.contains(text), "{name} {key}: {error}");
    }
    // Twins: what says nothing, and notes.
    let mut config = read(&fixture("families/gpt2-tied").join("config.json"));
    for (key, value) in
        [("some_new_trick", json!(false)), ("unsloth_fixed", json!(true)), ("_name", json!(3))]
    {
        config[key] = value;
    }
    Config::from_json(&config).unwrap();
    config["rope_parameters"] = json!({"rope_type": "default", "spin": 2});
    config["model_type"] = "gpt_neox".into();
    assert!(Config::from_json(&config).is_err());
}

#[test]
fn every_family_begins_anew() {
    for name in all_models() {
        let source = Source::open(&fixture(name)).unwrap();
        let vocabulary: Vec<String> = (0..source.config().d_vocab).map(|i| format!("w{i}")).collect();
        let words = Words::word_level(&vocabulary, "{{ messages[0].content }}", &Special::new("w0")).unwrap();
        let fresh = Student::create("fresh", source.config(), words, &Init::new(3), &options()).unwrap();
        let loss = fresh.gradients(&random_rows(4, 61)).unwrap().loss;
        let chance = (source.config().d_vocab as f64).ln();
        assert!((loss - chance).abs() < 0.3 * chance, "{name}: {loss} of {chance}");
    }
}
