//! `heirloom figures`: a run's pictures, drawn again from its tables, or held against them.

use std::path::PathBuf;

use heirloom::figures::{Redraw, check, redraw};
use heirloom::prelude::*;
use heirloom_figure::Format;

use crate::terminal::print;
use crate::verbs::{must_exist, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of a run, or of figures
    run: PathBuf,
    /// Formats of the pictures
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', default_value = "svg,pdf,png")]
    format: Vec<Format>,
    /// TOML file of the figures to draw, each a [[figure]] with a name and what it draws, in place of the run's own
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Folder of the figures; when absent RUN/figures, or RUN itself where they stand beside its tables
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Draw nothing; fail unless every figure, in this folder or one below, is what its table draws
    #[arg(long, conflicts_with = "spec")]
    check: bool,
    /// Print what was drawn or checked as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    must_exist(&args.run, "run", "make one with `heirloom quickstart` or `heirloom run`")?;
    if args.check {
        return held(args);
    }
    let request = Redraw {
        run: args.run.clone(),
        spec: args.spec.clone(),
        out: args.out.clone(),
        formats: args.format.clone(),
    };
    let drawn = redraw(&request)?;
    if args.json {
        return print_json(&drawn);
    }
    let formats: Vec<&str> = args.format.iter().map(|format| format.name()).collect();
    let lines = drawn.iter().map(|stem| format!("{}.{{{}}}\n", stem.display(), formats.join(",")));
    print(lines.collect::<String>())
}

fn held(args: &Args) -> anyhow::Result<()> {
    let checked = check(&args.run)?;
    let problems: Vec<String> =
        checked.iter().filter(|one| !one.problems.is_empty()).map(|one| one.problems.join(", ")).collect();
    if args.json {
        print_json(&checked)?;
    }
    if !problems.is_empty() {
        return Err(Error::NotAsDrawn { problems, of: checked.len() }.into());
    }
    if args.json {
        Ok(())
    } else {
        print(format_args!("{} figures are what their tables draw\n", checked.len()))
    }
}
