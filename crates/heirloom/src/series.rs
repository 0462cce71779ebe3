//! Series of checkpoints: where they are, and rows that are tokenized once for all of them.

mod stores;

use std::path::{Path, PathBuf};

use heirloom_model::{CheckpointAt, Series, Student, TokenRow, checkpoints, in_order, series, step_in};
use heirloom_record::DataRow;
use serde::Deserialize;

use crate::{Error, Result};

pub use stores::SeriesStores;

/// What model names begin with that stand for a repository of the hub.
pub const HUB: &str = "hf:";

/// What a series may be, for people who named something that is not there.
const SERIES: &str = "a series is a folder with `checkpoint-N` in it, a glob of such, a TOML list, or `hf:ORG/NAME@step1000,step2000`";

/// A list of checkpoints, as a TOML file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// The model of entries that name none.
    model: Option<String>,
    #[serde(rename = "checkpoint")]
    checkpoints: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    step: usize,
    model: Option<String>,
    adapter: Option<String>,
}

/// The checkpoints of `place`: a folder or a glob of `checkpoint-N`, a TOML list, or revisions of a repository as
/// in `hf:org/name@step1000,step2000`.
///
/// Folders and revisions of adapters are put on `base`. `fetch` says where a name that begins with [`HUB`] lies on this
/// machine; it is asked once all steps are known to be right.
///
/// # Errors
/// Those of [`heirloom_model::series`]; the list is not one, or has an entry without a model; a revision says no step.
pub fn find<E: From<Error>>(
    place: &str,
    base: Option<&Path>,
    gaps: bool,
    fetch: &mut dyn FnMut(&str) -> Result<PathBuf, E>,
) -> Result<Vec<CheckpointAt>, E> {
    let path = Path::new(place);
    let list = if let Some(revisions) = place.strip_prefix(HUB) {
        revisions_of(revisions)?
    } else if path.extension().is_some_and(|extension| extension == "toml") {
        listed(path, base)?
    } else {
        if !path.exists() && !place.contains(['*', '?', '[']) {
            return Err(Error::absent(path, "series of checkpoints", SERIES).into());
        }
        let at = if path.is_dir() { Series::Folder(path.into()) } else { Series::Glob(place.into()) };
        let found = series(&at, gaps).map_err(Error::from)?;
        return Ok(checkpoints(found, base).map_err(Error::from)?);
    };
    let mut at = |path: PathBuf| match path.to_str() {
        Some(name) if name.starts_with(HUB) => fetch(name),
        _ => Ok(path),
    };
    let mut found = Vec::new();
    for CheckpointAt { step, model, adapter } in in_order(place, list, gaps).map_err(Error::from)? {
        let model = at(model)?;
        match adapter {
            Some(adapter) => found.push(CheckpointAt { step, model, adapter: Some(at(adapter)?) }),
            None => found.extend(checkpoints(vec![(step, model)], base).map_err(Error::from)?),
        }
    }
    Ok(found)
}

/// `org/name@step1000,step2000`; nothing is fetched.
fn revisions_of(place: &str) -> Result<Vec<CheckpointAt>> {
    let Some((name, revisions)) = place.split_once('@') else {
        let expected = "revisions, as in `hf:org/name@step1000,step2000`".into();
        return Err(Error::Setting { key: "checkpoints", expected, found: format!("{HUB}{place}") });
    };
    let step = |revision: &str| {
        let found = step_in(revision).ok_or_else(|| Error::Setting {
            key: "checkpoints",
            expected: "revisions whose names say a step, as `step1000` does".into(),
            found: revision.into(),
        });
        let model = format!("{HUB}{name}@{revision}").into();
        found.map(|step| CheckpointAt { step, model, adapter: None })
    };
    revisions.split(',').map(|revision| step(revision.trim())).collect()
}

/// The entries of a list as it names them; nothing is fetched.
fn listed(file: &Path, base: Option<&Path>) -> Result<Vec<CheckpointAt>> {
    if !file.exists() {
        return Err(Error::absent(file, "list of checkpoints", SERIES));
    }
    let text =
        std::fs::read_to_string(file).map_err(|source| Error::ReadArtifact { path: file.into(), source })?;
    let list: List = toml::from_str(&text)
        .map_err(|source| Error::SeriesFile { path: file.into(), source: Box::new(source) })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let at = |name: &str| if name.starts_with(HUB) { name.into() } else { folder.join(name) };
    let mut found = Vec::new();
    for entry in &list.checkpoints {
        let model = match entry.model.as_ref().or(list.model.as_ref()) {
            Some(model) => at(model),
            None => base
                .map(Path::to_owned)
                .ok_or_else(|| Error::NoModelAtStep { path: file.into(), step: entry.step })?,
        };
        let adapter = entry.adapter.as_deref().map(at);
        found.push(CheckpointAt { step: entry.step, model, adapter });
    }
    Ok(found)
}

/// Rows tokenized once, by the first checkpoint of a series, for all of them.
pub struct SeriesRows {
    data: Vec<DataRow>,
    rows: Vec<TokenRow>,
    words: String,
}

impl SeriesRows {
    /// Tokenizes `data` as `first` does.
    ///
    /// # Errors
    /// Those of [`Student::prepare`].
    pub fn new(first: &Student, data: &[DataRow]) -> Result<Self> {
        let words = first.words().sha256().map_err(Error::from)?;
        Ok(Self { data: data.to_vec(), rows: first.prepare(data)?, words })
    }

    /// The rows.
    pub fn rows(&self) -> &[TokenRow] {
        &self.rows
    }

