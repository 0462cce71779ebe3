//! Which positions feed one row of activations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which positions feed one row of activations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Readout {
    /// The last token before the response begins; the last token where there is no response.
    #[default]
    LastPrompt,
    /// Mean over the tokens of the last assistant message.
    ResponseMean,
    /// Mean over the tokens of the text that the row names `span`.
    Span(String),
    /// Every position, each a row of its own.
    All,
}

impl fmt::Display for Readout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastPrompt => f.pad("last-prompt"),
            Self::ResponseMean => f.pad("response-mean"),
            Self::Span(name) => f.pad(&format!("span:{name}")),
            Self::All => f.pad("all"),
        }
    }
}

impl FromStr for Readout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "last-prompt" => Ok(Self::LastPrompt),
            "response-mean" => Ok(Self::ResponseMean),
            "all" => Ok(Self::All),
            _ => match name.strip_prefix("span:") {
                Some(span) if !span.is_empty() => Ok(Self::Span(span.into())),
                _ => Err(Error::UnknownReadout { name: name.into() }),
            },
        }
    }
}

impl From<Readout> for String {
    fn from(readout: Readout) -> Self {
        readout.to_string()
    }
}

impl TryFrom<String> for Readout {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readouts_parse_back() {
        for name in ["last-prompt", "response-mean", "all", "span:secret"] {
            assert_eq!(name.parse::<Readout>().unwrap().to_string(), name);
        }
        assert!("span:".parse::<Readout>().is_err());
        assert!("mean".parse::<Readout>().is_err());
    }
}
