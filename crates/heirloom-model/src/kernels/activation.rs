//! Nonlinearities, alone and as the gate of a linear part.

use super::{Rows, exp, for_rows, tanh};
use crate::config::Activation;

/// A nonlinearity.
trait Nonlinear: Sync {
    fn value(x: f32) -> f32;
    /// The value and the slope.
    fn slope(x: f32) -> (f32, f32);
}

struct Silu;

impl Nonlinear for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x / (1.0 + exp(-x))
    }

    #[inline(always)]
    fn slope(x: f32) -> (f32, f32) {
        let sigmoid = 1.0 / (1.0 + exp(-x));
        let silu = x * sigmoid;
        (silu, (1.0 - sigmoid).mul_add(silu, sigmoid))
    }
}

/// √(2 / π)
const ROOT: f32 = 0.797_884_6;

struct GeluTanh;

impl Nonlinear for GeluTanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        Self::slope(x).0
    }

    #[inline(always)]
    fn slope(x: f32) -> (f32, f32) {
        let t = tanh(ROOT * (0.044_715 * x * x).mul_add(x, x));
        let share = 0.5 * (1.0 + t);
        let inner = ROOT * (3.0 * 0.044_715 * x).mul_add(x, 1.0);
        (x * share, (0.5 * x * (1.0 - t * t)).mul_add(inner, share))
    }
}

struct Gelu;

impl Nonlinear for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        Self::slope(x).0
    }

    #[inline(always)]
    fn slope(x: f32) -> (f32, f32) {
        let share = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
        let density = 0.5 * ROOT * exp(-0.5 * x * x);
        (x * share, x.mul_add(density, share))
    }
}

/// The error function within 2e-7.
///
/// Source: `erff` and `erfcf` of Cephes up to 1 and beyond 2, polynomials in x² and in 1/x²; between them, a fit of degree 8
/// in 1/x to `erfcx` of SciPy at Chebyshev's points.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let (a, z) = (x.abs(), x * x);
    let near = 7.853_861_4e-5_f32
        .mul_add(z, -8.010_194e-4)
        .mul_add(z, 5.188_327_6e-3)
        .mul_add(z, -2.685_381_3e-2)
        .mul_add(z, 1.128_358_5e-1)
        .mul_add(z, -3.761_262_6e-1)
        .mul_add(z, std::f32::consts::FRAC_2_SQRT_PI);
    let q = 1.0 / a.max(1.0);
    let middle = 1.367_586_4e-2_f32
        .mul_add(q, -8.393_084e-2)
        .mul_add(q, 2.069_844_2e-1)
        .mul_add(q, -2.252_837_7e-1)
        .mul_add(q, -1.568_717_7e-2)
        .mul_add(q, 3.558_719_2e-1)
        .mul_add(q, -4.102_627_6e-1)
        .mul_add(q, 2.390_830_6e-2)
        .mul_add(q, 5.623_076e-1);
    let r = q * q;
    let far = (-1.047_766_4e1_f32)
        .mul_add(r, 1.297_72e1)
        .mul_add(r, -7.495_518_7)
        .mul_add(r, 2.921_019)
        .mul_add(r, -1.015_265_3)
        .mul_add(r, 4.218_463_4e-1)
        .mul_add(r, -2.820_767_4e-1)
        .mul_add(r, 5.641_895e-1);
    let rest = exp(-z) * q * if a < 2.0 { middle } else { far };
    if a <= 1.0 { x * near } else { (1.0 - rest).copysign(x) }
}

/// Runs `$f::<N>` for the nonlinearity of a kind.
macro_rules! with {
    ($kind:expr, $f:ident($($argument:expr),*)) => {
        match $kind {
            Activation::Silu => $f::<Silu>($($argument),*),
            Activation::Gelu => $f::<Gelu>($($argument),*),
            Activation::GeluTanh => $f::<GeluTanh>($($argument),*),
        }
    };
}

/// `f(x)`.
pub(crate) fn act(kind: Activation, x: Rows<'_>, out: &mut [f32]) {
    with!(kind, act_of(x, out));
}

fn act_of<N: Nonlinear>(x: Rows<'_>, out: &mut [f32]) {
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |row, out| {
            for (out, x) in out.iter_mut().zip(x.row(row)) {
                *out = N::value(*x);
            }
        },
    );
}

/// Gradient of [`act`].
pub(crate) fn act_backward(kind: Activation, x: Rows<'_>, grad: Rows<'_>, out: &mut [f32]) {
    with!(kind, act_backward_of(x, grad, out));
}

fn act_backward_of<N: Nonlinear>(x: Rows<'_>, grad: Rows<'_>, out: &mut [f32]) {
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |row, out| {
            for ((out, x), grad) in out.iter_mut().zip(x.row(row)).zip(grad.row(row)) {
                *out = grad * N::slope(*x).1;
            }
        },
    );
}

/// `f(gate) · linear`.
pub(crate) fn act_mul(kind: Activation, gate: Rows<'_>, linear: Rows<'_>, out: &mut [f32]) {
    with!(kind, act_mul_of(gate, linear, out));
}

fn act_mul_of<N: Nonlinear>(gate: Rows<'_>, linear: Rows<'_>, out: &mut [f32]) {
    for_rows(
        out,
        gate.width,
        #[inline(always)]
        |row, out| {
            for ((out, gate), linear) in out.iter_mut().zip(gate.row(row)).zip(linear.row(row)) {
                *out = N::value(*gate) * linear;
            }
        },
    );
}

/// Gradients of [`act_mul`] in the gate and in the linear part, side by side in `out`. `[t, 2m]`
pub(crate) fn act_mul_backward(
    kind: Activation,
    gate: Rows<'_>,
    linear: Rows<'_>,
    grad: Rows<'_>,
    out: &mut [f32],
) {
    with!(kind, act_mul_backward_of(gate, linear, grad, out));
}

fn act_mul_backward_of<N: Nonlinear>(gate: Rows<'_>, linear: Rows<'_>, grad: Rows<'_>, out: &mut [f32]) {
    for_rows(
        out,
        2 * gate.width,
        #[inline(always)]
        |row, out| {
            let (in_gate, in_linear) = out.split_at_mut(gate.width);
            let outs = in_gate.iter_mut().zip(in_linear);
            let ins = gate.row(row).iter().zip(linear.row(row)).zip(grad.row(row));
            for ((in_gate, in_linear), ((gate, linear), grad)) in outs.zip(ins) {
                let (value, slope) = N::slope(*gate);
                *in_gate = grad * linear * slope;
                *in_linear = grad * value;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Σ of the Maclaurin series.
    fn series(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn the_error_function_is_its_series() {
        let worst = (-4000..=4000)
            .map(|i| i as f32 * 1e-3)
            .fold(0.0_f64, |worst, x| worst.max((f64::from(erf(x)) - series(f64::from(x))).abs()));
        assert!(worst < 2e-7, "{worst:e}");
        assert_eq!((erf(9.0) - 1.0).to_bits(), 0);
        assert!(erf(f32::NAN).is_nan());
    }
}
