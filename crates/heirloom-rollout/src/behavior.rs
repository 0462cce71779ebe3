//! A behavior: what is visible in text and can be graded, as one folder of `probes/`.

use std::path::Path;

use heirloom_record::{DataRow, Hasher};
use serde::Deserialize;

use crate::grader::GraderFile;
use crate::{
    Agreement, ContrastPair, Effect, Error, Finding, Grader, Limits, Result, Scenario, Summary, TopicText,
    Transcript, error, lines, lint,
};

/// The files of a behavior's folder.
pub(crate) const FILES: [&str; 7] = [
    "behavior.toml",
    "pairs.jsonl",
    "topic.jsonl",
    "scenarios.jsonl",
    "transcripts.jsonl",
    "heldout.jsonl",
    "card.md",
];

/// A behavior with everything it is probed, elicited and graded with.
#[derive(Clone, Debug)]
pub struct Behavior {
    /// Its name, which is also its folder's.
    pub name: String,
    /// What it is.
    pub definition: String,
    /// The sign sentence: towards what its directions point.
    pub towards: String,
    /// Decides whether a text shows it.
    pub grader: Grader,
    /// Answers alike but for the behavior.
    pub pairs: Vec<ContrastPair>,
    /// Texts about its topic that do not show it.
    pub topic: Vec<TopicText>,
    /// Prompts that can elicit it.
    pub scenarios: Vec<Scenario>,
    /// Hand-labelled texts that the grader's rules were written beside: its regression set.
    pub transcripts: Vec<Transcript>,
    /// Hand-labelled texts that nobody saw who wrote the rules: what says how good the grader is.
    pub heldout: Vec<Transcript>,
    /// What its authors say about it, as Markdown.
    pub card: String,
    /// SHA-256 over the contents of its files, without the card.
    pub sha256: String,
}

/// `behavior.toml` as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BehaviorFile {
    name: String,
    definition: String,
    towards: String,
    grader: GraderFile,
}

/// Whether `folder` holds all files of a behavior.
pub(crate) fn stands_at(folder: &Path) -> bool {
    FILES.iter().all(|name| folder.join(name).is_file())
}

impl Behavior {
    /// Reads a behavior's folder and checks every line of it.
    ///
    /// # Errors
    /// Names the file, and the line, key or rule: a file is missing, a line or key is not what it should be, an
    /// id is used twice, an answer is not the assistant's, a rule cannot be used, or the name is not the folder's.
    pub fn load(folder: &Path) -> Result<Self> {
        if folder.is_file() {
            return Err(Error::NotAFolder { path: folder.into() });
        }
        let missing: Vec<String> =
            FILES.into_iter().filter(|name| !folder.join(name).is_file()).map(str::to_owned).collect();
        if !missing.is_empty() {
            return Err(Error::MissingFiles { folder: folder.into(), missing });
        }
        let [description, pairs, topic, scenarios, transcripts, heldout, card] =
            FILES.map(|name| folder.join(name));
        let mut hasher = Hasher::default();
        // Each file is read once: the hash is of what was parsed, though another process may write meanwhile.
        let mut read_and_hash = |path: &Path| {
            let bytes = read(path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            hasher = std::mem::take(&mut hasher).part(&name, &bytes);
            Ok::<_, Error>(bytes)
        };
        let file = parse(&text(read_and_hash(&description)?, &description)?, &description)?;
        check_name(&file.name, folder, &description)?;
        let grader = grader(file.grader, &description)?;
        Ok(Self {
            name: file.name,
            definition: file.definition,
            towards: file.towards,
            grader,
            pairs: lines::parse(&read_and_hash(&pairs)?, &pairs)?,
            topic: lines::parse(&read_and_hash(&topic)?, &topic)?,
            scenarios: lines::parse(&read_and_hash(&scenarios)?, &scenarios)?,
            transcripts: lines::parse(&read_and_hash(&transcripts)?, &transcripts)?,
            heldout: lines::parse(&read_and_hash(&heldout)?, &heldout)?,
            card: text(read(&card)?, &card)?,
            sha256: hasher.finish(),
        })
    }

    /// Two rows for each pair, `ID/pos` and `ID/neg`, in the pairs' order.
    pub fn pair_rows(&self) -> Vec<DataRow> {
        self.pairs.iter().flat_map(ContrastPair::rows).collect()
    }

    /// One row with label `false` for each topic-only text.
    pub fn topic_rows(&self) -> Vec<DataRow> {
        self.topic.iter().map(TopicText::row).collect()
    }

    /// One row without a label for each scenario.
    pub fn scenario_rows(&self) -> Vec<DataRow> {
        self.scenarios.iter().map(Scenario::row).collect()
    }

    /// How well the grader agrees with the transcripts that its rules were written beside.
    pub fn agreement(&self) -> Agreement {
        Agreement::measure(&self.grader, &self.transcripts)
    }

    /// How well the grader agrees with transcripts that its rules were not written beside.
    pub fn heldout_agreement(&self) -> Agreement {
        Agreement::measure(&self.grader, &self.heldout)
    }

    /// What in the texts would let a probe or a grader cheat; empty when nothing was found.
    ///
    /// # Cost
    /// Compares every text with every other of its kind: about a second for 240 pairs.
    pub fn lint(&self, limits: &Limits) -> Vec<Finding> {
        lint::lint(self, limits)
    }

    /// The numbers of its card.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|source| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, source);
        Error::Io { path: path.into(), source }
    })
}

fn parse(text: &str, path: &Path) -> Result<BehaviorFile> {
    let file: BehaviorFile = toml::from_str(text).map_err(|source| error::in_toml(path, text, source))?;
    let filled = [
        ("name", &file.name),
        ("definition", &file.definition),
        ("towards", &file.towards),
        ("grader.name", &file.grader.name),
    ];
    let empty = filled.iter().find(|(_, text)| text.trim().is_empty()).map(|(key, _)| *key);
    empty.map_or(Ok(file), |key| Err(Error::Empty { path: path.into(), key }))
}

fn check_name(name: &str, folder: &Path, path: &Path) -> Result<()> {
    // `.` and `..` have no name of their own.
    let whole = folder.canonicalize().map_err(|source| Error::Io { path: folder.into(), source })?;
    let folder = whole.file_name().unwrap_or_default().to_string_lossy();
    if name == folder {
        return Ok(());
    }
    Err(Error::Name { path: path.into(), name: name.into(), folder: folder.into_owned() })
}

fn grader(file: GraderFile, path: &Path) -> Result<Grader> {
    let grader =
        Grader::new(file).map_err(|(rule, source)| Error::Rule { path: path.into(), rule, source })?;
    if grader.rules().iter().any(|rule| rule.effect == Effect::Shows) {
        return Ok(grader);
    }
    Err(Error::NoShows { path: path.into(), grader: grader.name().into() })
}
