//! Does a direction cause its behavior? Statistics of steering and ablation.
//!
//! A direction is applied at several strengths ([`dose_response`]); its effect stands beside those of 64 random directions and 64 random differences
//! of activations of the same norm, found by the same search over strengths ([`strongest`]); [`judge`] turns all checks of one study into verdicts.

mod dose;
mod verdict;

pub use dose::{Dose, DoseResponse, Response, dose_response, strongest};
pub use verdict::{Check, Effect, Judgement, PValue, Reason, Verdict, holm, judge, p_values};

/// Which way a behavior is expected to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Up, as when steering along its direction.
    Raises,
    /// Down, as when ablating it or steering against it.
    Lowers,
    /// Any way.
    Either,
}

impl Side {
    /// A value that is larger the further an effect goes this way.
    fn strength(self, effect: f64) -> f64 {
        match self {
            Self::Raises => effect,
            Self::Lowers => -effect,
            Self::Either => effect.abs(),
        }
    }
}
