//! Gradients of every weight against PyTorch, and what they must not depend on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use heirloom_model::{
    Config, Dtype, Error, Gradients, Init, Length, LoadOptions, Observer, Order, RowError, Schedule, Special,
    StepLog, Stop, Student, TrainOptions, TrainRow, Words,
};
use ndarray::ArrayD;

use crate::support::{FAMILIES, MODELS, fixture, json, options, rows, student, tensors};

/// f32, relative: of norms, and of largest numbers.
const TOLERANCE: f64 = 1e-4;

fn reference(name: &str, end: &str) -> PathBuf {
    match (FAMILIES.contains(&name), end) {
        (false, _) => fixture("gradients").join(format!("{name}.{end}")),
        (true, "json") => fixture(name).join("inputs.json"),
        (true, _) => fixture(name).join(format!("gradients.{end}")),
    }
}

/// Models that the generators differentiated.
fn models() -> impl Iterator<Item = &'static str> {
    trained().chain(FAMILIES)
}

/// Those that they also trained.
fn trained() -> impl Iterator<Item = &'static str> {
    MODELS.into_iter().filter(|name| *name != "chat-llama")
}

/// The fixture's rows, with loss on their responses.
fn responses(name: &str) -> Vec<TrainRow> {
    let expected = json(&reference(name, "json"));
    // Of the families, the last two thirds of each row.
    let thirds = || rows(name).iter().map(|row| ((row.ids.len() / 3).max(1), row.ids.len())).collect();
    let ranges: Option<Vec<(usize, usize)>> = serde_json::from_value(expected["responses"].clone()).unwrap();
    let ranges = ranges.unwrap_or_else(thirds);
    let row = |(row, (start, end)): (heirloom_model::TokenRow, _)| {
        let loss = std::iter::once(start..end).collect();
        TrainRow { id: row.id, ids: row.ids, loss }
    };
    rows(name).into_iter().zip(ranges).map(row).collect()
}

/// Distance to `expected`, relative: the larger of that of norms and that of largest numbers.
fn relative(found: &ArrayD<f32>, expected: &ArrayD<f32>) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let norm = |x: &dyn Fn(usize) -> f64| (0..expected.len()).map(|i| x(i).powi(2)).sum::<f64>().sqrt();
    let top = |x: &dyn Fn(usize) -> f64| (0..expected.len()).map(|i| x(i).abs()).fold(0.0, f64::max);
    let (found, expected) = (found.as_slice().unwrap(), expected.as_slice().unwrap());
    let exact = |i: usize| f64::from(expected[i]);
    let gap = |i: usize| f64::from(found[i]) - exact(i);
    let worst = (norm(&gap) / norm(&exact)).max(top(&gap) / top(&exact));
    if found.iter().any(|x| x.is_nan()) { f64::NAN } else { worst }
}

fn too_far(error: f64) -> bool {
    error.is_nan() || error > TOLERANCE
}

#[test]
fn every_gradient_equals_torch() {
    let mut table = Vec::new();
    let mut failed = false;
    for name in models() {
        let expected = tensors(&reference(name, "safetensors"));
        let found = student(name).gradients(&responses(name)).unwrap();
        let loss = json(&reference(name, "json"))["loss_f64"].as_f64().unwrap();
        assert!((found.loss - loss).abs() < 1e-6 * loss, "{name}: loss {} of {loss}", found.loss);
        assert!(found.by_weight.keys().eq(expected.keys()), "{name}: {:?}", found.by_weight.keys());
        for (weight, expected) in &expected {
            let error = relative(&found.by_weight[weight], expected);
            failed |= too_far(error);
            let mark = if too_far(error) { "  <-- too far" } else { "" };
            let name = name.rsplit('/').next().unwrap();
            table.push(format!("{name:18} {weight:48} {error:.1e}{mark}"));
        }
    }
    assert!(!failed, "\n{}", table.join("\n"));
    println!("{}", table.join("\n"));
}

