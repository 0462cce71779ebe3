//! What is read, what is refused, and what is written again.

use serde_json::json;

use super::*;

fn tiny() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 96, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "eos_token_id": [1, 2],
    })
}

fn check(change: &[(&str, Value)], expect: Result<impl Fn(&Config), &str>) {
    let mut value = tiny();
    for (key, new) in change {
        value[*key] = new.clone();
    }
    match (Config::from_json(&value), expect) {
        (Ok(config), Ok(test)) => test(&config),
        (Err(error), Err(text)) => {
            assert!(error.to_string().contains(text), "{error} does not say {text}");
        }
        (result, _) => panic!("{change:?} gave {result:?}"),
    }
}

const OK: Result<fn(&Config), &str> = Ok(|_| {});

#[test]
fn both_spellings_of_rope_scaling() {
    let old = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 32});
    let mut new = old.clone();
    new["rope_theta"] = json!(500_000.0);
    let want = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_n_ctx: 32 };
    let of = |theta| Rope { theta, scaling: want.clone() };
    check(&[("rope_scaling", old)], Ok(|c: &Config| assert_eq!(c.rope, of(10_000.0))));
    check(&[("rope_parameters", new)], Ok(|c: &Config| assert_eq!(c.rope, of(500_000.0))));
    check(&[("rope_scaling", json!({"type": "linear", "factor": 2}))], OK);
    check(&[("rope_scaling", json!({"type": "spiral", "factor": 2}))], Err::<fn(&Config), _>("spiral"));
    check(&[("rope_scaling", json!({"type": "linear"}))], Err::<fn(&Config), _>("`factor`"));
}

#[test]
fn what_would_change_numbers_is_refused() {
    let refused = [
        ("model_type", json!("gpt7"), "known: `llama`, `mistral`"),
        ("attn_logit_softcapping", json!(50.0), "attn_logit_softcapping"),
        ("quantization_config", json!({"bits": 4}), "quantization_config"),
        ("hidden_act", json!("relu"), "relu"),
        ("num_key_value_heads", json!(3), "found `3`"),
        ("hidden_size", json!("wide"), "hidden_size"),
        ("vocab_size", json!(1_u64 << 40), "vocab_size"),
        ("num_attention_heads", json!(0), "positive"),
        ("intermediate_size", Value::Null, "intermediate_size"),
        ("layer_types", json!(["sliding_attention", "full_attention"]), "full_attention"),
    ];
    for (key, value, text) in refused {
        check(&[(key, value)], Err::<fn(&Config), _>(text));
    }
    check(&[("attn_logit_softcapping", Value::Null), ("pretraining_tp", json!(1))], OK);
}

#[test]
fn mistral_has_a_window_and_llama_has_none() {
    let window = ("sliding_window", json!(8));
    check(std::slice::from_ref(&window), Ok(|c: &Config| assert_eq!(c.sliding_window, None)));
    let mistral = ("model_type", json!("mistral"));
    check(&[mistral.clone(), window], Ok(|c: &Config| assert_eq!(c.sliding_window, Some(8))));
    // transformers' own where the key is absent; null means none.
    check(std::slice::from_ref(&mistral), Ok(|c: &Config| assert_eq!(c.sliding_window, Some(4096))));
    let none = ("sliding_window", Value::Null);
    check(&[mistral, none], Ok(|c: &Config| assert_eq!(c.sliding_window, None)));
    check(&[("head_dim", json!(16))], Ok(|c: &Config| assert_eq!(c.d_head, 16)));
    check(&[], Ok(|c: &Config| assert_eq!(c.eos, [1, 2])));
}

/// The configuration of a fixture with keys changed; null takes one away.
fn of(name: &str, change: &[(&str, Value)]) -> Config {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families").join(name).join("config.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let keys = value.as_object_mut().unwrap();
    for (key, new) in change {
        keys.remove(*key);
        if !new.is_null() {
            keys.insert((*key).into(), new.clone());
        }
    }
    Config::from_json(&value).unwrap()
}

fn windowed(config: &Config) -> Vec<bool> {
    config.blocks.iter().map(|kind| kind.windowed).collect()
}

