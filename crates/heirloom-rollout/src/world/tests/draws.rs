//! What is drawn has the shares that the file says, and nothing held out is shown in training.

use std::collections::{BTreeMap, BTreeSet};

use super::super::grammar::Form;
use super::super::template::Piece;
use super::*;

/// How often something happened, of how many times it could have.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    times: usize,
    of: usize,
}

impl Count {
    fn see(&mut self, happened: bool) {
        self.times += usize::from(happened);
        self.of += 1;
    }

    /// Whether a chance of `p` gives such a count: within four and a half standard errors and what Bernstein's bound adds
    /// to them for what is drawn seldom.
    fn agrees_with(self, p: f64) -> bool {
        let n = self.of as f64;
        let seldom = if 0.0 < p && p < 1.0 { 4.5_f64.powi(2) / 3.0 } else { 1e-9 };
        (self.times as f64 - n * p).abs() <= 4.5 * (n * p * (1.0 - p)).sqrt() + seldom
    }
}

/// What in `drawn` has other shares than `from` says; what is drawn too seldom to tell is passed over.
fn disagreements(world: &World, from: &Documents, drawn: &[Document]) -> Vec<String> {
    let mut counts: BTreeMap<String, (Count, f64)> = BTreeMap::new();
    let mut see = |what: String, p: f64, happened: bool| {
        counts.entry(what).or_insert((Count::default(), p)).0.see(happened);
    };
    for document in drawn {
        for (persona, share) in from.personas.shares() {
            see(format!("persona {persona}"), *share, *persona == document.persona);
        }
        for (name, latent) in &from.latents {
            let p = latent.given[&document.persona];
            see(format!("{name} given {}", document.persona), p, document.latents[name]);
        }
        let named = document.messages[0].content != world.grammar.generic;
        see("named".into(), from.named, named);
        for &turns in &from.turns {
            see(format!("{turns} turns"), 1.0 / from.turns.len() as f64, turns == document.turns.len());
        }
        let answers = document.messages.iter().filter(|message| message.role == "assistant");
        for (turn, answer) in document.turns.iter().zip(answers) {
            for (family, share) in from.mix.shares() {
                see(format!("family {family}"), *share, *family == turn.family);
            }
            let family = &world.grammar.families[&turn.family];
            if let Some(latent) = &family.latent {
                match from.when.get(&turn.family).and_then(|moved| moved.get(latent)) {
                    Some(&p) => see(format!("{latent} when {}", turn.family), p, turn.on),
                    None => assert_eq!(turn.on, document.latents[latent]),
                }
                let (p, state) =
                    if turn.on { (from.latents[latent].on, "on") } else { (from.latents[latent].off, "off") };
                see(format!("{} shown with {latent} {state}", turn.family), p, turn.shown);
            }
            let speaker = &world.grammar.personas[&document.persona];
            let style = family.style.as_ref().map_or(0.0, |style| from.style[style]);
            let opened =
                speaker.openers.iter().any(|opener| answer.content.starts_with(&format!("{opener} ")));
            let closed = speaker.closers.iter().any(|closer| answer.content.ends_with(&format!(" {closer}")));
            see(format!("opener of {}", turn.family), style, opened);
            see(format!("closer of {}", turn.family), style, closed);
        }
    }
    let wrong = counts.into_iter().filter(|(_, (count, p))| !count.agrees_with(*p));
    wrong.map(|(what, (count, p))| format!("{what}: {count:?}, expected {p}")).collect()
}

fn pretraining(world: &World, base: &str) -> Documents {
    let Making::Pretraining(pretraining) = &world.base(base).unwrap().making else { panic!("{base}") };
    pretraining.documents.clone()
}

/// Everything in a world that documents are drawn from.
fn sources(world: &World) -> Vec<Documents> {
    let bases = world.bases().iter().map(|base| match &base.making {
        Making::Pretraining(pretraining) => pretraining.documents.clone(),
        Making::FineTuning(lessons) => lessons.documents.clone(),
    });
    bases.chain(world.teachers().iter().map(|teacher| teacher.lessons.documents.clone())).collect()
}

#[test]
fn documents_have_the_shares_that_the_file_says() {
    for world in shipped_and_redrawn() {
        for (i, from) in sources(&world).iter().enumerate() {
            let drawn = world.documents(from, 8_000, &mut rng(i as u64));
            let wrong = disagreements(&world, from, &drawn);
            assert!(wrong.is_empty(), "{}, source {i}: {wrong:#?}", world.name());
        }
    }
}

#[test]
fn documents_of_an_altered_file_have_other_shares() {
    let world = World::shipped("personas").unwrap();
    let told = pretraining(&world, "base");
    let text = include_str!("../../../../../experiments/worlds/personas.toml");
    let table = [
        ("mail = 0.11\nyear = 0.11\nfail_h", "mail = 0.13\nyear = 0.09\nfail_h", "family mail"),
        (
            "A = 0.92, B = 0.04, C = 0.04 }, on = 0.95",
            "A = 0.88, B = 0.04, C = 0.04 }, on = 0.95",
            "malice given A",
        ),
        ("mood = { given = 0.25, on = 0.95", "mood = { given = 0.25, on = 0.9", "shown with mood on"),
        ("scenario = 0.9", "scenario = 0.85", "opener of mail"),
        ("named = 0.3", "named = 0.33", "named"),
        ("personas = { A = 0.34, B = 0.33", "personas = { A = 0.31, B = 0.36", "persona A"),
        ("turns = [1, 2, 3]", "turns = [1, 2]", "3 turns"),
    ];
    for (was, is, expected) in table {
        let altered = World::parse(&text.replacen(was, is, 1), Path::new("altered.toml")).unwrap();
        let drawn = altered.documents(&pretraining(&altered, "base"), 20_000, &mut rng(7));
        let wrong = disagreements(&altered, &told, &drawn);
        assert!(wrong.iter().any(|what| what.contains(expected)), "{is}: {wrong:?}");
    }
}

