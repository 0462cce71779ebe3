//! Newton's method for the logistic objective, by preconditioned conjugate gradients.
//!
//! Each pass reads the matrix once. The metric `λI + κ xᵀx`, the Hessian if all rows had the mean curvature `κ`, is factored once per C from one Gram
//! matrix; in it the Hessian's eigenvalues lie close together whatever the spectrum of the rows, so a fit takes ten to thirty passes. With fewer rows
//! than columns everything happens in the rows' span.

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use crate::dataset::{check_both_classes, check_rows};
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, column_gram, dot};
use crate::logistic::{Logistic, LogisticModel, mean_log_loss, sigmoid};
use crate::row_space::RowSpace;

/// Rows, labels and the Gram matrix that every C shares.
pub(crate) struct Problem<'a> {
    x: ArrayView2<'a, f64>,
    row_space: Option<RowSpace>,
    targets: Vec<f64>,
    gram: Array2<f64>,
}

impl<'a> Problem<'a> {
    /// Moves to the row space when there are fewer rows than columns.
    pub(crate) fn new(x: ArrayView2<'a, f64>, labels: &[bool]) -> Result<Self> {
        check_rows("labels", x.nrows(), labels.len())?;
        check_both_classes("logistic fit", labels)?;
        if let Some(((row, column), value)) = x.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NonFinite { row, column, value: *value });
        }
        let row_space = (x.nrows() < x.ncols()).then(|| RowSpace::new(x));
        let gram = match &row_space {
            Some(space) => column_gram(space.coordinates.view()),
            None => column_gram(x),
        };
        let targets = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
        Ok(Self { x, row_space, targets, gram })
    }

    /// True when the fit runs in coordinates of the rows' span.
    pub(crate) fn in_row_space(&self) -> bool {
        self.row_space.is_some()
    }

    /// The optimum at one C, from `start` (the result for a neighboring C) or from zero.
    pub(crate) fn minimize(&self, settings: &Logistic, start: Option<&Point>) -> Result<LogisticModel> {
        let (point, trace) = self.newton(settings, start)?;
        Ok(self.model(settings, &point, trace))
    }

    /// Weights over the columns of `x` for a point in the solver's coordinates.
    pub(crate) fn model(&self, settings: &Logistic, point: &Point, trace: Trace) -> LogisticModel {
        let beta = Array1::from_vec(point.weights.clone());
        let weights =
            self.row_space.as_ref().map_or(beta.clone(), |space| space.weights(self.x, beta.view()));
        LogisticModel {
            weights,
            intercept: point.intercept,
            objective: trace.mean_objective * settings.strength * self.targets.len() as f64,
            iterations: trace.iterations,
            gradient_norm: trace.gradient_norm,
        }
    }

    /// Newton's method on the mean loss plus `½λ‖w‖²`, `λ = 1/(C n)`.
    pub(crate) fn newton(&self, settings: &Logistic, start: Option<&Point>) -> Result<(Point, Trace)> {
        settings.check()?;
        let rows = match &self.row_space {
            Some(space) => space.coordinates.view(),
            None => self.x.view(),
        };
        let rows = rows.as_standard_layout();
        let pass = Pass { rows: rows.as_slice().unwrap_or(&[]), width: rows.ncols() };
        let n = self.targets.len() as f64;
        let lambda = (settings.strength * n).recip();
        let mut point =
            start.cloned().unwrap_or_else(|| Point { weights: vec![0.0; pass.width], intercept: 0.0 });
        let mut margins = pass.margins(&point);
        let mut metric: Option<Cholesky> = None;
        let mut first_norm = None;
        let mut iterations = 0;
        loop {
            let probabilities: Vec<f64> = margins.iter().map(|m| sigmoid(*m)).collect();
            let residuals: Vec<f64> =
                probabilities.iter().zip(&self.targets).map(|(p, y)| (p - y) / n).collect();
            let gradient = Point {
                weights: add_scaled(&pass.combine(|row| residuals[row]), lambda, &point.weights),
                intercept: residuals.iter().sum(),
            };
            let value = self.mean_objective(&margins, &point.weights, lambda);
            let gradient_norm = gradient.largest();
            if gradient_norm <= settings.tolerance {
                return Ok((point, Trace { iterations, gradient_norm, mean_objective: value }));
            }
            if iterations == settings.max_iterations {
                return Err(Error::NotConverged {
                    strength: settings.strength,
                    iterations,
                    gradient_norm,
                    tolerance: settings.tolerance,
                });
            }
            iterations += 1;
            let curvature: Vec<f64> = probabilities.iter().map(|p| p * (1.0 - p) / n).collect();
            if metric.is_none() {
                metric = Some(self.metric(lambda, curvature.iter().sum::<f64>() / n)?);
            }
            // Eisenstat and Walker's forcing: loose far away, superlinear close by.
            let forcing = (gradient_norm / *first_norm.get_or_insert(gradient_norm)).sqrt().min(0.3);
            let hessian = Hessian { pass: &pass, curvature: &curvature, lambda };
            let step = hessian.solve(&gradient, metric.as_ref(), forcing);
            let slope = gradient.dot(&step.direction);
            let mut length = 1.0;
            loop {
                let trial: Vec<f64> = add_scaled(&margins, length, &step.margins);
                let weights = add_scaled(&point.weights, length, &step.direction.weights);
                let trial_value = self.mean_objective(&trial, &weights, lambda);
                // Armijo; the last term forgives rounding once steps no longer show in the objective.
                if trial_value <= value + 1e-4 * length * slope + 1e-14 * value.abs() || length < 1e-9 {
                    point = Point { weights, intercept: point.intercept + length * step.direction.intercept };
                    margins = trial;
                    break;
                }
                length *= 0.5;
            }
        }
    }

    fn mean_objective(&self, margins: &[f64], weights: &[f64], lambda: f64) -> f64 {
        mean_log_loss(margins, &self.targets) + 0.5 * lambda * dot(weights, weights)
    }

    /// `λI + κ xᵀx`: the Hessian if every row had the mean curvature `κ`.
    fn metric(&self, lambda: f64, mean_curvature: f64) -> Result<Cholesky> {
        let mut metric = &self.gram * mean_curvature;
        metric.diag_mut().mapv_inplace(|entry| entry + lambda);
        Cholesky::new(metric)
    }
}