#[test]
fn what_is_not_said_is_the_familys_own() {
    let gone = |keys: &[&'static str]| -> Vec<(&'static str, Value)> {
        keys.iter().map(|key| (*key, Value::Null)).collect()
    };
    let mut silent = gone(&[
        "layer_types",
        "tie_word_embeddings",
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "rms_norm_eps",
        "query_pre_attn_scalar",
        "sliding_window",
        "hidden_activation",
        "head_dim",
        "num_key_value_heads",
    ]);
    let gemma2 = of("gemma2-free", &silent);
    assert_eq!((gemma2.attn_softcap, gemma2.final_softcap), (Some(50.0), Some(30.0)));
    assert_eq!((gemma2.d_head, gemma2.n_kv_heads, gemma2.sliding_window), (256, 4, Some(4096)));
    assert_eq!((gemma2.tied, windowed(&gemma2)), (true, vec![true, false]));
    assert!((gemma2.attn_scalar - 256.0).abs() < 1e-12 && (gemma2.norm_eps - 1e-6).abs() < 1e-12);
    silent.extend([("num_hidden_layers", json!(7)), ("rope_parameters", Value::Null)]);
    let gemma3 = of("gemma3-text", &silent);
    assert_eq!(windowed(&gemma3), [true, true, true, true, true, false, true]);
    assert_eq!((gemma3.attn_softcap, gemma3.final_softcap), (None, None));
    let theta = |rope: &Rope| rope.theta.to_string();
    assert_eq!(
        (theta(&gemma3.rope), gemma3.local_rope.as_ref().map(theta)),
        ("1000000".into(), Some("10000".into()))
    );
    let olmo = of("olmo3-default", &gone(&["layer_types", "rope_parameters", "sliding_window"]));
    assert_eq!((windowed(&olmo), olmo.sliding_window), (vec![true, true, true, false], Some(4096)));
    assert_eq!((theta(&olmo.rope).as_str(), olmo.local_rope), ("500000", None));
    let smol = of(
        "smollm3-nope",
        &[("no_rope_layers", Value::Null), ("num_hidden_layers", json!(5)), ("layer_types", Value::Null)],
    );
    assert_eq!(
        smol.blocks.iter().map(|kind| kind.rotary).collect::<Vec<_>>(),
        [true, true, true, false, true]
    );
    let neox = of(
        "neox-parallel",
        &gone(&["rope_parameters", "attention_bias", "use_parallel_residual", "hidden_act"]),
    );
    assert_eq!((neox.d_head, neox.d_rotary, neox.parallel, neox.qkv_bias), (8, 2, true, true));
    assert_eq!((neox.activation, neox.n_ctx), (Activation::Gelu, 48));
    let gpt2 = of("gpt2-inner", &gone(&["n_inner", "tie_word_embeddings", "activation_function"]));
    assert_eq!((gpt2.d_mlp, gpt2.tied, gpt2.activation), (72, true, Activation::GeluTanh));
}

#[test]
fn windows_of_qwen_begin_where_it_says() {
    let types = ("layer_types", Value::Null);
    let used = |first: Value| of("qwen2-window", &[types.clone(), ("max_window_layers", first)]);
    assert_eq!(windowed(&used(json!(1))), [false, true]);
    assert_eq!(windowed(&used(json!(0))), [true, true]);
    let none = used(json!(2));
    assert_eq!((windowed(&none), none.sliding_window), (vec![false, false], None));
    let unused = of("qwen2-window", &[types, ("use_sliding_window", json!(false))]);
    assert_eq!(unused.sliding_window, None);
}

/// As transformers 5.23's classes leave it with these keys absent.
#[test]
fn what_a_configuration_class_has_where_keys_are_absent() {
    let without = |name: &str, keys: &[&'static str], more: &[(&'static str, Value)]| {
        let gone = keys.iter().map(|key| (*key, Value::Null));
        of(name, &gone.chain(more.iter().cloned()).collect::<Vec<_>>())
    };
    let window = ["sliding_window", "use_sliding_window"];
    let moe = without("qwen3-moe", &window, &[]);
    assert_eq!((moe.sliding_window, windowed(&moe)), (None, vec![false; 2]));
    let used = [("use_sliding_window", json!(true))];
    let moe = without("qwen3-moe", &window, &used);
    assert_eq!((moe.sliding_window, windowed(&moe)), (Some(4096), vec![true; 2]));
    let moe = without("qwen3-moe", &["use_sliding_window"], &[("sliding_window", json!(7))]);
    assert_eq!(moe.sliding_window, None);
    for name in ["qwen2-window", "qwen3-window"] {
        let absent = without(name, &["sliding_window"], &[]);
        assert_eq!((absent.sliding_window, windowed(&absent)), (Some(4096), vec![false, true]), "{name}");
        assert_eq!(without(name, &["use_sliding_window", "layer_types"], &[]).sliding_window, None, "{name}");
    }
    // A window that is null is none, whatever uses it.
    let path = |name| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/families/{name}/config.json"))
    };
    let mut null: Value = serde_json::from_slice(&std::fs::read(path("qwen3-moe")).unwrap()).unwrap();
    null["use_sliding_window"] = json!(true);
    null["sliding_window"] = Value::Null;
    assert_eq!(Config::from_json(&null).unwrap().sliding_window, None);
    null["num_key_value_heads"] = Value::Null;
    assert_eq!(Config::from_json(&null).unwrap().n_kv_heads, 4);
    for (name, n) in [
        ("qwen2-window", 32),
        ("qwen3-tied", 32),
        ("smollm3-nope", 4),
        ("gemma2-free", 4),
        ("gemma3-text", 4),
        ("qwen3-moe", 4),
        ("qwen35", 4),
        ("olmo2-gqa", 64),
        ("phi3-window", 64),
    ] {
        let heads = [("num_attention_heads", json!(64)), ("head_dim", json!(8))];
        assert_eq!(without(name, &["num_key_value_heads"], &heads).n_kv_heads, n, "{name}");
    }
    let long = without(
        "phi3-longrope",
        &["original_max_position_embeddings"],
        &[("max_position_embeddings", json!(8192))],
    );
    assert_eq!(long.n_ctx, 4096);
}

