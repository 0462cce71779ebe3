//! Score files: one number per prompt, from a probe, a filter or somebody else's tool.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::data::id_text;
use crate::{Error, Result, read_jsonl};

const COLUMNS: [&str; 2] = ["prompt", "score"];

#[derive(Deserialize)]
#[serde(expecting = "a JSON object with `prompt` and `score`")]
struct RawScore {
    prompt: Value,
    score: f64,
}

/// Reads scores by prompt id, in the file's order: columns `prompt` and `score` of a `.csv` file, or keys
/// `prompt` and `score` of JSONL. Other columns and keys are left alone.
///
/// # Errors
/// Names the file and the line: bad JSON, a missing column, a score that is no finite number, a prompt scored
/// twice, no rows.
pub fn read_scores(path: &Path) -> Result<Vec<(String, f64)>> {
    let is_csv = path.extension().and_then(OsStr::to_str).is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    let scores = if is_csv { read_csv(path)? } else { read_json(path)? };
    let mut seen = HashMap::new();
    for (line, prompt, score) in &scores {
        if !score.is_finite() {
            let (path, prompt, score) = (path.into(), prompt.clone(), score.to_string());
            return Err(Error::Score { path, line: *line, prompt, score });
        }
        if let Some(first) = seen.insert(prompt, *line) {
            let (path, id) = (path.into(), prompt.clone());
            return Err(Error::DuplicateId { path, line: *line, first, id });
        }
    }
    if scores.is_empty() {
        return Err(Error::NoRows { path: path.into() });
    }
    Ok(scores.into_iter().map(|(_, prompt, score)| (prompt, score)).collect())
}

fn read_json(path: &Path) -> Result<Vec<(usize, String, f64)>> {
    let rows = read_jsonl::<RawScore>(path)?.into_iter().map(|(line, raw)| {
        let unnamed = || Error::RowEmpty { path: path.into(), line, field: "prompt" };
        Ok((line, id_text(Some(raw.prompt)).ok_or_else(unnamed)?, raw.score))
    });
    rows.collect()
}

fn read_csv(path: &Path) -> Result<Vec<(usize, String, f64)>> {
    let unreadable = |source| Error::Csv { action: "read", path: path.into(), source };
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
    let header = reader.headers().map_err(unreadable)?.clone();
    let column = |name: &'static str| {
        header.iter().position(|found| found == name).ok_or_else(|| Error::NoColumn {
            path: path.into(),
            column: name,
            found: header.iter().map(str::to_owned).collect(),
        })
    };
    let [prompt, score] = [column(COLUMNS[0])?, column(COLUMNS[1])?];
    let mut scores = vec![];
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let (prompt, text) = (record[prompt].to_owned(), &record[score]);
        let score = text.parse().map_err(|_| Error::Score {
            path: path.into(),
            line,
            prompt: prompt.clone(),
            score: text.to_owned(),
        })?;
        scores.push((line, prompt, score));
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_file;

    fn read(name: &str, text: &str) -> Result<Vec<(String, f64)>> {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(name);
        write_file(&path, text.as_bytes()).unwrap();
        read_scores(&path)
    }

    #[test]
    fn both_formats_say_the_same() {
        let expected = [("a".to_owned(), 0.5), ("7".to_owned(), -2e3)];
        let jsonl =
            "{\"prompt\":\"a\",\"score\":0.5,\"model\":\"theirs\"}\n\n{\"prompt\":7,\"score\":-2e3}\n";
        assert_eq!(read("scores.jsonl", jsonl).unwrap(), expected);
        assert_eq!(read("scores.csv", "note,score,prompt\nx,0.5,a\n,-2e3, 7\n").unwrap(), expected);
    }

    #[test]
    fn a_bad_score_is_named() {
        let table = [
            ("s.csv", "prompt,points\na,1\n", "has no column `score`; it has `prompt`, `points`"),
            (
                "s.csv",
                "prompt,score\na,1\nb,high\n",
                "line 3: score `high` of prompt `b` is not a finite number",
            ),
            ("s.csv", "prompt,score\na,NaN\n", "line 2: score `NaN` of prompt `a` is not a finite number"),
            ("s.csv", "prompt,score\na,1\na,2\n", "line 3: id `a` was used on line 2 before"),
            ("s.csv", "prompt,score\n", "has no rows"),
            ("s.csv", "prompt,score\na\n", "could not read the table"),
            ("s.jsonl", "{\"prompt\":\"a\",\"score\":\"high\"}", "line 1: could not be read"),
            ("s.jsonl", "{\"prompt\":null,\"score\":1}", "line 1: `prompt` is empty"),
            (
                "s.jsonl",
                "{\"prompt\":\"a\",\"score\":1}\n{\"prompt\":\"a\",\"score\":1}",
                "line 2: id `a` was used",
            ),
        ];
        for (name, text, expected) in table {
            let message = read(name, text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
