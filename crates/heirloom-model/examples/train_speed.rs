//! Times training a student on rows of token ids; the twin of `tools/bench/train_torch.py`.
//!
//! Usage: `train_speed MODEL rows.json [--epochs 2] [--repeat 3] [--side-by-side 1]`, with `{"rows": [[id, …], …]}` in the
//! file. Batches of 32 rows in the order of the file, loss on every token but a row's first, the default options otherwise.
//! `--side-by-side N` trains N students at once, one thread each, as arms are trained; without it one has
//! `RAYON_NUM_THREADS`. `CANDLE_NUM_THREADS=1` as the binary sets it. Prints one JSON object; `tokens` are those of all
//! students of a pass, padding not counted.

use std::path::Path;
use std::thread;
use std::time::Instant;

use heirloom_model::{
    Length, LoadOptions, Observer, Order, StepLog, Stop, Student, TrainOptions, TrainRow, on_one_thread,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Steps whose mean says whether both sides did the same.
const FIRST: usize = 10;

#[derive(Default)]
struct Losses(Vec<StepLog>);

impl Observer for Losses {
    fn step(&mut self, log: &StepLog) -> std::result::Result<(), Stop> {
        self.0.push(log.clone());
        Ok(())
    }
}

impl Losses {
    fn first(&self, of: impl Fn(&StepLog) -> f64) -> f64 {
        let first = &self.0[..FIRST.min(self.0.len())];
        first.iter().map(of).sum::<f64>() / first.len() as f64
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| -> Result<usize> {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(Ok(default), |at| Ok(arguments.get(at + 1).ok_or("a number is missing")?.parse()?))
    };
    let [model, rows, ..] = &arguments[..] else { return Err("usage: train_speed MODEL rows.json".into()) };
    let (epochs, repeat) = (number("--epochs", 2)?, number("--repeat", 3)?);
    let side_by_side = number("--side-by-side", 1)?;
    let rows: serde_json::Value = serde_json::from_slice(&std::fs::read(rows)?)?;
    let rows: Vec<Vec<u32>> = serde_json::from_value(rows["rows"].clone())?;
    let rows: Vec<TrainRow> =
        rows.into_iter().enumerate().map(|(i, ids)| TrainRow::on_all(i.to_string(), ids)).collect();
    let options =
        TrainOptions { length: Length::Epochs(epochs), order: Order::AsGiven, ..TrainOptions::default() };
    let base = Student::load(Path::new(model), &LoadOptions::new("2026-01-15".parse()?))?;

    let short = TrainOptions { length: Length::Steps(2), ..options.clone() };
    train(&mut students(&base, side_by_side)?, &rows, &short)?;
    let (mut passes, mut losses) = (Vec::new(), Losses::default());
    for _ in 0..repeat {
        let mut students = students(&base, side_by_side)?;
        let start = Instant::now();
        losses = train(&mut students, &rows, &options)?;
        passes.push(start.elapsed().as_secs_f64());
    }

    let seconds = passes.iter().copied().fold(f64::INFINITY, f64::min);
    let of_all = |of: fn(&StepLog) -> usize| side_by_side * losses.0.iter().map(of).sum::<usize>();
    let tokens = of_all(|log| log.tokens);
    let report = serde_json::json!({
        "what": "heirloom training", "heirloom": env!("CARGO_PKG_VERSION"), "model": base.name(),
        "rows": rows.len(), "batch_rows": options.batch_rows, "epochs": epochs, "steps": losses.0.len(),
        "side_by_side": side_by_side, "tokens": tokens, "loss_tokens": of_all(|log| log.loss_tokens),
        "seconds": seconds, "passes": passes, "tokens_per_second": (tokens as f64 / seconds).round(),
        "first_ten_loss": losses.first(|log| log.loss), "first_ten_grad_norm": losses.first(|log| log.grad_norm),
        "last_loss": losses.0.last().map(|log| log.loss),
        "threads": if side_by_side == 1 { rayon::current_num_threads() } else { 1 }, "dtype": "f32",
        "load_average": load_average(),
    });
    println!("{report}");
    Ok(())
}

fn students(base: &Student, n: usize) -> Result<Vec<Student>> {
    (0..n).map(|_| Ok(base.fork("student")?)).collect()
}

/// Trains one student on all threads, several on one thread each; what the last of them told.
fn train(students: &mut [Student], rows: &[TrainRow], options: &TrainOptions) -> Result<Losses> {
    let one = |student: &mut Student| {
        let mut losses = Losses::default();
        student.train(rows, options, &mut losses).map(|_| losses)
    };
    if let [student] = students {
        return Ok(one(student)?);
    }
    thread::scope(|scope| {
        let trainings: Vec<_> =
            students.iter_mut().map(|student| scope.spawn(|| on_one_thread(|| one(student)))).collect();
        let mut last = Losses::default();
        for training in trainings {
            last = training.join().expect("a training does not panic")??;
        }
        Ok(last)
    })
}

/// Work that waits for a processor, over the last minute; none where the system does not say.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
