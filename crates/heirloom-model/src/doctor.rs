//! What is checked about a model before its activations are believed.
//!
//! Every check measures one number, holds it against a bound, and says what to do where it lies beyond.

mod pass;
mod weights;
mod words;

use heirloom_record::{DataRow, Input, Message};
use serde::Serialize;

use crate::{Device, Dtype, Result, Student, TokenRow};

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within its bound.
    Ok,
    /// A fact to know; nothing is wrong.
    Note,
    /// Beyond its bound.
    Failed,
    /// There is nothing to check.
    Skipped,
}

/// One check: what was measured, the bound, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was measured, in words and numbers.
    pub measured: String,
    /// The number that is held against the bound.
    pub value: Option<f64>,
    /// The largest value that is well.
    pub bound: Option<f64>,
    /// What to do where the check fails, or what a note means for the work.
    pub advice: String,
}

impl Finding {
    /// Well where `value` is at most `bound`; a value that is no number is not.
    fn held(check: &'static str, value: f64, bound: f64, measured: String, advice: &str) -> Self {
        let verdict = if value <= bound { Verdict::Ok } else { Verdict::Failed };
        Self { check, verdict, measured, value: Some(value), bound: Some(bound), advice: advice.into() }
    }

    fn said(check: &'static str, verdict: Verdict, measured: String, advice: &str) -> Self {
        Self { check, verdict, measured, value: None, bound: None, advice: advice.into() }
    }

    /// A check that could not be carried out is one that failed.
    fn of(check: &'static str, found: Result<Self>) -> Self {
        found.unwrap_or_else(|error| {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            let said = causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"));
            let advice = error.hint().unwrap_or_else(|| "the check could not be carried out".into());
            Self::said(check, Verdict::Failed, said, &advice)
        })
    }
}

/// How exact numbers of a type are.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Rounding of one operation, as a share.
    rounding: f64,
    /// Rounding of a whole forward pass, as a share of the largest logit.
    pass: f64,
    /// A row in one batch and in another.
    batch: f64,
    /// Logits in this type against those in f32, as a share of their spread.
    dtype: f64,
}

impl Bounds {
    fn of(student: &Student) -> Self {
        let (rounding, pass) = match student.dtype() {
            Dtype::F32 => (1e-6, 2e-5),
            Dtype::F16 => (1e-3, 2e-2),
            Dtype::Bf16 => (8e-3, 8e-2),
        };
        // In f32 on the processor a row in any batch is the row alone, bit for bit.
        let exact = student.device() == Device::Cpu && student.dtype() == Dtype::F32;
        Self { rounding, pass, batch: if exact { 0.0 } else { pass }, dtype: pass / 2.0 }
    }
}

/// Examines a student on `rows`, of which there are at least two, of different lengths.
///
/// `reference` is the same model in f32, for a student in other numbers.
///
/// Cost: some ten forward passes of the rows, one row's logits at a time.
pub fn examine(student: &Student, rows: &[TokenRow], reference: Option<&Student>) -> Vec<Finding> {
    let bounds = Bounds::of(student);
    let mut found = pass::checks(student, rows, bounds);
    found.push(weights::f32_against(student, rows, reference, bounds));
    found.push(weights::adapter(student, rows));
    found.push(weights::heads(student));
    found.extend(weights::not_read(student));
    found.extend(words::checks(student));
    found
}

/// Rows to examine a student on where the user has none: short chats or texts, or token ids where it has no words.
///
/// # Errors
/// The tokenizer or the template refuses them.
pub fn rows(student: &Student) -> Result<Vec<TokenRow>> {
    let words = student.words();
    if !words.has_tokenizer() {
        return Ok(ids(student.config().d_vocab, student.config().n_ctx));
    }
    let row = |(index, [ask, answer]): (usize, &[&str; 2])| {
        let id = format!("doctor-{index}");
        if words.has_template() {
            DataRow::chat(id, vec![Message::new("user", *ask), Message::new("assistant", *answer)])
        } else {
            DataRow { input: Input::Text(format!("{ask} {answer}")), ..DataRow::chat(id, Vec::new()) }
        }
    };
    student.prepare(&TEXTS.iter().enumerate().map(row).collect::<Vec<_>>())
}

const TEXTS: [[&str; 2]; 3] = [
    ["Hi.", "Hello."],
    ["What is the capital of France?", "The capital of France is Paris, on the river Seine."],
    [
        "Count from one to five, and then say why the sea looks blue on a clear day.",
        "One, two, three, four, five. Water takes away red light first, so what comes back to the eye is blue.",
    ],
];

/// Token ids spread over the vocabulary.
fn ids(d_vocab: usize, n_ctx: usize) -> Vec<TokenRow> {
    let row = |n: usize| {
        let ids = (0..n.min(n_ctx)).map(|at| ((at * at * 7 + at * 13 + n) % d_vocab) as u32);
        TokenRow::from_ids(format!("doctor-{n}"), ids.collect())
    };
    [3, 11, 29].map(row).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_held_against_its_bound() {
        let verdict = |value| Finding::held("a check", value, 0.5, String::new(), "").verdict;
        assert_eq!([0.0, 0.5].map(verdict), [Verdict::Ok; 2]);
        assert_eq!([0.51, f64::INFINITY, f64::NAN].map(verdict), [Verdict::Failed; 3]);
    }

    #[test]
    fn a_check_that_cannot_be_carried_out_fails_with_its_reason() {
        let found = Finding::of("a check", Err(crate::Error::NoAdapter { model: "m".into() }));
        assert_eq!((found.verdict, found.measured.as_str()), (Verdict::Failed, "`m` has no adapter"));
    }
}
