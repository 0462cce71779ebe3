//! `heirloom report`: a run as one HTML page.

use std::path::PathBuf;

use heirloom::prelude::*;
use heirloom::report::{Request, Tokens, report};

use crate::terminal::{print, tell};
use crate::verbs::{must_exist, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of a run, or of figures
    run: PathBuf,
    /// The page; RUN/report.html when absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Most texts that the page carries, as many of each arm, seed and behavior
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rollouts: usize,
    /// Store that `heirloom capture --readout all` wrote of some of the texts: their tokens are colored by projection
    #[arg(long, value_name = "DIR", requires = "direction")]
    tokens: Option<PathBuf>,
    /// File of directions for --tokens
    #[arg(long, value_name = "FILE", requires = "tokens")]
    direction: Option<PathBuf>,
    /// cpu, cuda, cuda:N or metal; that which the run was made on
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Print what the page holds as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    must_exist(&args.run, "run", "make one with `heirloom quickstart` or `heirloom run`")?;
    let tokens = args.tokens.clone().zip(args.direction.clone());
    let request = Request {
        tokens: tokens.map(|(store, directions)| Tokens { store, directions }),
        run: args.run.clone(),
        out: args.out.clone(),
        rollouts: args.rollouts,
        device: args.device,
    };
    let reported = report(&request)?;
    if args.json {
        return print_json(&reported);
    }
    for note in &reported.notes {
        tell(note);
    }
    let (shown, of) = reported.texts;
    print(format_args!(
        "{}\n  {} figures, {} numbers, {shown} of {of} texts, {:.1} MB\n",
        reported.path.display(),
        reported.figures,
        reported.rows,
        reported.bytes as f64 / 1e6
    ))
}
