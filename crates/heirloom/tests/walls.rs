//! The walls between the crates, read from their manifests.

use std::collections::BTreeSet;
use std::path::Path;

/// What each crate may depend on among those that mark a medium; everything else is free.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("heirloom-record", &["ndarray", "safetensors", "parquet"]),
    ("heirloom-rollout", &["heirloom-record", "rand", "ureq"]),
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
            "hf-hub",
            "ureq",
        ],
    ),
];

/// The tables whose crates are linked into the library or its build script, and those of its tests.
const LINKED: [&str; 2] = ["dependencies", "build-dependencies"];
const TESTS: [&str; 1] = ["dev-dependencies"];

fn manifest(name: &str) -> toml::Table {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = crates.join(name).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap()
}

/// The dependencies in `tables`, for every target: name of the crate, which a key may rename, and entry.
fn dependencies(manifest: &toml::Table, tables: &[&str]) -> Vec<(String, toml::Value)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let sections = std::iter::once(manifest).chain(targets.filter_map(|(_, target)| target.as_table()));
    let tables = sections.flat_map(|section| tables.iter().filter_map(|name| section.get(*name)?.as_table()));
    let named = |(key, entry): (&String, &toml::Value)| {
        let name = entry.get("package").and_then(toml::Value::as_str).unwrap_or(key);
        (name.to_owned(), entry.clone())
    };
    tables.flatten().map(named).collect()
}

/// What `manifest` uses and may not: the media of other crates, and siblings even in tests.
fn trespasses(manifest: &toml::Table, allowed: &[&str]) -> Vec<String> {
    let walled: BTreeSet<&str> = MAY_USE.iter().flat_map(|(_, allowed)| allowed.iter().copied()).collect();
    let sibling = |used: &String| used.starts_with("heirloom");
    let linked = dependencies(manifest, &LINKED).into_iter().map(|(used, _)| used);
    let linked = linked.filter(|used| walled.contains(used.as_str()) || sibling(used));
    let tests = dependencies(manifest, &TESTS).into_iter().map(|(used, _)| used).filter(sibling);
    linked.chain(tests).filter(|used| !allowed.contains(&used.as_str())).collect()
}

#[test]
fn every_crate_uses_only_its_own_medium() {
    for (name, allowed) in MAY_USE {
        let found = trespasses(&manifest(name), allowed);
        assert!(found.is_empty(), "`{name}` may not depend on {found:?}");
    }
}

#[test]
fn a_trespass_is_found_in_every_table() {
    let (_, figure) = MAY_USE[4];
    let table = [
        ("dependencies", "candle-core", true),
        ("build-dependencies", "heirloom-probe", true),
        ("dev-dependencies", "heirloom-probe", true),
        ("target.'cfg(unix)'.dependencies", "candle-core", true),
        ("dependencies", "ureq", true),
        ("dependencies", "hf-hub", true),
        ("target.'cfg(unix)'.dev-dependencies", "heirloom-model", true),
        // Free: its own medium, what marks none, and another's medium in tests alone.
        ("dependencies", "plotters", false),
        ("dependencies", "serde", false),
        ("dev-dependencies", "ndarray", false),
        ("dev-dependencies", "heirloom-record", false),
    ];
    for (section, used, found) in table {
        let manifest = format!("[{section}]\n{used}.workspace = true").parse().unwrap();
        assert_eq!(trespasses(&manifest, figure).len(), usize::from(found), "{section}: {used}");
    }
    let renamed = "[dependencies]\nfree = { package = \"heirloom-model\", path = \"…\" }";
    assert_eq!(trespasses(&renamed.parse().unwrap(), figure), ["heirloom-model"]);
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
    for (name, _) in MAY_USE {
        for (dependency, entry) in dependencies(&manifest(name), &[LINKED.as_slice(), &TESTS].concat()) {
            let inherited = entry.get("workspace").and_then(toml::Value::as_bool);
            assert_eq!(inherited, Some(true), "`{name}` gives `{dependency}` a version of its own");
        }
    }
}