    /// Checks that a checkpoint reads the same tokens: by the hash of its words, and where that is another one by
    /// tokenizing again.
    ///
    /// # Errors
    /// [`Error::OtherTokens`] names the first row that differs.
    pub fn check(&self, step: usize, student: &Student) -> Result<()> {
        if student.words().sha256()? == self.words {
            return Ok(());
        }
        let differs = |(ours, theirs): &(&TokenRow, &TokenRow)| {
            ours.ids != theirs.ids || ours.response != theirs.response || ours.spans != theirs.spans
        };
        let again = student.prepare(&self.data)?;
        let Some((ours, theirs)) = self.rows.iter().zip(&again).find(differs) else { return Ok(()) };
        let at = ours.ids.iter().zip(&theirs.ids).take_while(|(ours, theirs)| ours == theirs).count();
        Err(Error::OtherTokens {
            step,
            row: ours.id.clone(),
            at,
            expected: ours.ids.len(),
            found: theirs.ids.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it stands for one that can fail")]
    fn fetch(name: &str) -> Result<PathBuf> {
        Ok(Path::new("cache").join(name.replace([':', '/', '@'], "-")))
    }

    fn found(place: &str, base: Option<&Path>) -> Result<Vec<(usize, String)>> {
        let found = find(place, base, false, &mut fetch)?;
        let said = |at: CheckpointAt| {
            let adapter = at.adapter.map_or(String::new(), |adapter| format!(" + {}", adapter.display()));
            (at.step, format!("{}{adapter}", at.model.display()))
        };
        Ok(found.into_iter().map(said).collect())
    }

    #[test]
    fn revisions_of_a_repository_are_sorted_by_their_steps() {
        let steps = found("hf:org/name@step2000,step0, stage1-step512-tokens2B", None).unwrap();
        let expected = [(0, "step0"), (512, "stage1-step512-tokens2B"), (2000, "step2000")]
            .map(|(step, revision)| (step, format!("cache/hf-org-name-{revision}")));
        assert_eq!(steps, expected);
        for (place, text) in [
            ("hf:org/name", "expected revisions"),
            ("hf:org/name@main", "found main"),
            ("hf:org/name@step1,step1", "step 1 is there twice"),
            ("hf:org/name@step1,step2,step4,step5,step6", "lacks 3"),
        ] {
            let error = found(place, None).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn nothing_is_fetched_for_a_series_that_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let list = scratch.path().join("series.toml");
        let text = "[[checkpoint]]\nstep = 1\nmodel = \"hf:org/a@main\"\n";
        heirloom_record::write_file(&list, text.repeat(2).as_bytes()).unwrap();
        for (place, text) in [
            ("hf:org/name@step1,step1", "`hf:org/name@step1` and `hf:org/name@step1`"),
            ("hf:org/name@step1,step2,step4,step5,step6", "lacks 3"),
            ("hf:org/name@step1,main", "found main"),
            (list.to_str().unwrap(), "step 1 is there twice"),
        ] {
            let mut asked = vec![];
            let mut fetch = |name: &str| {
                asked.push(name.to_owned());
                Ok::<_, Error>(name.into())
            };
            let error = find(place, None, false, &mut fetch).unwrap_err().to_string();
            assert!(error.contains(text) && asked.is_empty(), "{error} {asked:?}");
        }
    }

    #[test]
    fn revisions_that_are_adapters_are_put_on_the_base() {
        let scratch = tempfile::tempdir().unwrap();
        for file in ["step1/adapter_config.json", "step1/config.json", "step2/config.json"] {
            heirloom_record::write_file(&scratch.path().join(file), b"{}").unwrap();
        }
        let mut fetch = |name: &str| Ok::<_, Error>(scratch.path().join(name.rsplit('@').next().unwrap()));
        let mut at = |base| find("hf:org/name@step2,step1", base, false, &mut fetch);
        let own = |step: &str| scratch.path().join(step);
        let on_base = CheckpointAt { step: 1, model: "base".into(), adapter: Some(own("step1")) };
        let whole = CheckpointAt { step: 2, model: own("step2"), adapter: None };
        assert_eq!(at(Some(Path::new("base"))).unwrap(), [on_base, whole]);
        assert!(at(None).unwrap_err().to_string().contains("step1` is an adapter"));
    }

    #[test]
    fn a_list_says_steps_models_and_adapters() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("series.toml");
        let write = |text: &str| heirloom_record::write_file(&file, text.as_bytes()).unwrap();
        let place = file.to_str().unwrap();
        let own = |name: &str| scratch.path().join(name).display().to_string();
        write(
            "model = \"base\"\n[[checkpoint]]\nstep = 20\nadapter = \"b\"\n[[checkpoint]]\nstep = 10\nadapter = \"a\"\n\
             [[checkpoint]]\nstep = 30\nmodel = \"hf:org/name@main\"\n",
        );
        let expected = [
            (10, format!("{} + {}", own("base"), own("a"))),
            (20, format!("{} + {}", own("base"), own("b"))),
            (30, "cache/hf-org-name-main".to_owned()),
        ];
        assert_eq!(found(place, None).unwrap(), expected);
        write("[[checkpoint]]\nstep = 1\nadapter = \"a\"\n");
        assert_eq!(found(place, Some(Path::new("b"))).unwrap(), [(1, format!("b + {}", own("a")))]);
        let error = found(place, None).unwrap_err();
        assert!(error.to_string().contains("step 1 has no model"), "{error}");
        assert!(error.hint().unwrap().contains("`model = "));
        write("[[checkpoint]]\nstep = 1\nmodels = \"a\"\n");
        let error = found(place, None).unwrap_err();
        assert!(error.to_string().contains("series.toml"), "{error}");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("unknown field `models`"));
        assert!(found(&own("absent.toml"), None).unwrap_err().to_string().contains("absent.toml"));
    }
}
