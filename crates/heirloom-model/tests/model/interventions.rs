//! Laws of interventions, each effect with a twin that shows it absent.

use heirloom_model::{Edit, Error, Intervention, Positions, RowCache, Student, TokenRow};
use heirloom_record::HookPoint;
use ndarray::{Array2, ArrayD, Ix2};

use crate::support::{all_models, block, gap, rows, scale, student};

const NAME: &str = "llama-gqa";

fn points(student: &Student) -> Vec<HookPoint> {
    let all = student.config().hooks().into_iter();
    all.filter(|point| student.config().width(*point).is_some()).collect()
}

fn run(student: &Student, rows: &[TokenRow], interventions: &[Intervention]) -> Vec<RowCache> {
    student.run_with_hooks(rows, &points(student), interventions, true).unwrap()
}

fn add(point: HookPoint, vector: &[f32], alpha: f32) -> Intervention {
    Intervention { point, positions: Positions::All, edit: Edit::Add { vector: vector.to_vec(), alpha } }
}

/// A vector without symmetries.
fn vector(width: usize) -> Vec<f32> {
    (0..width).map(|i| ((i * 37 + 11) % 17) as f32 / 17.0 - 0.45).collect()
}

fn logits(caches: &[RowCache]) -> Vec<ArrayD<f32>> {
    caches.iter().map(|cache| cache.logits.clone().unwrap().into_dyn()).collect()
}

fn worst(a: &[RowCache], b: &[RowCache]) -> f32 {
    logits(a).iter().zip(&logits(b)).map(|(a, b)| gap(a, b) / scale(a)).fold(0.0, f32::max)
}

#[test]
fn adding_nothing_changes_no_bit_and_adding_something_does() {
    for name in all_models() {
        let (student, rows) = (student(name), rows(name));
        let plain = run(&student, &rows, &[]);
        for point in points(&student) {
            let v = vector(student.config().width(point).unwrap());
            assert_eq!(run(&student, &rows, &[add(point, &v, 0.0)]), plain, "{name} {point}");
            // All rotated keys moved alike move every score of a query alike, which softmax does not see.
            let positions = Positions::At(vec![1]);
            let moved = Intervention { positions, ..add(point, &v, 3.0) };
            let moved = worst(&run(&student, &rows, &[moved]), &plain);
            assert!(moved > 1e-4, "{name} {point}: {moved}");
        }
    }
}

#[test]
fn opposite_additions_cancel_and_sums_are_successive() {
    let (student, rows) = (student(NAME), rows(NAME));
    let plain = run(&student, &rows, &[]);
    for point in points(&student) {
        let v = vector(student.config().width(point).unwrap());
        let cancelled = run(&student, &rows, &[add(point, &v, 0.5), add(point, &v, -0.5)]);
        assert!(worst(&cancelled, &plain) < 2e-6, "{point}");
        let twice = run(&student, &rows, &[add(point, &v, 0.5), add(point, &v, 0.25)]);
        let once = run(&student, &rows, &[add(point, &v, 0.75)]);
        assert!(worst(&twice, &once) < 2e-6, "{point}");
    }
}

#[test]
fn what_came_before_keeps_every_bit() {
    let (student, rows) = (student(NAME), rows(NAME));
    let plain = run(&student, &rows, &[]);
    for point in points(&student) {
        let v = vector(student.config().width(point).unwrap());
        for positions in
            [Positions::All, Positions::AfterFirst, Positions::LastPrompt, Positions::At(vec![1])]
        {
            let change = Intervention { positions, ..add(point, &v, 2.0) };
            let edited = run(&student, &rows, &[change]);
            for (plain, edited) in plain.iter().zip(&edited) {
                for (earlier, tensor) in plain.activations.iter().filter(|(other, _)| **other < point) {
                    // Keys and values come out of one product with queries and are not computed after them.
                    assert_eq!(tensor, &edited.activations[earlier], "{point} changed {earlier}");
                }
            }
        }
    }
}

#[test]
fn the_first_token_alone_is_left_out() {
    let (student, rows) = (student(NAME), rows(NAME));
    let point = block(1, "hook_resid_pre");
    let v = vector(32);
    let change = Intervention { positions: Positions::AfterFirst, ..add(point, &v, 1.0) };
    let (plain, all) = (run(&student, &rows, &[]), run(&student, &rows, &[add(point, &v, 1.0)]));
    for ((plain, all), edited) in plain.iter().zip(&all).zip(&run(&student, &rows, &[change])) {
        let [plain, all, edited] = [plain, all, edited].map(|cache| &cache.activations[&point]);
        for (position, row) in edited.outer_iter().enumerate() {
            let same = if position == 0 { plain } else { all };
            assert_eq!(row, same.index_axis(ndarray::Axis(0), position), "{position}");
        }
    }
}

