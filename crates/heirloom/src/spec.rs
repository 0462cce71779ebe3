//! An experiment as its TOML file states it.

use std::path::{Path, PathBuf};

use heirloom_probe::Method;
use heirloom_record::Readout;
use serde::{Deserialize, Serialize};

use crate::series::HUB;
use crate::{Error, Result};

/// An experiment as its TOML file states it. Unknown keys are errors that list the known ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The run's name, a plain file name; its folder under `runs/` unless another is given.
    pub name: String,
    /// What the experiment asks, in a sentence.
    pub question: String,
    /// Root of every random stream.
    pub seed: u64,
    /// Folders of behaviors, at most as many as a figure has panels for.
    pub behaviors: Vec<PathBuf>,
    /// The student.
    pub model: ModelSpec,
    /// What is read from it.
    pub capture: CaptureSpec,
    /// How groups of pairs are divided.
    pub split: SplitSpec,
    /// What is fit and scored.
    pub probe: ProbeSpec,
}

/// Which student, and how it computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// A Hugging Face folder, a GGUF file or a name on a hub as in `hf:org/name@revision`; of the latter, once fetched,
    /// its folder on this machine.
    pub path: PathBuf,
    /// The name on a hub that the file gives, and the commit that it stood for; none of a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Fetched>,
    /// The command that fetches it, for the message when it is missing.
    pub fetch: Option<String>,
    /// `f32`, `bf16` or `f16`.
    #[serde(default = "f32_dtype")]
    pub dtype: String,
    /// The date that chat templates see, `YYYY-MM-DD`.
    pub clock: String,
}

/// A model of a hub as it was found there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// `hf:org/name@revision`, as the experiment's file gives it.
    pub name: String,
    /// The commit.
    pub commit: String,
}

/// What is captured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureSpec {
    /// Globs of hook points.
    pub hooks: Vec<String>,
    /// Which positions feed a row; the two sides of a contrast pair differ in their responses alone.
    pub readout: Readout,
    /// Most tokens in a batch.
    #[serde(default = "batch_tokens")]
    pub batch_tokens: usize,
}

/// How many groups of contrast pairs go where. The three numbers are shares of whole groups: a behavior with just
/// their sum is divided so, one with 20 groups under 5, 3 and 4 in that proportion, one with fewer is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSpec {
    /// Directions and probes are fit on these.
    pub fit: usize,
    /// The hook point is chosen on these.
    pub select: usize,
    /// The chosen hook point is scored on these, once.
    pub report: usize,
}

/// What is fit, and how it is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// `dom`, `dom-z`, `lda`, `logistic`, `pca`.
    pub methods: Vec<String>,
    /// The method of the transfer matrices, histograms and null bands.
    pub headline: String,
    /// Replicates of every bootstrap, at least 100.
    #[serde(default = "bootstrap")]
    pub bootstrap: usize,
    /// Draws of every null family.
    #[serde(default = "null_draws")]
    pub null_draws: usize,
}

/// Panels of the largest figure, one for each behavior.
const MOST_BEHAVIORS: usize = 16;
/// With fewer replicates the 2.5 % quantile rests on one or two of them.
const FEWEST_REPLICATES: usize = 100;

fn f32_dtype() -> String {
    "f32".into()
}

fn batch_tokens() -> usize {
    4096
}

fn bootstrap() -> usize {
    2000
}

fn null_draws() -> usize {
    64
}