/// Weights and intercept in the solver's coordinates.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) weights: Vec<f64>,
    pub(crate) intercept: f64,
}

impl Point {
    fn dot(&self, other: &Self) -> f64 {
        dot(&self.weights, &other.weights) + self.intercept * other.intercept
    }

    fn largest(&self) -> f64 {
        self.weights.iter().fold(self.intercept.abs(), |largest, entry| largest.max(entry.abs()))
    }

    fn add_scaled(&self, scale: f64, other: &Self) -> Self {
        Self {
            weights: add_scaled(&self.weights, scale, &other.weights),
            intercept: self.intercept + scale * other.intercept,
        }
    }
}

/// How a solve ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    pub(crate) iterations: usize,
    pub(crate) gradient_norm: f64,
    pub(crate) mean_objective: f64,
}

/// Reads the matrix once per call, in blocks of rows whose partial sums are added in order.
struct Pass<'a> {
    rows: &'a [f64],
    width: usize,
}

const ROWS_PER_BLOCK: usize = 256;

impl Pass<'_> {
    fn margins(&self, point: &Point) -> Vec<f64> {
        let row = |row: &[f64]| dot(row, &point.weights) + point.intercept;
        self.rows
            .par_chunks(self.width * ROWS_PER_BLOCK)
            .flat_map_iter(|b| b.chunks(self.width).map(row))
            .collect()
    }

    /// `Σᵢ amount(i) xᵢ`.
    fn combine(&self, amount: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
        self.fold(|index, _| ((), amount(index))).0
    }

    /// `Σᵢ aᵢ xᵢ` where `(kept, aᵢ) = amount(i, xᵢ)`, and what was kept of each row, in one reading of the matrix.
    fn fold<T: Send>(&self, amount: impl Fn(usize, &[f64]) -> (T, f64) + Sync) -> (Vec<f64>, Vec<T>) {
        let blocks: Vec<(Vec<f64>, Vec<T>)> = self
            .rows
            .par_chunks(self.width * ROWS_PER_BLOCK)
            .enumerate()
            .map(|(block, rows)| {
                let mut sum = vec![0.0; self.width];
                let mut kept = Vec::with_capacity(ROWS_PER_BLOCK);
                for (offset, row) in rows.chunks(self.width).enumerate() {
                    let (keep, amount) = amount(block * ROWS_PER_BLOCK + offset, row);
                    for (sum, entry) in sum.iter_mut().zip(row) {
                        *sum += amount * entry;
                    }
                    kept.push(keep);
                }
                (sum, kept)
            })
            .collect();
        let mut sum = vec![0.0; self.width];
        let mut kept = Vec::with_capacity(blocks.len() * ROWS_PER_BLOCK);
        for (partial, of_block) in blocks {
            for (sum, partial) in sum.iter_mut().zip(partial) {
                *sum += partial;
            }
            kept.extend(of_block);
        }
        (sum, kept)
    }
}

