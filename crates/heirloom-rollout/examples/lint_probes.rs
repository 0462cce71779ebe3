//! Prints the numbers and the lint findings of behavior folders.
//!
//! `cargo run -p heirloom-rollout --example lint_probes -- [--dates] probes/blackmail …`; `--dates` lets the
//! folders after it name dates.

use std::path::Path;

use heirloom_rollout::{Behavior, Error, Limits};

fn main() -> Result<(), Error> {
    let mut limits = Limits::default();
    for argument in std::env::args().skip(1) {
        if argument == "--dates" {
            limits.dates = true;
            continue;
        }
        let behavior = Behavior::load(Path::new(&argument))?;
        println!("{}", behavior.summary());
        for missed in behavior.agreement().disagreements {
            println!("    {missed:?}");
        }
        let findings = behavior.lint(&limits);
        println!("  {} findings", findings.len());
        for finding in findings {
            println!("    {finding}");
        }
    }
    Ok(())
}
