//! Taking something out of activations: LEACE, directional ablation, mean ablation.
//!
//! All three are `x ↦ μ + P (x − μ)` with `P = I − LᵀR` of low rank: ablation takes the component along directions away (`L = R`, `μ = 0`) or sets it
//! to that of a mean, and LEACE chooses `L` and `R` so that no linear readout of the result tells anything about a concept, at the least change.
//!
//! **LEACE without a square root.** The published form is `P = I − W⁺UUᵀW` with `W = Σ_xx^{-1/2}` and `U` an orthonormal basis of `WΣ_xz`. Since
//! `UUᵀ = WΣ_xz (Σ_zx Σ_xx⁺ Σ_xz)⁺ Σ_zx W`, that is `I − Σ_xz (BᵀΣ_xz)⁺ Bᵀ` with `B = Σ_xx⁺Σ_xz`, which are the least-squares weights of smallest norm
//! that predict the concept from the activations. Rounding in `B` then moves only how small the change is: that `P Σ_xz = 0` holds for any `B`.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::dataset::{check_finite, check_rows};
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, column_gram, norm, orthonormal, row_gram, symmetric_eigen};
use crate::standardize::column_means;

/// An affine map that takes something out of activations, `x ↦ x − Lᵀ R (x − μ)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eraser {
    left: Array2<f64>,
    right: Array2<f64>,
    mean: Array1<f64>,
}

/// Share of a concept's variance below which it counts as not predictable at all: a correlation of 1e-10, which is rounding.
const NEGLIGIBLE: f64 = 1e-20;

impl Eraser {
    /// Least-squares concept erasure: afterwards the concept and the activations it was fit on are uncorrelated, so that their class means coincide
    /// and no linear readout does better than a constant.
    ///
    /// No affine map with that property changes the activations less, in mean square under any inner product. Readouts that were uncorrelated with
    /// the concept keep their values.
    ///
    /// The rows are taken as the population. Of *other* rows it erases what the covariance with the concept was estimated to be, and the error of that
    /// falls with the root of the rows: of a weak concept in 200 columns, 4000 rows left a third of the difference of class means, 400 rows all of it.
    /// Shrinking the covariance of the activations did not help. So probe rows it was not fit on.
    ///
    /// **Shapes** `x` is `[rows, d_model]`, `z` `[rows, k]`: one column of zeros and ones for a label ([`labels`]), one-hot for classes, any numbers.
    /// Activations may be rank-deficient, columns of `z` constant or dependent; a concept that nothing correlates with leaves the identity.
    ///
    /// **Errors** at unequal rows or a value that is not finite.
    ///
    /// **Cost** one Cholesky factor of size `d_model`; where activations are rank-deficient, as with fewer rows than columns they are, eigenvectors of
    /// size `min(rows, d_model)` (2 s at 600 on a busy two-core machine).
    ///
    /// **Source** Belrose et al. 2023, arXiv 2306.03819, theorems 4.2 and 4.3; `concept-erasure` 0.2.4, with neither its shrinkage nor its bound on the
    /// trace, and without its threshold on singular values (0.01), which leaves weak concepts in.
    pub fn leace(x: ArrayView2<f32>, z: ArrayView2<f64>) -> Result<Self> {
        check_finite(x)?;
        check_rows("z", x.nrows(), z.nrows())?;
        if let Some(((row, column), value)) = z.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NonFinite { row, column, value: *value });
        }
        let n = x.nrows() as f64;
        let mean = column_means(x);
        let centred = x.mapv(f64::from) - &mean;
        let concept = z.to_owned() - &(z.sum_axis(Axis(0)) / n);
        let weights = least_squares(centred.view(), concept.view())?;
        let covariances = centred.t().dot(&concept) / n;
        let mut eraser = Self::identity(mean);
        for (column, values) in concept.columns().into_iter().enumerate() {
            let (mut l, mut r) = (covariances.column(column).to_owned(), weights.column(column).to_owned());
            // What earlier columns already erased; twice, for the rounding of the first time.
            for _ in 0..2 {
                for (left, right) in eraser.left.rows().into_iter().zip(eraser.right.rows()) {
                    let (along_l, along_r) = (right.dot(&l), left.dot(&r));
                    l.scaled_add(-along_l, &left);
                    r.scaled_add(-along_r, &right);
                }
            }
            let explained = r.dot(&l);
            if explained > NEGLIGIBLE * values.dot(&values) / n {
                eraser.push((l / explained).view(), r.view());
            }
        }
        Ok(eraser)
    }

    /// Takes the component along every direction in the span of the given ones away: `h − (h·v̂)v̂` for a single one.
    ///
    /// **Shapes** `directions` is `[k, d_model]`, of any lengths.
    ///
    /// **Errors** when they span nothing.
    pub fn ablation(directions: ArrayView2<f64>) -> Result<Self> {
        Self::ablation_to(directions, Array1::zeros(directions.ncols()).view())
    }

    /// Sets the component along directions to that of a mean activation: mean ablation with the mean over a data set, restoration of a base with
    /// the base's.
    ///
    /// **Shapes** `directions` is `[k, d_model]`, `mean` `[d_model]`.
    ///
    /// **Errors** when the directions span nothing or the widths differ.
    pub fn ablation_to(directions: ArrayView2<f64>, mean: ArrayView1<f64>) -> Result<Self> {
        if directions.ncols() != mean.len() {
            return Err(Error::Width { expected: directions.ncols(), found: mean.len() });
        }
        let basis = orthonormal(directions);
        if basis.is_empty() {
            let longest = directions.rows().into_iter().map(norm).fold(0.0, f64::max);
            return Err(Error::NoDirection { method: "ablation", norm: longest, rows: directions.nrows() });
        }
        Ok(Self { left: basis.clone(), right: basis, mean: mean.to_owned() })
    }

    fn identity(mean: Array1<f64>) -> Self {
        let none = Array2::zeros((0, mean.len()));
        Self { left: none.clone(), right: none, mean }
    }

    fn push(&mut self, left: ArrayView1<f64>, right: ArrayView1<f64>) {
        // Rows of their own width cannot be refused.
        self.left.push_row(left).unwrap_or(());
        self.right.push_row(right).unwrap_or(());
    }

    /// Dimensions taken out.
    pub fn rank(&self) -> usize {
        self.left.nrows()
    }

    /// What is moved along, `[rank, d_model]`: `Σ_xz` up to scale for LEACE, the directions for ablation.
    pub fn left(&self) -> ArrayView2<'_, f64> {
        self.left.view()
    }

    /// What is read, `[rank, d_model]`; `R Lᵀ` is the identity.
    pub fn right(&self) -> ArrayView2<'_, f64> {
        self.right.view()
    }

    /// The point that stays where it is, `[d_model]`.
    pub fn mean(&self) -> ArrayView1<'_, f64> {
        self.mean.view()
    }

    /// `P = I − LᵀR`, `[d_model, d_model]`.
    pub fn matrix(&self) -> Array2<f64> {
        Array2::eye(self.mean.len()) - self.left.t().dot(&self.right)
    }

    /// `LᵀRμ`, `[d_model]`: the map is `x ↦ P x + offset`.
    pub fn offset(&self) -> Array1<f64> {
        self.right.dot(&self.mean).dot(&self.left)
    }

    /// Rows without what is erased, `[rows, d_model]`.
    ///
    /// **Errors** when the width is not the eraser's, or a value is NaN or infinite.
    ///
    /// **Cost** `2 · rank` products of length `d_model` per row; the matrix is never formed.
    pub fn apply(&self, x: ArrayView2<f32>) -> Result<Array2<f64>> {
        if x.ncols() != self.mean.len() {
            return Err(Error::Width { expected: self.mean.len(), found: x.ncols() });
        }
        check_finite(x)?;
        let mut x = x.mapv(f64::from);
        let amounts = (&x - &self.mean).dot(&self.right.t());
        x -= &amounts.dot(&self.left);
        Ok(x)
    }
}

