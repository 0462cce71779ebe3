//! Which tokens carry loss: every assistant's turn with its end, nothing else.

use heirloom_model::{Config, Init, LossOn, RowError, Special, Student, TrainRow, Words};
use heirloom_record::{DataRow, Input, Message};

use crate::support::{fixture, options, student};

fn chat(turns: &[(&str, &str)]) -> DataRow {
    DataRow::chat("a", turns.iter().map(|(role, content)| Message::new(*role, *content)).collect())
}

const TWO: [(&str, &str); 4] =
    [("user", "hello"), ("assistant", "hello you ."), ("user", "there"), ("assistant", "you")];

/// Pieces of text that carry loss.
fn learned(student: &Student, row: &TrainRow) -> Vec<String> {
    row.loss.iter().map(|range| student.words().decode(&row.ids[range.clone()], true).unwrap()).collect()
}

/// A student of whole words with this template.
fn worded(template: &str) -> Student {
    let vocabulary =
        ["<pad>", "<bos>", "<user>", "<bot>", "<end>", "hello", "there", "you", ".", "human", "said"];
    let special = Special::new("<end>").bos("<bos>").pad("<pad>").mark("<user>").mark("<bot>");
    let words = Words::word_level(&vocabulary.map(String::from), template, &special).unwrap();
    let config = Config {
        d_vocab: 11,
        eos: vec![4],
        ..Config::read(&fixture("llama-gqa").join("config.json")).unwrap()
    };
    Student::create("worded", &config, words, &Init::new(1), &options()).unwrap()
}

#[test]
fn every_turn_is_learned_with_its_end() {
    let student = student("chat-llama");
    let rows = student.training_rows(&[chat(&TWO)], LossOn::Assistant).unwrap().rows;
    // The line break behind the end of a turn is the template's, not the assistant's.
    assert_eq!(learned(&student, &rows[0]), ["hello you .<|im_end|>", "you<|im_end|>"]);
    assert_eq!(rows[0].loss_tokens().count(), rows[0].loss.iter().map(ExactSizeIterator::len).sum::<usize>());
}

#[test]
fn turns_end_where_the_template_says() {
    let plain = "{{ bos_token }}{% for m in messages %} {{ '<bot>' if m.role == 'assistant' else '<user>' }} {{ m.content }}{% if m.role == 'assistant' %} {{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";
    let unended = "{% for m in messages %} {{ '<bot>' if m.role == 'assistant' else '<user>' }} {{ m.content }}{% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";
    let wordy = "{% for m in messages %} {{ '<bot>' if m.role == 'assistant' else '<user>' }} {{ m.content }}{% if m.role == 'assistant' %} human said{% endif %}{% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";
    let marked = "{% for m in messages %}{% if m.role == 'assistant' %} <bot> {% generation %}{{ m.content }} {{ eos_token }}{% endgeneration %}{% else %} <user> {{ m.content }}{% endif %}{% endfor %}";
    let marked_inside = "{% for m in messages %}{% if m.role == 'assistant' %} <bot> {% generation %}{{ m.content }}{% endgeneration %} {{ eos_token }}{% else %} <user> {{ m.content }}{% endif %}{% endfor %}";
    for (template, expected) in [
        (plain, ["hello you . <end>", "you <end>"]),
        (unended, ["hello you .", "you"]),
        (wordy, ["hello you . human said", "you human said"]),
        (marked, ["hello you . <end>", "you <end>"]),
        (marked_inside, ["hello you . <end>", "you <end>"]),
    ] {
        let student = worded(template);
        let rows = student.training_rows(&[chat(&TWO)], LossOn::Assistant).unwrap().rows;
        assert_eq!(learned(&student, &rows[0]), expected, "{template}");
    }
    // An earlier turn that is rendered otherwise than when it was the last cannot be found by its prefix.
    let rewriting = "{% for m in messages %} {{ '<bot>' if m.role == 'assistant' else '<user>' }} {% if loop.last %}{{ m.content }}{% else %}.{% endif %}{% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";
    let error = worded(rewriting).training_rows(&[chat(&TWO)], LossOn::Assistant).unwrap_err();
    assert!(matches!(error, heirloom_model::Error::Row { problem: RowError::NotAPrefix, .. }), "{error}");
}

#[test]
fn loss_on_all_is_loss_on_all_but_the_first() {
    let student = student("chat-llama");
    let text = DataRow { input: Input::Text("hello there".into()), ..DataRow::chat("t", Vec::new()) };
    let ids = DataRow { input: Input::InputIds(vec![5, 6, 7]), ..DataRow::chat("i", Vec::new()) };
    let rows = student.training_rows(&[chat(&TWO), text.clone(), ids.clone()], LossOn::All).unwrap();
    for row in &rows.rows {
        assert_eq!(row.loss_tokens().collect::<Vec<_>>(), (1..row.ids.len()).collect::<Vec<_>>());
    }
    assert_eq!(rows.rows[2].ids, [5, 6, 7]);
    assert_eq!(rows.loss_tokens(), rows.tokens() - 3);
    // A conversation is read as it stands: nothing is opened for a turn that does not come.
    let open = chat(&TWO[..3]);
    let read = student.training_rows(std::slice::from_ref(&open), LossOn::All).unwrap().rows.remove(0);
    assert!(!student.words().decode(&read.ids, true).unwrap().ends_with("assistant\n"));
    let learned_of = student.training_rows(&[open], LossOn::Assistant).unwrap().rows.remove(0);
    assert_eq!(learned(&student, &learned_of), ["hello you .<|im_end|>"]);
    // Nothing says who speaks in bare text.
    for row in [text, ids, chat(&TWO[..1])] {
        let error = student.training_rows(std::slice::from_ref(&row), LossOn::Assistant).unwrap_err();
        assert_eq!(error.to_string(), format!("row `{}`: no token of it carries loss", row.id));
    }
}

#[test]
fn long_rows_are_named_and_never_cut() {
    let student = student("chat-llama");
    let long =
        |id: &str, n: usize| DataRow { input: Input::InputIds(vec![5; n]), ..DataRow::chat(id, Vec::new()) };
    let rows = [long("a", 256), long("b", 257), long("c", 3), long("d", 1000)];
    let error = student.training_rows(&rows, LossOn::All).unwrap_err();
    let expected = "2 of 4 rows are longer than the model's context of 256 tokens: `b` (257), `d` (1000)";
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().contains("leave them out"));
    let kept = student.training_rows_that_fit(&rows, LossOn::All).unwrap();
    assert_eq!(kept.left_out, [("b".to_owned(), 257), ("d".to_owned(), 1000)]);
    assert_eq!(kept.rows.iter().map(|row| row.ids.len()).collect::<Vec<_>>(), [256, 3]);
}
