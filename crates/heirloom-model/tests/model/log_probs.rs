//! Log-probabilities of answers against the logits of Hugging Face transformers.

use heirloom_model::TokenRow;

use crate::support::{MODELS, fixture, rows, student, tensors};

#[test]
fn log_probs_of_answers_are_those_of_transformers_logits() {
    for name in MODELS {
        let (student, expected) = (student(name), tensors(&fixture(name).join("expected.safetensors")));
        let answered: Vec<TokenRow> = rows(name)
            .into_iter()
            .map(|row| TokenRow { response: Some(row.ids.len() / 2..row.ids.len()), ..row })
            .collect();
        let found = student.answer_log_probs(&answered).unwrap();
        for (at, (row, found)) in answered.iter().zip(&found).enumerate() {
            let logits = &expected[&format!("{at}.logits")];
            let span = row.response.clone().unwrap();
            let log_prob = |token: usize| {
                let of = |id: usize| f64::from(logits[[token - 1, id]]);
                let all: f64 = (0..logits.shape()[1]).map(|id| of(id).exp()).sum();
                of(row.ids[token] as usize) - all.ln()
            };
            let scored = span.start.max(1)..span.end;
            let mean = scored.clone().map(log_prob).sum::<f64>() / scored.len() as f64;
            assert!((found - mean).abs() < 2e-5, "{name} row {}: {found} and {mean}", row.id);
        }
        // Many rows do not fit one pass; each is still scored alone.
        let many: Vec<TokenRow> = std::iter::repeat_with(|| answered.clone()).take(60).flatten().collect();
        let again = student.answer_log_probs(&many).unwrap();
        assert!(again.chunks(found.len()).all(|one| one == found), "{name}");
    }
    let silent = rows(MODELS[0]);
    let error = student(MODELS[0]).answer_log_probs(&silent).unwrap_err().to_string();
    assert!(error.contains(&silent[0].id), "{error}");
}
