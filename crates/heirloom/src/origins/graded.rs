//! Evidence from grades of rollouts that were made elsewhere: a file says which grades belong to which part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use heirloom_probe::rate::Observation;
use heirloom_record::{GRADES, read_grades};
use serde::Deserialize;

use super::{Evidence, Measure, Mixed, Played, check_part};
use crate::scenarios::number_of;
use crate::spec::{join, setting, twice};
use crate::{Error, Result};

/// Files of grades, one for each seed.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a path, or a list of paths, one for each seed")]
enum Files {
    One(PathBuf),
    Seeds(Vec<PathBuf>),
}

/// What stands under a behavior: the grades of a part, or those of arms of random shares, by share.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a path, or a list of paths, one for each seed; under `mix` a table from shares in quotes to such lists, as in `\"0.25\" = [\"seed-1/mix\"]`"
)]
enum Entry {
    Part(Files),
    Mixes(BTreeMap<String, Subsets>),
}

/// Arms of one share: one random subset of it, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Subsets {
    One(Files),
    Several(Vec<Vec<PathBuf>>),
}

/// The key of arms of random shares.
const MIX: &str = "mix";

impl Files {
    fn seeds(self) -> Vec<PathBuf> {
        match self {
            Self::One(path) => vec![path],
            Self::Seeds(paths) => paths,
        }
    }
}

/// Arms of random shares: share, name and files of each.
fn mixes(by_share: BTreeMap<String, Subsets>) -> Result<Vec<(f64, String, Vec<PathBuf>)>> {
    let mut all = vec![];
    for (share, subsets) in by_share {
        let fraction = share.parse::<f64>().ok().filter(|fraction| *fraction > 0.0 && *fraction < 1.0);
        let fraction = fraction
            .ok_or_else(|| setting("mix", "shares between 0 and 1 in quotes", &format!("`{share}`")))?;
        let subsets = match subsets {
            Subsets::One(files) => vec![files.seeds()],
            Subsets::Several(subsets) => subsets,
        };
        let name = |index: usize| {
            if index == 0 { format!("{MIX} {share}") } else { format!("{MIX} {share}, {}", index + 1) }
        };
        all.extend(subsets.into_iter().enumerate().map(|(index, files)| (fraction, name(index), files)));
    }
    Ok(all)
}

/// Reads a file of behaviors, each with grades by role or corner, as in `[blackmail]` `full = ["s1/grades.jsonl"]`; paths
/// start at the file's folder. A folder stands for the `grades.jsonl` in it. Under `mix` stand arms in which the other teacher answers a random share of
/// the prompts, by that share: `mix = { "0.25" = ["s1/mix"], "0.5" = [["s1/half"], ["s1/another-half"]] }`.
///
/// Prompts of one id in the files of several seeds are the same scenario, unless each seed has `own_scenarios`.
///
/// # Errors
/// An unknown part, with near ones; a file without grades of the behavior, or by several graders; arms that were
/// not tried on the same prompts.
pub fn read(path: &Path, own_scenarios: bool) -> Result<Vec<Evidence>> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::ReadExperiment { path: path.to_owned(), source })?;
    let behaviors: BTreeMap<String, BTreeMap<String, Entry>> = toml::from_str(&text)
        .map_err(|source| Error::Toml { path: path.to_owned(), source: Box::new(source) })?;
    if behaviors.is_empty() {
        return Err(Error::NoParts { path: path.to_owned() });
    }
    let home = path.parent().unwrap_or(Path::new("."));
    let evidence = |(behavior, parts): (String, BTreeMap<String, Entry>)| {
        let mut arms: BTreeMap<String, Vec<Grades>> = BTreeMap::new();
        let mut listed: Vec<(String, Vec<PathBuf>)> = vec![];
        let mut shares: Vec<(f64, String)> = vec![];
        for (part, entry) in parts {
            match entry {
                Entry::Mixes(by_share) if part == MIX => {
                    for (fraction, name, files) in mixes(by_share)? {
                        shares.push((fraction, name.clone()));
                        listed.push((name, files));
                    }
                }
                Entry::Mixes(_) => {
                    check_part(&behavior, &part)?;
                    let expected = format!("a path, or a list of paths, one for each seed, for `{part}`");
                    return Err(setting("parts", expected, &"a table"));
                }
                Entry::Part(files) => {
                    check_part(&behavior, &part)?;
                    listed.push((part, files.seeds()));
                }
            }
        }
        for (part, files) in listed {
            if files.is_empty() {
                return Err(Error::NoFiles { behavior, part });
            }
            twice("parts", files.iter().map(|file| file.display().to_string()))?;
            let files: Vec<PathBuf> = files.iter().map(|file| join(home, file)).collect();
            if let Some(path) = files.iter().find(|file| !file.exists()).cloned() {
                return Err(Error::NoGradesFile { behavior, part, path });
            }
            let grades = files.iter().map(|file| Grades::read(file, &behavior));
            arms.insert(part, grades.collect::<Result<_>>()?);
        }
        if arms.len() - shares.len() < 2 {
            return Err(Error::OnePart { behavior, parts: arms.into_keys().collect() });
        }
        same_grader(&behavior, &arms)?;
        same_prompts(&arms)?;
        let played = |grades: &[Grades]| {
            let of_run = |(run, grades): (usize, &Grades)| grades.observations(run, own_scenarios);
            // One file may be named in two ways.
            let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let by: Vec<String> =
                grades.iter().map(|grades| place(&grades.path).display().to_string()).collect();
            Played { by: by.join("\n"), seen: grades.iter().enumerate().flat_map(of_run).collect() }
        };
        let mut arms: BTreeMap<String, Played> =
            arms.iter().map(|(part, grades)| (part.clone(), played(grades))).collect();
        let mixed = |(fraction, name): (f64, String)| {
            let played = arms.remove(&name)?;
            Some(Mixed { fraction, name, played })
        };
        let mixes = shares.into_iter().filter_map(mixed).collect();
        Ok(Evidence { behavior, measure: Measure::Rate, arms, mixes })
    };
    behaviors.into_iter().map(evidence).collect()
}

