//! Models by their names on a hub: fetched once, gone on with, checked, and refused with what to do. The hub is a thread of
//! this test on the loopback.

#[expect(dead_code, reason = "this test looks at the tiny models alone")]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use heirloom_record::{Activations, sha256_hex};
use support::{finish, heirloom, put, tiny_model, utf8, write_experiment};

/// A repository at a revision: its commit and its files.
#[derive(Clone)]
struct Repo {
    commit: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Repo {
    fn of(folder: &Path, commit: char) -> Self {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        });
        Self { commit: commit.to_string().repeat(40), files: files.collect() }
    }
}

#[derive(Default)]
struct State {
    /// By `org/name@revision`.
    repos: BTreeMap<String, Repo>,
    /// Repositories that are answered with a status.
    refused: BTreeMap<String, u16>,
    /// Files whose connection breaks after so many bytes, and how many more times.
    broken: BTreeMap<String, (usize, usize)>,
    /// Files that are sent with their last byte changed.
    damaged: Vec<String>,
    /// What was asked for: path, first byte, token.
    asked: Vec<(String, usize, Option<String>)>,
}

struct Server {
    state: Arc<Mutex<State>>,
    endpoint: String,
    cache: tempfile::TempDir,
}

impl Server {
    fn new(repos: &[(&str, Repo)]) -> Self {
        let repos = repos.iter().map(|(name, repo)| ((*name).to_owned(), repo.clone())).collect();
        let state = Arc::new(Mutex::new(State { repos, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        let base = endpoint.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that has gone is no failure of the hub.
                let _ = answer(&stream, &shared, &base);
            }
        });
        Self { state, endpoint, cache: tempfile::tempdir().unwrap() }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// What was asked for since the last time.
    fn asked(&self) -> Vec<(String, usize, Option<String>)> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    fn cached(&self, repo: &str) -> PathBuf {
        self.cache.path().join(format!("models--{}", repo.replace('/', "--")))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = heirloom(arguments);
        for name in [
            "HF_HOME",
            "HF_TOKEN",
            "HUGGING_FACE_HUB_TOKEN",
            "HF_TOKEN_PATH",
            "HF_HUB_OFFLINE",
            "TRANSFORMERS_OFFLINE",
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_HUB_CACHE", self.cache.path());
        command
    }

    fn inspect(&self, name: &str, environment: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = self.command(&["inspect", name]);
        command.envs(environment.iter().copied());
        finish(command)
    }
}

/// The name of a blob: large files by their SHA-256, others by something of git's.
fn etag(name: &str, bytes: &[u8]) -> String {
    let sha256 = sha256_hex(bytes);
    if name.ends_with("safetensors") { sha256 } else { sha256[..40].to_owned() }
}

/// One request: the revision of a repository, a file of it, or a large file's blob.
fn answer(mut stream: &TcpStream, state: &Mutex<State>, base: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut start, mut end, mut token) = (None, None, None);
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (key, value) = line.split_once(": ").unwrap_or((&line, ""));
        if key.eq_ignore_ascii_case("range") {
            let (from, to) = value.trim_start_matches("bytes=").split_once('-').unwrap();
            (start, end) = (from.parse().ok(), to.parse::<usize>().ok());
        } else if key.eq_ignore_ascii_case("authorization") {
            token = Some(value.to_owned());
        }
    }
    let mut state = state.lock().unwrap();
    if end.is_none() {
        state.asked.push((path.clone(), start.unwrap_or(0), token));
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let status = |mut stream: &TcpStream, code: u16| {
        write!(stream, "HTTP/1.1 {code} no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let (repo, rest) = match &parts[..] {
        ["api", "models", org, name, "revision", revision] => {
            (format!("{org}/{name}"), vec!["revision", *revision])
        }
        [org, name, "resolve", commit, file] => (format!("{org}/{name}"), vec![*commit, *file]),
        ["blobs", org, name, commit, file] => (format!("{org}/{name}"), vec!["blob", *commit, *file]),
        _ => return status(stream, 400),
    };
    if let Some(code) = state.refused.get(&repo) {
        return status(stream, *code);
    }
    if let ["revision", revision] = rest[..] {
        let Some(found) = state.repos.get(&format!("{repo}@{revision}")) else { return status(stream, 404) };
        let names: Vec<_> = found.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "sha": found.commit, "siblings": names }).to_string();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let (blob, commit, file) = match rest[..] {
        ["blob", commit, file] => (true, commit, file),
        [commit, file] => (false, commit, file),
        _ => return status(stream, 400),
    };
    let found = state
        .repos
        .values()
        .find(|repo| repo.commit == commit)
        .and_then(|repo| repo.files.get(file))
        .cloned();
    let Some(mut bytes) = found else { return status(stream, 404) };
    let etag = etag(file, &bytes);
    if etag.len() == 64 && !blob {
        // Large files lie elsewhere, and only here their names are known.
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {base}/blobs/{repo}/{commit}/{file}\r\nX-Repo-Commit: {commit}\r\nX-Linked-Etag: \"{etag}\"\r\n\
             X-Linked-Size: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            bytes.len()
        );
    }
    if state.damaged.iter().any(|damaged| damaged == file) {
        *bytes.last_mut().unwrap() ^= 1;
    }
    let start = start.unwrap_or(0);
    let stop = end.map_or(bytes.len(), |end| (end + 1).min(bytes.len()));
    if start >= bytes.len() {
        return status(stream, 416);
    }
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\nETag: \"{etag}\"\r\n\
         X-Repo-Commit: {commit}\r\nConnection: close\r\n\r\n",
        stop - start,
        stop - 1,
        bytes.len()
    )?;
    let mut send = &bytes[start..stop];
    if let Some((after, times)) = state.broken.get_mut(file).filter(|(_, times)| *times > 0 && end.is_none())
    {
        *times -= 1;
        send = &send[..send.len().min(*after)];
    }
    stream.write_all(send)
}

