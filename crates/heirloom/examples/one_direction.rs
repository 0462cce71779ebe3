//! One direction by hand: contrast pairs → activations → difference of means → how well it reads families it never saw.
//!
//! ```text
//! tools/fetch-smollm2 && cargo run --release --example one_direction -- models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf probes/blackmail 11
//! ```

use std::path::PathBuf;

use heirloom::activations::{capture, dataset, groups};
use heirloom::prelude::*;
use heirloom_probe::auroc_interval;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |otherwise: &str| arguments.next().unwrap_or_else(|| otherwise.into());
    let model = PathBuf::from(next("models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"));
    let behavior = Behavior::load(next("probes/blackmail").as_ref())?;
    let hook = HookPoint::resid_post(next("11").parse()?);

    // What is read, and where: checked against the model before its weights are loaded.
    let source = Source::open(&model)?;
    let plan = CapturePlan::new(source.config(), &[hook.to_string()], Readout::ResponseMean)?;
    let student = source.load(&LoadOptions::new("2026-01-15".parse()?))?;
    let rows = behavior.pair_rows();
    let store = capture(&student, &rows, &plan, (4096, true), &mut Silent, &behavior.name)?;

    // Families of prompts never straddle the split: the first half is fit on, the second is scored.
    let families = groups(&store);
    let (fit_on, score_on) = families.split_at(families.len() / 2);
    let train = dataset(&store, hook, fit_on, &model)?;
    let test = dataset(&store, hook, score_on, &model)?;
    let probe = heirloom_probe::fit("dom".parse()?, &train, &FitOptions::default())?;
    let scores = probe.score(test.x())?;

    let rng = heirloom::streams::stream(1, "one direction");
    let resampling = Resampling::default();
    let found = auroc_interval(&scores, test.labels(), test.clusters(), resampling, &rng)?;
    println!("{} at {hook}: {}", behavior.name, behavior.towards);
    println!("AUROC {:.3} [{:.3}, {:.3}], {}", found.value, found.low, found.high, found.describe("pairs"));
    Ok(())
}
