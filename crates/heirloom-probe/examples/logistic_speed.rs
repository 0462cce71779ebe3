//! Times every method on synthetic activations, 4000 × 576 unless told otherwise, on as many threads as `RAYON_NUM_THREADS` says.
//!
//! `cargo run --release -p heirloom-probe --example logistic_speed [rows] [columns] [linfa]`
//!
//! The activations come from one integer hash, so that a script in another language can make the same ones: 24 shared factors with decaying loadings plus noise,
//! and a behavior along one hashed axis. With `linfa`, linfa-logistic fits the same z-scored rows at the chosen C.

use std::time::Instant;

use heirloom_probe::direction::Detail;
use heirloom_probe::standardize::Standardizer;
use heirloom_probe::{Dataset, FitOptions, Method, fit, score};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size =
        |index: usize, default: usize| arguments.get(index).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (rows, columns) = (size(0, 4000), size(1, 576));
    let data = activations(rows, columns)?;
    println!("{rows} rows, {columns} columns, {} groups", data.group_names().len());
    for method in Method::ALL {
        let mut seconds = Vec::new();
        let mut line = String::new();
        for _ in 0..3 {
            let start = Instant::now();
            let probe = fit(method, &data, &FitOptions::default())?;
            seconds.push(start.elapsed().as_secs_f64());
            let own = score::auroc(&probe.score(data.x())?, data.labels())?;
            line = match &probe.report.detail {
                Detail::Logistic(report) => {
                    format!("C {} objective {:.9} {report:?}", report.strength, report.objective)
                }
                Detail::Lda(shrinkage) => format!("{shrinkage:?}"),
                _ => String::new(),
            };
            line = format!("AUROC on its own rows {own:.6} {line}");
        }
        println!(
            "{:9} {:8.1} ms  {line}",
            method.name(),
            1e3 * seconds.iter().copied().fold(f64::MAX, f64::min)
        );
    }
    if arguments.iter().any(|argument| argument == "linfa") {
        let z = Standardizer::fit(data.x()).transform(data.x());
        for strength in [0.01, 1.0, 100.0] {
            let labels: Array1<bool> = data.labels().iter().copied().collect();
            let records = DatasetBase::new(z.clone(), labels);
            let start = Instant::now();
            let theirs = linfa_logistic::LogisticRegression::default()
                .alpha(1.0 / strength)
                .max_iterations(1000)
                .gradient_tolerance(1e-4)
                .fit(&records)?;
            let linfa = start.elapsed();
            let start = Instant::now();
            let ours = heirloom_probe::logistic::Logistic { strength, ..Default::default() }.fit(&records)?;
            println!(
                "C {strength}: linfa-logistic {linfa:?}, here {:?}, cosine {:.9}",
                start.elapsed(),
                theirs.params().dot(&ours.weights).abs()
                    / (theirs.params().dot(theirs.params()) * ours.weights.dot(&ours.weights)).sqrt()
            );
        }
    }
    Ok(())
}

fn activations(rows: usize, columns: usize) -> Result<Dataset, heirloom_probe::Error> {
    const FACTORS: usize = 24;
    let factors = uniform(1, rows, FACTORS);
    let mut loadings = uniform(2, FACTORS, columns);
    for (factor, mut row) in loadings.rows_mut().into_iter().enumerate() {
        row *= 8.0 / (factor + 1) as f64;
    }
    let axis = uniform(3, 1, columns);
    let labels: Vec<bool> = (0..rows).map(|row| row % 2 == 1).collect();
    let mut x = factors.dot(&loadings) + uniform(4, rows, columns);
    for (mut row, label) in x.rows_mut().into_iter().zip(&labels) {
        row.scaled_add(if *label { 0.12 } else { 0.0 }, &axis.row(0));
    }
    let pairs: Vec<String> = (0..rows).map(|row| format!("pair-{:05}", row / 2)).collect();
    let groups: Vec<String> = (0..rows).map(|row| format!("family-{:02}", row * 20 / rows)).collect();
    Dataset::new(x.mapv(narrowed), labels, &pairs, &groups)
}

#[expect(clippy::cast_possible_truncation, reason = "activations are stored as f32")]
fn narrowed(value: f64) -> f32 {
    value as f32
}

/// Hashed numbers in `[−1, 1)`.
fn uniform(seed: u64, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        // splitmix64
        let mut z =
            (seed << 40).wrapping_add((row * columns + column) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / 2_f64.powi(52) - 1.0
    })
}
