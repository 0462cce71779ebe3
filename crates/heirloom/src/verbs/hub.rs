//! Models by their names on a hub: what the environment says of it, as Hugging Face's own tools read it.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use heirloom::hub::Hub;

use crate::terminal::Bars;

/// Where a model or an adapter of the hub lies on this machine; it is fetched where it is not.
pub(crate) fn fetch(name: &str) -> anyhow::Result<PathBuf> {
    let path = hub()?.fetch(name, &mut Bars::default());
    path.with_context(|| format!("could not get `{name}`"))
}

/// Source: `constants.py` of `huggingface_hub`.
fn hub() -> anyhow::Result<Hub> {
    let home = set("HF_HOME").map(expanded).or_else(default_home);
    let cache = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].into_iter().find_map(set).map(expanded);
    let cache = cache.or_else(|| Some(home.as_ref()?.join("hub")));
    Ok(Hub {
        endpoint: text("HF_ENDPOINT"),
        cache: cache.context("there is no place for fetched models: set HF_HUB_CACHE to a folder")?,
        token: token(home.as_ref()),
        offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().any(is_on),
    })
}

/// The variable, or else the file that logging in wrote.
fn token(home: Option<&PathBuf>) -> Option<String> {
    let file = set("HF_TOKEN_PATH").map(expanded).or_else(|| Some(home?.join("token")));
    let of_file = || std::fs::read_to_string(file?).ok();
    let found = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(text).or_else(of_file)?;
    Some(found.trim().to_owned()).filter(|token| !token.is_empty())
}

fn default_home() -> Option<PathBuf> {
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    cache.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache"))).map(|cache| cache.join("huggingface"))
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    set(name)?.into_string().ok()
}

fn is_on(name: &str) -> bool {
    text(name).is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()))
}

/// `~/` is the user's home.
fn expanded(path: OsString) -> PathBuf {
    let path = PathBuf::from(path);
    match (path.strip_prefix("~"), set("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path,
    }
}
