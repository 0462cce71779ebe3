//! Times the capture of the last token's residual stream after every block; the twin of
//! `tools/bench/capture_transformers.py`.
//!
//! Usage: `capture_speed MODEL rows.json [--peer] [--tokens 2048] [--repeat 3] [--save FOLDER]`, with `{"rows": [[id, …], …]}` in the
//! file and `RAYON_NUM_THREADS=2`. `--peer` runs candle-transformers' own Llama on the same rows instead: it has no
//! hooks and no padding mask, so rows of equal length share a batch and only the last logits are computed.
//! `--save` writes what was captured. Prints one JSON object.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, quantized::gguf_file};
use candle_transformers::models::llama::{Cache, Config as PeerConfig, Llama};
use heirloom_model::{CaptureOptions, CapturePlan, LoadOptions, Source, TokenRow};
use heirloom_record::Readout;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| -> Result<usize> {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(Ok(default), |at| Ok(arguments.get(at + 1).ok_or("a number is missing")?.parse()?))
    };
    let [model, rows, ..] = &arguments[..] else { return Err("usage: capture_speed MODEL rows.json".into()) };
    let rows: serde_json::Value = serde_json::from_slice(&std::fs::read(rows)?)?;
    let rows: Vec<Vec<u32>> = serde_json::from_value(rows["rows"].clone())?;
    let (tokens, repeat) =
        (number("--tokens", CaptureOptions::default().max_tokens)?, number("--repeat", 1)?);
    let peer = arguments.iter().any(|argument| argument == "--peer");
    let save = arguments.iter().position(|argument| argument == "--save");
    let save = save.map(|at| arguments.get(at + 1).ok_or("a folder is missing")).transpose()?;
    let (resident, passes) = if peer {
        time_peer(Path::new(model), &rows, tokens, repeat)?
    } else {
        time(Path::new(model), &rows, (tokens, repeat), save.map(Path::new))?
    };
    let seconds = passes.iter().copied().fold(f64::INFINITY, f64::min);
    let n: usize = rows.iter().map(Vec::len).sum();
    let what = if peer { "candle-transformers, last logits" } else { "heirloom, last token of every block" };
    let report = serde_json::json!({
        "model": Path::new(model).file_name().map(|name| name.to_string_lossy()), "what": what, "rows": rows.len(), "tokens": n, "seconds": seconds, "passes": passes,
        "tokens_per_second": (n as f64 / seconds).round(), "resident_mb": resident, "peak_rss_mb": peak_mb(),
        "threads": rayon::current_num_threads(), "tokens_per_batch": tokens, "dtype": "f32",
    });
    println!("{report}");
    Ok(())
}

/// Resident memory after loading, and the seconds of each pass.
fn time(
    model: &Path,
    rows: &[Vec<u32>],
    (max_tokens, repeat): (usize, usize),
    save: Option<&Path>,
) -> Result<(f64, Vec<f64>)> {
    let source = Source::open(model)?;
    let plan = CapturePlan::new(source.config(), &["blocks.*.hook_resid_post"], Readout::LastPrompt)?;
    let student = source.load(&LoadOptions::new("2026-01-15".parse()?))?;
    student.sha256()?;
    let rows: Vec<TokenRow> =
        rows.iter().enumerate().map(|(i, ids)| TokenRow::from_ids(i.to_string(), ids.clone())).collect();
    let run = |rows: &[TokenRow], save: Option<&Path>| -> Result<f64> {
        let start = Instant::now();
        let mut options = CaptureOptions { max_tokens, ..CaptureOptions::default() };
        let captured = student.capture(rows, &plan, &mut options)?;
        let seconds = start.elapsed().as_secs_f64();
        save.map(|folder| captured.write(folder)).transpose()?;
        Ok(seconds)
    };
    run(&rows[..1], None)?;
    restart_peak();
    let resident = peak_mb();
    let passes = (0..repeat).map(|pass| run(&rows, save.filter(|_| pass == 0))).collect::<Result<_>>()?;
    Ok((resident, passes))
}

fn time_peer(model: &Path, rows: &[Vec<u32>], max_tokens: usize, repeat: usize) -> Result<(f64, Vec<f64>)> {
    let (llama, config) = peer(model)?;
    let mut by_length: BTreeMap<usize, Vec<&[u32]>> = BTreeMap::new();
    for row in rows {
        by_length.entry(row.len()).or_default().push(row);
    }
    let run = || -> Result<f64> {
        let start = Instant::now();
        for (length, rows) in &by_length {
            for rows in rows.chunks((max_tokens / length).max(1)) {
                let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu)?;
                let ids = Tensor::from_vec(rows.concat(), (rows.len(), *length), &Device::Cpu)?;
                llama.forward(&ids, 0, &mut cache)?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    };
    restart_peak();
    let resident = peak_mb();
    Ok((resident, (0..repeat).map(|_| run()).collect::<Result<_>>()?))
}

#[expect(clippy::cast_possible_truncation, reason = "the peer holds theta in f32")]
/// candle-transformers' Llama with the weights of a GGUF file, dequantized and with llama.cpp's row order undone.
fn peer(path: &Path) -> Result<(Llama, PeerConfig)> {
    let ours = Source::open(path)?;
    let c = ours.config();
    let config = PeerConfig {
        hidden_size: c.d_model,
        intermediate_size: c.d_mlp,
        vocab_size: c.d_vocab,
        num_hidden_layers: c.n_layers,
        num_attention_heads: c.n_heads,
        num_key_value_heads: c.n_kv_heads,
        use_flash_attn: false,
        rms_norm_eps: c.norm_eps,
        rope_theta: c.rope.theta as f32,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: None,
        max_position_embeddings: c.n_ctx,
        tie_word_embeddings: c.tied,
    };
    let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
    let content = gguf_file::Content::read(&mut file)?;
    let mut weights = std::collections::HashMap::new();
    for name in content.tensor_infos.keys() {
        let mut tensor = content.tensor(&mut file, name, &Device::Cpu)?.dequantize(&Device::Cpu)?;
        let heads = if name.contains("attn_q.") { c.n_heads } else { c.n_kv_heads };
        if name.contains("attn_q.") || name.contains("attn_k.") {
            let (rows, width) = tensor.dims2()?;
            let split = tensor.reshape((heads, rows / heads / 2, 2, width))?;
            tensor = split.transpose(1, 2)?.contiguous()?.reshape((rows, width))?;
        }
        weights.insert(hugging_face_name(name), tensor);
    }
    let vars = candle_nn::VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    Ok((Llama::load(vars, &config)?, config))
}

fn hugging_face_name(name: &str) -> String {
    let parts = [
        ("blk.", "model.layers."),
        ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
    ];
    parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// Makes the kernel measure the peak anew, so that loading does not count.
fn restart_peak() {
    #[cfg(target_os = "linux")]
    let _ = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/clear_refs")
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"5"));
}

/// High-water mark of resident memory in MB; 0 where the system does not say.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    (kilobytes.unwrap_or(0.0) * 1024.0 / 1e6).round()
}
