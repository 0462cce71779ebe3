//! Times the capture of the residual stream after every block; the twin of `tools/bench/capture_transformers.py`.
//!
//! Usage: `capture_speed MODEL rows.json [--tokens 2048] [--repeat 3] [--device cuda] [--dtype bf16] [--means] [--last]
//! [--adapters FOLDER] [--save FOLDER] [--peer]`, with `{"rows": [[id, …], …]}` in the file and, on the processor,
//! `RAYON_NUM_THREADS=2`. It reads the last token, or with `--means` the mean over the second half of each row; with
//! `--last` after the last block alone, which is what a pass costs without a capture. `--adapters` goes through the
//! `checkpoint-N` in a folder, each read from disk and put on the resident model. `--save` writes what was captured.
//! `--peer` runs candle-transformers' own Llama on the same rows instead: it has no hooks and no padding mask, so rows of
//! equal length share a batch and only the last logits are computed. Prints one JSON object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor, quantized::gguf_file};
use candle_transformers::models::llama::{Cache, Config as PeerConfig, Llama};
use heirloom_model::{
    CaptureOptions, CapturePlan, CheckpointAt, LoadOptions, PeftAdapter, Series, Source, Student, TokenRow,
    Walk, series,
};
use heirloom_record::Readout;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is timed.
struct Options {
    model: PathBuf,
    rows: Vec<TokenRow>,
    tokens: usize,
    repeat: usize,
    load: LoadOptions,
    readout: Readout,
    /// After the last block alone.
    last: bool,
    adapters: Option<PathBuf>,
    save: Option<PathBuf>,
    peer: bool,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self> {
        let has = |name: &str| arguments.iter().any(|argument| argument == name);
        let value = |name: &str| -> Result<Option<&str>> {
            let at = arguments.iter().position(|argument| argument == name);
            Ok(at
                .map(|at| arguments.get(at + 1).ok_or("a value is missing"))
                .transpose()?
                .map(String::as_str))
        };
        let [model, file, ..] = arguments else { return Err("usage: capture_speed MODEL rows.json".into()) };
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let ids: Vec<Vec<u32>> = serde_json::from_value(file["rows"].clone())?;
        let row = |(i, ids): (usize, Vec<u32>)| {
            let response = Some(ids.len() / 2..ids.len());
            TokenRow { response, ..TokenRow::from_ids(i.to_string(), ids) }
        };
        let mut load = LoadOptions::new("2026-01-15".parse()?);
        load.device = value("--device")?.unwrap_or("cpu").parse()?;
        load.dtype = value("--dtype")?.unwrap_or("f32").parse()?;
        Ok(Self {
            model: model.into(),
            rows: ids.into_iter().enumerate().map(row).collect(),
            tokens: value("--tokens")?.map_or(Ok(CaptureOptions::default().max_tokens), str::parse)?,
            repeat: value("--repeat")?.map_or(Ok(1), str::parse)?,
            load,
            readout: if has("--means") { Readout::ResponseMean } else { Readout::LastPrompt },
            last: has("--last"),
            adapters: value("--adapters")?.map(Into::into),
            save: value("--save")?.map(Into::into),
            peer: has("--peer"),
        })
    }

    /// One object for people and for `tools/bench/ratios.py`.
    fn report(&self, resident: f64, passes: &[f64]) -> serde_json::Value {
        let seconds = passes.iter().copied().fold(f64::INFINITY, f64::min);
        let n: usize = self.rows.iter().map(|row| row.ids.len()).sum();
        let what = match (self.peer, &self.readout, self.last) {
            (true, ..) => "candle-transformers, last logits",
            (_, Readout::ResponseMean, false) => "heirloom, response means of every block",
            (_, _, true) => "heirloom, the last block alone",
            _ => "heirloom, last token of every block",
        };
        serde_json::json!({
            "model": self.model.file_name().map(|name| name.to_string_lossy()), "what": what,
            "rows": self.rows.len(), "tokens": n, "seconds": seconds, "passes": passes,
            "tokens_per_second": (n as f64 / seconds).round(), "resident_mb": resident, "peak_rss_mb": peak_mb(),
            "threads": rayon::current_num_threads(), "tokens_per_batch": self.tokens,
            "device": self.load.device.to_string(), "dtype": self.load.dtype.to_string(),
        })
    }
}

