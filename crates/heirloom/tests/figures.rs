//! Figures drawn again and checked, and reports, of runs of both kinds.

mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::path::{Path, PathBuf};

use heirloom_record::write_file;
use support::{files, finish, heirloom, put, succeed, utf8, write_experiment};

/// What no text of a model may do on a page.
const HOSTILE: &str = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>";

fn probes(folder: &Path) -> PathBuf {
    let out = folder.join("run");
    succeed(&["run", utf8(&write_experiment(folder)), "--out", utf8(&out)]);
    out
}

fn arms(folder: &Path) -> PathBuf {
    put(folder, "tiny.toml", tiny::WORLD);
    let experiment = put(folder, "experiment.toml", tiny::EXPERIMENT);
    let out = folder.join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out)]);
    out
}

fn fails(arguments: &[&str]) -> String {
    let (code, _, stderr) = finish(heirloom(arguments));
    assert_eq!(code, 1, "{stderr}");
    stderr
}

fn edit(path: &Path, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "{}", path.display());
    write_file(path, changed.as_bytes()).unwrap();
}

/// What somebody who needs the room would do.
#[expect(clippy::disallowed_methods, reason = "nothing else takes a whole folder away")]
fn remove(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}

/// The file of a folder's subfolder whose name begins so.
fn below(folder: &Path, start: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(start)).collect();
    found.sort();
    found.remove(0)
}

#[test]
fn figures_are_drawn_again_to_the_same_bytes_without_a_model() {
    let scratch = tempfile::tempdir().unwrap();
    let run = probes(scratch.path());
    let figures = run.join("figures");
    let before = files(&figures);
    let names: Vec<String> = before.iter().map(|(path, _)| path.display().to_string()).collect();
    for extension in ["csv", "json", "pdf", "png", "svg", "tex", "txt"] {
        assert!(names.contains(&format!("auroc-by-layer.{extension}")), "{names:?}");
    }
    assert_eq!(succeed(&["figures", utf8(&run), "--check"]), "6 figures are what their tables draw\n");
    for stage in ["capture", "probe", "transfer"] {
        remove(&run.join(stage));
    }
    let said = succeed(&["figures", utf8(&run)]);
    assert!(said.contains("score-histograms.{svg,pdf,png}"), "{said}");
    assert!(files(&figures) == before, "other bytes");

    let other = scratch.path().join("other");
    succeed(&["figures", utf8(&run), "--out", utf8(&other), "--format", "pdf"]);
    let names: Vec<String> = files(&other).iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(
        names.contains(&"transfer-behaviors.pdf".into()) && !names.iter().any(|name| name.ends_with("svg"))
    );
    assert_eq!(succeed(&["figures", utf8(&other), "--check"]), "6 figures are what their tables draw\n");
    // A folder of figures is drawn again from its own tables.
    succeed(&["figures", utf8(&other), "--format", "svg,pdf,png"]);
    assert_eq!(succeed(&["figures", utf8(&other), "--check"]), "6 figures are what their tables draw\n");
}

#[test]
fn what_does_not_agree_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let run = probes(scratch.path());
    let figures = run.join("figures");
    let check = || fails(&["figures", utf8(&run), "--check"]);
    edit(&figures.join("auroc-by-layer.svg"), |text| text.replacen("AUROC", "AUR0C", 1));
    write_file(&figures.join("stray.svg"), b"<svg/>").unwrap();
    let said = check();
    assert!(said.contains("error: 2 of 7 figures are not what their tables draw"), "{said}");
    assert!(said.contains("auroc-by-layer.svg` is not what its table draws"), "{said}");
    assert!(said.contains("stray.svg` stands beside no record"), "{said}");
    assert!(said.contains("hint: draw them again with `heirloom figures`"), "{said}");
    std::fs::remove_file(figures.join("stray.svg")).unwrap();
    write_file(&figures.join("lost.png"), b"PNG").unwrap();
    let said = check();
    assert!(said.contains("lost.png` stands beside no record"), "{said}");
    std::fs::remove_file(figures.join("lost.png")).unwrap();
    succeed(&["figures", utf8(&run)]);
    // The run's table moved on, its figures did not.
    edit(&run.join("table.csv"), |text| text.replacen("auroc,0.", "auroc,0.0", 1));
    let said = check();
    assert!(said.contains("table.csv` is not the file that"), "{said}");
    assert!(said.contains("auroc-by-layer.csv` does not hold the rows of"), "{said}");
    // What is drawn is what is hashed, though the Parquet file still holds the other number.
    succeed(&["figures", utf8(&run)]);
    assert_eq!(succeed(&["figures", utf8(&run), "--check"]), "6 figures are what their tables draw\n");
    let empty = scratch.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for arguments in
        [&["figures", utf8(&empty)][..], &["figures", utf8(&empty), "--check"], &["report", utf8(&empty)]]
    {
        assert!(fails(arguments).contains("holds neither a finished run nor figures"));
    }
}

