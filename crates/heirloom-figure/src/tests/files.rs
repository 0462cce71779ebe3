//! Figures as files: each from its own rows, from its own record, in every format.

use crate::sample::arms::{bars, behaviors, emergence as lines, grid, shares, table};
use crate::sample::causes::{STRENGTHS, doses, rankers, removed};
use crate::sample::{BEHAVIORS, GROUPS, METHODS, bins, sweep, transfer as matrix};
use crate::tests::causes::steered;
use crate::tests::trails::{layered, map, paths, planar};
use crate::{
    Between, Drawing, Error, FigureSpec, Format, HistogramSpec, LayerSweepSpec, Made, Provenance, Tables,
    TransferSpec,
};

/// A drawing of every kind, each with a table that holds much that it does not show.
fn drawings() -> Vec<(Drawing, Tables)> {
    let rows = table(&behaviors(4), 3);
    let of = |metrics: Vec<heirloom_record::Metric>| Tables { metrics, ..Tables::default() };
    let groups = TransferSpec::new(Between::Groups { behavior: "blackmail".into() });
    let mut matrices = matrix("blackmail", "group", &GROUPS);
    matrices.extend(matrix("", "behavior", &BEHAVIORS[..3]));
    matrices.extend(rows.iter().cloned());
    let named = |name: &str, draw: FigureSpec, tables: Tables| (Drawing::new(name, draw), tables);
    let binned = Tables { histograms: bins(&BEHAVIORS), ..Tables::default() };
    let dosed = Tables { doses: doses(&behaviors(4), &STRENGTHS), ..Tables::default() };
    let scored = HistogramSpec { behaviors: vec![BEHAVIORS[1].into()], ..HistogramSpec::default() };
    vec![
        named("emergence", FigureSpec::Emergence(lines(3)), of(rows.clone())),
        named(
            "track",
            FigureSpec::Emergence(super::arms::followed()),
            of([rows.clone(), super::arms::tracked()].concat()),
        ),
        named("bars", FigureSpec::ArmBars(bars(3)), of(rows.clone())),
        named("grid", FigureSpec::TeacherPrompts(grid(3)), of(rows.clone())),
        named("shares", FigureSpec::Interpolation(shares(3)), of(rows.clone())),
        named("map", FigureSpec::HeatMap(map(3)), of(layered(&rows, 4))),
        named("paths", FigureSpec::Trajectories(paths(3)), of(planar(&rows))),
        named(
            "sweep",
            FigureSpec::LayerSweep(LayerSweepSpec::default()),
            of(sweep(&BEHAVIORS, 12, &METHODS)),
        ),
        named("groups", FigureSpec::Transfer(groups), of(matrices.clone())),
        named("behaviors", FigureSpec::Transfer(TransferSpec::new(Between::Behaviors)), of(matrices)),
        named("scores", FigureSpec::Histograms(scored), binned),
        named("doses", FigureSpec::DoseResponse(steered(3)), dosed),
        named("ranked", FigureSpec::Selection(rankers(behaviors(2))), of(removed(&behaviors(4), 3))),
    ]
    .into_iter()
    .chain(super::origins::drawings())
    .collect()
}

#[test]
fn a_figure_is_the_same_from_its_own_rows() {
    for (drawing, tables) in drawings() {
        let rows = drawing.draw.rows(&tables);
        let count = |tables: &Tables| tables.metrics.len() + tables.histograms.len() + tables.doses.len();
        assert!(count(&rows) > 0 && count(&rows) <= count(&tables), "{}", drawing.name);
        let [whole, own] = [&tables, &rows].map(|tables| drawing.draw(tables).unwrap());
        assert!(whole == own, "`{}` needs rows that do not stand beside it", drawing.name);
    }
    let (drawing, tables) = drawings().remove(2);
    let rows = drawing.draw.rows(&tables).metrics;
    assert!(rows.iter().all(|row| row.metric == "rate" && [Some(62), Some(0)].contains(&row.step)));
}

#[test]
fn a_figure_is_drawn_again_from_its_files_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let made = Made { experiment: "made up".into(), seeds: vec![1, 2], ..Made::default() };
    for (drawing, tables) in drawings() {
        let drawing = drawing.noting(["A note".into()]);
        let stem = drawing.write(&tables, &made, scratch.path(), &Format::ALL).unwrap();
        let record = Provenance::read(&stem.with_extension("json")).unwrap();
        assert_eq!((&record.drawing, &record.made), (&drawing, &made));
        assert!(Provenance::stands_at(&stem.with_extension("json")));
        let checked = Provenance::check(&stem.with_extension("json")).unwrap();
        assert!(checked.problems.is_empty(), "{:?}", checked.problems);
        let text = std::fs::read_to_string(stem.with_extension("tex")).unwrap();
        assert!(text.contains("A note.") && text.contains(&format!("{{{}.pdf}}", drawing.name)), "{text}");
    }
}