/// The answers' grades of one file.
pub(crate) struct Grades {
    path: PathBuf,
    /// Name and content hash of the grader.
    grader: (String, String),
    /// By prompt.
    shown: BTreeMap<String, Vec<bool>>,
}

impl Grades {
    /// Grades of one behavior by one grader.
    pub(crate) fn read(path: &Path, behavior: &str) -> Result<Self> {
        let path = if path.is_dir() { path.join(GRADES) } else { path.to_owned() };
        let mut shown: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        let mut graders = BTreeSet::new();
        for row in read_grades(&path)? {
            if row.behavior == behavior {
                graders.insert((row.grader, row.sha256));
                shown.entry(row.prompt).or_default().push(row.answer);
            }
        }
        let behavior = behavior.to_owned();
        let mut graders = graders.into_iter();
        match (graders.next(), graders.next()) {
            (None, _) => Err(Error::NoGrades { path, behavior }),
            (Some(grader), None) => Ok(Self { path, grader, shown }),
            (Some(one), Some(other)) => Err(several(path, behavior, &one, &other)),
        }
    }

    /// What was observed as seed number `run`; without `own_scenarios` prompts of one id are the same in every seed.
    pub(crate) fn observations(&self, run: usize, own_scenarios: bool) -> Vec<Observation> {
        let of_prompt = |(prompt, shown): (&String, &Vec<bool>)| -> Vec<Observation> {
            let cluster =
                if own_scenarios { number_of(&format!("{run} {prompt}")) } else { number_of(prompt) };
            shown
                .iter()
                .map(|shown| Observation { run, cluster, value: f64::from(u8::from(*shown)) })
                .collect()
        };
        self.shown.iter().flat_map(of_prompt).collect()
    }
}

fn several(path: PathBuf, behavior: String, one: &(String, String), other: &(String, String)) -> Error {
    let said = |(name, sha256): &(String, String)| format!("{name} ({})", sha256.get(..8).unwrap_or(sha256));
    Error::SeveralGraders { path, behavior, graders: vec![said(one), said(other)] }
}

/// A difference between graders is none between arms.
pub(crate) fn same_grader(behavior: &str, arms: &BTreeMap<String, Vec<Grades>>) -> Result<()> {
    let mut all = arms.values().flatten();
    let Some(first) = all.next() else { return Ok(()) };
    match all.find(|grades| grades.grader != first.grader) {
        None => Ok(()),
        Some(other) => Err(several(other.path.clone(), behavior.into(), &first.grader, &other.grader)),
    }
}

/// Arms are compared scenario by scenario: the files of one seed grade the same prompts.
pub(crate) fn same_prompts(arms: &BTreeMap<String, Vec<Grades>>) -> Result<()> {
    let mut all = arms.iter();
    let Some((first_part, first)) = all.next() else { return Ok(()) };
    for (part, grades) in all {
        if grades.len() != first.len() {
            return Err(Error::OtherSeeds {
                part: part.clone(),
                path: grades[0].path.clone(),
                found: grades.len(),
                other: first_part.clone(),
                other_path: first[0].path.clone(),
                expected: first.len(),
            });
        }
        for (one, other) in grades.iter().zip(first) {
            let [own, others] = [one, other].map(|grades| grades.shown.keys().collect::<BTreeSet<_>>());
            if let Some(prompt) = own.symmetric_difference(&others).next() {
                let (path, other, prompt) = (one.path.clone(), other.path.clone(), (*prompt).clone());
                return Err(Error::OtherPrompts { path, other, prompt });
            }
        }
    }
    Ok(())
}
