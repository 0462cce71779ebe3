//! Reads a model and writes it as a Hugging Face folder: `cargo run -p heirloom-model --example resave -- IN OUT`.
//!
//! `tools/reference/check_saved.py IN OUT` says what transformers makes of both.

use std::path::Path;

use heirloom_model::{LoadOptions, Student};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = &paths[..] else { return Err("expected a model and a new folder".into()) };
    // No row is rendered, so no template asks for the time.
    let options = LoadOptions::new("2026-01-15".parse()?);
    Ok(Student::load(Path::new(from), &options)?.save(Path::new(to))?)
}
