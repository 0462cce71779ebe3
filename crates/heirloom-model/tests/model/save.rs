//! Students made, copied and saved: what is read back is what was written, bit for bit.

use std::path::Path;

use heirloom_model::{Config, Dtype, Init, LoadOptions, Source, Special, Student, Words};
use heirloom_record::{DataRow, Message};

use crate::support::{all_models, fixture, json, options, rows, see_all, student};

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// A student of fresh weights with a vocabulary of its own.
fn made(seed: u64) -> Student {
    let vocabulary = ["<pad>", "<bos>", "<user>", "<bot>", "<end>", "hello", "there", "you", "."];
    let template = "{{ bos_token }}{% for m in messages %} {{ '<bot>' if m.role == 'assistant' else '<user>' }} {{ m.content }}{% if m.role == 'assistant' %} {{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";
    let special = Special::new("<end>").bos("<bos>").pad("<pad>").mark("<user>").mark("<bot>");
    let words = Words::word_level(&vocabulary.map(String::from), template, &special).unwrap();
    let config = Config { d_vocab: 9, ..Config::read(&fixture("llama-gqa").join("config.json")).unwrap() };
    Student::create("made", &config, words, &Init::new(seed), &options()).unwrap()
}

#[test]
fn saved_students_are_read_back_bit_for_bit() {
    for name in all_models() {
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
            let options = LoadOptions { dtype, ..options() };
            let student = Student::load(&fixture(name), &options).unwrap();
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().join("saved");
            student.save(&folder).unwrap();
            let again = Student::load(&folder, &options).unwrap();
            // What is written is the text part, a model of its own.
            let config = Config { wrapper: None, ..student.config().clone() };
            assert_eq!(&config, again.config(), "{name}");
            assert_eq!(student.stop_tokens(), again.stop_tokens(), "{name}");
            assert_eq!(see_all(&student, &rows(name)), see_all(&again, &rows(name)), "{name} {dtype}");
            let twice = scratch.path().join("twice");
            again.save(&twice).unwrap();
            for entry in std::fs::read_dir(&folder).unwrap() {
                let file = entry.unwrap().file_name();
                assert_eq!(
                    bytes(&folder.join(&file)),
                    bytes(&twice.join(&file)),
                    "{name} {}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn a_saved_student_keeps_its_words() {
    let clock = options().clock;
    let chat = [Message::new("user", "hello there"), Message::new("assistant", "hello you .")];
    for name in ["chat-llama", "chat-llama-jinja"] {
        let folder = crate::support::copy(name);
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(fixture("chat-llama").join(file), folder.path().join(file)).unwrap();
        }
        let student = Student::load(folder.path(), &options()).unwrap();
        let saved = folder.path().join("saved");
        student.save(&saved).unwrap();
        let again = Student::load(&saved, &options()).unwrap();
        student.words().check_same(again.words(), ["before", "after"]).unwrap();
        let row = DataRow::chat("a", chat.to_vec());
        let prepare = |student: &Student| student.words().prepare(&row, clock).unwrap();
        assert_eq!(prepare(&student), prepare(&again));
    }
}

#[test]
fn a_student_in_memory_has_the_hash_of_its_folder() {
    let student = made(1);
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("made");
    student.save(&folder).unwrap();
    let source = Source::open(&folder).unwrap();
    assert_eq!(student.sha256().unwrap(), source.sha256().unwrap());
    assert_eq!(student.name(), "made");
    assert_eq!((student.describe().format, source.describe().format), ("memory", "huggingface"));
    // Twins: another seed is another student, and a folder is not written over.
    assert_ne!(made(2).sha256().unwrap(), student.sha256().unwrap());
    let error = made(2).save(&folder).unwrap_err().to_string();
    assert!(error.contains("is a folder with files in it"), "{error}");
}

#[test]
fn fresh_weights_follow_the_rule() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("made");
    made(1).save(&folder).unwrap();
    let weights = crate::support::tensors(&folder.join("model.safetensors"));
    let config = json(&folder.join("config.json"));
    let n_layers = config["num_hidden_layers"].as_f64().unwrap();
    for (name, array) in weights {
        let moment = array.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / array.len() as f64;
        let inputs = *array.shape().last().unwrap() as f64;
        let expected = match () {
            () if name.contains("norm") => 1.0,
            () if name.contains("embed") || name.contains("head") => 0.08,
            () if name.contains("o_proj") || name.contains("down_proj") => {
                (1.0 / inputs / 2.0 / n_layers).sqrt()
            }
            () => (1.0 / inputs).sqrt(),
        };
        // Five standard errors of a deviation.
        let slack = 5.0 / (2.0 * array.len() as f64).sqrt();
        assert!((moment.sqrt() / expected - 1.0).abs() < slack, "{name}: {} {expected}", moment.sqrt());
    }
}

#[test]
fn a_fork_is_the_same_student_under_another_name() {
    for student in [made(1), student("llama-tied-mha")] {
        let fork = student.fork("fork").unwrap();
        assert_eq!(fork.name(), "fork");
        assert_eq!(fork.sha256().unwrap(), student.sha256().unwrap());
        let rows = [heirloom_model::TokenRow::from_ids("a", vec![1, 5, 7, 3])];
        assert_eq!(see_all(&student, &rows), see_all(&fork, &rows));
    }
}

#[test]
fn words_must_fit_the_embedding() {
    let student = made(1);
    let config = Config { d_vocab: 8, ..student.config().clone() };
    let words = Words::word_level(
        &["<end>", "b", "c", "d", "e", "f", "g", "h", "i"].map(String::from),
        "",
        &Special::new("<end>"),
    );
    let error = Student::create("small", &config, words.unwrap(), &Init::new(1), &options()).err().unwrap();
    let expected = "`vocab_size` must be at least 9, the tokens of its words, found `8`";
    assert!(error.to_string().ends_with(expected), "{error}");
}