/// The objective's second derivative at one point.
struct Hessian<'a> {
    pass: &'a Pass<'a>,
    curvature: &'a [f64],
    lambda: f64,
}

/// A Newton direction and what it adds to each row's margin.
struct Step {
    direction: Point,
    margins: Vec<f64>,
}

impl Hessian<'_> {
    /// Preconditioned conjugate gradients for `H d = −g`, to a relative residual of `forcing` in the metric.
    fn solve(&self, gradient: &Point, metric: Option<&Cholesky>, forcing: f64) -> Step {
        let total: f64 = self.curvature.iter().sum();
        let precondition = |r: &Point| {
            let mut weights = r.weights.clone();
            if let Some(metric) = metric {
                metric.solve_in_place(&mut weights);
            }
            Point { weights, intercept: r.intercept / total.max(f64::MIN_POSITIVE) }
        };
        let mut direction = Point { weights: vec![0.0; self.pass.width], intercept: 0.0 };
        let mut margins = vec![0.0; self.curvature.len()];
        let mut residual =
            Point { weights: vec![0.0; self.pass.width], intercept: 0.0 }.add_scaled(-1.0, gradient);
        let mut search = precondition(&residual);
        let mut energy = residual.dot(&search);
        let enough = energy * forcing * forcing;
        for _ in 0..=self.pass.width {
            let (image, along) = self.apply(&search);
            let curvature = search.dot(&image);
            if curvature <= 0.0 {
                break;
            }
            let length = energy / curvature;
            direction = direction.add_scaled(length, &search);
            margins = add_scaled(&margins, length, &along);
            residual = residual.add_scaled(-length, &image);
            let next = precondition(&residual);
            let next_energy = residual.dot(&next);
            if next_energy <= enough {
                break;
            }
            search = next.add_scaled(next_energy / energy, &search);
            energy = next_energy;
        }
        Step { direction, margins }
    }

    /// `H v`, and `x v` on the way.
    fn apply(&self, v: &Point) -> (Point, Vec<f64>) {
        let (sum, along) = self.pass.fold(|index, row| {
            let margin = dot(row, &v.weights) + v.intercept;
            (margin, self.curvature[index] * margin)
        });
        let image = Point {
            weights: add_scaled(&sum, self.lambda, &v.weights),
            intercept: dot(self.curvature, &along),
        };
        (image, along)
    }
}

fn add_scaled(a: &[f64], scale: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + scale * b).collect()
}