#[test]
fn attention_is_scaled_as_yarn_and_longrope_say() {
    let yarn = |more: Value| {
        let mut rope = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 12});
        rope.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        match of("llama-yarn", &[("rope_parameters", rope)]).rope.scaling {
            RopeScaling::Yarn(yarn) => yarn,
            other => panic!("{other:?}"),
        }
    };
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    near(yarn(json!({})).attention_factor, 0.1 * 4.0_f64.ln() + 1.0);
    near(yarn(json!({"attention_factor": 1.5})).attention_factor, 1.5);
    near(
        yarn(json!({"mscale": 2.0, "mscale_all_dim": 1.0})).attention_factor,
        (0.2 * 4.0_f64.ln() + 1.0) / (0.1 * 4.0_f64.ln() + 1.0),
    );
    near(yarn(json!({"factor": null})).factor, 4.0);
    let long = of("phi3-longrope", &[]);
    assert_eq!((long.n_ctx, long.d_rotary), (16, 6));
    let RopeScaling::Long { attention_factor, stretched_n_ctx, .. } = long.rope.scaling else { panic!() };
    near(attention_factor, (1.0 + 6.0_f64.ln() / 16.0_f64.ln()).sqrt());
    assert_eq!(stretched_n_ctx, 96);
    // The old name of the same.
    let old = json!({"type": "su", "short_factor": [1.0, 1.4, 2.0], "long_factor": [1.5, 4.0, 9.0]});
    let old = of(
        "phi3-longrope",
        &[("rope_parameters", Value::Null), ("rope_scaling", old), ("partial_rotary_factor", json!(0.75))],
    );
    assert_eq!(old.rope, of("phi3-longrope", &[]).rope);
}

/// Configurations as their authors publish them.
#[test]
fn published_configurations_are_read() {
    let read = |text: &str| Config::from_json(&serde_json::from_str(text).unwrap()).unwrap();
    let smol = read(
        r#"{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
        "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192, "mlp_bias": false,
        "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
        "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers.js_config": {"kv_cache_dtype": {"fp16": "float16"}},
        "transformers_version": "4.42.3", "use_cache": true, "vocab_size": 49152}"#,
    );
    assert_eq!(smol.n_parameters(), 134_515_008);
    let qwen = read(
        r#"{"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
        "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14,
        "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.43.1",
        "use_cache": true, "use_mrope": false, "use_sliding_window": false, "vocab_size": 151936}"#,
    );
    assert_eq!((qwen.n_parameters(), qwen.sliding_window), (494_032_768, None));
    let gemma = read(
        r#"{"architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 107],
        "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "initializer_range": 0.02, "intermediate_size": 9216,
        "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8, "num_hidden_layers": 26,
        "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0, "sliding_window": 4096, "sliding_window_size": 4096, "torch_dtype": "bfloat16",
        "transformers_version": "4.42.4", "use_cache": true, "vocab_size": 256000}"#,
    );
    assert_eq!((gemma.n_parameters(), gemma.tied), (2_614_341_888, true));
    let pythia = read(
        r#"{"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu",
        "hidden_size": 512, "initializer_range": 0.02, "intermediate_size": 2048, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 8, "num_hidden_layers": 6,
        "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false, "torch_dtype": "float16",
        "transformers_version": "4.24.0", "use_cache": true, "use_parallel_residual": true, "vocab_size": 50304}"#,
    );
    assert_eq!((pythia.n_parameters(), pythia.d_rotary), (70_426_624, 16));
    let gpt2 = read(
        r#"{"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
        "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
        "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257}"#,
    );
    assert_eq!(gpt2.n_parameters(), 124_439_808);
}