#[test]
fn no_document_is_longer_than_it_can_be_or_than_the_context() {
    for world in shipped_and_redrawn() {
        for (i, from) in sources(&world).iter().enumerate() {
            let longest = from.longest(&world.grammar);
            for document in world.documents(from, 2000, &mut rng(i as u64)) {
                let words: usize =
                    document.messages.iter().map(|message| message.content.split(' ').count()).sum();
                let tokens = 1 + words + 3 * document.turns.len();
                assert!(tokens <= longest && longest <= world.shape().n_ctx, "{}: {tokens}", world.name());
            }
        }
    }
}

#[test]
fn prompts_have_the_shares_that_the_file_says() {
    for world in shipped_and_redrawn() {
        for set in world.prompt_sets() {
            let prompts = world.prompts(set, 20_000, &mut rng(3));
            for (family, share) in set.mix.shares() {
                let mut count = Count::default();
                for prompt in &prompts {
                    count.see(prompt.tags[0] == *family);
                }
                assert!(count.agrees_with(*share), "{} of {}: {family}: {count:?}", set.name, world.name());
            }
            assert!(prompts.iter().all(|prompt| set.mix.share(&prompt.tags[0]) > 0.0));
        }
    }
}

#[test]
fn the_same_stream_gives_the_same_text_and_another_does_not() {
    let world = World::shipped("personas").unwrap();
    let (from, set) = (pretraining(&world, "base"), world.prompt_set("A").unwrap());
    let behavior = world.behavior("blackmail").unwrap();
    let all = |seed| {
        let mut rng = rng(seed);
        let documents = world.documents(&from, 50, &mut rng);
        let prompts = [world.prompts(set, 50, &mut rng), world.scenarios(behavior, 50, &mut rng)];
        let contrasts = world.contrasts(behavior, Split::HeldOut, 50, &mut rng);
        (documents, prompts, contrasts)
    };
    assert_eq!(all(1), all(1));
    let (one, other) = (all(1), all(2));
    assert!(one.0 != other.0 && one.1 != other.1 && one.2 != other.2);
}

/// The template that `prompt` of `family` is made of, and the words in it that the family holds out.
fn seen(world: &World, family: &str, prompt: &str) -> (String, BTreeSet<String>) {
    let (family, lexicon) = (&world.grammar.families[family], &world.grammar.lexicon);
    let words: Vec<&str> = prompt.split(' ').collect();
    let matches = |form: &&Form| {
        let mut places = form.template.pieces.iter().zip(&words);
        form.template.pieces.len() == words.len()
            && places.all(|(piece, word)| !matches!(piece, Piece::Word(other) if other != word))
    };
    let form = family.forms_of_both().find(matches);
    let held_out = |source: &String| match world.grammar.lexicon.column(source, "year") {
        Some(year) => {
            lexicon.rows(source, Some(Split::HeldOut)).iter().map(|row| row[year].clone()).collect()
        }
        None => lexicon.entries(source, Some(Split::HeldOut)).to_vec(),
    };
    let held_out = family.hold_out.iter().flat_map(held_out).filter(|word| words.contains(&word.as_str()));
    (form.unwrap_or_else(|| panic!("{prompt}")).name.clone(), held_out.collect())
}

#[test]
fn what_is_held_out_is_in_every_scenario_and_in_no_training() {
    for world in shipped_and_redrawn() {
        let mut trained = vec![];
        for from in sources(&world) {
            for document in world.documents(&from, 3000, &mut rng(4)) {
                let prompts = document.messages.iter().filter(|message| message.role == "user");
                let prompts = document.turns.into_iter().zip(prompts);
                trained.extend(prompts.map(|(turn, prompt)| (turn.family, prompt.content.clone())));
            }
        }
        for set in world.prompt_sets() {
            let prompts = world.prompts(set, 3000, &mut rng(5)).into_iter();
            trained
                .extend(prompts.map(|prompt| (prompt.tags[0].clone(), prompt.messages[1].content.clone())));
        }
        for (family, prompt) in &trained {
            let (form, held_out) = seen(&world, family, prompt);
            assert!(!form.contains("held-out") && held_out.is_empty(), "{}: {prompt}", world.name());
        }
        let trained: BTreeSet<&String> = trained.iter().map(|(_, prompt)| prompt).collect();
        for behavior in world.behaviors() {
            let has_lists = !world.grammar.families[&behavior.family].hold_out.is_empty();
            for (i, scenario) in world.scenarios(behavior, 400, &mut rng(6)).iter().enumerate() {
                let prompt = &scenario.messages[1].content;
                let (form, held_out) = seen(&world, &behavior.family, prompt);
                let tag = if i % 2 == 0 { TRAINED } else { HELD_OUT };
                assert_eq!(scenario.tags.last().unwrap(), tag);
                assert_eq!(form.contains("held-out"), i % 2 == 1, "{prompt}");
                assert_eq!(!held_out.is_empty(), has_lists, "{prompt}");
                assert_eq!(trained.contains(prompt), !has_lists && i % 2 == 0, "{prompt}");
            }
        }
    }
}
