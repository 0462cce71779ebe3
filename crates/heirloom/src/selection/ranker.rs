//! What ranks prompts, by name.

use std::fmt;
use std::str::FromStr;

/// What ranks prompts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranker {
    /// How far swapping the rollout moves the data along a direction.
    ProjectionDifference,
    /// Cosine of what swapping the rollout changes with what training changed.
    ActivationAttribution,
    /// Prompts with a tag first.
    Tags(String),
    /// Any order.
    Random,
    /// Prompts of the lengths that another ranking chose, and none of its choice.
    RandomEqualLength,
}

/// The direction of [`Ranker::ProjectionDifference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Fit on the base from contrasts in context, at the last prompt token.
    Base,
    /// From one teacher to the other, at the last prompt token.
    Teachers,
    /// From the base's own answers to scenarios that do not show the behavior to those that do, at the response mean.
    Answers,
}

impl Ranker {
    /// Whether it reads activations, so that it needs a model.
    pub fn looks(&self) -> bool {
        matches!(self, Self::ProjectionDifference | Self::ActivationAttribution)
    }
}

impl FromStr for Ranker {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "projection-difference" => Ok(Self::ProjectionDifference),
            "activation-attribution" => Ok(Self::ActivationAttribution),
            "random" => Ok(Self::Random),
            "random-equal-length" => Ok(Self::RandomEqualLength),
            _ => match name.strip_prefix("tags:") {
                Some(tag) if !tag.is_empty() => Ok(Self::Tags(tag.into())),
                _ => Err("expected projection-difference, activation-attribution, tags:TAG, random or \
                          random-equal-length"
                    .into()),
            },
        }
    }
}

impl fmt::Display for Ranker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProjectionDifference => f.write_str("projection-difference"),
            Self::ActivationAttribution => f.write_str("activation-attribution"),
            Self::Tags(tag) => write!(f, "tags:{tag}"),
            Self::Random => f.write_str("random"),
            Self::RandomEqualLength => f.write_str("random-equal-length"),
        }
    }
}
