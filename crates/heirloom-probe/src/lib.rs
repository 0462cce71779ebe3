//! Directions, probes, scores and intervals: pure functions of arrays.
//!
//! Activations and labels go in as a [`Dataset`], a [`Split`] keeps prompt families whole, [`fit`] finds a direction, and everything published
//! afterwards is an [`Interval`] or stands beside a [`control::NullBand`]. Nothing here reads a file, a clock or a tensor; randomness comes from a
//! generator the caller seeds, and equal inputs give equal bits on any number of threads.
//!
//! Activations are stored as f32; every sum, factorization and score is f64.
//!
//! # Example
//!
//! ```
//! use heirloom_probe::random::ChaCha8Rng;
//! use heirloom_probe::{Dataset, FitOptions, Method, Resampling, Shares, Split, auroc_interval, fit};
//! use ndarray::Array2;
//! use rand::SeedableRng;
//!
//! // Twelve contrast pairs in four prompt families; the behavior adds one along the second axis.
//! let labels: Vec<bool> = (0..24).map(|row| row % 2 == 1).collect();
//! let x = Array2::from_shape_fn((24, 3), |(row, column)| {
//!     let noise = ((row * 7 + column * 5) % 11) as f32 / 11.0;
//!     noise + if labels[row] && column == 1 { 1.0 } else { 0.0 }
//! });
//! let pairs: Vec<String> = (0..24).map(|row| format!("pair-{:02}", row / 2)).collect();
//! let families: Vec<String> = (0..24).map(|row| format!("family-{}", row / 6)).collect();
//! let data = Dataset::new(x, labels, &pairs, &families)?;
//!
//! let rng = ChaCha8Rng::seed_from_u64(0);
//! let split = Split::by_group(&data, Shares::default(), &rng)?;
//! let probe = fit(Method::DifferenceOfMeans, &split.fit_of(&data)?, &FitOptions::default())?;
//! let report = split.report_of(&data)?;
//! let scores = probe.score(report.x())?;
//! let auroc = auroc_interval(&scores, report.labels(), report.clusters(), Resampling::default(), &rng)?;
//! assert!(auroc.value > 0.9 && auroc.low < auroc.value);
//! # Ok::<(), heirloom_probe::Error>(())
//! ```

#![expect(clippy::doc_markdown, reason = "DeLong and AUROC are not code")]

// What goes in.
pub mod clusters;
pub mod dataset;
pub mod error;
mod parallel;
pub mod random;
pub mod split;

// From activations to a probe.
pub mod covariance;
pub mod direction;
mod linalg;
pub mod logistic;
mod newton;
pub mod pairs;
mod row_space;
pub mod standardize;
pub mod strength;

// From scores to a number with its interval.
pub mod bootstrap;
pub mod delong;
pub mod interval;
pub mod ranked;
pub mod rate;
pub mod score;
pub mod seeds;

// What the number has to stand beside.
pub mod control;
pub mod fragility;
pub mod layer;
pub mod transfer;

// From one model to a series, and to what caused it.
pub mod attribution;
pub mod causal;
mod curves;
pub mod erasure;
pub mod refits;
pub mod subspace;
pub mod track;

// What numbers of many arms say about where a behavior comes from.
pub mod joint;
pub mod origin;
pub mod verdict;

pub use bootstrap::{Resampling, auroc_interval};
pub use dataset::Dataset;
pub use direction::{FitOptions, Method, Probe, fit};
pub use error::{Error, Result};
pub use interval::{Interval, Kind};
pub use split::{Shares, Split};
