//! Models of a hub by their names, as in `hf:org/name@revision`, kept in the cache that Hugging Face's own tools use.
//!
//! Nothing here reads the environment: the binary says where the hub and the cache are, and whether to go online.

mod error;
mod files;

use std::path::PathBuf;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

pub use error::HubError;

use crate::Progress;
use crate::series::HUB;

type Result<T, E = HubError> = std::result::Result<T, E>;

/// Times that a download goes on after its connection broke.
const RETRIES: usize = 3;
/// Digits of a commit.
const COMMIT: usize = 40;

/// A hub and the cache of what was fetched from it.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Where it is; the library's own default when absent.
    pub endpoint: Option<String>,
    /// The folder of `models--org--name` folders.
    pub cache: PathBuf,
    /// What it knows the user by.
    pub token: Option<String>,
    /// Use what is in the cache and nothing else.
    pub offline: bool,
}

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    repo: String,
    revision: String,
}

impl Name {
    /// `hf:org/name`, or `hf:org/name@revision`; `main` where no revision is named.
    fn parse(name: &str) -> Result<Self> {
        let rest = name.strip_prefix(HUB).unwrap_or(name);
        let (repo, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let word = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !text.is_empty() && text.chars().all(plain) && !text.starts_with('.')
        };
        let parts: Vec<&str> = repo.split('/').collect();
        if parts.len() <= 2 && parts.into_iter().all(word) && revision.split('/').all(word) {
            Ok(Self { repo: repo.into(), revision: revision.into() })
        } else {
            Err(HubError::Name { name: name.into() })
        }
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.clone(), RepoType::Model, revision.into())
    }

    fn is_commit(&self) -> bool {
        self.revision.len() == COMMIT && self.revision.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.repo, self.revision)
    }
}

impl Hub {
    /// The folder where a model or an adapter lies on this machine; what is not in the cache is fetched.
    ///
    /// Only what heirloom reads is fetched, the weights last. A broken download goes on where it broke. A large file
    /// whose content is not what its name says is removed.
    ///
    /// # Errors
    /// The name is none, the hub cannot be reached, does not have it or does not give it, it holds nothing that
    /// heirloom reads, or offline it is not whole in the cache.
    pub fn fetch(&self, name: &str, progress: &mut dyn Progress) -> Result<PathBuf> {
        let name = Name::parse(name)?;
        let cached = self.cached(&name);
        if self.offline {
            return cached.map_err(|missing| HubError::Offline {
                name: name.to_string(),
                missing,
                cache: self.cache.clone(),
            });
        }
        match cached {
            // A branch may have moved on; a commit never does.
            Ok(folder) if name.is_commit() => Ok(folder),
            _ => self.download(&name, progress),
        }
    }

    fn repo(&self, repo: Repo) -> CacheRepo {
        Cache::new(self.cache.clone()).repo(repo)
    }

    /// The snapshot in the cache, or what it lacks.
    fn cached(&self, name: &Name) -> Result<PathBuf, String> {
        let commit = if name.is_commit() {
            name.revision.clone()
        } else {
            let place = self.cache.join(name.at("").folder_name()).join("refs").join(&name.revision);
            let commit =
                std::fs::read_to_string(&place).map_err(|_| format!("revision `{}`", name.revision))?;
            commit.trim().to_owned()
        };
        let folder = self.repo(name.at(&commit)).pointer_path(&commit);
        files::missing(&folder).map_or(Ok(folder), Err)
    }

    fn api(&self) -> Result<Api, ApiError> {
        let builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_token(self.token.clone())
            .with_progress(false);
        match &self.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint.trim_end_matches('/').into()).build(),
            None => builder.build(),
        }
    }

    fn download(&self, name: &Name, progress: &mut dyn Progress) -> Result<PathBuf> {
        let failed = |error| HubError::of(name, self.token.is_some(), error);
        let api = self.api().map_err(failed)?;
        let about = api.repo(name.at(&name.revision)).info().map_err(failed)?;
        let there: Vec<String> = about.siblings.into_iter().map(|file| file.rfilename).collect();
        let (repo, kept) = (api.repo(name.at(&about.sha)), self.repo(name.at(&about.sha)));
        let folder = kept.pointer_path(&about.sha);
        let mut get = |file: &str| -> Result<()> {
            if folder.join(file).exists() {
                return Ok(());
            }
            let mut told = Told { progress: &mut *progress, done: None };
            let path = one(&api, &repo, &kept, file, &mut told).map_err(failed)?;
            files::check(&path)
        };
        for file in files::described(&there) {
            get(file)?;
        }
        for file in files::weights(name, &there, &folder)? {
            get(&file)?;
        }
        if !name.is_commit() {
            let place = self.cache.join(name.at("").folder_name());
            let refs = self.repo(name.at(&name.revision)).create_ref(&about.sha);
            refs.map_err(|source| HubError::Cache { path: place, source })?;
        }
        match files::missing(&folder) {
            None => Ok(folder),
            Some(missing) => Err(HubError::Nothing { name: name.to_string(), missing, there }),
        }
    }
}

/// Fetches one file, and goes on where a connection broke. What was left of an earlier download and cannot be gone on
/// with is removed.
///
/// The library's own retries are not used: behind a file that was begun by another process they go on at its start.
fn one(
    api: &Api,
    repo: &ApiRepo,
    kept: &CacheRepo,
    file: &str,
    told: &mut Told<'_>,
) -> Result<PathBuf, ApiError> {
    for _ in 0..RETRIES {
        match repo.download_with_progress(file, &mut *told) {
            Err(error) if matches!(error, ApiError::InvalidResume) || error::status(&error) == Some(416) => {
                let etag = api.metadata(&repo.url(file))?.etag().to_owned();
                std::fs::remove_file(kept.blob_path(&etag).with_extension("part"))?;
            }
            Err(ApiError::IoError(_)) => {}
            other => return other,
        }
    }
    repo.download_with_progress(file, told)
}

/// Tells a download as a stage.
struct Told<'a> {
    progress: &'a mut dyn Progress,
    /// Bytes; none before the download began.
    done: Option<u64>,
}

impl hf_hub::api::Progress for &mut Told<'_> {
    fn init(&mut self, size: usize, filename: &str) {
        // Begun again after a broken connection.
        if self.done.is_none() {
            self.progress.begin("fetch", filename, size as u64, "bytes");
        }
        self.done = Some(0);
    }

    fn update(&mut self, size: usize) {
        let done = self.done.unwrap_or(0) + size as u64;
        self.done = Some(done);
        self.progress.advance(done);
    }

    fn finish(&mut self) {
        self.progress.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_repositories_at_revisions() {
        for (name, said) in [
            ("hf:org/name", "org/name@main"),
            ("hf:gpt-small", "gpt-small@main"),
            ("hf:org/name_1.5b@step1000", "org/name_1.5b@step1000"),
            ("hf:org/name@refs/pr/1", "org/name@refs/pr/1"),
        ] {
            assert_eq!(Name::parse(name).unwrap().to_string(), said);
        }
        for name in
            ["hf:", "hf:a/b/c", "hf:org/../x", "hf:org/name@", "hf:org/name@../x", "hf:o rg/name", "hf:/x"]
        {
            let error = Name::parse(name).unwrap_err();
            assert!(error.to_string().contains(name) && error.hint().is_some(), "{error}");
        }
        assert!(!Name::parse("hf:a/b").unwrap().is_commit());
        assert!(Name::parse(&format!("hf:a/b@{}", "0f".repeat(20))).unwrap().is_commit());
    }
}