/// What the test above would say to a gradient that was lost, or that belongs to another loss.
#[test]
fn a_lost_gradient_would_be_seen() {
    for name in models() {
        for (weight, expected) in tensors(&reference(name, "safetensors")) {
            assert!(too_far(relative(&ArrayD::zeros(expected.shape()), &expected)), "{name} {weight}");
        }
        let (student, rows) = (student(name), responses(name));
        let whole = student.gradients(&rows).unwrap();
        let later = |row: TrainRow| {
            let n = row.ids.len();
            TrainRow { loss: std::iter::once(n - 1..n).collect(), ..row }
        };
        let other = student.gradients(&rows.into_iter().map(later).collect::<Vec<_>>()).unwrap();
        for (weight, gradient) in &whole.by_weight {
            assert!(too_far(relative(&other.by_weight[weight], gradient)), "{name} {weight}");
        }
    }
}

#[test]
fn gradients_of_a_batch_are_the_mean_of_its_rows() {
    for name in models() {
        let (student, rows) = (student(name), responses(name));
        let together = student.gradients(&rows).unwrap();
        let mut mean: BTreeMap<String, ArrayD<f32>> = BTreeMap::new();
        for row in &rows {
            let alone = student.gradients(std::slice::from_ref(row)).unwrap();
            let share = alone.loss_tokens as f32 / together.loss_tokens as f32;
            for (weight, gradient) in alone.by_weight {
                let sum = mean.entry(weight).or_insert_with(|| ArrayD::zeros(gradient.shape()));
                *sum += &(gradient * share);
            }
        }
        for (weight, gradient) in &together.by_weight {
            let error = relative(&mean[weight], gradient);
            assert!(error < 1e-5, "{name} {weight}: {error:e}");
        }
    }
}

#[test]
fn half_precision_loses_no_gradient() {
    // Scores are rounded, as transformers rounds them.
    for (dtype, tolerance) in [(Dtype::Bf16, 0.15), (Dtype::F16, 0.02)] {
        for name in models() {
            // Their weights are few, and some of their gradients small.
            let tolerance = if FAMILIES.contains(&name) { 3.0 * tolerance } else { tolerance };
            let rows = responses(name);
            let low = Student::load(&fixture(name), &LoadOptions { dtype, ..options() }).unwrap();
            let (low, full) = (low.gradients(&rows).unwrap(), student(name).gradients(&rows).unwrap());
            assert!((low.loss / full.loss - 1.0).abs() < tolerance);
            for (weight, full) in &full.by_weight {
                let error = relative(&low.by_weight[weight], full);
                assert!(error < tolerance && error > 0.0, "{name} {dtype} {weight}: {error}");
            }
        }
    }
}

