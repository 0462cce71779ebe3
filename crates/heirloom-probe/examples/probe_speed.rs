//! Times every method on the rows that `tools/bench/probe_sklearn.py --data FILE` wrote; its twin.
//!
//! `cargo run --release -p heirloom-probe --example probe_speed -- FILE`, with `RAYON_NUM_THREADS=2`. The logistic
//! probe searches the same seven strengths over five grouped folds and refits on all training rows. Prints one JSON
//! object.

use std::time::Instant;

use heirloom_probe::direction::Detail;
use heirloom_probe::{Dataset, FitOptions, Method, fit, score};
use ndarray::{Array2, Axis};
use safetensors::SafeTensors;

/// Times each method is run; the fastest counts.
const REPEAT: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: probe_speed FILE")?;
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let x = file.tensor("x")?;
    let values = x.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let x = Array2::from_shape_vec((x.shape()[0], x.shape()[1]), values)?;
    let whole = |name: &str| -> Result<Vec<i64>, safetensors::SafeTensorError> {
        let eight = |b: &[u8]| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        Ok(file.tensor(name)?.data().chunks_exact(8).map(eight).collect())
    };
    let (y, group, fold) = (whole("y")?, whole("group")?, whole("fold")?);
    let part = |train: bool| -> Result<Dataset, heirloom_probe::Error> {
        let rows: Vec<usize> = (0..fold.len()).filter(|row| (fold[*row] >= 0) == train).collect();
        let labels = rows.iter().map(|row| y[*row] == 1).collect();
        let groups: Vec<String> = rows.iter().map(|row| format!("{:05}", group[*row])).collect();
        Dataset::new(x.select(Axis(0), &rows), labels, &groups, &groups)
    };
    let (train, test) = (part(true)?, part(false)?);

    let mut options = FitOptions::default();
    options.logistic.strengths = (-4..=2).map(|power| 10_f64.powi(power)).collect();
    options.logistic.folds = 5;
    let mut report = serde_json::json!({
        "what": "heirloom probes", "rows": train.n_rows(), "held_out": test.n_rows(), "columns": train.d_model(),
        "threads": std::env::var("RAYON_NUM_THREADS").unwrap_or_default(),
    });
    for method in Method::ALL.into_iter().filter(|method| *method != Method::Pca) {
        let mut seconds = f64::INFINITY;
        let mut found = None;
        for _ in 0..REPEAT {
            let start = Instant::now();
            found = Some(fit(method, &train, &options)?);
            seconds = seconds.min(start.elapsed().as_secs_f64());
        }
        let probe = found.ok_or("REPEAT is zero")?;
        let held_out = score::auroc(&probe.score(test.x())?, test.labels())?;
        report[method.name()] = serde_json::json!({ "seconds": seconds, "held_out_auroc": held_out });
        if let Detail::Logistic(logistic) = &probe.report.detail {
            report[method.name()]["best_c"] = logistic.strength.into();
        }
    }
    println!("{report}");
    Ok(())
}
