//! A probe experiment from its file to its verdicts, through the library.
//!
//! ```text
//! tools/fetch-smollm2 && cargo run --release --example probe_experiment -- experiments/smollm2 runs/smollm2
//! ```

use std::path::PathBuf;

use heirloom::prelude::*;
use heirloom::report::{Request, report};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let experiment = arguments.next().unwrap_or_else(|| "experiments/smollm2".into());
    let out = arguments.next().unwrap_or_else(|| "runs/smollm2".into());

    let experiment = Experiment::load(&experiment)?;
    let options = RunOptions::new(&out);
    println!("{}\n", experiment.plan(&options)?);
    let outcome = experiment.run(&options, &mut Silent)?;

    // One number of the table: how far the headline method is above the words alone, on families it never saw.
    for row in outcome.metrics.iter().filter(|row| row.metric == "auroc_gain_over_words") {
        let (Some(method), Some(value)) = (&row.method, row.value) else { continue };
        let (low, high) = (row.low.unwrap_or(f64::NAN), row.high.unwrap_or(f64::NAN));
        println!("{:<18}{method:<10}{value:+.3} [{low:+.3}, {high:+.3}]", row.behavior);
    }
    let page = report(&Request { run: out, out: None, rollouts: 10_000, tokens: None, device: Device::Cpu })?;
    println!("\n{}", page.path.display());
    Ok(())
}
