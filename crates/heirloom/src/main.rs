//! The `heirloom` command: one verb per step of the pipeline.

mod terminal;
mod verbs;

use std::process::ExitCode;

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Frees and reuses activation-sized blocks without giving them back to the system in between.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where a behavior of a fine-tuned model came from.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Train miniature students under arms and say what moved their behaviors; no download, no GPU
    Quickstart(verbs::quickstart::Args),
    /// Run an experiment or a benchmark, from its file to its figures; resumes where it stopped
    Run(verbs::run::Args),
    /// Let a model answer prompts, and store the answers with everything they were drawn with; resumes where it stopped
    Rollout(verbs::rollout::Args),
    /// Say what arms change, in which rows they differ, and write an arm's rows for a trainer
    Arm(verbs::arm::Args),
    /// Train a student on chat rows, checkpoint by checkpoint; resumes where it stopped
    Train(verbs::train::Args),
    /// Grade stored rollouts: how often they show a behavior
    Grade(verbs::grade::Args),
    /// Say where behaviors come from, from grades of students under arms
    Origin(verbs::origin::Args),
    /// Capture activations of a model on rows of data
    Capture(verbs::capture::Args),
    /// Fit directions or probes on captured activations
    Fit(verbs::fit::Args),
    /// Score directions on captured activations, with intervals and controls
    Score(verbs::score::Args),
    /// Follow a direction across the checkpoints of a training
    Track(verbs::track::Args),
    /// Steer students along directions, beside directions that mean nothing: does one cause its behavior?
    Steer(verbs::steer::Args),
    /// Print rendered prompts with the tokens marked that a readout reads
    Show(verbs::show::Args),
    /// Hold two arms, of a run or of students of your own, against each other: rates, directions, activations, answers
    Compare(verbs::compare::Args),
    /// Rank training prompts by how much of a behavior they carry, for arms to swap or drop
    Select(verbs::select::Args),
    /// Draw a run's figures again from its tables, or check that figures are what their tables draw
    Figures(verbs::figures::Args),
    /// Write a run as one HTML page that needs no network: verdicts, figures, numbers, texts beside their grades
    Report(verbs::report::Args),
    /// Say what is in a model or a file that heirloom wrote
    Inspect(verbs::inspect::Args),
    /// Examine a model before its activations are believed: batches, padding, numbers, adapter, words
    Doctor(verbs::doctor::Args),
}

/// What the environment should say before the first thread and the first allocation.
///
/// Sums of gradients go through candle's own threads, which wait for one another by spinning: with every core busy, a
/// training step takes several times as long (`perf` on the quickstart: 54 % of the time). rayon's threads, which
/// our kernels and the matrix products use, do not, so candle's are switched off before the first of them starts.
///
/// The allocator gives freed pages back to the system after 10 ms; training asks for them again at the next step. Kept
/// for a second, they save a sixth of the processor's time on miniature students (`perf`: 9 587 page faults against 443).
#[cfg(unix)]
fn prepare_environment() {
    use std::os::unix::process::CommandExt as _;
    const THREADS: &str = "CANDLE_NUM_THREADS";
    const PURGE: &str = "MIMALLOC_PURGE_DELAY";
    if std::env::var_os(THREADS).is_some() {
        return;
    }
    let purge = std::env::var_os(PURGE).unwrap_or_else(|| "1000".into());
    if let Ok(program) = std::env::current_exe() {
        // Comes back only where the program cannot be started again: then it goes on as it is.
        let mut again = std::process::Command::new(program);
        let _ = again.args(std::env::args_os().skip(1)).env(THREADS, "1").env(PURGE, purge).exec();
    }
}

/// What the command line says. A negative number is a value, whose range is for its verb to say, and no flag.
fn parse() -> Cli {
    let numbers = |argument: Arg| {
        let takes = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes)
    };
    let command = Cli::command().mut_subcommands(|verb| verb.mut_args(numbers));
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

fn main() -> ExitCode {
    #[cfg(unix)]
    prepare_environment();
    let outcome = match &parse().verb {
        Verb::Quickstart(args) => verbs::quickstart::run(args),
        Verb::Run(args) => verbs::run::run(args),
        Verb::Rollout(args) => verbs::rollout::run(args),
        Verb::Arm(args) => verbs::arm::run(args),
        Verb::Train(args) => verbs::train::run(args),
        Verb::Grade(args) => verbs::grade::run(args),
        Verb::Origin(args) => verbs::origin::run(args),
        Verb::Capture(args) => verbs::capture::run(args),
        Verb::Fit(args) => verbs::fit::run(args),
        Verb::Score(args) => verbs::score::run(args),
        Verb::Track(args) => verbs::track::run(args),
        Verb::Steer(args) => verbs::steer::run(args),
        Verb::Show(args) => verbs::show::run(args),
        Verb::Compare(args) => verbs::compare::run(args),
        Verb::Select(args) => verbs::select::run(args),
        Verb::Figures(args) => verbs::figures::run(args),
        Verb::Report(args) => verbs::report::run(args),
        Verb::Inspect(args) => verbs::inspect::run(args),
        Verb::Doctor(args) => verbs::doctor::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // `heirloom show … | head` has read all it wanted.
        Err(error) if terminal::closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::report(&error);
            ExitCode::FAILURE
        }
    }
}
