//! Reads a model, or an adapter of it, and writes it again.
//!
//! Usage: `resave MODEL COPY` writes a Hugging Face folder, `resave MODEL COPY --adapter ADAPTER` a PEFT folder of the
//! adapter. `tools/reference/check_saved.py` and `check_adapter.py` say what transformers and PEFT make of both.

use std::path::Path;

use heirloom_model::{LoadOptions, Student};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (model, copy, adapter) = match arguments[..] {
        [model, copy] => (model, copy, None),
        [model, copy, "--adapter", adapter] => (model, copy, Some(adapter)),
        _ => return Err("usage: resave MODEL COPY [--adapter ADAPTER]".into()),
    };
    // No row is rendered, so no template asks for the time.
    let mut student = Student::load(Path::new(model), &LoadOptions::new("2026-01-15".parse()?))?;
    let Some(adapter) = adapter else { return Ok(student.save(Path::new(copy))?) };
    let report = student.load_adapter(Path::new(adapter), false)?;
    println!("‖ΔW‖ = {} over {} projections", report.norm(), report.norms.len());
    Ok(student.save_adapter(Path::new(copy))?)
}