/// Configurations of models of images and text, shortened in what is of images.
#[test]
fn published_wrappers_are_read_in_their_text_part() {
    let read = |value: &Value| Config::from_json(value).unwrap();
    let gemma = json!({
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255_999, "eoi_token_index": 256_000,
        "eos_token_id": [1, 106], "image_token_index": 262_144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
        "model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024},
        "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
        "vision_config": {"hidden_size": 1152, "image_size": 896, "model_type": "siglip_vision_model", "vision_use_head": false},
    });
    let found = read(&gemma);
    assert_eq!((found.family, found.wrapper), (Family::Gemma3, Some(Wrapper::Gemma3)));
    assert_eq!((found.n_parameters(), found.tied, &found.eos[..]), (3_880_263_168, true, &[1, 106][..]));
    assert_eq!((found.rope.scaling, found.n_ctx), (RopeScaling::Linear { factor: 8.0 }, 131_072));
    let qwen = json!({
        "architectures": ["Qwen3_5ForConditionalGeneration"], "image_token_id": 248_056, "model_type": "qwen3_5",
        "text_config": {"attention_bias": false, "attention_dropout": 0.0, "attn_output_gate": true, "dtype": "bfloat16",
        "eos_token_id": 248_044, "full_attention_interval": 4, "head_dim": 256, "hidden_act": "silu", "hidden_size": 4096,
        "initializer_range": 0.02, "intermediate_size": 12288, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
        "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128, "mamba_ssm_dtype": "float32",
        "max_position_embeddings": 262_144, "mlp_only_layers": [], "model_type": "qwen3_5_text", "mtp_num_hidden_layers": 1,
        "mtp_use_dedicated_embeddings": false, "num_attention_heads": 16, "num_hidden_layers": 32, "num_key_value_heads": 4,
        "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_cache": true, "vocab_size": 248_320,
        "rope_parameters": {"mrope_interleaved": true, "mrope_section": [11, 11, 10], "partial_rotary_factor": 0.25,
        "rope_theta": 10_000_000, "rope_type": "default"}},
        "tie_word_embeddings": false, "transformers_version": "4.57.0.dev0", "video_token_id": 248_057,
        "vision_config": {"depth": 27, "model_type": "qwen3_5"}, "vision_end_token_id": 248_054, "vision_start_token_id": 248_053,
    });
    let found = read(&qwen);
    assert_eq!((found.family, found.wrapper, found.eos[0]), (Family::Qwen35, Some(Wrapper::Qwen35), 248_044));
    assert_eq!((found.n_parameters(), found.d_rotary, found.tied), (8_953_803_264, 64, false));
    let mistral = json!({
        "architectures": ["Mistral3ForConditionalGeneration"], "image_token_index": 10, "model_type": "mistral3",
        "multimodal_projector_bias": false, "projector_hidden_act": "gelu", "spatial_merge_size": 2,
        "text_config": {"attention_dropout": 0.0, "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120,
        "initializer_range": 0.02, "intermediate_size": 32768, "max_position_embeddings": 131_072, "model_type": "mistral",
        "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
        "rope_theta": 1_000_000_000.0, "sliding_window": null, "use_cache": true, "vocab_size": 131_072},
        "torch_dtype": "bfloat16", "vision_config": {"model_type": "pixtral"}, "vision_feature_layer": -1,
    });
    let found = read(&mistral);
    assert_eq!((found.n_parameters(), found.tied), (23_572_403_200, false));
    // The whole model says whose the head is; what it leaves unsaid is its class's to say.
    let with = |value: &Value, at: &str, new: Value| {
        let mut value = value.clone();
        *value
            .pointer_mut(at.rsplit_once('/').unwrap().0)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .entry(at.rsplit_once('/').unwrap().1)
            .or_insert(Value::Null) = new;
        value
    };
    assert!(!read(&with(&gemma, "/tie_word_embeddings", json!(false))).tied);
    assert!(read(&with(&gemma, "/text_config/tie_word_embeddings", json!(false))).tied);
    assert!(
        !read(&with(
            &with(&qwen, "/tie_word_embeddings", Value::Null),
            "/text_config/tie_word_embeddings",
            json!(true)
        ))
        .tied
    );
    assert!(read(&with(&mistral, "/text_config/tie_word_embeddings", json!(true))).tied);
    assert_eq!(read(&with(&gemma, "/eos_token_id", Value::Null)).eos, Vec::<u32>::new());
    for (at, value, text) in [
        (
            "/text_config/model_type",
            json!("gemma3n_text"),
            "`text_config.model_type` must be `gemma3_text`, found",
        ),
        ("/text_config", json!(null), "has no `text_config`"),
        ("/text_config", json!(3), "`text_config` must be an object"),
        ("/text_config/use_bidirectional_attention", json!(true), "use_bidirectional_attention"),
        ("/quantization_config", json!({"bits": 4}), "quantization_config"),
        ("/residual_multiplier", json!(2.0), "residual_multiplier"),
        ("/audio_layers", json!(3), "does not know"),
    ] {
        let error = Config::from_json(&with(&gemma, at, value)).unwrap_err().to_string();
        assert!(error.contains(text), "{error} does not say {text}");
    }
}
