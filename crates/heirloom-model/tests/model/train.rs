//! Training: PyTorch's numbers, the same bits on any number of threads, and what goes wrong by name.

use std::collections::BTreeMap;
use std::ops::Range;

use heirloom_model::{
    Dtype, Error, GenerateOptions, Length, LoadOptions, LossOn, Observer, Order, Projections, Schedule,
    StepLog, Stop, Student, TokenRow, TrainOptions, TrainRow, Watch, Watched, log_spaced_steps,
};
use heirloom_record::{DataRow, Input};

use crate::support::{block, fixture, json, options, see_all, student, tensors};

/// Remembers all it is told.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) log: Vec<StepLog>,
    pub(crate) hashes: Vec<(usize, String)>,
    pub(crate) watches: Vec<Watch>,
    pub(crate) projections: Vec<Projections>,
    /// Fails at this checkpoint.
    pub(crate) dies_at: Option<usize>,
}

impl Observer for Notes {
    fn step(&mut self, log: &StepLog) -> Result<(), Stop> {
        self.log.push(log.clone());
        if self.dies_at == Some(log.step) { Err("killed".into()) } else { Ok(()) }
    }

    fn checkpoint(&mut self, step: usize, student: &Student) -> Result<(), Stop> {
        self.hashes.push((step, student.sha256()?.to_owned()));
        Ok(())
    }

    fn watch(&self) -> &[Watch] {
        &self.watches
    }

    fn projections(&mut self, projections: &Projections) -> Result<(), Stop> {
        self.projections.push(projections.clone());
        Ok(())
    }
}

/// Rows of random ids, of different lengths.
pub(crate) fn random_rows(n: usize, d_vocab: u32) -> Vec<TrainRow> {
    let mut state = 7_u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut row = |index: usize| {
        let n = 4 + draw(12) as usize;
        TrainRow::on_all(index.to_string(), (0..n).map(|_| draw(d_vocab)).collect())
    };
    (0..n).map(&mut row).collect()
}

pub(crate) fn weights(student: &Student) -> BTreeMap<String, Vec<u32>> {
    let scratch = tempfile::tempdir().unwrap();
    student.save(&scratch.path().join("model")).unwrap();
    let tensors = tensors(&scratch.path().join("model/model.safetensors"));
    tensors.into_iter().map(|(name, array)| (name, array.iter().map(|x| x.to_bits()).collect())).collect()
}

#[test]
fn ten_steps_are_pytorchs() {
    let fixture_file = json(&fixture("training/steps.json"));
    let cases = fixture_file.as_object().unwrap().values().filter(|case| case["steps"].is_array());
    let mut worst = [0.0_f64; 3];
    for (n, case) in cases.enumerate() {
        let name = case["model"].as_str().unwrap();
        let setting = |key: &str| case["options"][key].as_f64().unwrap();
        let whole = |key: &str| serde_json::from_value::<usize>(case["options"][key].clone()).unwrap();
        let range = |range: &serde_json::Value| -> Range<usize> {
            let [start, end] = serde_json::from_value(range.clone()).unwrap();
            start..end
        };
        let row = |row: &serde_json::Value| TrainRow {
            id: row["id"].as_str().unwrap().into(),
            ids: crate::support::ids_of(&row["ids"]),
            loss: row["loss"].as_array().unwrap().iter().map(range).collect(),
        };
        let rows: Vec<TrainRow> = case["rows"].as_array().unwrap().iter().map(row).collect();
        let options = TrainOptions {
            length: Length::Steps(10),
            order: Order::AsGiven,
            batch_rows: whole("batch_rows"),
            accumulate: whole("accumulate"),
            lr: setting("lr"),
            schedule: serde_json::from_value(case["options"]["schedule"].clone()).unwrap(),
            warmup: setting("warmup"),
            floor: setting("floor"),
            weight_decay: setting("weight_decay"),
            clip: case["options"]["clip"].as_f64(),
            ..TrainOptions::default()
        };
        let mut student = student(name);
        let mut notes = Notes::default();
        let report = student.train(&rows, &options, &mut notes).unwrap();
        assert_eq!((report.steps, report.rows, notes.log.len()), (10, rows.len(), 10));
        for (log, expected) in notes.log.iter().zip(case["steps"].as_array().unwrap()) {
            let found = [log.loss, log.grad_norm, log.lr];
            for (i, key) in ["loss", "grad_norm", "lr"].into_iter().enumerate() {
                let expected = expected[key].as_f64().unwrap();
                let error = (found[i] / expected - 1.0).abs();
                assert!(error < 1e-4, "{name} step {} {key}: {} {expected}", log.step, found[i]);
                worst[i] = worst[i].max(error);
            }
        }
        // What ten updates left in every weight, against the updates' own size of lr a step.
        let ends = weights(&student);
        for (key, expected) in case["ends"].as_object().unwrap() {
            let found = &ends[key];
            let expected: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
            for (found, expected) in found.iter().step_by((found.len() / 5).max(1)).zip(expected) {
                let error = (f64::from(f32::from_bits(*found)) - expected).abs();
                assert!(error < 0.02 * setting("lr"), "{name} {key}: off by {error:e}");
            }
        }
        assert!(n < 4);
    }
    let worst = worst.map(|error| format!("{error:.1e}"));
    println!("largest relative distance of loss, gradient norm and learning rate: {worst:?}");
}

