//! How to ask a judge.

use std::time::Duration;

use super::{JudgeProblem, JudgePrompt};

/// How to ask a judge, before it is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeSettings {
    /// The model to ask for.
    pub model: String,
    /// What it is told and asked.
    pub prompt: JudgePrompt,
    /// Sampling temperature.
    pub temperature: f64,
    /// Seed, for servers that take one.
    pub seed: i64,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// Longest wait for one response.
    pub timeout: Duration,
    /// Requests for one answer at most: a busy server (408, 429, 5xx), silence and a broken connection are tried again.
    pub attempts: usize,
    /// Wait before the second try. It doubles with each further one; a server's `Retry-After` goes before it, and no wait
    /// is longer than a minute.
    pub wait: Duration,
    /// Requests under way at once.
    pub at_once: usize,
    /// Share of rollouts that may stay without a grade.
    pub allowed_failures: f64,
}

impl JudgeSettings {
    /// The shipped prompt at temperature 0: 512 tokens, a minute and five tries each, eight at once, 2 % may fail.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            prompt: JudgePrompt::shipped(),
            temperature: 0.0,
            seed: 0,
            max_tokens: 512,
            timeout: Duration::from_mins(1),
            attempts: 5,
            wait: Duration::from_secs(1),
            at_once: 8,
            allowed_failures: 0.02,
        }
    }

    pub(super) fn check(&self) -> Result<(), JudgeProblem> {
        self.prompt.check()?;
        let inside = |n: usize| (1..=256).contains(&n);
        let warm = self.temperature.is_finite() && self.temperature >= 0.0;
        let share = (0.0..=1.0).contains(&self.allowed_failures);
        let ranges = [
            ("model", !self.model.trim().is_empty(), "a name", format!("`{}`", self.model)),
            ("temperature", warm, "0 or more", self.temperature.to_string()),
            ("max_tokens", self.max_tokens > 0, "1 or more", self.max_tokens.to_string()),
            ("timeout", !self.timeout.is_zero(), "more than nothing", format!("{:?}", self.timeout)),
            ("attempts", inside(self.attempts), "1 to 256", self.attempts.to_string()),
            ("at_once", inside(self.at_once), "1 to 256", self.at_once.to_string()),
            ("allowed_failures", share, "a share from 0 to 1", self.allowed_failures.to_string()),
        ];
        match ranges.into_iter().find(|(_, inside, ..)| !inside) {
            Some((name, _, expected, found)) => Err(JudgeProblem::Setting { name, expected, found }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named_with_their_range() {
        let good = JudgeSettings::new("m");
        good.check().unwrap();
        let table = [
            (JudgeSettings { model: " ".into(), ..good.clone() }, "`model`: expected a name, found ` `"),
            (
                JudgeSettings { temperature: -1.0, ..good.clone() },
                "`temperature`: expected 0 or more, found -1",
            ),
            (JudgeSettings { temperature: f64::NAN, ..good.clone() }, "found NaN"),
            (JudgeSettings { max_tokens: 0, ..good.clone() }, "`max_tokens`"),
            (
                JudgeSettings { timeout: Duration::ZERO, ..good.clone() },
                "expected more than nothing, found 0ns",
            ),
            (JudgeSettings { attempts: 0, ..good.clone() }, "`attempts`: expected 1 to 256, found 0"),
            (JudgeSettings { at_once: 257, ..good.clone() }, "`at_once`: expected 1 to 256, found 257"),
            (JudgeSettings { allowed_failures: 2.0, ..good }, "expected a share from 0 to 1, found 2"),
        ];
        for (settings, expected) in table {
            let said = settings.check().unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
