//! Shrunk covariance and the whitened difference of means.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::error::{Error, Result};
use crate::linalg::{Cholesky, column_gram, row_gram};

/// Ledoit–Wolf shrinkage of the covariance of centred rows: `(1 − s) S + s μ I`, `S = wᵀw/n`, `μ = trace(S)/d`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shrinkage {
    /// Weight `s` of the identity, in `[0, 1]`.
    pub shrinkage: f64,
    /// Mean variance `μ` over columns.
    pub mean_variance: f64,
}

/// Mean of the positive rows minus mean of the negative rows.
pub fn difference_of_means(x: ArrayView2<f32>, labels: &[bool]) -> Array1<f64> {
    let mut sums = [vec![0.0; x.ncols()], vec![0.0; x.ncols()]];
    let mut counts = [0.0; 2];
    for (row, label) in x.rows().into_iter().zip(labels) {
        let class = usize::from(*label);
        counts[class] += 1.0;
        for (sum, value) in sums[class].iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let [negative, positive] = sums;
    positive.iter().zip(&negative).map(|(p, n)| p / counts[1] - n / counts[0]).collect()
}

/// Rows minus their class mean, and the difference of the class means.
pub fn within_class(x: ArrayView2<f64>, labels: &[bool]) -> (Array2<f64>, Array1<f64>) {
    let mean_of = |class: bool| {
        let mut sum = Array1::<f64>::zeros(x.ncols());
        let rows = x.rows().into_iter().zip(labels).filter(|(_, label)| **label == class);
        let n = rows.map(|(row, _)| sum += &row).count();
        sum / n.max(1) as f64
    };
    let means = [mean_of(false), mean_of(true)];
    let mut within = x.to_owned();
    for (mut row, label) in within.rows_mut().into_iter().zip(labels) {
        row -= &means[usize::from(*label)];
    }
    let [negative, positive] = means;
    (within, positive - negative)
}

/// `Σ⁻¹ difference` with Σ the shrunk covariance of centred rows.
///
/// **Shapes** `within` is `[rows, columns]`; with fewer rows than columns the system is solved in the space of rows (Woodbury).
///
/// **Errors** when nothing is shrunk and the rows do not span the columns.
///
/// **Source** Ledoit and Wolf 2004, J. Multivar. Anal. 88:365; `sklearn.covariance.ledoit_wolf(assume_centered=True)`.
pub fn whitened(within: ArrayView2<f64>, difference: ArrayView1<f64>) -> Result<(Array1<f64>, Shrinkage)> {
    let (rows, columns) = within.dim();
    let n = rows as f64;
    let wide = rows < columns;
    let gram = if wide { row_gram(within) } else { column_gram(within) };
    let shrinkage = ledoit_wolf(within, gram.view());
    let ridge = shrinkage.shrinkage * shrinkage.mean_variance;
    let kept = (1.0 - shrinkage.shrinkage) / n;
    if !wide {
        let mut covariance = gram * kept;
        covariance.diag_mut().mapv_inplace(|entry| entry + ridge);
        return Ok((Cholesky::new(covariance)?.solve(difference), shrinkage));
    }
    if ridge <= 0.0 {
        return Err(Error::NotPositiveDefinite { pivot: rows, value: ridge, size: columns });
    }
    if kept <= 0.0 {
        return Ok((&difference / ridge, shrinkage));
    }
    let mut system = gram;
    system.diag_mut().mapv_inplace(|entry| entry + ridge / kept);
    let seen = within.dot(&difference);
    let explained = Cholesky::new(system)?.solve(seen.view());
    Ok(((&difference - &within.t().dot(&explained)) / ridge, shrinkage))
}

/// The analytical shrinkage from `wᵀw` or `wwᵀ`, whose Frobenius norms are equal.
fn ledoit_wolf(within: ArrayView2<f64>, gram: ArrayView2<f64>) -> Shrinkage {
    let (rows, columns) = within.dim();
    let (n, d) = (rows as f64, columns as f64);
    let squared_norms = within.map_axis(Axis(1), |row| row.dot(&row));
    let mean_variance = squared_norms.sum() / (n * d);
    let frobenius = gram.iter().map(|entry| entry * entry).sum::<f64>() / (n * n);
    let spread = squared_norms.dot(&squared_norms) / n - frobenius;
    let beta = spread / (d * n);
    let delta = (frobenius - d * mean_variance * mean_variance) / d;
    // Equal eigenvalues (one column, for instance) leave nothing to shrink towards.
    let shrinkage = if beta <= 0.0 || delta <= 0.0 { 0.0 } else { (beta / delta).min(1.0) };
    Shrinkage { shrinkage, mean_variance }
}
