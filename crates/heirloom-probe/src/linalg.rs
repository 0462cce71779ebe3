//! The dense algebra the methods share: Gram matrices, Cholesky solves, symmetric eigenvectors.
//!
//! Factorizations come from linfa-linalg; its Cholesky is unblocked (80 ms at 576 columns), so the blocks here leave it only the small diagonal
//! ones and give the rest to matrix products. Blocks are computed independently and in a fixed order, so results do not depend on threads.

use linfa_linalg::cholesky::CholeskyInplace;
use linfa_linalg::eigh::{EigSort, EighInto};
use linfa_linalg::triangular::{SolveTriangularInplace, UPLO};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayBase, ArrayView1, ArrayView2, Axis, Ix2, RawData, Slice};
use rayon::prelude::*;

use std::ops::Range;

use crate::error::{Error, Result};

const BLOCK: usize = 64;

/// `xᵀ x`, `[columns, columns]`; only the lower blocks are multiplied, the rest is mirrored.
pub(crate) fn column_gram(x: ArrayView2<f64>) -> Array2<f64> {
    row_gram(x.t())
}

/// `x xᵀ`, `[rows, rows]`.
pub(crate) fn row_gram(x: ArrayView2<f64>) -> Array2<f64> {
    let n = x.nrows();
    // Two blocks a side would waste a quarter of the work on mirrored entries, many blocks slow the products down.
    let block = n.div_ceil(6).max(BLOCK);
    let corners: Vec<(usize, usize)> =
        (0..n).step_by(block).flat_map(|i| (0..=i).step_by(block).map(move |j| (i, j))).collect();
    let blocks: Vec<Array2<f64>> = corners
        .par_iter()
        .map(|&(i, j)| {
            let (rows, columns) = (i..n.min(i + block), j..n.min(j + block));
            let all = 0..x.ncols();
            part(x, rows, all.clone()).dot(&part(x, columns, all).t())
        })
        .collect();
    let mut gram = Array2::zeros((n, n));
    for (&(i, j), block) in corners.iter().zip(&blocks) {
        let (rows, columns) = block.dim();
        part(gram.view_mut(), i..i + rows, j..j + columns).assign(block);
        part(gram.view_mut(), j..j + columns, i..i + rows).assign(&block.t());
    }
    gram
}

/// Lower Cholesky factor of a symmetric positive definite matrix.
pub(crate) struct Cholesky(Array2<f64>);

impl Cholesky {
    /// Factors in place, right-looking by blocks.
    pub(crate) fn new(mut a: Array2<f64>) -> Result<Self> {
        let n = a.nrows();
        for start in (0..n).step_by(BLOCK) {
            let end = n.min(start + BLOCK);
            let mut diagonal = part(a.view_mut(), start..end, start..end);
            let before = diagonal[[0, 0]];
            if diagonal.cholesky_inplace().is_err() {
                return Err(Error::NotPositiveDefinite { pivot: start, value: before, size: n });
            }
            if end == n {
                break;
            }
            // L21 = A21 L11⁻ᵀ, solved as L11 L21ᵀ = A21ᵀ.
            let mut below = part(a.view(), end..n, start..end).t().as_standard_layout().into_owned();
            part(a.view(), start..end, start..end).solve_triangular_inplace(&mut below, UPLO::Lower)?;
            let below = below.reversed_axes();
            part(a.view_mut(), end..n, start..end).assign(&below);
            for first in (end..n).step_by(2 * BLOCK) {
                let last = n.min(first + 2 * BLOCK);
                let (_, wide) = below.view().split_at(Axis(0), first - end);
                let (square, _) = wide.split_at(Axis(0), last - first);
                let mut rest = part(a.view_mut(), first..n, first..last);
                general_mat_mul(-1.0, &wide, &square.t(), 1.0, &mut rest);
            }
        }
        Ok(Self(a))
    }

    /// Overwrites `b` with the solution of `A x = b`.
    pub(crate) fn solve_in_place(&self, b: &mut [f64]) {
        let n = self.0.nrows();
        for i in 0..n {
            let (row, diagonal) = self.row(i);
            b[i] = (b[i] - dot(row, &b[..i])) / diagonal;
        }
        for i in (0..n).rev() {
            let (row, diagonal) = self.row(i);
            b[i] /= diagonal;
            let value = b[i];
            for (known, entry) in b[..i].iter_mut().zip(row) {
                *known -= value * entry;
            }
        }
    }

    /// Row `i` left of the diagonal, and the diagonal entry.
    fn row(&self, i: usize) -> (&[f64], f64) {
        let row = &self.0.as_slice().unwrap_or(&[])[i * self.0.ncols()..];
        (&row[..i], row[i])
    }

    /// The smallest squared diagonal entry: what the other columns leave of the worst one.
    pub(crate) fn least_pivot(&self) -> f64 {
        self.0.diag().iter().fold(f64::INFINITY, |least, entry| least.min(entry * entry))
    }

