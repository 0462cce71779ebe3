//! Which files of a repository heirloom reads, and whether a snapshot has them all.

use std::collections::BTreeSet;
use std::path::Path;

use heirloom_model::PeftAdapter;
use serde_json::Value;

use super::{HubError, Name, Result};

const INDEX: &str = "model.safetensors.index.json";
const WEIGHTS: &str = "model.safetensors";
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];
/// Read beside the weights where they are there.
const DESCRIBED: [&str; 7] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    ADAPTER[0],
    INDEX,
];
/// Digits of a SHA-256, which large files are named by.
const SHA256: usize = 64;

/// The small files, which are fetched first.
pub(super) fn described(there: &[String]) -> Vec<&str> {
    DESCRIBED.into_iter().filter(|name| there.iter().any(|file| file == name)).collect()
}

/// The large files, once `folder` has the small ones.
pub(super) fn weights(name: &Name, there: &[String], folder: &Path) -> Result<Vec<String>> {
    let has = |file: &str| there.iter().any(|found| found == file);
    if has(INDEX) {
        let shards = shards(&folder.join(INDEX))?;
        return match shards.iter().find(|shard| !has(shard)) {
            None => Ok(shards.into_iter().collect()),
            Some(shard) => {
                let (missing, there) = (format!("`{shard}`"), there.to_vec());
                Err(HubError::Nothing { name: name.to_string(), missing, there })
            }
        };
    }
    let found: Vec<String> =
        [WEIGHTS, ADAPTER[1]].into_iter().filter(|file| has(file)).map(String::from).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let gguf: Vec<&String> =
        there.iter().filter(|file| file.to_lowercase().ends_with(".gguf") && !file.contains('/')).collect();
    if let [one] = &gguf[..] {
        return Ok(vec![(*one).clone()]);
    }
    let missing = format!("`{WEIGHTS}`, `{INDEX}` or one `.gguf` file");
    Err(HubError::Nothing { name: name.to_string(), missing, there: there.to_vec() })
}

/// What a snapshot lacks to be loaded.
pub(super) fn missing(folder: &Path) -> Option<String> {
    let has = |name: &str| folder.join(name).is_file();
    let lacks = |name: &str| (!has(name)).then(|| format!("`{name}`"));
    if has(INDEX) {
        return match shards(&folder.join(INDEX)) {
            Ok(shards) => shards.iter().find_map(|shard| lacks(shard)).or_else(|| lacks("config.json")),
            Err(_) => Some(format!("a readable `{INDEX}`")),
        };
    }
    if PeftAdapter::is_at(folder) {
        return lacks(ADAPTER[1]);
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let gguf =
        entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|end| end == "gguf"));
    if gguf { None } else { lacks("config.json").or_else(|| lacks(WEIGHTS)) }
}

/// The file names of an index.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let cache = |source| HubError::Cache { path: index.to_owned(), source };
    let bytes = std::fs::read(index).map_err(cache)?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|source| HubError::Index { path: index.to_owned(), source })?;
    let names = value["weight_map"].as_object().into_iter().flatten().filter_map(|(_, file)| file.as_str());
    // A name with a path in it would read files outside the folder; the loader says so.
    Ok(names.filter(|name| !name.contains(['/', '\\'])).map(String::from).collect())
}

/// A large file is what its name in the cache says. One that is not is removed, so that the next run fetches it.
pub(super) fn check(path: &Path) -> Result<()> {
    let cache = |source| HubError::Cache { path: path.to_owned(), source };
    let blob = path.canonicalize().map_err(cache)?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.len() != SHA256 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let found = heirloom_record::sha256_file(&blob)?;
    if found == name {
        return Ok(());
    }
    std::fs::remove_file(&blob).and_then(|()| std::fs::remove_file(path)).map_err(cache)?;
    Err(HubError::Damaged { path: path.to_owned(), expected: name, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(there: &[&str], index: &str) -> Result<Vec<String>, String> {
        let scratch = tempfile::tempdir().unwrap();
        heirloom_record::write_file(&scratch.path().join(INDEX), index.as_bytes()).unwrap();
        let there: Vec<String> = there.iter().map(|name| (*name).to_owned()).collect();
        let name = Name { repo: "org/name".into(), revision: "main".into() };
        weights(&name, &there, scratch.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn weights_are_those_that_the_loader_reads() {
        let index = r#"{"weight_map":{"a":"s-2.safetensors","b":"s-1.safetensors","c":"s-2.safetensors"}}"#;
        for (there, expected) in [
            (&["config.json", WEIGHTS, "onnx/model.onnx"][..], &[WEIGHTS][..]),
            (
                &[INDEX, "s-1.safetensors", "s-2.safetensors", "s-3.safetensors"],
                &["s-1.safetensors", "s-2.safetensors"],
            ),
            (&["adapter_config.json", ADAPTER[1]], &[ADAPTER[1]]),
            (&["README.md", "tiny-Q4.gguf", "old/tiny-Q8.gguf"], &["tiny-Q4.gguf"]),
        ] {
            assert_eq!(chosen(there, index).unwrap(), expected, "{there:?}");
        }
        for (there, text) in [
            (&["a.gguf", "b.gguf"][..], "or one `.gguf` file; it has a.gguf, b.gguf"),
            (&["pytorch_model.bin"], "it has pytorch_model.bin"),
            (&[INDEX, "s-1.safetensors"], "has no `s-2.safetensors`"),
        ] {
            let error = chosen(there, index).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        assert!(chosen(&[INDEX], "{").unwrap_err().contains("could not be read as JSON"));
    }

    #[test]
    fn a_snapshot_says_what_it_lacks() {
        let scratch = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map":{"a":"s-1.safetensors"}}"#;
        for (name, text, lacks) in [
            ("README.md", "", Some("`config.json`")),
            ("config.json", "{}", Some("`model.safetensors`")),
            (INDEX, index, Some("`s-1.safetensors`")),
            ("s-1.safetensors", "", None),
        ] {
            heirloom_record::write_file(&scratch.path().join(name), text.as_bytes()).unwrap();
            assert_eq!(missing(scratch.path()).as_deref(), lacks, "{name}");
        }
        let adapter = tempfile::tempdir().unwrap();
        for (name, lacks) in [
            (ADAPTER[0], Some("`adapter_model.safetensors`")),
            ("config.json", Some("`adapter_model.safetensors`")),
            (ADAPTER[1], None),
        ] {
            heirloom_record::write_file(&adapter.path().join(name), b"{}").unwrap();
            assert_eq!(missing(adapter.path()).as_deref(), lacks, "{name}");
        }
    }
}