fn quick() -> TrainOptions {
    TrainOptions { batch_rows: 5, length: Length::Epochs(2), lr: 1e-2, ..TrainOptions::default() }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let rows = random_rows(23, 97);
    let train = || {
        let (mut student, mut notes) = (student("llama-gqa"), Notes::default());
        let options = TrainOptions { checkpoints: vec![0, 3], ..quick() };
        student.train(&rows, &options, &mut notes).unwrap();
        (notes.log, notes.hashes, student.sha256().unwrap().to_owned())
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(train);
    let one = on(1);
    assert!(one == on(2) && one == on(3), "other bits on other threads");
    assert_eq!(one, train(), "other bits outside a pool");
    let (log, hashes, last) = one;
    assert_eq!(hashes.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 3, 10]);
    assert_eq!(hashes[2].1, last);
    assert!(hashes[0].1 != hashes[1].1 && hashes[1].1 != last, "every checkpoint sees other weights");
    assert!(log.last().unwrap().loss < log[0].loss);
}

#[test]
fn what_is_seen_at_a_checkpoint_is_the_student_of_that_step() {
    struct Look(TokenRow, Vec<(usize, String, Vec<u32>)>);
    impl Observer for Look {
        fn checkpoint(&mut self, step: usize, student: &Student) -> Result<(), Stop> {
            let rows = std::slice::from_ref(&self.0);
            let options = GenerateOptions { max_new_tokens: 4, ..GenerateOptions::default() };
            let ids = student.generate(rows, &options)?.remove(0).ids;
            let cache = format!("{:?}", see_all(student, rows)[0].logits);
            self.1.push((step, cache, ids));
            Ok(())
        }
    }
    let rows = random_rows(20, 97);
    let row = TokenRow::from_ids("a", vec![3, 4, 5]);
    let mut look = Look(row.clone(), Vec::new());
    let (mut one, mut two) = (student("llama-gqa"), student("llama-gqa"));
    let constant = TrainOptions { schedule: Schedule::Constant, length: Length::Steps(6), ..quick() };
    one.train(&rows, &TrainOptions { checkpoints: vec![3], ..constant.clone() }, &mut look).unwrap();
    // A training that ends at step 3 has the student that was seen there.
    let warm = TrainOptions { warmup: 0.1, length: Length::Steps(3), ..constant };
    let mut end = Look(row, Vec::new());
    two.train(&rows, &warm, &mut end).unwrap();
    assert_eq!(look.1[0], end.1[0]);
    assert_ne!(look.1[0].1, look.1[1].1);
}

#[test]
fn training_a_fork_leaves_the_original() {
    let student = student("llama-tied-mha");
    let before = weights(&student);
    let mut fork = student.fork("fork").unwrap();
    fork.train(&random_rows(8, 97), &quick(), &mut ()).unwrap();
    assert_eq!(weights(&student), before);
    assert_ne!(weights(&fork), before);
    assert_eq!(student.describe().format, "huggingface");
    assert_eq!(fork.describe().format, "memory");
    assert_ne!(fork.sha256().unwrap(), student.sha256().unwrap());
}

