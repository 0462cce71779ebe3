//! Generation: the same tokens in any company, samples, live capture against replay, bad input.

use heirloom_model::{
    CaptureOptions, CapturePlan, Config, Edit, GenerateOptions, Generated, GeneratedWithCapture, Init,
    Intervention, Positions, Special, Student, TokenRow, Words,
};
use heirloom_record::{Activations, DataRow, Message, Readout};
use serde_json::json;

use crate::support::{all_models, block, options as load, rows, student};

const EVERYTHING: &[&str] = &["hook_embed", "blocks.*", "ln_final.hook_normalized"];

fn noise(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    }
}

/// A model of random sizes: heads shared or not, tied or not, with windows, with widths that fill no vector.
fn random_model(seed: u64) -> Student {
    let mut pick = noise(seed);
    let (n_kv_heads, group) = (1 + pick(3), 1 + pick(3));
    let d_vocab = 20 + pick(300);
    let mut config = json!({
        "model_type": if pick(2) == 0 { "llama" } else { "mistral" },
        "hidden_size": 8 + 4 * pick(20), "intermediate_size": 9 + pick(150), "num_hidden_layers": 1 + pick(3),
        "num_attention_heads": n_kv_heads * group, "num_key_value_heads": n_kv_heads, "head_dim": 4 + 2 * pick(12),
        "vocab_size": d_vocab, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": pick(2) == 0,
    });
    if config["model_type"] == "mistral" {
        config["sliding_window"] = json!(5 + pick(40));
    }
    let vocabulary: Vec<String> = (0..d_vocab).map(|id| format!("w{id}")).collect();
    let words = Words::word_level(&vocabulary, "{{ messages[0].content }}", &Special::new("w0")).unwrap();
    let config = Config::from_json(&config).unwrap();
    Student::create(format!("random-{seed}"), &config, words, &Init::new(seed), &load()).unwrap()
}

fn random_rows(seed: u64, n: usize, student: &Student) -> Vec<TokenRow> {
    let mut pick = noise(seed + 1000);
    let row = |id: usize| {
        let ids = (0..=pick(40)).map(|_| u32::try_from(pick(student.config().d_vocab)).unwrap());
        TokenRow::from_ids(format!("prompt {id}"), ids.collect())
    };
    (0..n).map(row).collect()
}

/// Tokens that every row leaves room for.
fn room(student: &Student, rows: &[TokenRow]) -> usize {
    student.config().n_ctx - rows.iter().map(|row| row.ids.len()).max().unwrap()
}

fn sampled(seed: u64) -> GenerateOptions {
    GenerateOptions { max_new_tokens: 16, temperature: 1.0, seed, ..GenerateOptions::default() }
}

fn plans(student: &Student) -> [CapturePlan; 2] {
    [Readout::LastPrompt, Readout::ResponseMean]
        .map(|readout| CapturePlan::new(student.config(), EVERYTHING, readout).unwrap())
}

fn draw(student: &Student, rows: &[TokenRow], options: &GenerateOptions) -> GeneratedWithCapture {
    student.generate_with_capture(rows, options, &plans(student)).unwrap()
}

