//! z-space: every coordinate in units of its own spread over the fit rows.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// Mean and spread per coordinate, learned on fit rows and applied anywhere.
///
/// **Units** `z = (x − mean) / sd` with the population sd (divisor n), as scikit-learn's `StandardScaler`. A constant coordinate has no spread to
/// measure in; it becomes zero in z-space and gets no weight in raw space, so a value it takes later cannot move a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardizer {
    mean: Array1<f64>,
    inverse_sd: Array1<f64>,
}

impl Standardizer {
    /// Learns mean and spread in two passes over the rows.
    pub fn fit(x: ArrayView2<f32>) -> Self {
        let n = x.nrows() as f64;
        let mean = column_means(x);
        let mut variance = Array1::<f64>::zeros(x.ncols());
        for row in x.rows() {
            for ((sum, value), mean) in variance.iter_mut().zip(row).zip(&mean) {
                let centred = f64::from(*value) - mean;
                *sum += centred * centred;
            }
        }
        variance /= n;
        let inverse_sd = variance
            .iter()
            .zip(&mean)
            .map(|(variance, mean)| {
                // What rounding leaves of a constant column (scikit-learn's `_is_constant_feature`).
                let rounding = n * f64::EPSILON * mean.abs();
                if *variance <= rounding * rounding { 0.0 } else { variance.sqrt().recip() }
            })
            .collect();
        Self { mean, inverse_sd }
    }

    /// Rows in z-space, `[rows, d_model]`.
    pub fn transform(&self, x: ArrayView2<f32>) -> Array2<f64> {
        let mut z = x.mapv(f64::from);
        for mut row in z.rows_mut() {
            for ((value, mean), inverse_sd) in row.iter_mut().zip(&self.mean).zip(&self.inverse_sd) {
                *value = (*value - mean) * inverse_sd;
            }
        }
        z
    }

    /// Weights and intercept in raw space that give the same scores.
    pub fn to_raw(&self, weights: ArrayView1<f64>, intercept: f64) -> (Array1<f64>, f64) {
        let raw = self.scaled(weights);
        let shift = raw.dot(&self.mean);
        (raw, intercept - shift)
    }

    /// A vector divided by the spread: a raw difference in z-space, or weights of z-space in raw space.
    pub fn scaled(&self, vector: ArrayView1<f64>) -> Array1<f64> {
        &vector * &self.inverse_sd
    }

    /// Mean per coordinate.
    pub fn mean(&self) -> ArrayView1<'_, f64> {
        self.mean.view()
    }

    /// Spread per coordinate; zero where it is constant.
    pub fn sd(&self) -> Array1<f64> {
        self.inverse_sd.mapv(|inverse| if inverse > 0.0 { inverse.recip() } else { 0.0 })
    }

    /// Coordinates that never vary, ascending.
    pub fn constant(&self) -> Vec<usize> {
        (0..self.inverse_sd.len()).filter(|column| self.inverse_sd[*column] <= 0.0).collect()
    }
}

/// Mean of each column, summed in f64 in the order of rows.
pub(crate) fn column_means(x: ArrayView2<f32>) -> Array1<f64> {
    let mut sum = Array1::<f64>::zeros(x.ncols());
    for row in x.rows() {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    sum / x.len_of(Axis(0)) as f64
}