#[test]
fn accumulated_batches_are_one_large_one() {
    let rows = random_rows(24, 97);
    let train = |batch_rows, accumulate| {
        let (mut student, mut notes) = (student("llama-gqa"), Notes::default());
        let options = TrainOptions { batch_rows, accumulate, length: Length::Epochs(1), ..quick() };
        student.train(&rows, &options, &mut notes).unwrap();
        notes.log
    };
    let (one, three) = (train(12, 1), train(4, 3));
    assert_eq!(one.len(), three.len());
    for (one, three) in one.iter().zip(&three) {
        assert!((one.loss / three.loss - 1.0).abs() < 1e-5, "{one:?} {three:?}");
        assert!((one.grad_norm / three.grad_norm - 1.0).abs() < 1e-4, "{one:?} {three:?}");
        assert_eq!((one.tokens, one.loss_tokens, one.rows), (three.tokens, three.loss_tokens, three.rows));
    }
}

#[test]
fn bf16_follows_f32() {
    let rows = random_rows(20, 97);
    let train = |dtype| {
        let (mut student, mut notes) = (student("llama-gqa"), Notes::default());
        student.train(&rows, &TrainOptions { dtype, ..quick() }, &mut notes).unwrap();
        (notes.log, weights(&student))
    };
    let ((full, _), (half, ends)) = (train(Dtype::F32), train(Dtype::Bf16));
    for (full, half) in full.iter().zip(&half) {
        assert!((full.loss / half.loss - 1.0).abs() < 0.02, "{full:?} {half:?}");
    }
    assert_ne!(full[0].loss.to_bits(), half[0].loss.to_bits(), "bf16 computes other numbers");
    // Master weights keep what bf16 would round away.
    assert!(ends.values().flatten().any(|bits| bits & 0xffff != 0));
    let mut rounded =
        Student::load(&fixture("llama-gqa"), &LoadOptions { dtype: Dtype::Bf16, ..options() }).unwrap();
    let error = rounded.train(&rows, &quick(), &mut ()).unwrap_err();
    assert_eq!(error.to_string(), "the weights are held in bf16, and only f32 weights can be trained");
    assert!(error.hint().unwrap().contains("load the student in f32"));
}

#[test]
fn projections_are_read_while_the_student_learns() {
    let rows = random_rows(20, 97);
    let read = [TokenRow::from_ids("a", vec![3, 4, 5]), TokenRow::from_ids("b", vec![9, 8])];
    let watched = |name: &str, point, direction: Vec<f32>| Watched { name: name.into(), point, direction };
    let mut axis = vec![0.0; 32];
    axis[5] = -2.0;
    let (first, last) = (block(0, "hook_resid_post"), block(1, "hook_resid_post"));
    let directions = vec![watched("low", first, axis.clone()), watched("high", last, axis.clone())];
    let watches = vec![Watch { every: 4, rows: read.to_vec(), directions }];
    let mut notes = Notes { watches, ..Notes::default() };
    let (mut seen, mut plain) = (student("llama-gqa"), student("llama-gqa"));
    let before = see_all(&seen, &read);
    seen.train(&rows, &TrainOptions { length: Length::Steps(6), ..quick() }, &mut notes).unwrap();
    plain.train(&rows, &TrainOptions { length: Length::Steps(6), ..quick() }, &mut ()).unwrap();
    assert_eq!(weights(&seen), weights(&plain), "looking changes nothing");
    assert_eq!(notes.projections.iter().map(|p| p.step).collect::<Vec<_>>(), [0, 4, 6]);
    for (caches, projections) in
        [(before, &notes.projections[0]), (see_all(&seen, &read), &notes.projections[2])]
    {
        for (name, point) in [("low", first), ("high", last)] {
            let at_end = |(cache, row): (&heirloom_model::RowCache, &TokenRow)| {
                -f64::from(cache.activations[&point][[row.ids.len() - 1, 5]])
            };
            let expected = caches.iter().zip(&read).map(at_end).sum::<f64>() / 2.0;
            assert!((projections.means[name] - expected).abs() < 1e-6, "{name}");
        }
    }
    let wide =
        Watch { every: 4, rows: read.to_vec(), directions: vec![watched("wide", first, vec![1.0; 31])] };
    let mut notes = Notes { watches: vec![wide], ..Notes::default() };
    let error = seen.train(&rows, &quick(), &mut notes).unwrap_err().to_string();
    assert_eq!(error, "`blocks.0.hook_resid_post`: expected a vector of 32 numbers, found 31");
}

