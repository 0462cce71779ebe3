//! How far directions turn: cosines along a series, angles between the spaces that sets of directions span.
//!
//! Directions fit on finitely many rows differ between two draws of rows of one model too. A cosine says that a direction turned only below what two
//! halves of one checkpoint's rows agree to.

use linfa_linalg::svd::SVD;
use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::error::{Error, Result};
use crate::linalg::{norm, orthonormal};

/// Cosines along a series of directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Cosine of each direction with the first; 1 at the first.
    pub from_first: Vec<f64>,
    /// Cosine of each direction with the one before it; 1 at the first.
    pub from_previous: Vec<f64>,
}

/// Cosine of two directions, of any length but zero.
pub fn cosine(first: ArrayView1<f64>, second: ArrayView1<f64>) -> Result<f64> {
    if first.len() != second.len() {
        return Err(Error::Width { expected: first.len(), found: second.len() });
    }
    let (a, b) = (norm(first), norm(second));
    if !(a.is_finite() && b.is_finite() && a > 0.0 && b > 0.0) {
        return Err(Error::NoDirection { method: "cosine", norm: a.min(b), rows: 2 });
    }
    // Rounding would leave 1 + 2e-16 between equal directions.
    Ok((first.dot(&second) / (a * b)).clamp(-1.0, 1.0))
}

/// Cosines of each direction of a series with the first and with the one before.
///
/// **Shapes** `directions` is `[checkpoints, d_model]`.
pub fn drift(directions: ArrayView2<f64>) -> Result<Drift> {
    let with = |other: &dyn Fn(usize) -> usize| -> Result<Vec<f64>> {
        (0..directions.nrows()).map(|at| cosine(directions.row(at), directions.row(other(at)))).collect()
    };
    Ok(Drift { from_first: with(&|_| 0)?, from_previous: with(&|at| at.saturating_sub(1))? })
}

/// Principal angles between the spaces that two sets of directions span, largest first, from 0 to π/2; as many as the smaller space has dimensions.
///
/// Directions that others of their set already span add nothing.
///
/// **Shapes** `first` and `second` are `[k, d_model]`, with `k` of their own.
///
/// **Units** radians.
///
/// **Errors** when the widths differ, or a set spans nothing.
///
/// **Source** Björck and Golub 1973, Math. Comp. 27:579; sines beside cosines after Knyazev and Argentati 2002, SIAM J. Sci. Comput. 23:2008, as
/// `scipy.linalg.subspace_angles`.
pub fn principal_angles(first: ArrayView2<f64>, second: ArrayView2<f64>) -> Result<Vec<f64>> {
    if first.ncols() != second.ncols() {
        return Err(Error::Width { expected: first.ncols(), found: second.ncols() });
    }
    let (mut wide, mut narrow) = (basis(first)?, basis(second)?);
    if wide.nrows() < narrow.nrows() {
        std::mem::swap(&mut wide, &mut narrow);
    }
    let across = wide.dot(&narrow.t());
    let outside = narrow.t().to_owned() - wide.t().dot(&across);
    let (mut cosines, sines) = (singular_values(&across)?, singular_values(&outside)?);
    cosines.reverse();
    // The arc tangent is exact at both ends, where the arc cosine (of 1) or the arc sine (of 1) loses half of the digits.
    Ok(sines.iter().zip(&cosines).map(|(sine, cosine)| sine.atan2(*cosine)).collect())
}

fn basis(rows: ArrayView2<f64>) -> Result<Array2<f64>> {
    let basis = orthonormal(rows);
    if basis.is_empty() {
        return Err(Error::NoDirection { method: "principal angles", norm: 0.0, rows: rows.nrows() });
    }
    Ok(basis)
}

/// Singular values of a matrix with at least as many rows as columns, largest first.
fn singular_values(matrix: &Array2<f64>) -> Result<Vec<f64>> {
    let (_, values, _) = matrix.svd(false, false)?;
    let mut values = values.to_vec();
    values.sort_by(|a, b| b.total_cmp(a));
    Ok(values)
}