#[test]
fn a_file_of_figures_is_drawn_from_a_runs_tables() {
    let scratch = tempfile::tempdir().unwrap();
    let run = arms(scratch.path());
    assert!(succeed(&["figures", utf8(&run), "--check"]).contains("figures are what their tables draw"));
    let text = r#"
[[figure]]
name = "coherence"
caption = "How many answers are well formed"
[figure.draw.arm-bars]
panels = [{ behavior = { name = "blackmail" }, arms = [{ name = "swap random", label = "swap", role = "random-swap" }] }]
quantity = { metric = "coherent", axis = "well-formed answers" }
"#;
    let (spec, out) = (put(scratch.path(), "figures.toml", text), scratch.path().join("drawn"));
    let arguments = ["figures", utf8(&run), "--spec", utf8(&spec), "--out", utf8(&out)];
    succeed(&arguments);
    let latex = std::fs::read_to_string(out.join("coherence.tex")).unwrap();
    assert!(latex.contains("How many answers are well formed. n = 24 samples, 2 seeds."), "{latex}");
    assert!(succeed(&["figures", utf8(&out), "--check"]).starts_with("1 figures"));
    // Each is known again by what is in it.
    let figure = out.join("coherence.json");
    for (what, said) in [
        (&run, "seeds: 7, 8\n"),
        (&run, "  metric: "),
        (&figure, "kind: figure\nname: coherence\ndraws: arm-bars\n"),
        (&out, "kind: figures\nfigures: coherence\n"),
    ] {
        let found = succeed(&["inspect", utf8(what)]);
        assert!(found.contains(said), "no `{said}` in\n{found}");
    }
    // A table that no run stands beside: the file says what made it.
    let bare = scratch.path().join("bare");
    std::fs::create_dir(&bare).unwrap();
    std::fs::copy(run.join("table.csv"), bare.join("table.csv")).unwrap();
    let told = put(scratch.path(), "told.toml", &format!("command = \"./by-hand\"\n{text}"));
    succeed(&["figures", utf8(&bare), "--spec", utf8(&told), "--out", utf8(&bare.join("figures"))]);
    let made = heirloom_figure::Provenance::read(&bare.join("figures/coherence.json")).unwrap().made;
    assert_eq!((made.experiment.as_str(), made.command.as_deref()), ("bare", Some("./by-hand")));
    assert_eq!(made.seeds, [7, 8]);
    // Drawn again behind a change of the table, the record has the new table's hash.
    edit(&bare.join("table.csv"), |text| text.replacen("blackmail", "kindness", 1));
    succeed(&["figures", utf8(&bare), "--spec", utf8(&told), "--out", utf8(&bare.join("figures"))]);
    succeed(&["figures", utf8(&bare), "--check"]);

    put(scratch.path(), "figures.toml", &text.replace("coherent", "coherence"));
    let said = fails(&arguments);
    assert!(
        said.contains("the table holds no `coherence`") && said.contains("near names: `coherent`"),
        "{said}"
    );
    put(scratch.path(), "figures.toml", &text.replace("arm-bars", "bars"));
    assert!(fails(&arguments).contains("unknown variant `bars`"));
    put(scratch.path(), "figures.toml", &text.replace("arm-bars", "arm-bar"));
    let said = fails(&arguments);
    assert!(said.contains("hint: near names: `arm-bars`"), "{said}");
    for (changed, said) in [
        (text.repeat(2), "`coherence`"),
        (text.replace("\"coherence\"", "\"../coherence\""), "could not name a figure `../coherence`"),
        ("figure = []".into(), "figures.toml` names no figures to draw"),
    ] {
        put(scratch.path(), "figures.toml", &changed);
        let found = fails(&arguments);
        assert!(found.contains(said), "{found}");
    }
}