    /// The solution of `A x = b`.
    pub(crate) fn solve(&self, b: ArrayView1<f64>) -> Array1<f64> {
        let mut x = b.to_vec();
        self.solve_in_place(&mut x);
        x.into()
    }
}

/// Eigenvalues, largest first, and eigenvectors as columns of a symmetric matrix.
///
/// linfa-reduction's PCA is wrong on small matrices, so principal components come from here.
pub(crate) fn symmetric_eigen(a: Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let (values, vectors) = a.eigh_into()?.sort_eig_desc();
    Ok((values, vectors))
}

/// A block of a view; ndarray's slicing macro expands to code that `forbid(unsafe_code)` rejects.
pub(crate) fn part<S: RawData>(
    mut a: ArrayBase<S, Ix2>,
    rows: Range<usize>,
    columns: Range<usize>,
) -> ArrayBase<S, Ix2> {
    a.slice_axis_inplace(Axis(0), Slice::from(rows));
    a.slice_axis_inplace(Axis(1), Slice::from(columns));
    a
}

/// Inner product with eight partial sums, a fixed order that still vectorizes.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a8.iter().zip(b8) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Orthonormal rows that span what the given rows span; a row that earlier ones reach up to rounding adds none.
pub(crate) fn orthonormal(rows: ArrayView2<f64>) -> Array2<f64> {
    let mut basis = Array2::zeros((0, rows.ncols()));
    for row in rows.rows() {
        let mut rest = row.to_owned();
        // Gram–Schmidt is orthogonal to rounding when it is done twice.
        for _ in 0..2 {
            for known in basis.rows() {
                let along = known.dot(&rest);
                rest.scaled_add(-along, &known);
            }
        }
        let length = norm(rest.view());
        if length > 1e-10 * norm(row) {
            rest /= length;
            basis.push_row(rest.view()).unwrap_or(());
        }
    }
    basis
}

/// Euclidean norm.
pub(crate) fn norm(v: ArrayView1<f64>) -> f64 {
    v.dot(&v).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            ((row * 71 + column * 37 + row * column * 13) % 97) as f64 / 48.5 - 1.0
        })
    }

    fn largest(difference: &Array2<f64>) -> f64 {
        difference.iter().fold(0.0, |largest, entry| largest.max(entry.abs()))
    }

    #[test]
    fn blocks_equal_the_whole_at_every_size() {
        for n in [1, 2, 63, 64, 65, 129, 200] {
            let x = numbers(n + 50, n);
            let gram = column_gram(x.view());
            assert!(largest(&(&gram - &x.t().dot(&x))) < 1e-12 * (n + 50) as f64, "gram of {n}");
            assert!(
                largest(&(&row_gram(x.view()) - &x.dot(&x.t()))) < 1e-12 * (n + 50) as f64,
                "row gram of {n}"
            );
            let matrix = gram + Array2::<f64>::eye(n);
            let wanted: Array1<f64> = (0..n).map(|i| 1.0 + (i % 7) as f64).collect();
            let found = Cholesky::new(matrix.clone()).unwrap().solve(matrix.dot(&wanted).view());
            let far = (&found - &wanted).iter().fold(0.0_f64, |far, entry| far.max(entry.abs()));
            assert!(far < 1e-9, "solve of {n}: {far:e}");
        }
    }

    #[test]
    fn a_matrix_without_an_inverse_is_refused_in_any_block() {
        for (n, bad) in [(3, 0), (3, 2), (100, 70), (130, 129)] {
            let mut matrix = Array2::<f64>::eye(n);
            matrix[[bad, bad]] = -1.0;
            let error = Cholesky::new(matrix).err().expect("refused").to_string();
            assert!(error.contains("positive definite"), "{error}");
        }
    }

    #[test]
    fn bases_are_orthonormal_and_as_many_as_the_rank() {
        let mut rows = numbers(5, 9);
        let sum = &rows.row(0) + &rows.row(3) + 1e-3 * &rows.row(1);
        rows.row_mut(4).assign(&sum);
        let nearly = &rows.row(0) + 1e-7 * &rows.row(2);
        rows.row_mut(2).assign(&nearly);
        let basis = orthonormal(rows.view());
        assert_eq!(basis.dim(), (4, 9), "the last row adds nothing");
        assert!(largest(&(basis.dot(&basis.t()) - Array2::<f64>::eye(4))) < 1e-14);
        assert!(largest(&(rows.dot(&basis.t()).dot(&basis) - &rows)) < 1e-9);
        assert_eq!(orthonormal(Array2::zeros((2, 3)).view()).nrows(), 0);
    }

    #[test]
    fn eigenvectors_are_sorted_and_reproduce_the_matrix() {
        let x = numbers(30, 12);
        let gram = column_gram(x.view());
        let (values, vectors) = symmetric_eigen(gram.clone()).unwrap();
        assert!(values.windows(2).into_iter().all(|pair| pair[0] >= pair[1]));
        assert!(largest(&(vectors.dot(&Array2::from_diag(&values)).dot(&vectors.t()) - gram)) < 1e-11);
    }
}