#[test]
fn a_loss_that_is_no_number_names_its_step_and_rows() {
    let rows = random_rows(9, 97);
    let mut student = student("llama-gqa");
    let options = TrainOptions {
        lr: 1e30,
        warmup: 0.0,
        order: Order::AsGiven,
        batch_rows: 3,
        length: Length::Epochs(3),
        checkpoints: vec![0],
        ..TrainOptions::default()
    };
    let mut notes = Notes::default();
    let error = student.train(&rows, &options, &mut notes).unwrap_err();
    let Error::Diverged { step, rows, .. } = &error else { panic!("{error}") };
    let first = (step - 1) % 3 * 3;
    assert_eq!(*rows, (first..first + 3).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!(notes.log.len(), step - 1);
    assert!(error.to_string().starts_with(&format!("step {step}: the ")), "{error}");
    assert!(error.hint().unwrap().contains("lower `lr`"));
}

#[test]
fn bad_trainings_are_refused_before_any_step() {
    let rows = random_rows(6, 97);
    let mut student = student("llama-gqa");
    let before = weights(&student);
    let mut refuse = |rows: &[TrainRow], options: TrainOptions, text: &str| {
        let mut notes = Notes::default();
        let error = student.train(rows, &options, &mut notes).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert!(notes.log.is_empty() && notes.hashes.is_empty());
    };
    refuse(&rows, TrainOptions { lr: -1.0, ..quick() }, "`lr` must be above 0, found -1");
    refuse(
        &rows,
        TrainOptions { checkpoints: vec![99], ..quick() },
        "checkpoint 99 lies behind the last step, 4",
    );
    refuse(&rows, TrainOptions { dtype: Dtype::F16, ..quick() }, "`dtype` must be `f32` or `bf16`");
    refuse(&[], quick(), "`rows` must be 1 or more, found 0");
    let silent = TrainRow { id: "quiet".into(), ids: vec![1, 2], loss: Vec::new() };
    refuse(&[silent], quick(), "row `quiet`: no token of it carries loss");
    refuse(&[TrainRow::on_all("long", vec![1; 65])], quick(), "row `long`: it has 65 tokens");
    refuse(&[TrainRow::on_all("odd", vec![1, 97])], quick(), "token id 97 is outside the vocabulary of 97");
    assert_eq!(weights(&student), before);
    let mut notes = Notes { dies_at: Some(2), ..Notes::default() };
    let error = student.train(&rows, &quick(), &mut notes).unwrap_err();
    assert_eq!(error.to_string(), "training was stopped at step 2");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "killed");
}

#[test]
fn a_student_learns_what_it_is_trained_on() {
    let mut student = student("llama-gqa");
    let row = DataRow { input: Input::InputIds(vec![5, 11, 17, 23, 29]), ..DataRow::chat("a", Vec::new()) };
    let rows = student.training_rows(&[row], LossOn::All).unwrap().rows;
    let options = TrainOptions {
        length: Length::Steps(60),
        lr: 1e-2,
        checkpoints: log_spaced_steps(60),
        ..TrainOptions::default()
    };
    let prompt = [TokenRow::from_ids("a", vec![5])];
    let generate = GenerateOptions { max_new_tokens: 4, ..GenerateOptions::default() };
    let before = student.generate(&prompt, &generate).unwrap();
    let mut notes = Notes::default();
    let report = student.train(&rows, &options, &mut notes).unwrap();
    assert_ne!(before[0].ids, [11, 17, 23, 29]);
    assert_eq!(student.generate(&prompt, &generate).unwrap()[0].ids, [11, 17, 23, 29]);
    assert!(report.last_loss < 0.1 && report.first_loss > 2.0, "{report:?}");
    assert_eq!(notes.hashes.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 1, 2, 4, 8, 16, 32, 60]);
}