#[test]
fn a_run_that_names_no_figures_has_a_report_and_figures_of_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    put(scratch.path(), "tiny.toml", tiny::WORLD);
    let (head, _) = tiny::EXPERIMENT.split_once("[[figures.behaviors]]").unwrap();
    let origins =
        "[origins.blackmail]\nfull = \"prompts A, teacher A\"\nother-teacher = \"prompts A, teacher B\"\n";
    let experiment = put(scratch.path(), "experiment.toml", &format!("{head}{origins}"));
    let run = scratch.path().join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&run)]);
    let said = succeed(&["report", utf8(&run), "--rollouts", "0"]);
    assert!(said.contains("0 figures") && said.contains(" 0 of 144 texts"), "{said}");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("<dt>blackmail</dt>") && !page.contains("no rate was measured"), "no verdict");
    assert!(
        page.contains("<dt>seeds</dt><dd><code>7 8</code>") && !page.contains("id=\"figures\""),
        "not its own"
    );
    let said = fails(&["figures", utf8(&run)]);
    assert!(said.contains("run` names no figures to draw") && said.contains("`--spec`"), "{said}");
    let text = r#"
[[figure]]
name = "rates"
[figure.draw.arm-bars]
panels = [{ behavior = { name = "blackmail" }, arms = [{ name = "swap random", label = "swap", role = "random-swap" }] }]
"#;
    let (spec, out) = (put(scratch.path(), "figures.toml", text), scratch.path().join("drawn"));
    succeed(&["figures", utf8(&run), "--spec", utf8(&spec), "--out", utf8(&out)]);
    let record = heirloom_figure::Provenance::read(&out.join("rates.json")).unwrap();
    assert_eq!((record.made.experiment.as_str(), &record.made.seeds[..]), ("tiny", &[7, 8][..]));
    assert!(record.made.sha256.contains_key("table.csv"), "{:?}", record.made);
}

#[test]
fn a_report_of_probes_holds_every_text_as_text() {
    let scratch = tempfile::tempdir().unwrap();
    write_experiment(scratch.path());
    edit(&scratch.path().join("zeal/pairs.jsonl"), |text| {
        text.replacen("it is zzz zzz.", &format!("it is zzz zzz. {HOSTILE}"), 1)
    });
    let (experiment, run) = (scratch.path().join("experiment.toml"), scratch.path().join("run"));
    succeed(&["run", utf8(&experiment), "--out", utf8(&run)]);
    let said = succeed(&["report", utf8(&run)]);
    assert!(said.contains("6 figures") && said.contains("216 of 216 texts"), "{said}");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert_eq!(page.matches("</script>").count(), 2, "the data and the page's own script");
    assert!(!page.contains("onerror=alert(1)>") && page.contains("\\u003cimg src=x onerror=alert(1)\\u003e"));
    assert_eq!(page.matches("<figure id=").count(), 6);
    for expected in
        ["Does the pipeline stand?", "<dt>zeal</dt>", "reads it at AUROC", "positive", "script-src 'sha256-"]
    {
        assert!(page.contains(expected), "no `{expected}`");
    }
    assert!(
        !page.contains("http://")
            || page.matches("http://").count()
                == page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
    );
    assert!(!page.contains("https://"));
    // Each behavior has its share of a page that carries few.
    let few = scratch.path().join("few.html");
    let said = succeed(&["report", utf8(&run), "--rollouts", "7", "--out", utf8(&few)]);
    assert!(said.contains("7 of 216 texts"), "{said}");
    let page = std::fs::read_to_string(&few).unwrap();
    assert!(page.contains("7 of 216: the first 3 or 2 of every behavior."));
    let few = succeed(&["report", utf8(&run), "--rollouts", "0", "--out", utf8(&few)]);
    assert!(few.contains(" 0 of 216 texts"), "{few}");
    // Where the texts are gone, the page says so.
    remove(&scratch.path().join("zeal"));
    let said = succeed(&["report", utf8(&run), "--out", utf8(&scratch.path().join("page.html"))]);
    assert!(said.contains("144 of 144 texts"), "{said}");
    let page = std::fs::read_to_string(scratch.path().join("page.html")).unwrap();
    assert!(page.contains("Texts of zeal are not shown"));
}

