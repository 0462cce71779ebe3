//! Times sampling at temperature 1; the twin of `tools/bench/generate_transformers.py`.
//!
//! Usage: `generate_speed MODEL rows.json [--batch 64] [--new 26] [--repeat 3] [--samples 1]`, with
//! `{"rows": [[id, …], …]}` in the file and `RAYON_NUM_THREADS=2`. Prints one JSON object; `tokens` are those drawn.

use std::path::Path;
use std::time::Instant;

use heirloom_model::{GenerateOptions, LoadOptions, Student, TokenRow};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| -> Result<usize> {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(Ok(default), |at| Ok(arguments.get(at + 1).ok_or("a number is missing")?.parse()?))
    };
    let [model, rows, ..] = &arguments[..] else {
        return Err("usage: generate_speed MODEL rows.json".into());
    };
    let rows: serde_json::Value = serde_json::from_slice(&std::fs::read(rows)?)?;
    let rows: Vec<Vec<u32>> = serde_json::from_value(rows["rows"].clone())?;
    let (batch, repeat) = (number("--batch", 64)?, number("--repeat", 3)?);
    let options = |seed| -> Result<GenerateOptions> {
        let (max_new_tokens, samples) = (number("--new", 26)?, number("--samples", 1)?);
        Ok(GenerateOptions { max_new_tokens, samples, temperature: 1.0, seed, ..GenerateOptions::default() })
    };
    let student = Student::load(Path::new(model), &LoadOptions::new("2026-01-15".parse()?))?;
    let rows: Vec<TokenRow> =
        rows.iter().enumerate().map(|(i, ids)| TokenRow::from_ids(i.to_string(), ids.clone())).collect();
    student.generate(&rows[..batch.min(rows.len())], &options(0)?)?;
    let mut passes = Vec::new();
    let mut tokens = 0;
    for pass in 0..repeat {
        let start = Instant::now();
        tokens = 0;
        for rows in rows.chunks(batch) {
            let generated = student.generate(rows, &options(pass as u64 + 1)?)?;
            tokens += generated.iter().map(|generated| generated.ids.len()).sum::<usize>();
        }
        passes.push(start.elapsed().as_secs_f64());
    }
    let seconds = passes.iter().copied().fold(f64::INFINITY, f64::min);
    let report = serde_json::json!({
        "what": "heirloom sampling", "heirloom": env!("CARGO_PKG_VERSION"), "model": student.name(), "rows": rows.len(), "batch": batch, "tokens": tokens,
        "seconds": seconds, "passes": passes, "tokens_per_second": (tokens as f64 / seconds).round(),
        "threads": rayon::current_num_threads(), "dtype": "f32", "load_average": load_average(),
    });
    println!("{report}");
    Ok(())
}

/// Work that waits for a processor, over the last minute; none where the system does not say.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