fn fixture(name: &str) -> PathBuf {
    tiny_model().with_file_name(name)
}

/// How often a file's content was asked for.
fn times(asked: &[(String, usize, Option<String>)], file: &str) -> usize {
    asked.iter().filter(|(path, ..)| path.contains("blobs") && path.ends_with(file)).count()
}

#[test]
fn a_model_is_fetched_once_into_the_cache_that_others_use() {
    let model = Repo::of(&tiny_model(), 'a');
    let server = Server::new(&[
        ("org/tiny@main", model.clone()),
        ("org/tiny@v2", Repo { commit: "b".repeat(40), ..model.clone() }),
    ]);
    let (code, said, stderr) = server.inspect("hf:org/tiny", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.contains("n_layers: 2") && said.contains("name: org/tiny@aaaaaaaaaaaa"), "{said}");
    let place = server.cached("org/tiny");
    assert_eq!(std::fs::read_to_string(place.join("refs/main")).unwrap(), model.commit);
    let weights = place.join("snapshots").join(&model.commit).join("model.safetensors");
    let sha256 = sha256_hex(&model.files["model.safetensors"]);
    assert_eq!(std::fs::read_link(&weights).unwrap(), Path::new("../../blobs").join(sha256));
    assert_eq!(std::fs::read(&weights).unwrap(), model.files["model.safetensors"]);
    // What heirloom does not read is not fetched.
    let asked = server.asked();
    assert!(
        times(&asked, "model.safetensors") == 1 && !asked.iter().any(|(path, ..)| path.contains("expected")),
        "{asked:?}"
    );

    // Again: the branch is asked for, and nothing fetched.
    assert_eq!(server.inspect("hf:org/tiny@main", &[]).0, 0);
    assert_eq!(server.asked().len(), 1);
    // A commit is what it is, and offline nothing is asked.
    assert_eq!(server.inspect(&format!("hf:org/tiny@{}", model.commit), &[]).0, 0);
    let (code, offline, stderr) = server.inspect("hf:org/tiny", &[("HF_HUB_OFFLINE", "1")]);
    assert!(code == 0 && offline == said, "{stderr}");
    assert_eq!(server.asked(), []);
    // The branch moves on.
    server.set(|state| _ = state.repos.insert("org/tiny@main".into(), state.repos["org/tiny@v2"].clone()));
    assert!(server.inspect("hf:org/tiny", &[]).1.contains("org/tiny@bbbbbbbbbbbb"));
    assert_eq!(std::fs::read_to_string(place.join("refs/main")).unwrap(), "b".repeat(40));
}