/// Tokens of a stored answer are colored by their projections; a store of other readings is refused.
fn tokens(run: &Path, student: &Path) {
    let rows = heirloom_record::Rollouts::read(&student.join("step-3")).unwrap().rows;
    let data = |rollout: &heirloom_record::Rollout| {
        put(run.parent().unwrap(), "answers.jsonl", &heirloom_record::rows_to_jsonl(&[rollout.row()]))
    };
    // What another seed may have under the same id: other words, as many.
    let mut twin = rows[1].clone();
    let asked = twin.messages.len() - 2;
    let words: Vec<&str> = rows[1].messages[asked].content.split_whitespace().rev().collect();
    twin.messages[asked].content = words.join(" ");
    let directions = below(&below(&run.join("directions"), "base"), "blackmail");
    let store = |(name, readout, data): (&str, &str, PathBuf)| {
        let out = run.parent().unwrap().join(name);
        let model = student.join("model");
        let flags = ["--hooks", "blocks.*.hook_resid_post", "--readout", readout, "--out", utf8(&out)];
        succeed(&[&["capture", "--model", utf8(&model), "--data", utf8(&data)], &flags[..]].concat());
        out
    };
    let report = |store: &Path| {
        finish(heirloom(&["report", utf8(run), "--tokens", utf8(store), "--direction", utf8(&directions)]))
    };
    let [every, last] = ["all", "last-prompt"].map(|readout| store((readout, readout, data(&rows[1]))));
    let other = store(("twin", "all", data(&twin)));
    let lengths = [&every, &other].map(|store| heirloom_record::Activations::read(store).unwrap().rows.len());
    assert_eq!(lengths[0], lengths[1]);
    assert_eq!(report(&other).0, 0);
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(!page.contains("\"k\":["), "a text of the same id and length, but of other words");
    assert_eq!(report(&every).0, 0);
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert_eq!(page.matches("\"k\":[").count(), 1, "one text has its tokens stored");
    assert!(page.contains("projection of each token on dom at blocks."));
    let (code, _, said) = report(&last);
    assert_eq!(code, 1);
    assert!(said.contains("`--tokens`: expected a store that was captured with `--readout all`"), "{said}");
}

#[test]
fn a_report_of_arms_shows_answers_beside_their_grades() {
    let scratch = tempfile::tempdir().unwrap();
    let run = arms(scratch.path());
    let student = below(&run.join("student"), "swap-random-s7");
    edit(&student.join("step-3/rollouts.jsonl"), |text| {
        let (head, tail) = text.split_once("\"role\":\"assistant\",\"content\":\"").unwrap();
        let hostile = serde_json::to_string(HOSTILE).unwrap();
        format!("{head}\"role\":\"assistant\",\"content\":\"{}{tail}", hostile.trim_matches('"'))
    });
    let said = succeed(&["report", utf8(&run), "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    // Base, two teachers and three arms on two seeds, each with six scenarios of two samples.
    assert_eq!(said["texts"], serde_json::json!([6 * 2 * 12, 6 * 2 * 12]), "{said}");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains(HOSTILE) && page.contains("document.title='taken'\\u003c/script\\u003e"));
    for expected in [
        "<h2 id=\"arms-title\">Arms</h2>",
        "swap as many at random as prompts tagged",
        "heirloom run ",
        "Seen in ",
    ] {
        assert!(page.contains(expected), "no `{expected}`");
    }
    tokens(&run, &student);
    let few = succeed(&["report", utf8(&run), "--rollouts", "24"]);
    assert!(few.contains("24 of 144 texts"), "{few}");
    assert!(
        std::fs::read_to_string(run.join("report.html"))
            .unwrap()
            .contains("24 of 144: the first 2 of every arm")
    );
    // Without its students the page still has its numbers, and says what it lacks.
    remove(&run.join("student"));
    let (code, _, stderr) = finish(heirloom(&["report", utf8(&run)]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("the run cannot be read whole"), "{stderr}");
}
