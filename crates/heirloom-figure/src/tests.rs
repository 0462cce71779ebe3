//! Every figure on ordinary and extreme tables: committed pictures, no overlaps, nothing off the page.

mod arms;
mod causes;
mod files;
mod origins;
mod trails;

use std::path::{Path, PathBuf};

use heirloom_record::{Histogram, HookPoint, Metric};

use crate::sample::{BEHAVIORS, GROUPS, METHODS, bins, sweep, transfer as matrix};
use crate::{
    Between, Color, Error, Figure, HistogramSpec, LayerSweepSpec, TransferSpec, histograms, layer_sweep,
    style, transfer,
};

fn groups() -> TransferSpec {
    TransferSpec::new(Between::Groups { behavior: "blackmail".into() })
}

fn long_names() -> Vec<String> {
    (0..12).map(|i| format!("{i}-a-family-of-prompts-whose-name-is-sixty-characters-long-{i:02}x")).collect()
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn each(mut rows: Vec<Metric>, change: impl Fn(&mut Metric)) -> Vec<Metric> {
    rows.iter_mut().for_each(change);
    rows
}

/// Ordinary tables; their pictures are committed.
fn ordinary() -> Vec<(&'static str, Figure)> {
    let between = TransferSpec::new(Between::Behaviors);
    vec![
        (
            "layer-sweep",
            layer_sweep(&sweep(&BEHAVIORS[..3], 30, &METHODS), &LayerSweepSpec::default()).unwrap(),
        ),
        ("transfer-groups", transfer(&matrix("blackmail", "group", &GROUPS), &groups()).unwrap()),
        ("transfer-behaviors", transfer(&matrix("", "behavior", &BEHAVIORS[..3]), &between).unwrap()),
        ("histograms", histograms(&bins(&BEHAVIORS[..3]), &HistogramSpec::default()).unwrap()),
    ]
    .into_iter()
    .chain(arms::ordinary())
    .chain(origins::ordinary())
    .chain(causes::ordinary())
    .chain(trails::ordinary())
    .collect()
}

/// Tables at the edges of what can be asked.
fn extreme() -> Vec<(&'static str, Figure)> {
    let spec = LayerSweepSpec::default();
    let sweep_of = |rows: Vec<Metric>| layer_sweep(&rows, &spec).unwrap();
    let flat = |value: f64| {
        move |row: &mut Metric| {
            (row.value, row.low, row.high) = (Some(value), Some(value), Some(value));
        }
    };
    let bare = |row: &mut Metric| (row.low, row.high, row.n, row.interval) = (None, None, None, None);
    let long = long_names();
    let wide = sweep(&refs(&long)[..4], 30, &METHODS);
    let mut holes = matrix("blackmail", "group", &GROUPS[..5]);
    holes.retain(|row| row.fit_on != row.scored_on);
    holes[3].value = None;
    let mut one_class = bins(&BEHAVIORS[..1]);
    one_class.retain(|bin| bin.rows == "positive");
    let only_auroc = |mut rows: Vec<Metric>| {
        rows.retain(|row| row.metric == "auroc");
        rows
    };
    let many: Vec<String> = (0..36).map(|i| format!("group-{i}")).collect();
    let group = |names: &[&str]| transfer(&matrix("blackmail", "group", names), &groups()).unwrap();
    vec![
        ("sweep-one-behavior", sweep_of(sweep(&BEHAVIORS[..1], 30, &METHODS))),
        ("sweep-four-behaviors", sweep_of(sweep(&BEHAVIORS, 30, &METHODS))),
        ("sweep-one-layer", sweep_of(sweep(&BEHAVIORS[..3], 1, &METHODS))),
        ("sweep-two-layers", sweep_of(sweep(&BEHAVIORS[..2], 2, &METHODS[..1]))),
        ("sweep-80-layers", sweep_of(sweep(&BEHAVIORS[..2], 80, &METHODS))),
        ("sweep-long-names", sweep_of(wide)),
        ("sweep-all-1", sweep_of(each(sweep(&BEHAVIORS[..3], 30, &METHODS), flat(1.0)))),
        ("sweep-all-half", sweep_of(each(sweep(&BEHAVIORS[..3], 30, &METHODS), flat(0.5)))),
        ("sweep-all-0", sweep_of(each(sweep(&BEHAVIORS[..3], 30, &METHODS), flat(0.0)))),
        ("sweep-bare", sweep_of(each(only_auroc(sweep(&BEHAVIORS[..3], 30, &METHODS)), bare))),
        ("sweep-twelve", sweep_of(sweep(&refs(&long), 12, &METHODS[..3]))),
        ("transfer-long-names", group(&refs(&long))),
        ("transfer-one-group", group(&GROUPS[..1])),
        ("transfer-two-long", group(&refs(&long)[..2])),
        ("transfer-eight", group(&GROUPS[..8])),
        ("transfer-36", group(&refs(&many))),
        ("transfer-holes", transfer(&holes, &groups()).unwrap()),
        ("histograms-one", histograms(&bins(&BEHAVIORS[..1]), &HistogramSpec::default()).unwrap()),
        ("histograms-four", histograms(&bins(&BEHAVIORS), &HistogramSpec::default()).unwrap()),
        ("histograms-one-class", histograms(&one_class, &HistogramSpec::default()).unwrap()),
    ]
    .into_iter()
    .chain(arms::extreme())
    .chain(origins::extreme())
    .chain(causes::extreme())
    .chain(trails::extreme())
    .collect()
}

/// Set `HEIRLOOM_FIGURE_LOOK` to a folder to look at every picture of these tests.
#[test]
fn text_never_overlaps_or_leaves_the_page() {
    let look = std::env::var_os("HEIRLOOM_FIGURE_LOOK").map(PathBuf::from);
    for (name, figure) in ordinary().into_iter().chain(extreme()) {
        if let Some(folder) = &look {
            figure.picture.write(&folder.join(name)).unwrap();
            heirloom_record::write_file(
                &folder.join(format!("{name}.txt")),
                figure.caption.to_string().as_bytes(),
            )
            .unwrap();
        }
        let (width, height) = figure.picture.size();
        assert!(width == crate::ONE_COLUMN || width == crate::FULL_WIDTH, "{name} is {width} pt wide");
        let labels: Vec<_> = figure.picture.canvas.labels().filter(|label| !label.text.is_empty()).collect();
        for (index, label) in labels.iter().enumerate() {
            let [left, top, right, bottom] = label.bounds();
            let inside = left >= 1.0 && top >= 1.0 && right <= width - 1.0 && bottom <= height - 1.0;
            assert!(inside, "{name}: `{}` leaves the page: {:?}", label.text, label.bounds());
            for other in &labels[index + 1..] {
                let [l, t, r, b] = other.bounds();
                let apart = right <= l || r <= left || bottom <= t || b <= top;
                assert!(apart, "{name}: `{}` and `{}` overlap", label.text, other.text);
            }
        }
    }
}

/// Set `HEIRLOOM_UPDATE_SNAPSHOTS` to write them anew, and look at each before it is committed.
#[test]
fn pictures_are_the_committed_ones_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for (name, figure) in ordinary() {
        let svg = figure.picture.svg().unwrap();
        let path = folder.join(format!("{name}.svg"));
        if std::env::var_os("HEIRLOOM_UPDATE_SNAPSHOTS").is_some() {
            heirloom_record::write_file(&path, svg.as_bytes()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(svg == committed, "`{}` is no longer what is drawn", path.display());
    }
}

#[test]
fn a_png_is_the_same_twice_and_has_300_dots_an_inch() {
    let figure = || layer_sweep(&sweep(&BEHAVIORS[..1], 4, &METHODS), &LayerSweepSpec::default()).unwrap();
    let png = figure().picture.png().unwrap();
    assert_eq!(png, figure().picture.png().unwrap());
    let decoder = png::Decoder::new(&png[..]);
    let reader = decoder.read_info().unwrap();
    let info = reader.info();
    let height = figure().picture.size().1;
    assert_eq!(info.width, 1020);
    assert!((f64::from(info.height) - height / 72.0 * 300.0).abs() <= 0.5);
    // 300 dots per inch in dots per meter.
    assert_eq!(info.pixel_dims.unwrap().xppu, 11811);
}

/// Text that can be selected, in fonts that are inside: `pdftotext` and `pdffonts` say so of each, where they are installed.
#[test]
fn a_pdf_is_the_same_twice_and_has_the_size_of_the_page() {
    for (name, figure) in ordinary() {
        let pdf = figure.picture.pdf().unwrap();
        assert!(pdf == figure.picture.pdf().unwrap(), "{name}");
        let text = String::from_utf8_lossy(&pdf);
        let (width, height) = figure.picture.size();
        let [width, height] = [width, height].map(|side| (side * 1000.0).round() / 1000.0);
        assert!(text.contains(&format!("/MediaBox [0 0 {width} {height}]")), "{name}: {width} × {height}");
        assert!(pdf.len() < 120_000, "{name} takes {} bytes", pdf.len());
    }
}

#[test]
fn what_a_table_lacks_is_named() {
    let rows = sweep(&BEHAVIORS[..2], 3, &METHODS);
    let check = |rows: &[Metric], spec: &LayerSweepSpec, message: &str, hint: &str| {
        let error = layer_sweep(rows, spec).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().unwrap_or_default(), hint);
    };
    let spec = LayerSweepSpec::default();
    check(&[], &spec, "no rows to draw: the table holds no `auroc`", "");
    let transfers = matrix("blackmail", "group", &GROUPS[..2]);
    check(
        &transfers,
        &spec,
        "no rows to draw: the table holds no `auroc`",
        "metrics in the table: `transfer_auroc`",
    );
    let typo = LayerSweepSpec { headline: "logistc".into(), ..spec.clone() };
    check(&rows, &typo, "no `auroc of blackmail` row has method `logistc`", "near names: `logistic`");
    let split = LayerSweepSpec { scored_on: "report groups".into(), ..spec.clone() };
    check(&rows, &split, "no `auroc` row has scored_on `report groups`", "the table has: `selection groups`");
    let absent = LayerSweepSpec { behaviors: vec!["flattery".into()], ..spec.clone() };
    check(
        &rows,
        &absent,
        "no `auroc` row has behavior `flattery`",
        "the table has: `blackmail`, `date-confusion`",
    );
    let mut arms = rows.clone();
    arms[0].arm = Some("other".into());
    let differ = "the `auroc` rows differ in arm: `other`, `SmolLM2-135M-Instruct`";
    check(&arms, &spec, differ, "name the arm to draw");
    let mut twice = rows.clone();
    twice.push(rows[0].clone());
    let message = layer_sweep(&twice, &spec).unwrap_err().to_string();
    assert!(
        message.starts_with("two `auroc of blackmail` rows are both for `blackmail`, `blocks.0."),
        "{message}"
    );
    let nan = each(rows.clone(), |row| row.value = Some(f64::NAN));
    assert!(matches!(layer_sweep(&nan, &spec), Err(Error::NotFinite { .. })));
    let embedded = each(rows, |row| row.hook = Some(HookPoint::Embed));
    assert!(layer_sweep(&embedded, &spec).is_err());
}

#[test]
fn what_other_tables_lack_is_named_too() {
    let spec = TransferSpec::new(Between::Behaviors);
    let error = transfer(&matrix("blackmail", "group", &GROUPS[..2]), &spec).unwrap_err();
    assert_eq!(error.to_string(), "no `transfer_auroc` row has fit_on and scored_on `behavior:…`");
    let many: Vec<String> = (0..60).map(|i| i.to_string()).collect();
    let error = transfer(&matrix("blackmail", "group", &refs(&many)), &groups()).unwrap_err();
    assert!(matches!(error, Error::TooMany { found: 60, .. }), "{error}");
    let mut two_hooks: Vec<Histogram> = bins(&BEHAVIORS[..1]);
    two_hooks[0].hook = HookPoint::resid_post(3);
    let error = histograms(&two_hooks, &HistogramSpec::default()).unwrap_err();
    assert!(error.to_string().starts_with("the `histogram of blackmail` rows differ in hook"), "{error}");
    let error = histograms(&[], &HistogramSpec::default()).unwrap_err();
    assert_eq!(error.to_string(), "no rows to draw: the table holds no `histogram`");
}

#[test]
fn captions_state_counts_and_intervals() {
    let captions: Vec<String> = ordinary().iter().map(|(_, figure)| figure.caption.to_string()).collect();
    assert!(
        captions[0].contains("n = 160 pairs. Ribbon of dom: 95 % cluster bootstrap over pairs."),
        "{}",
        captions[0]
    );
    assert!(
        captions[0].contains("Gray, null: shuffled labels: 2.5–97.5 % of draws, n = 200."),
        "{}",
        captions[0]
    );
    assert!(captions[1].contains("n = 20 pairs"), "{}", captions[1]);
    assert!(captions[3].contains("positive") && captions[3].contains("56 topic-only"), "{}", captions[3]);
}

/// Deuteranopia after Machado, Oliveira and Fernandes (2009), severity 1, then CIE76 in CIELAB.
#[test]
fn meanings_of_one_figure_differ_to_color_blind_readers() {
    let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
    let seen = |Color(r, g, b): Color| {
        let [r, g, b] = [linear(r), linear(g), linear(b)];
        [
            0.367_322 * r + 0.860_646 * g - 0.227_968 * b,
            0.280_085 * r + 0.672_501 * g + 0.047_413 * b,
            -0.011_820 * r + 0.042_940 * g + 0.968_881 * b,
        ]
    };
    let lab = |[r, g, b]: [f64; 3]| {
        let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
        let y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
        let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    };
    let families: [&[(&str, style::Look)]; 6] =
        [&style::METHODS, &style::BEHAVIORS, &style::ORIGINS, &style::ARMS, &style::RANKERS, &style::ROWS];
    for family in families {
        for (index, (name, look)) in family.iter().enumerate() {
            for (other_name, other) in &family[index + 1..] {
                let (a, b) = (lab(seen(look.color)), lab(seen(other.color)));
                let apart: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                assert!(apart >= 15.0, "`{name}` and `{other_name}` differ by {apart:.1}");
                assert!(look.marker != other.marker && look.dash != other.dash, "{name}, {other_name}");
            }
        }
    }
}
