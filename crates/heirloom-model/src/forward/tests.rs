//! What a device computes, with candle's own operations, against the kernels: in f64 on the processor, in every family.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::rope::Angles;
use crate::{Clock, LoadOptions, Source};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Every model among the fixtures.
fn models() -> Vec<PathBuf> {
    let folders = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = folders(fixtures()).chain(folders(fixtures().join("families")));
    let mut all: Vec<PathBuf> = all
        .filter(|folder| {
            folder.join("config.json").is_file() && !folder.join("adapter_config.json").is_file()
        })
        .collect();
    all.sort();
    all
}

fn model(folder: &Path) -> Model {
    let options = LoadOptions::new("2026-01-15".parse::<Clock>().unwrap());
    Source::open(folder).unwrap().load(&options).unwrap().model().clone()
}

/// Rows of mixed lengths, one longer than a chunk where the model reads so far, with room for two tokens more.
fn rows(config: &Config) -> Vec<Vec<u32>> {
    let token = |row: usize, i: usize| ((row * 31 + i * 7 + i * i) % config.d_vocab) as u32;
    [9, 70.min(config.n_ctx - 2), 1]
        .into_iter()
        .enumerate()
        .map(|(row, n)| (0..n).map(|i| token(row, i)).collect())
        .collect()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |top: f64, x| top.max(x.abs()));
    let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let gap = gap.fold(0.0, |top: f64, x| if x > top || x.is_nan() { x } else { top });
    assert!(gap <= 2e-5 * scale, "{what}: {gap:e} of {scale}");
}

/// Logits of every token, and every point but those inside attention, which the kernels would not reach.
fn outside(model: &Model) -> Vec<(String, Vec<f64>)> {
    let rows = rows(&model.config);
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let batch = Batch::new(&rows, &model.rotary, &model.device).unwrap();
    let is_inside = |point: &HookPoint| {
        let inside = [Site::Q, Site::K, Site::V, Site::RotQ, Site::RotK, Site::AttnScores, Site::Pattern];
        matches!(point, HookPoint::Block { site, .. } if inside.contains(site))
    };
    let watched = model.config.hooks().into_iter().filter(|point| !is_inside(point)).collect();
    let mut seen = Vec::new();
    let mut see = |point: HookPoint, x: &Tensor| {
        seen.push((point.to_string(), numbers(x)));
        Ok(())
    };
    let mut hooks = Hooks::new(None, &watched, true, &mut see);
    let x = model.to_the_end(&batch, None, &mut hooks).unwrap();
    seen.push(("logits".into(), numbers(&model.logits(&x).unwrap())));
    seen
}

/// Logits of the last token of each row, read in three pieces with what was kept of the earlier ones.
fn in_pieces(model: &Model) -> Vec<f64> {
    let rows = rows(&model.config);
    let room: Vec<usize> = rows.iter().map(|row| row.len() + 2).collect();
    let mut cache = model.cache(&room).unwrap();
    let angles = Angles::new(&model.rotary, 80);
    let more: Vec<[u32; 2]> = rows.iter().map(|row| [row[0], row[row.len() / 2]]).collect();
    let none = BTreeSet::default();
    let pass = |cache: &mut Cache, rows: Vec<&[u32]>| {
        let batch = Batch::next(&rows, cache, &angles, &model.device).unwrap();
        let mut see = |_: HookPoint, _: &Tensor| Ok(());
        let x = model.to_the_end(&batch, Some(cache), &mut Hooks::new(None, &none, true, &mut see)).unwrap();
        let last: Vec<u32> = batch.segments.iter().map(|segment| segment.q.end as u32 - 1).collect();
        let last = x.index_select(&Tensor::new(last, &model.device).unwrap(), 0).unwrap();
        numbers(&model.logits(&last).unwrap())
    };
    pass(&mut cache, rows.iter().map(Vec::as_slice).collect());
    pass(&mut cache, more.iter().map(|row| &row[..1]).collect());
    // The middle row has ended; the last one is drawn twice.
    cache.retain(&[true, false, true]).unwrap();
    let mut cache = cache.copies(&[0, 1, 1]).unwrap();
    pass(&mut cache, [0, 2, 2].map(|row: usize| &more[row][1..]).to_vec())
}

#[test]
fn operations_of_a_device_are_the_kernels_in_every_family() {
    let models = models();
    assert!(models.len() >= 40, "{} models", models.len());
    for folder in models {
        let model = model(&folder);
        let composed = model.computing_in(DType::F64).unwrap();
        let (found, expected) = (outside(&model), outside(&composed));
        let points =
            |seen: &[(String, Vec<f64>)]| seen.iter().map(|(point, _)| point.clone()).collect::<Vec<_>>();
        assert_eq!(points(&found), points(&expected), "{}", folder.display());
        for ((point, found), (_, expected)) in found.iter().zip(&expected) {
            near(&format!("{} {point}", folder.display()), found, expected);
        }
        near(&format!("{} in pieces", folder.display()), &in_pieces(&model), &in_pieces(&composed));
    }
}

/// What is kept between pieces changes nothing.
#[test]
fn pieces_on_a_device_are_the_whole() {
    for name in ["qwen35", "gemma2-capped", "olmo3-default"] {
        let model = model(&fixtures().join("families").join(name)).computing_in(DType::F64).unwrap();
        let (rows, pieces) = (rows(&model.config), in_pieces(&model));
        let whole = |row: &Vec<u32>| {
            let row = [row.as_slice(), &[row[0], row[row.len() / 2]]].concat();
            let batch = Batch::new(&[&row], &model.rotary, &model.device).unwrap();
            let none = BTreeSet::default();
            let mut see = |_: HookPoint, _: &Tensor| Ok(());
            let x = model.to_the_end(&batch, None, &mut Hooks::new(None, &none, true, &mut see)).unwrap();
            numbers(&model.logits(&x.narrow(0, row.len() - 1, 1).unwrap()).unwrap())
        };
        let last = whole(&rows[2]);
        near(name, &pieces, &[whole(&rows[0]), last.clone(), last].concat());
    }
}
