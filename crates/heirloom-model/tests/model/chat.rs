//! Chat templates against transformers' own rendering, and what of a row is read.

use heirloom_model::{ChatTemplate, Source};
use heirloom_record::{DataRow, Input, Message, Readout};

use crate::support::{clock, fixture, ids_of, json, student};

#[test]
fn every_template_renders_as_transformers_renders_it() {
    let cases = json(&fixture("chat/cases.json"));
    let mut failures = Vec::new();
    let all = cases["cases"].as_array().unwrap();
    for case in all {
        let name = case["template"].as_str().unwrap();
        let tokens = cases["tokens"].as_object().unwrap().clone();
        let template = ChatTemplate::new(cases["templates"][name].as_str().unwrap(), tokens);
        let mut variables = case["variables"].as_object().unwrap().clone();
        for key in ["messages", "add_generation_prompt"] {
            variables.insert(key.into(), case[key].clone());
        }
        let rendered = template.render_with(&variables, clock());
        let at = format!("{name} / {} / {}", case["conversation"], case["add_generation_prompt"]);
        match (rendered, case["text"].as_str()) {
            (Ok(rendered), Some(text)) => {
                if rendered.text != text {
                    failures.push(format!("{at} {}\n  {:?}\n  {text:?}", case["variables"], rendered.text));
                    continue;
                }
                let spans: Vec<&str> = rendered.generated.iter().map(|s| &rendered.text[s.clone()]).collect();
                let expected = case["assistant_texts"].as_array().cloned().unwrap_or_default();
                if !case["assistant_spans"].is_null() && expected != spans {
                    failures.push(format!("{at}: {spans:?} {expected:?}"));
                }
            }
            (Err(error), None) => {
                // The words of a template's own refusal come through; an engine's own words are its own.
                let said = std::error::Error::source(&error).unwrap().to_string();
                let message = case["error"].as_str().unwrap();
                if case["raised"] == true && !said.contains(message) {
                    failures.push(format!("{at}: {said:?} does not say {message:?}"));
                }
            }
            (Ok(rendered), None) => failures.push(format!("{at}: rendered {:?}", rendered.text)),
            (Err(error), Some(_)) => {
                failures.push(format!("{at}: {:?}", std::error::Error::source(&error).unwrap().to_string()));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), all.len(), failures.join("\n"));
}

fn messages(value: &serde_json::Value) -> Vec<Message> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn rendered_chats_tokenize_as_in_transformers() {
    let student = student("chat-llama");
    let inputs = json(&fixture("chat-llama/inputs.json"));
    for case in inputs["chat"].as_array().unwrap() {
        let row = DataRow::chat("r", messages(&case["messages"]));
        let row = &student.prepare(&[row]).unwrap()[0];
        assert_eq!(row.text, case["text"].as_str().unwrap());
        assert_eq!(row.ids, ids_of(&case["input_ids"]));
        assert_eq!(student.words().decode(&row.ids, true).unwrap(), case["decoded"].as_str().unwrap());
        assert_eq!(row.read(&Readout::LastPrompt).unwrap(), row.ids.len() - 1..row.ids.len());
    }
}

#[test]
fn a_template_file_is_the_template() {
    // This folder holds words alone; a configuration makes it a model one can look at.
    let folder = crate::support::copy("chat-llama-jinja");
    std::fs::copy(fixture("chat-llama/config.json"), folder.path().join("config.json")).unwrap();
    let words = |path: &std::path::Path| Source::open(path).unwrap().words().unwrap();
    let (file, key) = (words(folder.path()), words(&fixture("chat-llama")));
    assert_eq!(file.template().unwrap().source(), key.template().unwrap().source());
}

#[test]
fn responses_and_spans_are_the_tokens_of_their_texts() {
    let student = student("chat-llama");
    let turn = |role: &str, content: &str| Message::new(role, content);
    let mut data =
        DataRow::chat("r", vec![turn("user", "The weather in Paris?"), turn("assistant", "Be kind.")]);
    data.spans.insert("city".into(), "Paris".into());
    let row = &student.prepare(std::slice::from_ref(&data)).unwrap()[0];
    let text = |readout: &Readout| {
        let range = row.read(readout).unwrap();
        let bytes = row.offsets[range.start].start..row.offsets[range.end - 1].end;
        row.text[bytes].to_owned()
    };
    assert_eq!(text(&Readout::ResponseMean), "Be kind.");
    assert_eq!(text(&Readout::LastPrompt), "\n");
    assert!(text(&Readout::Span("city".into())).contains("Paris"));
    let prompt = row.read(&Readout::LastPrompt).unwrap();
    assert!(row.text[..row.offsets[prompt.start].end].ends_with("<|im_start|>assistant\n"));

    let shown = student.show(row, &Readout::ResponseMean).unwrap();
    assert_eq!(shown.to_string().replace(['⟦', '⟧'], ""), row.text);
    assert!(shown.to_string().contains("assistant\n⟦Be kind.⟧<|im_end|>"), "{shown}");

    let check = |data: &DataRow, readout: &Readout, expected: &str| {
        let result = student.prepare(std::slice::from_ref(data)).and_then(|rows| rows[0].read(readout));
        let error = result.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains("row `r`") && source.contains(expected), "{error}: {source}");
    };
    data.spans.insert("city".into(), "Rome".into());
    check(&data, &Readout::All, "the text of span `city`, `Rome`, is not in the rendered row");
    data.spans.insert("city".into(), "Paris".into());
    check(&data, &Readout::Span("town".into()), "it names no span `town`; its spans are `city`");
    let silent = DataRow::chat("r", vec![turn("user", "Hi"), turn("assistant", "")]);
    check(&silent, &Readout::ResponseMean, "its response is empty");
    let unanswered = DataRow::chat("r", vec![turn("user", "Hi")]);
    check(&unanswered, &Readout::ResponseMean, "no assistant message");
}

#[test]
fn text_is_tokenized_as_it_stands_and_ids_are_taken() {
    let student = student("chat-llama");
    let row = |input| DataRow { input, ..DataRow::chat("r", Vec::new()) };
    let text = student.prepare(&[row(Input::Text("The cat".into()))]).unwrap();
    assert_eq!(student.words().decode(&text[0].ids, true).unwrap(), "The cat");
    let ids = student.prepare(&[row(Input::InputIds(text[0].ids.clone()))]).unwrap();
    assert_eq!(ids[0].ids, text[0].ids);
    let shown = student.show(&ids[0], &Readout::LastPrompt).unwrap();
    assert_eq!(shown.tokens.iter().filter(|token| token.read).count(), 1);
}

#[test]
fn absent_words_are_named_when_they_are_needed() {
    let student = student("llama-gqa");
    let chat = student.prepare(&[DataRow::chat("r", vec![Message::new("user", "Hi")])]).unwrap_err();
    assert!(chat.to_string().contains("has no chat template"), "{chat}");
    let text = DataRow { input: Input::Text("Hi".into()), ..DataRow::chat("r", Vec::new()) };
    let text = student.prepare(&[text]).unwrap_err();
    assert!(text.to_string().contains("has no tokenizer") && text.hint().is_some(), "{text}");
    assert!(ChatTemplate::new("{% if %}", serde_json::Map::new()).render(&[], false, clock()).is_err());
    let named = ChatTemplate::new("x", serde_json::Map::new()).named("tool_use").unwrap_err();
    assert!(named.to_string().contains("known: `default`"), "{named}");
}