fn main() -> Result<()> {
    let options = Options::read(&std::env::args().skip(1).collect::<Vec<_>>())?;
    let report = match &options.adapters {
        _ if options.peer => time_peer(&options).map(|(resident, passes)| options.report(resident, &passes)),
        Some(folder) => time_adapters(&options, folder),
        None => time(&options).map(|(resident, passes)| options.report(resident, &passes)),
    }?;
    println!("{report}");
    Ok(())
}

/// Captures all rows; returns the seconds.
fn pass(student: &Student, options: &Options, rows: &[TokenRow], save: Option<&Path>) -> Result<f64> {
    let last = format!("blocks.{}.hook_resid_post", student.config().n_layers - 1);
    let hooks = if options.last { last.as_str() } else { "blocks.*.hook_resid_post" };
    let plan = CapturePlan::new(student.config(), &[hooks], options.readout.clone())?;
    let start = Instant::now();
    let mut how = CaptureOptions { max_tokens: options.tokens, ..CaptureOptions::default() };
    let captured = student.capture(rows, &plan, &mut how)?;
    let seconds = start.elapsed().as_secs_f64();
    save.map(|folder| captured.write(folder)).transpose()?;
    Ok(seconds)
}

/// Resident memory after loading, and the seconds of each pass.
fn time(options: &Options) -> Result<(f64, Vec<f64>)> {
    let student = Source::open(&options.model)?.load(&options.load)?;
    student.sha256()?;
    pass(&student, options, &options.rows[..1], None)?;
    restart_peak();
    let resident = peak_mb();
    let save = |round| options.save.as_deref().filter(|_| round == 0);
    let passes = (0..options.repeat).map(|round| pass(&student, options, &options.rows, save(round)));
    Ok((resident, passes.collect::<Result<_>>()?))
}

/// Goes through adapters on one model: seconds in all but for reading the model, in forward passes, and in reading one
/// adapter from disk.
fn time_adapters(options: &Options, folder: &Path) -> Result<serde_json::Value> {
    let found = series(&Series::Folder(folder.to_owned()), false)?;
    let at = |(step, adapter): (usize, PathBuf)| CheckpointAt {
        step,
        model: options.model.clone(),
        adapter: Some(adapter),
    };
    let (adapters, config) = (found.len(), Source::open(&options.model)?.config().clone());
    let start = Instant::now();
    PeftAdapter::read(&found[0].1, &config)?;
    let reading = start.elapsed().as_secs_f64();
    let mut walk = Walk::new(found.into_iter().map(at).collect(), options.load, false)?;
    let (mut passes, mut begun) = (Vec::new(), None);
    while let Some((_, student)) = walk.advance()? {
        begun.get_or_insert_with(Instant::now);
        passes.push(pass(student, options, &options.rows, None)?);
    }
    let (all, forward) =
        (begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64()), passes.iter().sum::<f64>());
    let mut report = options.report(0.0, &passes);
    for (key, value) in
        [("seconds_in_all", all), ("seconds_in_passes", forward), ("seconds_to_read_one", reading)]
    {
        report[key] = value.into();
    }
    report["adapters"] = adapters.into();
    Ok(report)
}

fn time_peer(options: &Options) -> Result<(f64, Vec<f64>)> {
    let (llama, config) = peer(&options.model)?;
    let mut by_length: BTreeMap<usize, Vec<&[u32]>> = BTreeMap::new();
    for row in &options.rows {
        by_length.entry(row.ids.len()).or_default().push(&row.ids);
    }
    let run = || -> Result<f64> {
        let start = Instant::now();
        for (length, rows) in &by_length {
            for rows in rows.chunks((options.tokens / length).max(1)) {
                let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu)?;
                let ids = Tensor::from_vec(rows.concat(), (rows.len(), *length), &Device::Cpu)?;
                llama.forward(&ids, 0, &mut cache)?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    };
    restart_peak();
    let resident = peak_mb();
    Ok((resident, (0..options.repeat).map(|_| run()).collect::<Result<_>>()?))
}

/// candle-transformers' Llama with the weights of a GGUF file, dequantized and with llama.cpp's row order undone.
#[expect(clippy::cast_possible_truncation, reason = "the peer holds theta in f32")]
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