#[test]
fn the_cache_and_the_token_are_where_the_environment_says() {
    let server = Server::new(&[("org/tiny@main", Repo::of(&tiny_model(), 'a'))]);
    let home = tempfile::tempdir().unwrap();
    put(home.path(), "token", "hf_of_the_file\n");
    let token = |variables: &[(&str, &str)]| {
        let mut command = server.command(&["inspect", "hf:org/tiny"]);
        command.env_remove("HF_HUB_CACHE").env("HF_HOME", home.path()).envs(variables.iter().copied());
        let (code, _, stderr) = finish(command);
        assert_eq!(code, 0, "{stderr}");
        server.asked()[0].2.clone()
    };
    assert_eq!(token(&[]).unwrap(), "Bearer hf_of_the_file");
    assert_eq!(token(&[("HF_TOKEN", "hf_own")]).unwrap(), "Bearer hf_own");
    assert!(home.path().join("hub/models--org--tiny/refs/main").is_file());
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(token(&[("HF_HUB_CACHE", utf8(elsewhere.path()))]).unwrap(), "Bearer hf_of_the_file");
    assert!(elsewhere.path().join("models--org--tiny").is_dir());
    assert_eq!(token(&[("HF_TOKEN_PATH", utf8(&elsewhere.path().join("none")))]), None);
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let model = Repo::of(&tiny_model(), 'a');
    let (bytes, half) = (&model.files["model.safetensors"], model.files["model.safetensors"].len() / 2);
    let server = Server::new(&[("org/tiny@main", model.clone())]);
    let starts = |asked: &[(String, usize, Option<String>)]| -> Vec<usize> {
        asked.iter().filter(|(path, ..)| path.contains("blobs")).map(|(_, start, _)| *start).collect()
    };
    // Once within a run.
    server.set(|state| _ = state.broken.insert("model.safetensors".into(), (half, 1)));
    let (code, _, stderr) = server.inspect("hf:org/tiny", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(starts(&server.asked()), [0, half]);
    let blob = server.cached("org/tiny").join("blobs").join(sha256_hex(bytes));
    assert_eq!(std::fs::read(&blob).unwrap(), *bytes);

    // Broken too often, the next run goes on.
    let server = Server::new(&[("org/tiny@main", model.clone())]);
    let piece = bytes.len() / 16;
    server.set(|state| _ = state.broken.insert("model.safetensors".into(), (piece, 5)));
    let (code, _, stderr) = server.inspect("hf:org/tiny", &[]);
    assert!(code == 1 && stderr.contains("goes on where it broke"), "{stderr}");
    assert_eq!(starts(&server.asked()), [0, piece, 2 * piece, 3 * piece]);
    assert_eq!(server.inspect("hf:org/tiny", &[]).0, 0);
    assert_eq!(starts(&server.asked()), [4 * piece, 5 * piece]);

    // From a run before, whose process was killed; and one that was killed before the file had its name.
    for (left, expected) in [(&bytes[..half], &[half][..]), (bytes, &[bytes.len(), 0])] {
        let server = Server::new(&[("org/tiny@main", model.clone())]);
        let blobs = server.cached("org/tiny").join("blobs");
        heirloom_record::write_file(&blobs.join(format!("{}.part", sha256_hex(bytes))), left).unwrap();
        let (code, _, stderr) = server.inspect("hf:org/tiny", &[]);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(starts(&server.asked()), expected);
    }
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_removed() {
    let server = Server::new(&[("org/tiny@main", Repo::of(&tiny_model(), 'a'))]);
    server.set(|state| state.damaged.push("model.safetensors".into()));
    let (code, _, stderr) = server.inspect("hf:org/tiny", &[]);
    assert!(
        code == 1 && stderr.contains("came damaged and was removed") && stderr.contains("hint: run it again"),
        "{stderr}"
    );
    server.set(|state| state.damaged.clear());
    let (code, _, stderr) = server.inspect("hf:org/tiny", &[]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn shards_and_adapters_are_fetched_whole() {
    let (sharded, adapter) =
        (Repo::of(&fixture("smollm-like"), 'a'), Repo::of(&fixture("peft-llama-gqa"), 'c'));
    let base = Repo::of(&fixture("llama-gqa"), 'd');
    let n = sharded.files.keys().filter(|name| name.starts_with("model-0")).count();
    assert!(n > 1, "the fixture has shards");
    let mut partial = sharded.clone();
    partial.commit = "e".repeat(40);
    let gone = partial.files.keys().find(|name| name.starts_with("model-0")).unwrap().clone();
    partial.files.remove(&gone);
    let server = Server::new(&[
        ("org/sharded@main", sharded),
        ("org/adapter@main", adapter),
        ("org/base@main", base),
        ("org/partial@main", partial),
    ]);
    let (code, _, stderr) = finish(server.command(&["doctor", "--model", "hf:org/sharded"]));
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        server.asked().iter().filter(|(path, ..)| path.contains("blobs") && path.contains("model-0")).count(),
        n
    );
    let adapted = ["doctor", "--model", "hf:org/base", "--adapter", "hf:org/adapter@main"];
    let (code, said, stderr) = finish(server.command(&adapted));
    assert!(code == 0 && said.contains("‖ΔW‖"), "{stderr}{said}");
    let (code, _, stderr) = server.inspect("hf:org/partial", &[]);
    assert!(code == 1 && stderr.contains(&format!("has no `{gone}`")), "{stderr}");
}

#[test]
fn a_series_of_revisions_has_a_store_for_each() {
    let mut later = Repo::of(&tiny_model(), 'b');
    let weights = later.files.get_mut("model.safetensors").unwrap();
    // The lowest byte of the last weight.
    let at = weights.len() - 4;
    weights[at] ^= 1;
    let server = Server::new(&[("org/tiny@step1", Repo::of(&tiny_model(), 'a')), ("org/tiny@step20", later)]);
    let scratch = tempfile::tempdir().unwrap();
    let data = put(scratch.path(), "rows.jsonl", "{\"text\":\"One two.\"}\n{\"text\":\"Three.\"}\n");
    let out = scratch.path().join("stores");
    let places = "hf:org/tiny@step20,step1";
    let arguments = ["capture", "--checkpoints", places, "--data", utf8(&data), "--out", utf8(&out)];
    let (code, said, stderr) = finish(
        server.command(&[&arguments[..], &["--hooks", "hook_embed", "--readout", "last-prompt"]].concat()),
    );
    assert!(code == 0 && said.contains("2 checkpoints, steps 1 to 20"), "{stderr}{said}");
    let headers =
        [1, 20].map(|step| Activations::describe(&out.join(format!("step-{step}"))).unwrap().header);
    assert_eq!(
        headers.each_ref().map(|header| header.model.as_str()),
        ["org/tiny@aaaaaaaaaaaa", "org/tiny@bbbbbbbbbbbb"]
    );
    assert_ne!(headers[0].model_sha256, headers[1].model_sha256);
}

#[test]
fn refusals_say_what_to_do() {
    let mut pickled = Repo::of(&tiny_model(), 'c');
    let weights = pickled.files.remove("model.safetensors").unwrap();
    pickled.files.insert("pytorch_model.bin".into(), weights);
    let server =
        Server::new(&[("org/tiny@main", Repo::of(&tiny_model(), 'a')), ("org/pickled@main", pickled)]);
    server.set(|state| state.refused = [("org/gated".to_owned(), 401), ("org/ill".to_owned(), 503)].into());
    let refused = |name: &str, environment: &[(&str, &str)], parts: &[&str]| {
        let (code, _, stderr) = server.inspect(name, environment);
        assert_eq!(code, 1, "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{name}: no `{part}` in\n{stderr}");
        }
    };
    refused(
        "hf:org/gated",
        &[],
        &["does not give `org/gated@main` (status 401)", "hint:", "then set HF_TOKEN"],
    );
    refused("hf:org/gated", &[("HF_TOKEN", "hf_x")], &["the token in HF_TOKEN may not read it"]);
    refused("hf:org/absent", &[], &["the hub has no `org/absent@main`", "spelling"]);
    refused("hf:org/tiny@step7", &[], &["the hub has no `org/tiny@step7`"]);
    refused("hf:org/ill", &[], &["answered `org/ill@main` with status 503"]);
    refused(
        "hf:org/pickled",
        &[],
        &["has no `model.safetensors`", "pytorch_model.bin", "safe_serialization=True"],
    );
    refused(
        "hf:org",
        &[("HF_HUB_OFFLINE", "yes")],
        &["`org@main` is not whole", "it lacks revision `main`", "unset HF_HUB_OFFLINE"],
    );
    refused("hf:a/b/c", &[], &["`hf:a/b/c` names no model", "hf:ORG/NAME@REVISION"]);
    refused(
        "hf:org/tiny",
        &[("HF_ENDPOINT", "http://127.0.0.1:9")],
        &["could not fetch `org/tiny@main`", "HF_ENDPOINT"],
    );
    // Offline with half a model: what is missing is named.
    assert_eq!(server.inspect("hf:org/tiny", &[]).0, 0);
    let snapshot = server.cached("org/tiny").join("snapshots").join("a".repeat(40));
    std::fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    refused("hf:org/tiny", &[("HF_HUB_OFFLINE", "1")], &["it lacks `model.safetensors`"]);
}

#[test]
fn an_experiment_takes_its_model_from_a_hub_and_records_the_commit() {
    let server = Server::new(&[("org/tiny@main", Repo::of(&tiny_model(), 'a'))]);
    let scratch = tempfile::tempdir().unwrap();
    let file = write_experiment(scratch.path());
    let there = tiny_model().canonicalize().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let with = |model: &str| put(scratch.path(), "experiment.toml", &text.replace(utf8(&there), model));
    with("hf:org/tiny@main");
    let out = scratch.path().join("run");
    let run = |more: &[&str], offline: &str| {
        let mut command = server.command(&["run", utf8(scratch.path()), "--out", utf8(&out)]);
        command.args(more).env("HF_HUB_OFFLINE", offline);
        finish(command)
    };
    let (code, said, stderr) = run(&["--plan"], "0");
    assert!(code == 0 && said.contains("org/tiny@aaaaaaaaaaaa"), "{said} {stderr}");
    assert_eq!(times(&server.asked(), "model.safetensors"), 1);
    let (code, _, stderr) = run(&["--until", "transfer"], "0");
    assert_eq!(code, 0, "{stderr}");
    let made: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("made-from.json")).unwrap()).unwrap();
    let model = &made["experiment"]["model"];
    let expected = serde_json::json!({ "name": "hf:org/tiny@main", "commit": "a".repeat(40) });
    assert_eq!(model["fetched"], expected);
    assert!(Path::new(model["path"].as_str().unwrap()).ends_with(format!("snapshots/{}", "a".repeat(40))));
    let metrics = heirloom_record::Table::<heirloom_record::Metric>::read(&out.join("table")).unwrap().0;
    assert!(
        metrics.iter().all(|metric| metric.arm.as_deref() == Some("org/tiny@aaaaaaaaaaaa")),
        "{:?}",
        metrics[0]
    );
    // Again: nothing is asked offline, and everything is kept.
    server.asked();
    let kept = support::files(&out);
    let (code, _, stderr) = run(&["--until", "transfer"], "1");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((server.asked(), support::files(&out)), (vec![], kept));
    // What is wrong without the model is said before anything is fetched.
    with("hf:org/none@main");
    let (code, _, stderr) = run(&["--plan"], "0");
    assert!(code == 1 && stderr.contains("hf:org/none@main"), "{stderr}");
    server.asked();
    put(
        scratch.path(),
        "experiment.toml",
        &text.replace(utf8(&there), "hf:org/tiny").replace("\"dom\"\n", "\"dam\"\n"),
    );
    let (code, _, stderr) = run(&["--plan"], "0");
    assert!(code == 1 && stderr.contains("`dam`") && server.asked().is_empty(), "{stderr}");
    // Nobody else fetches, and a run's own key is not the user's to write.
    let spelled = |text: &str| heirloom::Experiment::load(&put(scratch.path(), "experiment.toml", text));
    let error = spelled(&text.replace(utf8(&there), "hf:org/tiny")).err().unwrap().to_string();
    assert!(error.contains("only the command line fetches"), "{error}");
    let own = "[model]\nfetched = { name = \"hf:a/b\", commit = \"c\" }\n";
    let error = spelled(&text.replace("[model]\n", own)).err().unwrap().to_string();
    assert!(error.contains("`model.fetched`: expected absent"), "{error}");
}
