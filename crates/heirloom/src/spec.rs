//! An experiment as its TOML file states it.

use std::path::{Path, PathBuf};

use heirloom_record::Readout;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An experiment as its TOML file states it. Unknown keys are errors that list the known ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The run's name; its folder under `runs/` unless another is given.
    pub name: String,
    /// What the experiment asks, in a sentence.
    pub question: String,
    /// Root of every random stream.
    pub seed: u64,
    /// Folders of behaviors.
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
    /// A Hugging Face folder or a GGUF file.
    pub path: PathBuf,
    /// The command that fetches it, for the message when it is missing.
    pub fetch: Option<String>,
    /// `f32`, `bf16` or `f16`.
    #[serde(default = "f32_dtype")]
    pub dtype: String,
    /// The date that chat templates see, `YYYY-MM-DD`.
    pub clock: String,
}

/// What is captured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureSpec {
    /// Globs of hook points.
    pub hooks: Vec<String>,
    /// Which positions feed a row.
    pub readout: Readout,
    /// Most tokens in a batch.
    #[serde(default = "batch_tokens")]
    pub batch_tokens: usize,
}

/// How many groups of contrast pairs go where.
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
    /// Replicates of every bootstrap.
    #[serde(default = "bootstrap")]
    pub bootstrap: usize,
    /// Draws of every null family.
    #[serde(default = "null_draws")]
    pub null_draws: usize,
}

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
        spec.model.path = join(home, &spec.model.path);
        for behavior in &mut spec.behaviors {
            *behavior = join(home, behavior);
        }
        Ok(spec)
    }
}

/// `home/path` without the `..` steps, so that messages and records show short paths.
fn join(home: &Path, path: &Path) -> PathBuf {
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