fn in_threads<T: Send>(n: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

/// Every continuation with the bits of everything that was read on its way, by row and sample.
fn bits(out: &GeneratedWithCapture) -> Vec<(Generated, Vec<Vec<u32>>)> {
    let with_bits = |generated: &Generated| {
        let id = generated.row(&TokenRow::from_ids("", vec![0])).id;
        let of = |activations: &Activations| {
            let place = activations.rows.iter().position(|row| row.id == id);
            let vectors =
                activations.tensors.values().filter_map(|x| place.map(|place| x.row(place).to_vec()));
            vectors.flatten().map(f32::to_bits).collect()
        };
        (generated.clone(), out.activations.iter().map(of).collect())
    };
    let mut all: Vec<_> = out.generated.iter().map(with_bits).collect();
    all.sort_by(|(a, _), (b, _)| (&a.id, a.sample).cmp(&(&b.id, b.sample)));
    all
}

#[test]
fn a_prompt_draws_the_same_in_any_company_to_the_last_bit() {
    for seed in 0..12 {
        let student = random_model(seed);
        let rows = random_rows(seed, 64, &student);
        let options = sampled(seed);
        let together = bits(&draw(&student, &rows, &options));
        assert!(together.iter().all(|(generated, read)| !generated.ids.is_empty() && !read[0].is_empty()));
        let mut alone = Vec::new();
        for row in &rows {
            alone.extend(bits(&draw(&student, std::slice::from_ref(row), &options)));
        }
        alone.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        assert!(together == alone, "{seed}: alone");
        let mut pick = noise(seed + 7);
        for max_tokens in [1, 150, 700, 16_384] {
            let mut shuffled = rows.clone();
            shuffled.sort_by_cached_key(|_| pick(1 << 30));
            shuffled.truncate(1 + pick(64));
            for threads in [1, 2] {
                let options = GenerateOptions { max_tokens, ..options.clone() };
                let split = in_threads(threads, || bits(&draw(&student, &shuffled, &options)));
                let expected = together.iter().filter(|(a, _)| split.iter().any(|(b, _)| a.id == b.id));
                assert!(split.iter().eq(expected), "{seed}: {max_tokens} tokens together, {threads} threads");
            }
        }
        // Twin: another seed draws other tokens, and a change too small to see in one f32 of many shows.
        let other = bits(&draw(&student, &rows, &sampled(seed + 100)));
        assert!(together.iter().zip(&other).any(|((a, _), (b, _))| a.ids != b.ids), "{seed}");
        let vector = vec![1e-6; student.config().d_model];
        let edit = Edit::Add { vector, alpha: 1.0 };
        let nudge = Intervention { point: block(0, "hook_resid_mid"), positions: Positions::All, edit };
        let options = GenerateOptions { interventions: vec![nudge], ..options };
        assert!(together != bits(&draw(&student, &rows, &options)), "{seed}");
    }
}

#[test]
fn samples_share_a_prompt_and_nothing_else() {
    let student = random_model(3);
    let rows = random_rows(3, 7, &student);
    let draw = |samples, max_tokens| {
        let options = GenerateOptions { samples, max_tokens, ..sampled(1) };
        bits(&super::generate::draw(&student, &rows, &options))
    };
    let (one, five) = (draw(1, 16_384), draw(5, 16_384));
    assert_eq!(five.len(), 35);
    assert!(five == draw(5, 60), "a prompt read again for some of its samples");
    let first: Vec<_> = five.iter().filter(|(generated, _)| generated.sample == 0).cloned().collect();
    assert!(first == one, "fewer samples are the first of more");
    for samples in five.chunks(5) {
        assert!(samples.iter().map(|(generated, _)| generated.sample).eq(0..5));
        let mut ids: Vec<_> = samples.iter().map(|(generated, _)| &generated.ids).collect();
        ids.sort();
        ids.dedup();
        assert!(ids.len() > 1, "all samples of `{}` are alike", samples[0].0.id);
        // One prompt, one reading of it.
        assert!(samples.iter().all(|(_, read)| read[0] == samples[0].1[0]));
    }
    // In the order of the rows, whatever ran together.
    let options = GenerateOptions { samples: 2, max_tokens: 60, ..sampled(1) };
    let generated = student.generate(&rows, &options).unwrap();
    let expected = rows.iter().flat_map(|row| [(&row.id, 0), (&row.id, 1)]);
    assert!(generated.iter().map(|generated| (&generated.id, generated.sample)).eq(expected));
}

/// Captures the continuations again, read as rows.
fn replay(
    student: &Student,
    rows: &[TokenRow],
    out: &GeneratedWithCapture,
    options: &GenerateOptions,
) -> Vec<Activations> {
    let rows: Vec<TokenRow> = out
        .generated
        .iter()
        .map(|generated| generated.row(rows.iter().find(|row| row.id == generated.id).unwrap()))
        .collect();
    let capture = |plan: &CapturePlan| {
        let mut rows = rows.clone();
        if *plan.readout() == Readout::ResponseMean {
            rows.retain(|row| row.response.as_ref().is_some_and(|response| !response.is_empty()));
        }
        let mut capture =
            CaptureOptions { interventions: &options.interventions, ..CaptureOptions::default() };
        student.capture(&rows, plan, &mut capture).unwrap()
    };
    plans(student).iter().map(capture).collect()
}

#[test]
fn replay_reads_what_was_read_live_to_the_last_bit() {
    let mut students: Vec<(Student, Vec<TokenRow>)> =
        all_models().map(|name| (student(name), rows(name))).collect();
    students.extend((20..26).map(|seed| {
        let student = random_model(seed);
        let rows = random_rows(seed, 12, &student);
        (student, rows)
    }));
    let (mut stopped, mut ran_out, mut silent) = (0, 0, 0);
    for (index, (student, rows)) in students.iter().enumerate() {
        // A twelfth of the vocabulary ends a text: some continuations end at once, some late, some not at all.
        let d_vocab = u32::try_from(student.config().d_vocab).unwrap();
        let stop = (0..d_vocab).step_by(12).collect();
        let max_new_tokens = room(student, rows).min(16);
        let options = GenerateOptions { stop, samples: 3, max_new_tokens, ..sampled(index as u64) };
        let steer = Intervention {
            point: block(0, "hook_resid_post"),
            positions: Positions::All,
            edit: Edit::Component { direction: vec![1.0; student.config().d_model], value: 0.5 },
        };
        let later = Intervention { positions: Positions::AfterFirst, ..steer.clone() };
        for interventions in [vec![], vec![steer], vec![later]] {
            let options = GenerateOptions { interventions, ..options.clone() };
            let live = draw(student, rows, &options);
            let replayed = replay(student, rows, &live, &options);
            for (live, replayed) in live.activations.iter().zip(&replayed) {
                assert_eq!(live.rows, replayed.rows, "{}", student.name());
                assert!(live.tensors == replayed.tensors, "{} {}", student.name(), live.header.readout);
                let header = |activations: &Activations| {
                    let header = activations.header.clone();
                    heirloom_record::ActivationHeader {
                        batch_plan: replayed.header.batch_plan.clone(),
                        ..header
                    }
                };
                assert_eq!(header(live), header(replayed));
            }
            // Twin: the response read one token further on is another mean.
            let mut shifted = live.clone();
            for generated in &mut shifted.generated {
                generated.ids.rotate_left(1);
            }
            let shifted = replay(student, rows, &shifted, &options);
            assert!(shifted[1].tensors != live.activations[1].tensors, "{}", student.name());
            let plain = student.generate(rows, &options).unwrap();
            assert_eq!(plain, live.generated, "reading changes nothing");
            stopped += live.generated.iter().filter(|generated| generated.stopped).count();
            ran_out += live.generated.iter().filter(|generated| !generated.stopped).count();
            silent += live.no_response.len();
            for (id, sample) in &live.no_response {
                let of = |generated: &&Generated| generated.id == *id && generated.sample == *sample;
                let generated = live.generated.iter().find(of).unwrap();
                assert!(generated.stopped && generated.ids.len() == 1);
            }
        }
    }
    assert!(stopped > 50 && ran_out > 50 && silent > 5, "{stopped} {ran_out} {silent}");
}

#[test]
fn a_response_is_what_a_prepared_chat_calls_so() {
    let student = student("chat-llama");
    let chat = |question: &str, answer: &str| {
        let messages =
            [("user", question), ("assistant", answer)].map(|(role, text)| Message::new(role, text));
        let prompt = DataRow::chat("chat", messages[..1].to_vec());
        let mut rows = student.prepare(&[prompt, DataRow::chat("chat", messages.to_vec())]).unwrap();
        (rows.remove(0), rows.remove(0))
    };
    let end = student.stop_tokens()[0];
    let mean = CapturePlan::new(student.config(), EVERYTHING, Readout::ResponseMean).unwrap();
    let read = |row: &TokenRow| {
        let capture = &mut CaptureOptions::default();
        student.capture(std::slice::from_ref(row), &mean, capture).unwrap().tensors
    };
    for (question, answer) in
        [("Hello there", "It is Monday."), ("What day is it?", "I do not know"), ("Hi", "Fine, thanks!")]
    {
        let (prompt, chat) = chat(question, answer);
        let response = chat.response.clone().unwrap();
        let said = &chat.ids[response.clone()];
        let stopped = prompt.with_response("drawn", &[said, &[end]].concat(), true);
        let cut = prompt.with_response("drawn", said, false);
        for row in [&stopped, &cut] {
            assert_eq!(row.ids[..response.end], chat.ids[..response.end], "{answer}");
            assert_eq!(row.response.as_ref(), Some(&response), "{answer}");
            assert_eq!(row.read(&Readout::LastPrompt).unwrap(), chat.read(&Readout::LastPrompt).unwrap());
            assert_eq!(row.pair.as_deref(), Some("chat"));
            assert!(read(row) == read(&chat), "{answer}");
        }
        assert_eq!((stopped.ids.len(), cut.ids.len()), (response.end + 1, response.end));
        // Twin: the token that ended it is not of the response.
        let with_end = prompt.with_response("drawn", &[said, &[end]].concat(), false);
        assert!(read(&with_end) != read(&chat), "{answer}");
        let marked = student.show(&stopped, &Readout::ResponseMean).unwrap().to_string();
        assert!(marked.contains(&format!("⟦{answer}⟧")), "{marked}");
    }
    let (prompt, _) = chat("Hi", "x");
    let options = GenerateOptions { samples: 3, ..sampled(5) };
    for generated in student.generate(std::slice::from_ref(&prompt), &options).unwrap() {
        let row = generated.row(&prompt);
        assert_eq!(row.id, ["chat", "chat#1", "chat#2"][generated.sample]);
        assert_eq!(row.ids[row.response.clone().unwrap()], *generated.response());
        assert_eq!(row.ids, [prompt.ids.clone(), generated.ids].concat());
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_before_any_work() {
    let student = student("chat-llama");
    let row = |id: &str, n: usize| TokenRow::from_ids(id, vec![3; n]);
    let check = |rows: &[TokenRow], options: GenerateOptions, text: &str| {
        let error = student.generate(rows, &options).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let chain = format!("{error}: {source}");
        assert!(chain.contains(text), "{chain}");
        error.hint()
    };
    let room = "row `long`: its 250 tokens and 16 new ones do not fit the model's context of 256";
    check(&[row("a", 3), row("long", 250)], sampled(0), room);
    assert!(student.generate(&[row("fits", 240)], &sampled(0)).is_ok());
    check(&[row("a", 3), row("empty", 0)], sampled(0), "row `empty`: it has no tokens");
    let hint =
        check(&[row("a", 3), row("b", 3), row("a", 4)], sampled(0), "row `a`: another row has the same id");
    assert!(hint.unwrap().contains("`samples`"));
    check(&[TokenRow::from_ids("r", vec![3, 9999])], sampled(0), "token id 9999 is outside the vocabulary");
    let bad = |change: fn(&mut GenerateOptions), text: &str| {
        let mut options = sampled(0);
        change(&mut options);
        check(&[row("a", 3)], options, text);
    };
    bad(|o| o.temperature = -1.0, "`temperature` must be 0 or more, found -1");
    bad(|o| o.temperature = f64::NAN, "`temperature` must be 0 or more, found NaN");
    bad(|o| o.top_p = 0.0, "`top_p` must be above 0 and at most 1, found 0");
    bad(|o| o.samples = 0, "`samples` must be 1 or more, found 0");
    bad(|o| (o.samples, o.temperature) = (2, 0.0), "`samples` must be 1 at temperature 0");
    bad(|o| o.max_new_tokens = 0, "`max_new_tokens` must be 1 or more, found 0");
    bad(|o| o.stop = vec![9999], "`stop` must be tokens of the model's vocabulary, found 9999");
    let plan = CapturePlan::new(student.config(), &["hook_embed"], Readout::All).unwrap();
    let error = student.generate_with_capture(&[row("a", 3)], &sampled(0), &[plan]).unwrap_err();
    assert!(error.to_string().contains("`all` cannot be read while tokens are drawn"), "{error}");
    // A plan made for a deeper model.
    let deep = json!({
        "model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 9,
        "num_attention_heads": 1, "vocab_size": 8, "max_position_embeddings": 8, "rms_norm_eps": 1e-5,
    });
    let deep = Config::from_json(&deep).unwrap();
    let plan = CapturePlan::new(&deep, &["blocks.8.hook_resid_post"], Readout::LastPrompt).unwrap();
    let error = student.generate_with_capture(&[row("a", 3)], &sampled(0), &[plan]).unwrap_err();
    assert!(error.to_string().contains("`blocks.8.hook_resid_post`"), "{error}");
    assert!(student.generate(&[], &sampled(0)).unwrap().is_empty());
}

#[test]
fn logits_that_are_not_finite_are_an_error() {
    let (student, rows) = (student("llama-gqa"), rows("llama-gqa"));
    let vector = vec![f32::INFINITY; 32];
    let broken = Intervention {
        point: block(1, "hook_resid_post"),
        positions: Positions::All,
        edit: Edit::Replace { vector },
    };
    let options = GenerateOptions { interventions: vec![broken], ..sampled(0) };
    let error = student.generate(&rows, &options).unwrap_err().to_string();
    assert!(error.contains("are not finite after 0 tokens drawn"), "{error}");
}

#[test]
fn cached_generation_is_the_whole_pass_again_and_again() {
    for name in all_models() {
        let (student, rows) = (student(name), rows(name));
        let max_new_tokens = room(&student, &rows).min(12);
        let options = GenerateOptions { max_new_tokens, ..GenerateOptions::default() };
        let together = student.generate(&rows, &options).unwrap();
        for (row, generated) in rows.iter().zip(&together) {
            let mut ids = row.ids.clone();
            for id in &generated.ids {
                let now = TokenRow::from_ids("now", ids.clone());
                let logits =
                    student.run_with_hooks(&[now], &[], &[], true).unwrap()[0].logits.clone().unwrap();
                let last = logits.row(ids.len() - 1);
                let best =
                    last.iter().enumerate().fold(0, |best, (i, x)| if *x > last[best] { i } else { best });
                assert_eq!(*id as usize, best, "{name} row {} after {} tokens", row.id, ids.len());
                ids.push(*id);
            }
            let ended = generated.ids.last().is_some_and(|id| student.stop_tokens().contains(id));
            assert_eq!(generated.stopped, ended);
            assert!(ended || generated.ids.len() == max_new_tokens);
        }
    }
}

#[test]
fn steering_goes_on_while_sampling() {
    let (student, rows) = (student("llama-gqa"), rows("llama-gqa"));
    let steer = |alpha| Intervention {
        point: block(1, "hook_resid_post"),
        positions: Positions::All,
        edit: Edit::Add { vector: vec![1.0; 32], alpha },
    };
    let run = |alpha| {
        let options = GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() };
        let options = GenerateOptions { interventions: vec![steer(alpha)], ..options };
        student.generate(&rows, &options).unwrap()
    };
    let plain = student.generate(&rows, &GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() });
    assert_eq!(run(0.0), plain.unwrap());
    // Pushed this hard, the last norm sees the push alone, and every step takes the same token.
    let pushed = run(1e4);
    let first = pushed[0].ids[0];
    assert!(pushed.iter().all(|g| g.ids.iter().all(|id| *id == first)), "{pushed:?}");
}
