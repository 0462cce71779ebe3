//! Log-probabilities of answers against the logits of Hugging Face transformers.

use heirloom_model::{Student, TokenRow};

use crate::doctor::with_weights;
use crate::support::{MODELS, fixture, options, rows, student, tensors};

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

#[test]
fn a_row_without_a_number_is_named() {
    let row =
        |id: &str, response| TokenRow { response: Some(response), ..TokenRow::from_ids(id, vec![5, 6, 7]) };
    let said = |student: &Student, rows: &[TokenRow]| {
        let error = student.answer_log_probs(rows).unwrap_err();
        format!("{error}: {}", std::error::Error::source(&error).unwrap())
    };
    let student = student("llama-gqa");
    let error = said(&student, &[row("a", 1..3), row("b", 0..1)]);
    assert!(error.contains("row `b`") && error.contains("none is scored"), "{error}");
    let rows = [row("a", 1..3), row("b", 0..2)];
    assert!(student.answer_log_probs(&rows).unwrap().iter().all(|mean| mean.is_finite()));
    let folder = with_weights("llama-gqa", "lm_head.weight", |x| 3e38_f32.copysign(x));
    let error = said(&Student::load(folder.path(), &options()).unwrap(), &rows);
    assert!(error.contains("row `a`") && error.contains("not finite"), "{error}");
}