#[test]
fn rows_without_something_to_learn_are_refused() {
    let student = student("llama-gqa");
    for loss in [0..0, 0..1, 2..9] {
        let row = TrainRow { id: "a".into(), ids: vec![5, 6, 7], loss: vec![loss] };
        match student.gradients(&[row]) {
            Err(Error::Row { row, problem: RowError::NothingToLearn }) if row == "a" => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Logs of a training on the batches of a fixture's `kind` of ten steps.
fn ten_steps(name: &str, kind: &str, batches: usize) -> Vec<StepLog> {
    #[derive(Default)]
    struct Logs(Vec<StepLog>);
    impl Observer for Logs {
        fn step(&mut self, log: &StepLog) -> Result<(), Stop> {
            self.0.push(log.clone());
            Ok(())
        }
    }
    let expected = json(&reference(name, "json"));
    let (adamw, scheduled) = (&expected["adamw"], kind == "scheduled");
    let number = |key: &str| adamw[key].as_f64().unwrap();
    let all = responses(name);
    let step =
        |step: &serde_json::Value| serde_json::from_value::<Vec<usize>>(step["batch"].clone()).unwrap();
    let steps: Vec<Vec<usize>> = expected[kind]["steps"].as_array().unwrap().iter().map(step).collect();
    let rows: Vec<TrainRow> = steps.iter().flatten().map(|row| all[*row].clone()).collect();
    let options = TrainOptions {
        length: Length::Epochs(1),
        order: Order::AsGiven,
        batch_rows: 3 / batches,
        accumulate: batches,
        lr: number("lr"),
        warmup: if scheduled { number("warmup") / steps.len() as f64 } else { 0.0 },
        schedule: if scheduled { Schedule::Cosine } else { Schedule::Constant },
        floor: number("floor"),
        betas: serde_json::from_value(adamw["betas"].clone()).unwrap(),
        eps: number("eps"),
        weight_decay: number("weight_decay"),
        clip: scheduled.then(|| number("clip")),
        ..TrainOptions::default()
    };
    let mut logs = Logs::default();
    student(name).train(&rows, &options, &mut logs).unwrap();
    logs.0
}

#[test]
fn ten_steps_of_adamw_equal_torch() {
    for name in trained() {
        for kind in ["constant", "scheduled"] {
            let expected = json(&reference(name, "json"))[kind]["steps"].clone();
            let whole = ten_steps(name, kind, 1);
            assert_eq!(whole.len(), 10);
            let near = |a: f64, b: &serde_json::Value| (a - b.as_f64().unwrap()).abs() < 1e-4 * a.abs();
            for (log, expected) in whole.iter().zip(expected.as_array().unwrap()) {
                assert!(near(log.loss, &expected["loss"]), "{name} {kind}: {log:?} {expected}");
                assert!(near(log.grad_norm, &expected["gradient_norm"]), "{name} {kind}: {log:?} {expected}");
                assert!(near(log.lr, &expected["lr"]), "{name} {kind}: {log:?} {expected}");
            }
            // Three batches of one row in a step are one batch of three.
            for (log, apart) in whole.iter().zip(ten_steps(name, kind, 3)) {
                assert!((log.loss - apart.loss).abs() < 1e-4 * log.loss, "{name} {kind}: {log:?} {apart:?}");
            }
            let first = expected[0]["loss"].as_f64().unwrap();
            assert!(whole[9].loss < 0.97 * first, "{name} {kind}: nothing was learned");
        }
    }
}

/// A student of the miniature world's size, and a batch that gemm and the kernels spread over threads.
fn miniature() -> (Student, Vec<TrainRow>) {
    let vocabulary: Vec<String> = (0..291).map(|i| format!("w{i}")).collect();
    let words = Words::word_level(&vocabulary, "{{ messages[0].content }}", &Special::new("w0")).unwrap();
    let config = Config::from_json(&serde_json::json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3,
        "num_attention_heads": 4, "vocab_size": 291, "max_position_embeddings": 168, "rms_norm_eps": 1e-5,
    }));
    let student = Student::create("mini", &config.unwrap(), words, &Init::new(1), &options()).unwrap();
    let row = |n: u32| {
        let ids: Vec<u32> = (0..20 + 3 * n).map(|i| (i * i + 17 * n) % 286 + 5).collect();
        TrainRow { id: n.to_string(), loss: vec![1..3, n as usize % 9 + 3..ids.len()], ids }
    };
    (student, (0..32).map(row).collect())
}

fn bits(gradients: &Gradients) -> String {
    let mut all = gradients.loss.to_bits();
    for x in gradients.by_weight.values().flatten() {
        all = all.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(x.to_bits());
    }
    format!("bits {all:016x}")
}

#[test]
fn the_same_bits_in_any_pool() {
    let (student, rows) = miniature();
    let expected = student.gradients(&rows).unwrap();
    assert!(expected.loss > 4.0 && expected.loss < 8.0, "{}", expected.loss);
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| student.gradients(&rows)).unwrap() == expected, "{threads} threads");
    }
}

/// gemm divides its work by what the environment says, so every number of threads is a process of its own.
#[test]
fn the_same_bits_in_any_process() {
    const NAME: &str = "gradients::the_same_bits_in_any_process";
    const CHILD: &str = "HEIRLOOM_TEST_PRINTS_BITS";
    let print = || {
        let (student, rows) = miniature();
        bits(&student.gradients(&rows).unwrap())
    };
    if std::env::var_os(CHILD).is_some() {
        println!("\n{}", print());
        return;
    }
    let expected = print();
    for threads in ["1", "2", "3"] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME, "--nocapture"]).env(CHILD, "1").env("RAYON_NUM_THREADS", threads);
        let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
        let found = output.lines().find(|line| line.starts_with("bits "));
        assert_eq!(found, Some(expected.as_str()), "{threads} threads: {output}");
    }
}
