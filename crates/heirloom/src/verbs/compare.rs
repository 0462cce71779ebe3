//! `heirloom compare`: two arms of a run, or of two runs, held against each other.

use std::path::PathBuf;

use anyhow::Context as _;
use heirloom::compare::{Request, compare};
use heirloom::prelude::*;
use heirloom_record::NewFolder;

use crate::terminal::print;
use crate::verbs::{must_exist, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of a run with arms, as `heirloom quickstart` leaves it
    run: PathBuf,
    /// Folder of a second run in the same world, which then has the second arm
    second: Option<PathBuf>,
    /// The two arms; of two runs, one name means the same arm in both
    #[arg(long, num_args = 1..=2, required = true, value_names = ["A", "B"])]
    arms: Vec<String>,
    /// The device that the runs were made on: cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// New folder for the table, the scenarios that moved and a figure
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    for path in [Some(&args.run), args.second.as_ref()].into_iter().flatten() {
        must_exist(path, "run", "make one with `heirloom quickstart` or `heirloom run`")?;
    }
    let first = &args.arms[0];
    let second = match (args.arms.get(1), &args.second) {
        (Some(second), _) => second,
        (None, Some(_)) => first,
        (None, None) => {
            let (expected, found) = ("two arms of one run, or a second run".into(), "one arm".into());
            return Err(Error::Setting { key: "--arms", expected, found }.into());
        }
    };
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let request = Request {
        run: args.run.clone(),
        second: args.second.clone(),
        arms: [first.clone(), second.clone()],
        device: args.device,
    };
    let compared =
        compare(&request).with_context(|| format!("could not compare `{first}` with `{second}`"))?;
    if let Some(folder) = folder {
        compared.write(folder.work_path())?;
        folder.commit()?;
    }
    if args.json {
        return print_json(&compared);
    }
    print(compared.summary())?;
    match &args.out {
        Some(out) => print(format_args!(
            "\n{}\n  table.csv, table.parquet   every number with n and interval, at every hook point\n  \
             moved.jsonl                the scenarios above\n  arms.svg, .pdf, .png\n",
            out.display()
        )),
        None => Ok(()),
    }
}