/// Labels as the single column of a concept, `[rows, 1]`.
pub fn labels(labels: &[bool]) -> Array2<f64> {
    Array2::from_shape_fn((labels.len(), 1), |(row, _)| if labels[row] { 1.0 } else { 0.0 })
}

/// `x⁺ z` of centred rows, `[columns, k]`: least-squares weights of smallest norm, from the smaller of the two Gram matrices.
fn least_squares(x: ArrayView2<f64>, z: ArrayView2<f64>) -> Result<Array2<f64>> {
    if x.nrows() < x.ncols() {
        Ok(x.t().dot(&pseudo_solve(row_gram(x), z.to_owned(), x.ncols())?))
    } else {
        pseudo_solve(column_gram(x), x.t().dot(&z), x.nrows())
    }
}

/// A pivot below this share of the largest diagonal entry makes a matrix too nearly singular for Cholesky's factors.
const SINGULAR: f64 = 1e-10;

/// `a⁺ b` of a positive semidefinite matrix; `size` is the other side of the matrix that it is the Gram matrix of.
fn pseudo_solve(a: Array2<f64>, mut b: Array2<f64>, size: usize) -> Result<Array2<f64>> {
    let largest = a.diag().iter().copied().fold(0.0, f64::max);
    // Forty times faster than eigenvectors at 1024 columns; most activations have full rank.
    if let Ok(factor) = Cholesky::new(a.clone())
        && factor.least_pivot() > SINGULAR * largest
    {
        for mut column in b.columns_mut() {
            let solved = factor.solve(column.view());
            column.assign(&solved);
        }
        return Ok(b);
    }
    let size = size.max(a.nrows());
    let (values, vectors) = symmetric_eigen(a)?;
    // numpy.linalg.pinv's threshold, on squared singular values.
    let negligible = values.first().copied().unwrap_or(0.0) * size as f64 * f64::EPSILON;
    let mut amounts = vectors.t().dot(&b);
    for (mut row, value) in amounts.rows_mut().into_iter().zip(values) {
        row *= if value > negligible { value.recip() } else { 0.0 };
    }
    Ok(vectors.dot(&amounts))
}