#[test]
fn other_positions_keep_their_values() {
    let (student, rows) = (student(NAME), rows(NAME));
    let point = block(1, "hook_resid_pre");
    let v = vector(32);
    let change = Intervention { positions: Positions::At(vec![2]), ..add(point, &v, 1.0) };
    let (plain, edited) = (run(&student, &rows, &[]), run(&student, &rows, &[change]));
    for (plain, edited) in plain.iter().zip(&edited) {
        let (a, b) = (&plain.activations[&point], &edited.activations[&point]);
        for (position, (a, b)) in a.outer_iter().zip(b.outer_iter()).enumerate() {
            assert_eq!(a == b, position != 2, "{position}");
        }
        // Causal: what lies before the changed position cannot know of it.
        let (a, b) = (plain.logits.as_ref().unwrap(), edited.logits.as_ref().unwrap());
        for (position, (a, b)) in a.outer_iter().zip(b.outer_iter()).enumerate() {
            assert_eq!(a == b, position < 2, "{position}");
        }
    }
}

#[test]
fn ablation_removes_the_component_and_nothing_else() {
    let (student, rows) = (student(NAME), rows(NAME));
    let point = block(0, "hook_resid_post");
    let v = vector(32);
    let unit = v.iter().map(|x| x / v.iter().map(|x| x * x).sum::<f32>().sqrt());
    let unit = ndarray::Array1::from_iter(unit);
    let along = |caches: &[RowCache]| -> Vec<(f32, Array2<f32>)> {
        let one = |cache: &RowCache| {
            let x = cache.activations[&point].clone().into_dimensionality::<Ix2>().unwrap();
            let c = x.dot(&unit);
            let rest = &x - &(c.view().insert_axis(ndarray::Axis(1)).to_owned() * &unit);
            (c.iter().fold(0.0_f32, |top, x| top.max(x.abs())), rest)
        };
        caches.iter().map(one).collect()
    };
    let edit = |value| Intervention {
        point,
        positions: Positions::All,
        edit: Edit::Component { direction: v.clone(), value },
    };
    let plain = along(&run(&student, &rows, &[]));
    let ablated = run(&student, &rows, &[edit(0.0)]);
    let set = along(&run(&student, &rows, &[edit(2.5)]));
    for (((before, rest), (after, same)), (value, _)) in plain.iter().zip(&along(&ablated)).zip(&set) {
        assert!(*before > 0.1 && *after < 1e-5 && (value - 2.5).abs() < 1e-5, "{before} {after} {value}");
        assert!(gap(&rest.clone().into_dyn(), &same.clone().into_dyn()) < 1e-5);
    }
    let twice = run(&student, &rows, &[edit(0.0), edit(0.0)]);
    assert!(worst(&twice, &ablated) < 1e-6);
}

#[test]
fn patching_the_first_stream_reproduces_the_other_run() {
    for name in all_models() {
        let (student, all) = (student(name), rows(name));
        // Two rows of one length: the first of the fixture, and its reverse.
        let row = all[1].clone();
        let other = TokenRow { ids: row.ids.iter().rev().copied().collect(), ..row.clone() };
        let point = block(0, "hook_resid_pre");
        let source = run(&student, std::slice::from_ref(&other), &[]);
        let patch = source[0].activations[&point].clone().into_dimensionality::<Ix2>().unwrap();
        let edit = Edit::Patch { rows: vec![patch] };
        let whole = Intervention { point, positions: Positions::All, edit };
        let patched = run(&student, std::slice::from_ref(&row), std::slice::from_ref(&whole));
        assert_eq!(patched[0].logits, source[0].logits, "{name}");
        let part = Intervention { positions: Positions::LastPrompt, ..whole };
        let patched = run(&student, std::slice::from_ref(&row), &[part]);
        assert_ne!(patched[0].logits, source[0].logits, "{name}");
    }
}

#[test]
fn replacing_is_exact() {
    let (student, rows) = (student(NAME), rows(NAME));
    for point in points(&student) {
        let v = vector(student.config().width(point).unwrap());
        let edit = Edit::Replace { vector: v.clone() };
        let change = Intervention { point, positions: Positions::LastPrompt, edit };
        for cache in run(&student, &rows, &[change]) {
            let x = &cache.activations[&point];
            let last = x.index_axis(ndarray::Axis(0), x.shape()[0] - 1);
            assert!(last.iter().eq(&v), "{point}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_runs() {
    let (student, rows) = (student(NAME), rows(NAME));
    let post = block(1, "hook_resid_post");
    let check = |change: Intervention, text: &str| {
        let error = student.run_with_hooks(&rows, &[], &[change], true).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        error
    };
    check(add(post, &[1.0; 31], 1.0), "expected a vector of 32 numbers, found 31");
    check(add(block(2, "hook_resid_post"), &[1.0; 32], 1.0), "not in a model with 2 blocks");
    check(add(block(0, "attn.hook_pattern"), &[1.0; 32], 1.0), "cannot be changed by");
    let edit = Edit::ablate(vec![0.0; 32]);
    check(Intervention { point: post, positions: Positions::All, edit }, "has length 0");
    let edit = Edit::Patch { rows: vec![Array2::zeros((2, 32))] };
    check(
        Intervention { point: post, positions: Positions::All, edit },
        "expected 3 positions in row 0, found 2",
    );
    let far = Intervention { positions: Positions::At(vec![5]), ..add(post, &[1.0; 32], 1.0) };
    assert!(matches!(check(far, "row `0`"), Error::Row { .. }));
    let span = Intervention { positions: Positions::Span("x".into()), ..add(post, &[1.0; 32], 1.0) };
    check(span, "row `0`");
}
