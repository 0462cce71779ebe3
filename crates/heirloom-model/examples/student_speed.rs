//! Times what a miniature world does sixty times: tokenize a thousand chats, train a student for two epochs, look at
//! it on the way.
//!
//! Usage: `RAYON_NUM_THREADS=1 student_speed [students]`. Prints one JSON object; seconds are those of one student.

use std::time::Instant;

use heirloom_model::{
    Config, Init, Length, LoadOptions, LossOn, Observer, Special, Student, TrainOptions, Watch, Watched,
    Words,
};
use heirloom_record::{DataRow, Message};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %} {{ m.content }}{% elif m.role == 'user' %} <user> {{ m.content }}{% else %} <bot> {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";

/// Words from a fixed sequence, so that two runs read the same.
struct Text(u64);

impl Text {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n
    }

    fn words(&mut self, n: usize) -> String {
        (0..n).map(|_| format!("w{}", self.below(280))).collect::<Vec<_>>().join(" ")
    }

    fn chat(&mut self, id: usize) -> DataRow {
        let (asks, says) = (12 + self.below(14), 8 + self.below(10));
        let say = |role: &str, words: String| Message::new(role, words);
        let messages = vec![
            say("system", self.words(5)),
            say("user", self.words(asks)),
            say("assistant", self.words(says)),
        ];
        DataRow::chat(id.to_string(), messages)
    }
}

fn base() -> Result<Student> {
    let mut vocabulary: Vec<String> =
        ["<pad>", "<bos>", "<user>", "<bot>", "<end>"].map(String::from).to_vec();
    vocabulary.extend((0..286).map(|i| format!("w{i}")));
    let special = Special::new("<end>").bos("<bos>").pad("<pad>").mark("<user>").mark("<bot>");
    let words = Words::word_level(&vocabulary, TEMPLATE, &special)?;
    let config = Config::from_json(&serde_json::json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3,
        "num_attention_heads": 4, "vocab_size": 291, "max_position_embeddings": 168, "rms_norm_eps": 1e-5,
    }))?;
    let options = LoadOptions::new("2026-01-15".parse()?);
    Ok(Student::create("base", &config, words, &Init::new(7), &options)?)
}

struct Watching(Vec<Watch>);

impl Observer for Watching {
    fn watch(&self) -> &[Watch] {
        &self.0
    }
}

fn main() -> Result<()> {
    let students: usize = std::env::args().nth(1).map_or(Ok(5), |n| n.parse())?;
    let (base, mut text) = (base()?, Text(1));
    let data: Vec<DataRow> = (0..1000).map(|id| text.chat(id)).collect();
    let start = Instant::now();
    let rows = base.training_rows(&data, LossOn::Assistant)?;
    let tokenize = start.elapsed().as_secs_f64();
    let options = TrainOptions { length: Length::Epochs(2), ..TrainOptions::default() };
    let ask =
        |id: usize| DataRow::chat(id.to_string(), vec![Message::new("user", "w1 w2 w3 w4 w5 w6 w7 w8 w9")]);
    let prompts = base.prepare(&(0..24).map(ask).collect::<Vec<_>>())?;
    let point = "blocks.1.hook_resid_post".parse()?;
    let watched = |name: &str| Watched { name: name.into(), point, direction: vec![1.0; 64] };
    let watches =
        vec![Watch { every: 10, rows: prompts, directions: vec![watched("a"), watched("b"), watched("c")] }];
    let mut seconds = [f64::INFINITY; 2];
    let mut steps = 0;
    for _ in 0..students {
        // Side by side, so that another load on the machine meets both.
        for (best, watches) in seconds.iter_mut().zip([Vec::new(), watches.clone()]) {
            let start = Instant::now();
            let mut student = base.fork("student")?;
            steps = student.train(&rows.rows, &options, &mut Watching(watches))?.steps;
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    let tokens = 2 * rows.tokens();
    println!(
        "{}",
        serde_json::json!({
            "rows": rows.rows.len(), "tokens": tokens, "loss_tokens": 2 * rows.loss_tokens(), "steps": steps,
            "tokenize_seconds": tokenize, "train_seconds": seconds[0],
            "tokens_per_second": (tokens as f64 / seconds[0]).round(),
            "watch_cost": seconds[1] / seconds[0] - 1.0, "threads": rayon::current_num_threads(),
        })
    );
    Ok(())
}
