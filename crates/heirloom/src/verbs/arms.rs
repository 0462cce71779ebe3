//! An experiment with arms on the command line: run, or planned.

use std::time::Instant;

use anyhow::Context as _;
use heirloom::arms::Rehearsal;
use heirloom::prelude::*;

use crate::terminal::{Bars, print};
use crate::verbs::print_json;
use crate::verbs::run::Options;

/// Runs an experiment with arms and prints what it found, or what it would do.
pub(crate) fn run(experiment: ArmsExperiment, options: &Options) -> anyhow::Result<()> {
    let experiment = experiment.on(options.device);
    let name = &experiment.spec().name;
    let until = options.until(name, &ArmsStage::ALL, ArmsStage::name)?;
    let out = options.folder(name);
    if options.plan {
        let plan = experiment.plan(&out, until);
        let seconds = seconds(&experiment, plan.trained_tokens, plan.teacher_answers + plan.graded_answers)?;
        if options.json {
            let mut value = serde_json::to_value(&plan)?;
            value["seconds_by_a_rehearsal"] = seconds.into();
            return print_json(&value);
        }
        let minutes = seconds / 60.0;
        return print(format_args!(
            "{plan}\n  time      about {minutes:.1} min of training and sampling, by a few steps and answers timed on the machine as it is; \
             looking into checkpoints comes on top\n"
        ));
    }
    let outcome = experiment
        .run_until(until, &out, &mut Bars::default())
        .with_context(|| format!("could not run `{name}`; what is done is kept in `{}`", out.display()))?;
    if options.json {
        return print_json(&outcome.metrics);
    }
    print(outcome.summary())
}

/// Runs a benchmark of worlds and prints how often verdicts are right, or what it would do.
pub(crate) fn benchmark(benchmark: Benchmark, options: &Options) -> anyhow::Result<()> {
    let benchmark = benchmark.on(options.device);
    let name = &benchmark.spec().name;
    options.until(name, &[ArmsStage::Figures], ArmsStage::name)?;
    let out = options.folder(name);
    if options.plan {
        let experiments = benchmark.experiments()?;
        let plans: Vec<_> =
            experiments.iter().map(|(name, one)| one.plan(&out.join(name), ArmsStage::Figures)).collect();
        return if options.json {
            print_json(&plans)
        } else {
            plans.iter().try_for_each(|plan| print(format_args!("{plan}\n\n")))
        };
    }
    let outcome = benchmark
        .run(&out, &mut Bars::default())
        .with_context(|| format!("could not run `{name}`; what is done is kept in `{}`", out.display()))?;
    if options.json {
        return print_json(&outcome.metrics);
    }
    print(outcome.summary())
}

/// Seconds that training on `tokens` and sampling `answers` take, if all threads are busy all the time.
fn seconds(experiment: &ArmsExperiment, tokens: usize, answers: usize) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for (rehearsal, all) in [(Rehearsal::Training, tokens), (Rehearsal::Answering, answers)] {
        let start = Instant::now();
        let done = experiment.rehearse(rehearsal)?;
        seconds += start.elapsed().as_secs_f64() * all as f64 / done as f64;
    }
    Ok(seconds / heirloom_model::threads() as f64)
}
