//! The walls between the crates, read from their manifests.

use std::collections::BTreeSet;
use std::path::Path;

/// What each crate may depend on among those that mark a medium; everything else is free.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("heirloom-record", &["ndarray", "safetensors", "parquet"]),
    ("heirloom-rollout", &["heirloom-record"]),
    (
        "heirloom-model",
        &[
            "heirloom-record",
            "ndarray",
            "safetensors",
            "candle-core",
            "candle-nn",
            "candle-transformers",
            "tokenizers",
            "rand",
        ],
    ),
    ("heirloom-probe", &["heirloom-record", "ndarray", "linfa", "linfa-linalg", "linfa-logistic", "rand"]),
    ("heirloom-figure", &["heirloom-record", "plotters"]),
    (
        "heirloom",
        &[
            "heirloom-record",
            "heirloom-rollout",
            "heirloom-model",
            "heirloom-probe",
            "heirloom-figure",
            "ndarray",
            "clap",
        ],
    ),
];

fn dependencies(manifest: &Path, tables: &[&str]) -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    let manifest: toml::Table = text.parse().unwrap();
    let tables = tables.iter().filter_map(|name| manifest.get(*name)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn every_crate_uses_only_its_own_medium() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let walled: BTreeSet<&str> = MAY_USE.iter().flat_map(|(_, allowed)| allowed.iter().copied()).collect();
    for (name, allowed) in MAY_USE {
        for used in dependencies(&crates.join(name).join("Cargo.toml"), &["dependencies"]) {
            let free = !walled.contains(used.as_str()) && !used.starts_with("heirloom");
            assert!(free || allowed.contains(&used.as_str()), "`{name}` may not depend on `{used}`");
        }
    }
}

#[test]
fn there_are_six_crates() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let entries = std::fs::read_dir(crates).unwrap().map(|entry| entry.unwrap());
    let found: BTreeSet<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, MAY_USE.map(|(name, _)| name.to_owned()).into());
}

#[test]
fn every_version_stands_once_in_the_workspace_table() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (name, _) in MAY_USE {
        let text = std::fs::read_to_string(crates.join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        for table in ["dependencies", "dev-dependencies"] {
            for (dependency, entry) in
                manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten()
            {
                let inherited = entry.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(inherited, Some(true), "`{name}` gives `{dependency}` a version of its own");
            }
        }
    }
}