impl Spec {
    /// Reads `experiment.toml`, or the one inside the folder `path`; relative paths in it start at its folder.
    ///
    /// # Errors
    /// Names the file, the line and the key; unknown keys list the known ones.
    pub fn load(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("experiment.toml") } else { path.to_owned() };
        let text = std::fs::read_to_string(&file)
            .map_err(|source| Error::ReadExperiment { path: file.clone(), source })?;
        let mut spec: Self = toml::from_str(&text)
            .map_err(|source| Error::Toml { path: file.clone(), source: Box::new(source) })?;
        let home = file.parent().unwrap_or(Path::new("."));
        if spec.model.on_hub().is_none() {
            spec.model.path = join(home, &spec.model.path);
        }
        for behavior in &mut spec.behaviors {
            *behavior = join(home, behavior);
        }
        Ok(spec)
    }

    /// Says what would fail later, before anything that the file names is read.
    ///
    /// # Errors
    /// Names the key, what it may be and what it is.
    pub fn check(&self) -> Result<()> {
        let Self { name, behaviors, capture, split, probe, .. } = self;
        check_name(name)?;
        if let Some(fetched) = &self.model.fetched {
            let expected = "absent: a run writes it of the name in `model.path`";
            return Err(setting("model.fetched", expected, &format!("`{}`", fetched.name)));
        }
        let most = usize::MAX;
        let numbers = [
            ("behaviors", behaviors.len(), 1, MOST_BEHAVIORS),
            ("capture.hooks", capture.hooks.len(), 1, most),
            ("capture.batch_tokens", capture.batch_tokens, 1, most),
            ("split.fit", split.fit, 1, most),
            ("split.select", split.select, 1, most),
            ("split.report", split.report, 1, most),
            ("probe.methods", probe.methods.len(), 1, most),
            ("probe.bootstrap", probe.bootstrap, FEWEST_REPLICATES, most),
            ("probe.null_draws", probe.null_draws, 1, most),
        ];
        for (key, found, least, most) in numbers {
            if found < least {
                return Err(setting(key, format!("at least {least}"), &found));
            }
            if found > most {
                return Err(setting(key, format!("at most {most}"), &found));
            }
        }
        twice("behaviors", behaviors.iter().map(|folder| folder.display().to_string()))?;
        for method in &probe.methods {
            method.parse::<Method>()?;
        }
        twice("probe.methods", probe.methods.iter().cloned())?;
        if !probe.methods.contains(&probe.headline) {
            let (headline, methods) = (probe.headline.clone(), probe.methods.clone());
            return Err(Error::Headline { headline, methods });
        }
        let reason = match capture.readout {
            Readout::ResponseMean => return Ok(()),
            Readout::LastPrompt => "both sides share the prompt, so both read the same token of it",
            Readout::Span(_) => "they name no spans",
            Readout::All => "the positions of one text are no rows of their own",
        };
        Err(Error::Readout { readout: capture.readout.clone(), reason })
    }
}

impl ModelSpec {
    /// The name, where it is one of a hub.
    pub(crate) fn on_hub(&self) -> Option<&str> {
        self.path.to_str().filter(|name| name.starts_with(HUB))
    }

    /// The same model at its folder on this machine, which is called by its commit.
    pub(crate) fn at(&self, folder: PathBuf) -> Self {
        let name = self.path.to_string_lossy().into_owned();
        let commit = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path: folder, fetched: Some(Fetched { name, commit }), ..self.clone() }
    }
}

impl SplitSpec {
    /// Groups of all three parts.
    pub fn groups(&self) -> usize {
        self.fit.saturating_add(self.select).saturating_add(self.report)
    }
}

/// A run's name is the name of its folder.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(setting("name", "a plain file name", &format!("`{name}`")));
    }
    Ok(())
}

pub(crate) fn setting(key: &'static str, expected: impl Into<String>, found: &impl ToString) -> Error {
    Error::Setting { key, expected: expected.into(), found: found.to_string() }
}

/// Refuses a list that names something twice: its artifacts would be one.
pub(crate) fn twice(key: &'static str, names: impl Iterator<Item = String>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(Error::Twice { key, name });
        }
    }
    Ok(())
}

/// `home/path` without the `..` steps, so that messages and records show short paths.
pub(crate) fn join(home: &Path, path: &Path) -> PathBuf {
    let mut joined = PathBuf::new();
    for part in home.join(path).components() {
        let inside = joined.components().next_back();
        match (part, inside) {
            (std::path::Component::CurDir, _) => {}
            (std::path::Component::ParentDir, Some(std::path::Component::Normal(_))) => {
                joined.pop();
            }
            (part, _) => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_experiment_parses() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/smollm2");
        let spec = Spec::load(&path).unwrap();
        assert_eq!(spec.behaviors.len(), 3);
        assert!(spec.behaviors[0].ends_with("probes/blackmail"));
    }

    #[test]
    fn an_unknown_key_lists_the_known_ones() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("experiment.toml");
        heirloom_record::write_file(&path, b"name = \"a\"\nsed = 1\n").unwrap();
        let Err(Error::Toml { source, .. }) = Spec::load(&path) else { panic!("accepted") };
        let message = source.to_string();
        assert!(message.contains("unknown field `sed`") && message.contains("`seed`"), "{message}");
        assert!(message.contains("line 2"), "{message}");
    }

    #[test]
    fn paths_start_at_the_experiment() {
        let table = [
            ("experiments/a", "../../probes/b", "probes/b"),
            ("", "../x", "../x"),
            ("/abs/e", "/model", "/model"),
            ("e", "./m", "e/m"),
        ];
        for (home, path, expected) in table {
            assert_eq!(join(Path::new(home), Path::new(path)), Path::new(expected), "{home} {path}");
        }
    }
}
