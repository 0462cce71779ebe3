//! Fewer rows than columns: the same objective in as many coordinates as the rows span.
//!
//! The L2 penalty keeps the optimum in the span of the rows, `w = zᵀ a`. With `z zᵀ = L Lᵀ` and `β = Lᵀ a`, scores are `z w = L β` and
//! `‖w‖ = ‖β‖`, so a fit on the rows of `L` is the fit on the rows of `z`, exactly. Pivoting stops `L` at the rank: centred or repeated rows
//! make `z zᵀ` singular. A symmetric eigensolver would do too, at 60 times the cost for 400 rows.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::linalg::{dot, row_gram};

/// Coordinates of rows in an orthonormal basis of their span, and the way back.
pub(crate) struct RowSpace {
    /// `[rows, rank]`, the pivoted Cholesky factor in the original order of rows.
    pub(crate) coordinates: Array2<f64>,
    pivots: Vec<usize>,
}

impl RowSpace {
    /// Factors `z zᵀ` with diagonal pivoting; `z` is `[rows, columns]`.
    pub(crate) fn new(z: ArrayView2<f64>) -> Self {
        let gram = row_gram(z);
        let n = gram.nrows();
        let mut left = gram.diag().to_vec();
        let negligible = left.iter().copied().fold(0.0, f64::max) * n as f64 * f64::EPSILON;
        let mut factor: Vec<Vec<f64>> = vec![Vec::with_capacity(n); n];
        let mut pivots: Vec<usize> = Vec::new();
        let mut open: Vec<usize> = (0..n).collect();
        while let Some(at) = (0..open.len()).max_by(|a, b| left[open[*a]].total_cmp(&left[open[*b]])) {
            let pivot = open.swap_remove(at);
            if left[pivot] <= negligible {
                break;
            }
            let root = left[pivot].sqrt();
            let pivot_row = factor[pivot].clone();
            for &row in &open {
                let entry = (gram[[row, pivot]] - dot(&factor[row], &pivot_row)) / root;
                left[row] -= entry * entry;
                factor[row].push(entry);
            }
            factor[pivot].push(root);
            pivots.push(pivot);
        }
        let rank = pivots.len();
        let mut coordinates = Array2::zeros((n, rank));
        for (mut row, entries) in coordinates.rows_mut().into_iter().zip(&factor) {
            for (to, from) in row.iter_mut().zip(entries) {
                *to = *from;
            }
        }
        Self { coordinates, pivots }
    }

    /// Weights over the columns of `z` for coefficients over the coordinates.
    pub(crate) fn weights(&self, z: ArrayView2<f64>, beta: ArrayView1<f64>) -> Array1<f64> {
        let mut amounts = beta.to_vec();
        for k in (0..amounts.len()).rev() {
            let row = self.coordinates.row(self.pivots[k]);
            amounts[k] /= row[k];
            let value = amounts[k];
            for (amount, entry) in amounts[..k].iter_mut().zip(row) {
                *amount -= value * entry;
            }
        }
        let mut weights = Array1::zeros(z.ncols());
        for (pivot, amount) in self.pivots.iter().zip(&amounts) {
            weights.scaled_add(*amount, &z.row(*pivot));
        }
        weights
    }
}
