//! `heirloom fit`: directions or probes on captured activations.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::activations::{dataset, direction_header, directions, groups};
use heirloom::prelude::*;
use heirloom_probe::direction::Detail;

use crate::terminal::print;
use crate::verbs::{print_json, read_activations, trimmed};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A store that `heirloom capture` wrote, with labels and groups
    #[arg(long)]
    activations: PathBuf,
    /// dom, dom-z, lda, logistic or pca
    #[arg(long)]
    method: Method,
    /// File of the directions; one that is there already is replaced
    #[arg(long)]
    out: PathBuf,
    /// Fit on these groups only, so that others stay for `score`
    #[arg(long, value_delimiter = ',', value_parser = trimmed)]
    groups: Vec<String>,
    /// What the label means, in a word
    #[arg(long, default_value = "label")]
    behavior: String,
    /// A sentence saying towards what positive values point
    #[arg(long, default_value = "positive values point towards label true")]
    towards: String,
    /// Print what was fit as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    replaceable(&args.out)?;
    let store = read_activations(&args.activations)?;
    check_groups(&args.groups, &groups(&store))?;
    let options = FitOptions::default();
    let (mut probes, mut fitted_on) = (vec![], None);
    for &hook in store.tensors.keys() {
        let data = dataset(&store, hook, &args.groups, &args.activations)?;
        let probe = heirloom_probe::fit(args.method, &data, &options)
            .with_context(|| format!("could not fit `{}` at `{hook}`", args.method))?;
        probes.push((hook, probe));
        fitted_on = Some(data);
    }
    let fitted_on = fitted_on.context("the store holds no hook points")?;
    let header =
        direction_header(&store.header, &args.behavior, args.method.name(), &args.towards, &fitted_on);
    let written = directions(header, probes.iter().map(|(hook, probe)| (*hook, probe)));
    written.write(&args.out)?;
    if args.json {
        let hooks: Vec<_> = probes.iter().map(|(hook, probe)| described(*hook, probe)).collect();
        return print_json(&serde_json::json!({ "header": written.header, "hooks": hooks }));
    }
    print(format_args!("{} at {} hook points, on {}\n", args.method, probes.len(), written.header.fit_on))
}

/// Directions may be written over directions, never over anything else.
fn replaceable(path: &Path) -> anyhow::Result<()> {
    if path.exists() && Directions::read(path).is_err() {
        return Err(heirloom::Error::NotDirections { path: path.into() }.into());
    }
    Ok(())
}

/// A group that no row has is a typo, not an empty choice.
pub(crate) fn check_groups(asked: &[String], known: &[String]) -> anyhow::Result<()> {
    match asked.iter().find(|group| !known.contains(group)) {
        Some(group) => {
            Err(heirloom_probe::Error::UnknownGroup { group: group.clone(), known: known.to_vec() }.into())
        }
        None => Ok(()),
    }
}

fn described(hook: HookPoint, probe: &Probe) -> serde_json::Value {
    let mut value = serde_json::json!({ "hook": hook, "scale": probe.scale, "intercept": probe.intercept });
    if let Detail::Logistic(report) = &probe.report.detail {
        value["strength"] = report.strength.into();
        value["iterations"] = report.iterations.into();
        value["gradient_norm"] = report.gradient_norm.into();
    }
    value
}