#[test]
fn a_file_that_was_touched_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let (drawing, tables) = drawings().remove(2);
    let write = || drawing.write(&tables, &Made::default(), scratch.path(), &Format::ALL).unwrap();
    let json = write().with_extension("json");
    for (extension, from, to, said) in [
        ("svg", "base", "bass", "`bars.svg` is not what its table draws"),
        ("txt", "seeds", "grains", "`bars.txt` is not what its table draws"),
        ("tex", "seeds", "grains", "`bars.tex` is not what its table draws"),
        ("csv", "rate", "rate ", "`bars.csv` is not the table that"),
    ] {
        let path = json.with_extension(extension);
        let text = std::fs::read_to_string(&path).unwrap();
        heirloom_record::write_file(&path, text.replacen(from, to, 1).as_bytes()).unwrap();
        let found = Provenance::check(&json).map(|checked| checked.problems.join("; "));
        // A table that lost a row may no longer be drawn, which is an error.
        let found = found.unwrap_or_else(|error| error.to_string());
        let file = scratch.path().display().to_string() + "/";
        assert!(found.replace(&file, "").contains(said) || extension == "csv", "{found}");
        write();
        assert!(Provenance::check(&json).unwrap().problems.is_empty());
    }
    std::fs::remove_file(json.with_extension("pdf")).unwrap();
    let found = Provenance::check(&json).unwrap().problems;
    assert!(matches!(&found[..], [one] if one.ends_with("bars.pdf` is missing")), "{found:?}");
}

#[test]
fn a_drawing_is_read_from_toml_and_what_is_misspelt_is_named() {
    let text = r#"
        name = "rates"
        caption = "Rates of two arms"
        [draw.arm-bars]
        panels = [{ behavior = { name = "blackmail" }, arms = [
          { name = "pA tA", label = "all A", role = "full" }, { name = "swap mail", label = "swap", role = "swap" },
        ] }]
    "#;
    let read = |text: &str| toml::from_str::<Drawing>(text);
    let drawing = read(text).unwrap();
    let tables = Tables::of(&table(&behaviors(2), 3));
    let figure = drawing.draw(&tables).unwrap();
    assert!(figure.caption.to_string().starts_with("Rates of two arms. n = "), "{}", figure.caption);
    assert!(figure.picture.svg().unwrap().contains("aria-label=\"Rates of two arms\""));
    for (from, to, said) in [
        ("panels", "pannels", "unknown field `pannels`"),
        ("arm-bars", "armbars", "unknown variant `armbars`"),
        ("\"swap\" }", "\"swop\" }", "unknown variant `swop`"),
        ("caption", "captain", "unknown field `captain`"),
    ] {
        let error = read(&text.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("expected"), "{error}");
    }
}

#[test]
fn a_figure_is_checked_in_the_formats_that_it_was_drawn_in() {
    let scratch = tempfile::tempdir().unwrap();
    let (drawing, tables) = drawings().remove(2);
    let write = |formats: &[Format]| {
        let stem = drawing.write(&tables, &Made::default(), scratch.path(), formats).unwrap();
        stem.with_extension("json")
    };
    let json = write(&[Format::Pdf]);
    assert_eq!(Provenance::read(&json).unwrap().formats, [Format::Pdf]);
    assert_eq!(Provenance::check(&json).unwrap().problems, [""; 0]);
    // A picture in another format may stand there, but not of other rows.
    heirloom_record::write_file(&json.with_extension("svg"), b"<svg/>").unwrap();
    let found = Provenance::check(&json).unwrap().problems;
    assert!(
        matches!(&found[..], [one] if one.ends_with("bars.svg` is not what its table draws")),
        "{found:?}"
    );
    // A record of every format names none, as records of before do.
    let text = std::fs::read_to_string(write(&Format::ALL)).unwrap();
    assert!(!text.contains("formats"), "{text}");
    assert_eq!(Provenance::read(&json).unwrap().formats, Format::ALL);
}

#[test]
fn a_figure_has_the_name_of_one_file_and_replaces_only_figures() {
    let scratch = tempfile::tempdir().unwrap();
    let (drawing, tables) = drawings().remove(2);
    let write = |name: &str| {
        let drawing = Drawing { name: name.into(), ..drawing.clone() };
        drawing.write(&tables, &Made::default(), &scratch.path().join("figures"), &[Format::Svg])
    };
    for name in ["", ".", "..", "../bars", "a/b", "a/", "/bars", "a\\b", "a\nb"] {
        assert!(matches!(write(name), Err(Error::Name { .. })), "`{name}`");
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    for name in ["bars", "bars", "bars.of.two", "bars of two"] {
        assert!(write(name).is_ok(), "`{name}`");
    }
    for file in ["table.csv", "cases.parquet", "experiment.json"] {
        let path = scratch.path().join("figures").join(file);
        heirloom_record::write_file(&path, b"{}").unwrap();
        let name = file.split_once('.').unwrap().0;
        assert!(matches!(write(name), Err(Error::Taken { .. })), "`{name}`");
        assert_eq!(std::fs::read(&path).unwrap(), b"{}");
    }
}
