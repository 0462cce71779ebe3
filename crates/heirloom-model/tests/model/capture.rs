//! Capture against whole tensors, and readouts.

use heirloom_model::{
    CaptureOptions, CapturePlan, Edit, Intervention, Positions, Progress, Source, TokenRow,
};
use heirloom_record::{Activations, HookPoint, Readout};
use ndarray::{Axis, Ix2};

use crate::support::{all_models, block, fixture, rows, see_all, student};

const EVERYTHING: &[&str] = &["hook_embed", "blocks.*", "ln_final.hook_normalized"];

fn capture(name: &str, rows: &[TokenRow], readout: Readout, max_tokens: usize) -> Activations {
    let student = student(name);
    let plan = CapturePlan::new(student.config(), EVERYTHING, readout).unwrap();
    student.capture(rows, &plan, &mut CaptureOptions { max_tokens, ..CaptureOptions::default() }).unwrap()
}

fn bits(x: &ndarray::Array2<f32>) -> impl Iterator<Item = u32> {
    x.iter().map(|x| x.to_bits())
}

/// Rows with a response, as if the tokens from the third on answered the first two.
fn answered(name: &str) -> Vec<TokenRow> {
    let row = |row: TokenRow| TokenRow { response: Some(2..row.ids.len()), ..row };
    rows(name).into_iter().map(row).collect()
}

#[test]
fn readouts_are_the_positions_they_name() {
    for name in all_models() {
        let rows = answered(name);
        let whole = see_all(&student(name), &rows);
        let last = capture(name, &rows, Readout::LastPrompt, 1024);
        let mean = capture(name, &rows, Readout::ResponseMean, 1024);
        let all = capture(name, &rows, Readout::All, 1024);
        let config = student(name).config().clone();
        let chosen = |point: &HookPoint| *point != HookPoint::PosEmbed && config.width(*point).is_some();
        let vectors = config.hooks().into_iter().filter(chosen);
        assert_eq!(last.tensors.len(), vectors.count());
        let mut start = 0;
        for (index, (row, whole)) in rows.iter().zip(&whole).enumerate() {
            assert_eq!(last.rows[index].positions, (1, 2));
            assert_eq!(mean.rows[index].positions, (2, row.ids.len()));
            for (point, tensor) in &last.tensors {
                let width = tensor.ncols();
                let x = whole.activations[point].to_shape((row.ids.len(), width)).unwrap();
                let x = x.into_dimensionality::<Ix2>().unwrap();
                let near = |a: ndarray::ArrayView1<'_, f32>, b: ndarray::ArrayView1<'_, f32>| {
                    let scale = b.iter().fold(1.0_f32, |top, x| top.max(x.abs()));
                    assert!(
                        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 5e-6 * scale),
                        "{name} {point} {index}"
                    );
                };
                near(tensor.row(index), x.row(1));
                let average = x.slice_axis(Axis(0), (2..).into()).mean_axis(Axis(0)).unwrap();
                near(mean.tensors[point].row(index), average.view());
                near(all.tensors[point].row(start), x.row(0));
                near(all.tensors[point].row(start + row.ids.len() - 1), x.row(row.ids.len() - 1));
            }
            assert_eq!(all.rows[start + 1].id, format!("{}@1", row.id));
            start += row.ids.len();
        }
        assert_eq!(all.rows.len(), start);
    }
}

#[test]
fn batches_and_their_order_do_not_show() {
    for name in all_models() {
        let rows = rows(name);
        let together = capture(name, &rows, Readout::LastPrompt, 1024);
        let alone = capture(name, &rows, Readout::LastPrompt, 1);
        assert_eq!((together.header.batch_plan.batches, alone.header.batch_plan.batches), (1, rows.len()));
        assert_eq!(together.rows, alone.rows);
        for (point, a) in &together.tensors {
            assert!(bits(a).eq(bits(&alone.tensors[point])), "{name} {point}");
        }
    }
}

#[test]
fn the_pass_ends_at_the_deepest_point() {
    let student = student("llama-gqa");
    let rows = rows("llama-gqa");
    // A change behind the deepest point would fail if it were reached: it patches rows of the wrong length.
    let plan =
        CapturePlan::new(student.config(), &["blocks.0.hook_resid_post"], Readout::LastPrompt).unwrap();
    let vector = vec![f32::INFINITY; 32];
    let after = Intervention {
        point: block(1, "hook_resid_pre"),
        positions: Positions::All,
        edit: Edit::Replace { vector },
    };
    let mut seen = Vec::new();
    let mut progress = |at: Progress| seen.push((at.rows, at.tokens));
    let mut options = CaptureOptions {
        interventions: std::slice::from_ref(&after),
        max_tokens: 20,
        may_shrink: false,
        progress: Some(&mut progress),
    };
    let early = student.capture(&rows, &plan, &mut options).unwrap();
    assert_eq!(seen, [(1, 16), (3, 35), (4, 38)]);
    assert_eq!(early.tensors.len(), 1);
    let deeper =
        CapturePlan::new(student.config(), &["blocks.1.hook_resid_post"], Readout::LastPrompt).unwrap();
    let mut options = CaptureOptions { interventions: &[after], ..CaptureOptions::default() };
    let error = student.capture(&rows, &deeper, &mut options).unwrap_err();
    assert!(error.to_string().contains("`blocks.1.hook_resid_post` of row"), "{error}");
}

#[test]
fn plans_need_the_configuration_alone() {
    let source = Source::open(&fixture("llama-gqa")).unwrap();
    let plan = |pattern: &str| CapturePlan::new(source.config(), &[pattern], Readout::LastPrompt);
    let typo = plan("blocks.*.hook_resid_pst").unwrap_err();
    assert!(typo.hint().unwrap().contains("blocks.*.hook_resid_post"), "{typo}");
    let pattern = plan("blocks.*.attn.hook_pattern").unwrap_err();
    assert!(pattern.to_string().contains("cannot be captured as vectors"), "{pattern}");
    assert!(pattern.hint().unwrap().contains("run_with_hooks"));
    // A wide glob means what can be captured.
    assert_eq!(plan("blocks.0.*").unwrap().points().len(), 16);
    assert_eq!(plan("blocks.1.hook_resid_post").unwrap().points().first(), Some(&HookPoint::resid_post(1)));
}

#[test]
fn what_cannot_be_read_names_the_row() {
    let student = student("chat-llama");
    let plan = |readout| CapturePlan::new(student.config(), &["hook_embed"], readout).unwrap();
    let check = |row: TokenRow, readout: Readout, text: &str| {
        let error = student.capture(&[row], &plan(readout), &mut CaptureOptions::default()).unwrap_err();
        let chain = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(chain.contains("row `r`") && chain.contains(text), "{chain}");
    };
    let row = |ids: &[u32]| TokenRow::from_ids("r", ids.to_vec());
    check(row(&[]), Readout::LastPrompt, "no tokens");
    check(row(&[3, 9999]), Readout::LastPrompt, "token id 9999 is outside the vocabulary of");
    check(row(&[3; 300]), Readout::LastPrompt, "300 tokens, the model's context holds 256");
    check(row(&[3]), Readout::ResponseMean, "no assistant message");
    check(TokenRow { response: Some(1..1), ..row(&[3]) }, Readout::ResponseMean, "response is empty");
    check(row(&[3]), Readout::Span("who".into()), "names no span `who`, nor any other");
}
