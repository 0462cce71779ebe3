//! Where a world's file and the files it builds on are found, and how one is laid over another.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{Error, Result, WorldProblem};

/// A file of `experiments/worlds/` with its name.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../experiments/worlds/", $name, ".toml")))),+]
    };
}

/// The files that heirloom brings, by name.
const SHIPPED: [(&str, &str); 10] = shipped![
    "grammar",
    "personas",
    "simple-generalization",
    "subliminal",
    "persona-selection",
    "underspecification",
    "pretraining-lock-in",
    "post-training-lock-in",
    "bad-prompts",
    "null",
];

/// The name of the shipped file that is no world.
const GRAMMAR: &str = "grammar";

/// Keys whose tables are replaced whole: a share left over from below would change what it is a share of.
const WHOLE: [&str; 5] = ["mix", "rest", "personas", "given", "when"];

/// Keys that say something of one file only.
const OWN: [&str; 4] = ["name", "note", "like", "truth"];

/// The names of the worlds that heirloom brings.
pub(super) fn shipped() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).filter(|name| *name != GRAMMAR).collect()
}

/// The text of a shipped file.
pub(super) fn shipped_text(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(other, _)| *other == name).map(|(_, text)| *text)
}

/// A world's file laid over those it is like, and the grammar it names.
pub(super) struct Stack {
    /// The whole, without `[truth]`.
    pub(super) table: Table,
    pub(super) grammar: Table,
    pub(super) grammar_path: PathBuf,
    /// The files, the world's own first.
    files: Vec<(PathBuf, Table)>,
}

impl Stack {
    /// Lays the file at `path`, which says `text`, over those it is like.
    ///
    /// `folder` is where named files are looked for before the shipped ones.
    pub(super) fn read(text: &str, path: &Path, folder: Option<&Path>) -> Result<Self> {
        let mut files: Vec<(PathBuf, Table)> = vec![];
        let mut next = Some((text.to_owned(), path.to_owned()));
        while let Some((text, path)) = next {
            let mut table = parse(&text, &path)?;
            table.remove("truth");
            if files.iter().any(|(earlier, _)| *earlier == path) {
                let names =
                    files.iter().map(|(path, _)| path).chain([&path]).map(|path| stem(path)).collect();
                return Err(Error::World {
                    path,
                    key: "like".into(),
                    source: WorldProblem::Circle { names }.into(),
                });
            }
            let like = name_at(&table, "like", &path)?;
            files.push((path.clone(), table));
            next = like.map(|name| find(&name, folder, &path, "like")).transpose()?;
        }
        let mut table = Table::new();
        for (i, (_, file)) in files.iter().enumerate().rev() {
            let mut file = file.clone();
            if i > 0 {
                for key in OWN {
                    file.remove(key);
                }
            }
            lay(&mut table, file);
        }
        table.remove("like");
        let Some(name) = name_at(&table, GRAMMAR, path)? else {
            let source = WorldProblem::Missing { names: vec![GRAMMAR.into()] };
            return Err(Error::World { path: path.into(), key: GRAMMAR.into(), source: source.into() });
        };
        let (text, grammar_path) = find(&name, folder, path, GRAMMAR)?;
        let grammar = parse(&text, &grammar_path)?;
        Ok(Self { table, grammar, grammar_path, files })
    }

    /// A problem with `key` of the world, in the file that it stands in.
    pub(super) fn problem(&self, (key, source): (String, WorldProblem)) -> Error {
        let depth = |table: &Table| {
            let mut at = Some(table);
            let found = key.split('.').take_while(|part| {
                let value = at.and_then(|table| table.get(*part));
                at = value.and_then(Value::as_table);
                value.is_some()
            });
            found.count()
        };
        // The last of the deepest, counted from the file at the bottom, is the one that was laid on top.
        let path = self.files.iter().rev().max_by_key(|(_, table)| depth(table));
        Error::World {
            path: path.map(|(path, _)| path.clone()).unwrap_or_default(),
            key,
            source: source.into(),
        }
    }

    /// A problem with `key` of the grammar.
    pub(super) fn grammar_problem(&self, (key, source): (String, WorldProblem)) -> Error {
        Error::World { path: self.grammar_path.clone(), key, source: source.into() }
    }
}

/// `table`, which stands at `key`, as a `T`.
pub(super) fn typed<T: DeserializeOwned>(
    table: impl Into<Value>,
    key: &str,
) -> Result<T, (String, WorldProblem)> {
    table.into().try_into().map_err(|source: toml::de::Error| {
        // The parser keeps the path of a value to itself and shows it on a line of its own.
        let shown = source.to_string();
        let inner = shown.lines().find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
        match heirloom_record::unknown_key(source.message()) {
            Some((unknown, known)) => {
                let inner =
                    inner.filter(|inner| *inner != unknown && !inner.ends_with(&format!(".{unknown}")));
                (dotted(&[key, inner.unwrap_or_default(), &unknown]), WorldProblem::UnknownKey { known })
            }
            None => (
                dotted(&[key, inner.unwrap_or_default()]),
                WorldProblem::Value { reason: source.message().to_owned() },
            ),
        }
    })
}

/// The parts of a key that say anything, with dots between them.
pub(super) fn dotted(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(".")
}

/// Lays `over` on `under`: tables key by key, everything else in its place.
pub(super) fn lay(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !WHOLE.contains(&key.as_str()) => {
                lay(below, above);
            }
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

/// Parses a file as a table; a syntax error has its line.
pub(super) fn parse(text: &str, path: &Path) -> Result<Table> {
    text.parse().map_err(|source: toml::de::Error| crate::error::in_toml(path, text, source))
}

fn name_at(table: &Table, key: &str, path: &Path) -> Result<Option<String>> {
    table.get(key).cloned().map(|value| typed(value, key)).transpose().map_err(|(key, source)| Error::World {
        path: path.into(),
        key,
        source: source.into(),
    })
}

/// The file called `name` beside the world's, or the shipped one: its text and path.
fn find(name: &str, folder: Option<&Path>, path: &Path, key: &'static str) -> Result<(String, PathBuf)> {
    let beside = folder.map(|folder| folder.join(format!("{name}.toml")));
    if let Some(beside) = beside.filter(|beside| beside.is_file()) {
        return Ok((read(&beside)?, beside));
    }
    if let Some(text) = shipped_text(name) {
        return Ok((text.to_owned(), shipped_path(name)));
    }
    let known = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let source = WorldProblem::Unknown { what: "file", name: name.to_owned(), known };
    Err(Error::World { path: path.into(), key: key.into(), source: source.into() })
}

/// What messages call a shipped file.
pub(super) fn shipped_path(name: &str) -> PathBuf {
    Path::new("experiments/worlds").join(format!("{name}.toml"))
}

pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
