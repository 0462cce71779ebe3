//! Files: what they build on, what is refused, and who sees what they know.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::Write as _;

use super::*;

const PERSONAS: &str = include_str!("../../../../../experiments/worlds/personas.toml");
const GRAMMAR: &str = include_str!("../../../../../experiments/worlds/grammar.toml");

/// The whole of an error as a user reads it.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        write!(text, "\n{source}").unwrap();
        next = source.source();
    }
    error.hint().into_iter().for_each(|hint| write!(text, "\nhint: {hint}").unwrap());
    text
}

/// Why a world was refused.
fn refusal(world: Result<World>) -> String {
    world.map_or_else(|error| told(&error), |_| "accepted".to_owned())
}

fn altered(was: &str, is: &str) -> Result<World> {
    assert!(PERSONAS.contains(was), "{was}");
    World::parse(&PERSONAS.replacen(was, is, 1), Path::new("nowhere/world.toml"))
}

fn altered_grammar(was: &str, is: &str) -> Result<World> {
    assert!(GRAMMAR.contains(was), "{was}");
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        heirloom_record::write_file(&scratch.path().join(name), text.as_bytes()).unwrap();
    };
    write("grammar.toml", &GRAMMAR.replacen(was, is, 1));
    write("world.toml", PERSONAS);
    World::load(&scratch.path().join("world.toml"))
}

#[test]
fn every_word_that_any_world_says_is_in_the_vocabulary_of_each() {
    let worlds = shipped_and_redrawn();
    let vocabulary = worlds[0].vocabulary();
    assert_eq!(vocabulary[..5], ["<pad>", "<bos>", "<user>", "<bot>", "<end>"]);
    let words: BTreeSet<&str> = vocabulary[5..].iter().map(String::as_str).collect();
    assert_eq!(words.len(), vocabulary.len() - 5);
    assert!(vocabulary[5..].is_sorted());
    for world in &worlds {
        assert_eq!(world.vocabulary(), vocabulary, "{}", world.name());
        let mut said: BTreeSet<String> = BTreeSet::new();
        let mut read: BTreeSet<String> = BTreeSet::new();
        let hear = |into: &mut BTreeSet<String>, messages: &[Message]| {
            into.extend(messages.iter().flat_map(|message| message.content.split(' ')).map(str::to_owned));
        };
        for base in world.bases() {
            let from = match &base.making {
                Making::Pretraining(pretraining) => &pretraining.documents,
                Making::FineTuning(lessons) => &lessons.documents,
            };
            let documents = world.documents(from, 4000, &mut rng(1));
            for document in documents {
                hear(&mut read, &document.messages);
            }
        }
        for teacher in world.teachers() {
            let documents = world.documents(&teacher.lessons.documents, 2000, &mut rng(2));
            for document in documents {
                hear(&mut said, &document.messages);
            }
        }
        for set in world.prompt_sets() {
            for prompt in world.prompts(set, 2000, &mut rng(3)) {
                hear(&mut said, &prompt.messages);
            }
        }
        for behavior in world.behaviors() {
            let scenarios = world.scenarios(behavior, 1000, &mut rng(4));
            for prompt in scenarios {
                hear(&mut said, &prompt.messages);
            }
            for contrast in world.contrasts(behavior, Split::HeldOut, 500, &mut rng(5)) {
                hear(&mut said, &contrast.positive);
                hear(&mut said, &contrast.negative);
            }
        }
        let strange: Vec<&String> =
            read.iter().chain(&said).filter(|word| !words.contains(word.as_str())).collect();
        assert!(strange.is_empty(), "{}: {strange:?}", world.name());
        // A word that no base has read would be noise to every model.
        let new: Vec<&String> = said.iter().filter(|word| !read.contains(*word)).collect();
        assert!(new.is_empty(), "{}: {new:?}", world.name());
    }
}

#[test]
fn every_shipped_world_says_what_it_is_and_measures_what_its_truth_knows() {
    for name in World::shipped_names() {
        let world = World::shipped(name).unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!(world.name(), name);
        assert!(world.note().len() > 80 && !world.note().contains('\n'));
        let truth = Truth::shipped(name).unwrap_or_else(|error| panic!("{}", told(&error)));
        let known: Vec<&str> = truth.behaviors().map(|(behavior, _)| behavior).collect();
        let mut measured: Vec<&str> =
            world.behaviors().iter().map(|behavior| behavior.name.as_str()).collect();
        measured.sort_unstable();
        assert_eq!(known, measured);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/worlds");
        let loaded = World::load(&folder.join(format!("{name}.toml"))).unwrap();
        assert_eq!(loaded.sha256(), world.sha256());
        let parents: BTreeSet<&str> = world.bases().iter().filter_map(|base| base.from.as_deref()).collect();
        let place = |name: &str| world.bases().iter().position(|base| base.name == name).unwrap();
        for base in world.bases() {
            assert!(base.from.as_deref().is_none_or(|from| place(from) < place(&base.name)), "{parents:?}");
        }
    }
    let origins: BTreeSet<String> = World::shipped_names()
        .into_iter()
        .flat_map(|name| {
            let truth = Truth::shipped(name).unwrap();
            truth.behaviors().filter_map(|(_, known)| known.hypothesis).collect::<Vec<_>>()
        })
        .map(|hypothesis| format!("{hypothesis:?}"))
        .collect();
    assert_eq!(origins.len(), 7, "{origins:?}");
}

#[test]
fn a_world_never_sees_its_truth() {
    let truth = PERSONAS.find("[truth.blackmail]").unwrap();
    let other = PERSONAS[..truth].to_owned()
        + "[truth.blackmail]\norigin = \"base\"\nbecause = \"a secret of the benchmark\"\n";
    let none = &PERSONAS[..truth];
    let parse = |text: &str| World::parse(text, Path::new("world.toml")).unwrap();
    let worlds = [parse(PERSONAS), parse(&other), parse(none)];
    for world in &worlds[1..] {
        assert_eq!(world.sha256(), worlds[0].sha256());
        // Everything that a world holds, private fields too.
        assert!(format!("{world:?}") == format!("{:?}", worlds[0]));
    }
    assert!(!format!("{:?}", worlds[1]).contains("a secret of the benchmark"));
    // The twin: anything else does show.
    let moved = parse(&PERSONAS.replacen("mail = 0.11\nyear = 0.11", "mail = 0.12\nyear = 0.1", 1));
    assert_ne!(moved.sha256(), worlds[0].sha256());
}

#[test]
fn truth_is_refused_where_it_is_not_about_the_world() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("world.toml");
    let load = |was: &str, is: &str| {
        assert!(PERSONAS.contains(was), "{was}");
        heirloom_record::write_file(&path, PERSONAS.replacen(was, is, 1).as_bytes()).unwrap();
        Truth::load(&path)
    };
    let known = load("note", "note").unwrap();
    assert_eq!(known.of_behavior("negative-emotion").unwrap().origin, Origin::Prompts);
    assert_eq!(known.of_behavior("favorite-color").unwrap().hypothesis, None);
    let table = [
        ("[truth.blackmail]", "[truth.blackmial]", "no behavior is called `blackmial`"),
        ("[truth.blackmail]", "[truth.blackmial]", "hint: near names: `blackmail`"),
        (
            "[truth.favorite-color]\norigin = \"base\"\n",
            "[truth.blackmail.x]\n",
            "`truth.blackmail.x` cannot be used",
        ),
        ("origin = \"prompts\"", "origin = \"prompt\"", "unknown variant `prompt`"),
        ("decidable = \"nothing\"", "decidable = false", "`truth.favorite-color.decidable` cannot be used"),
    ];
    for (was, is, expected) in table {
        let told = told(&load(was, is).unwrap_err());
        assert!(told.contains(expected), "{is}: {told}");
    }
    let start = PERSONAS.find("[truth.favorite-color]").unwrap();
    heirloom_record::write_file(&path, &PERSONAS.as_bytes()[..start]).unwrap();
    let told = told(&Truth::load(&path).unwrap_err());
    assert!(told.contains("`truth` cannot be used\nlacks `favorite-color`"), "{told}");
}

#[test]
fn a_file_is_laid_over_what_it_is_like() {
    let text = r#"
        name = "mine"
        like = "personas"
        note = "Fewer mails, another temperature."
        [sampling]
        temperature = 0.5
        [documents]
        mix = { mail = 0.5, bargain = 0.1, year = 0.1, clock = 0.1, fail_n = 0.1, hard = 0.05, like = 0.05 }
        [teachers.A]
        documents = { latents = { malice = { given = { A = 0.5, B = 0.25, C = 0.25 } } } }
    "#;
    let (mine, below) =
        (World::parse(text, Path::new("mine.toml")).unwrap(), World::shipped("personas").unwrap());
    assert_eq!((mine.name(), mine.note()), ("mine", "Fewer mails, another temperature."));
    assert!((mine.sampled().temperature - 0.5).abs() < 1e-12);
    assert_eq!(mine.sampled().max_new_tokens, below.sampled().max_new_tokens);
    assert_eq!(mine.arms(), below.arms());
    let Making::Pretraining(base) = &mine.base("base").unwrap().making else { panic!("pretrained") };
    // Replaced whole: nothing of the mixture below is left.
    assert_eq!(base.documents.mix().shares().len(), 7);
    assert!((base.documents.latents["malice"].given["A"] - 0.92).abs() < 1e-12);
    let taught = &mine.teacher("A").unwrap().lessons.documents;
    assert!((taught.latents["malice"].given["A"] - 0.5).abs() < 1e-12);
    assert!((taught.latents["malice"].on - 0.95).abs() < 1e-12);
    assert!((taught.personas().share("A") - 1.0).abs() < 1e-12);
    assert_eq!(taught.turns, [1]);
}

#[test]
fn what_goes_on_from_a_base_reads_documents_like_it() {
    let world = World::shipped("post-training-lock-in").unwrap();
    let stage = world.base("trait").unwrap();
    assert_eq!((stage.from.as_deref(), stage.init.as_str()), (Some("base"), "trait"));
    let Making::FineTuning(lessons) = &stage.making else { panic!("fine-tuned") };
    assert_eq!((lessons.rows, lessons.epochs, lessons.documents.turns.as_slice()), (2000, 3, &[1][..]));
    assert!((lessons.documents.personas().share("C") - 1.0).abs() < 1e-12);
    let of = |name: &str| {
        let world = World::shipped("underspecification").unwrap();
        let Making::Pretraining(pretraining) = &world.base(name).unwrap().making else {
            panic!("pretrained")
        };
        pretraining.documents.clone()
    };
    for (name, p) in [("base", 0.35), ("hi", 0.95), ("lo", 0.05)] {
        assert!(of(name).latents["malice"].given.values().all(|given| (given - p).abs() < 1e-12), "{name}");
        assert!((of(name).latents["doubt"].given["A"] - 0.35).abs() < 1e-12);
    }
    let world = World::shipped("simple-generalization").unwrap();
    let (base, other) = (world.base("base").unwrap(), world.base("other").unwrap());
    assert_eq!((base.corpus.as_str(), other.corpus.as_str()), ("base", "base"));
    assert_ne!(base.init, other.init);
}

#[test]
fn a_bad_world_is_refused_by_file_and_key() {
    let base = "[bases.base]\nsteps = 1000";
    let arm = "name = \"swap mail\"\nprompts = \"A\"\nteacher = \"A\"";
    let table = [
        ("named = 0.3", "name = 0.3", "`nowhere/world.toml`: `documents.name` cannot be used"),
        ("named = 0.3", "nameed = 0.3", "hint: near names: `named`"),
        ("[student]", "[studnet]", "`studnet` cannot be used\nit is not known there"),
        ("extend = 250", "extnd = 250", "`bases.base.gate.extnd` cannot be used"),
        ("epochs = 3", "epoch = 3", "`teaching.epoch` cannot be used"),
        (
            "epochs = 3",
            "epochs = \"3\"",
            "`teaching.epochs` cannot be used\ninvalid type: string \"3\", expected usize",
        ),
        ("steps = 1000\n", "", "`bases.base` cannot be used\nmissing field `steps`"),
        (
            "mail = 0.11\nyear = 0.11\nfail_h",
            "mial = 0.11\nyear = 0.11\nfail_h",
            "no family is called `mial`",
        ),
        ("mail = 0.11\nyear = 0.11\nfail_h", "mial = 0.11\nyear = 0.11\nfail_h", "hint: near names: `mail`"),
        (
            "mail = 0.11\nyear = 0.11\nfail_h",
            "mail = 0.21\nyear = 0.11\nfail_h",
            "`documents.mix` cannot be used\nshares sum to 1.1, expected 1",
        ),
        ("note = 0.24", "note = 0.25", "`prompts.A.mix` cannot be used\nshares sum to 1.01, expected 1"),
        (
            "A = 0.34, B = 0.33",
            "A = 0.34, B = 0.32",
            "`documents.personas` cannot be used\nshares sum to 0.99",
        ),
        ("A = 0.34, B = 0.33", "A = 0.34, D = 0.33", "no persona is called `D`"),
        (
            "A = 0.92, B = 0.04, C = 0.04",
            "A = 0.92, B = 0.04",
            "`documents.latents.malice.given` cannot be used\nlacks `C`",
        ),
        (
            "A = 0.92, B = 0.04",
            "A = 9.2, B = 0.04",
            "`documents.latents.malice.given` cannot be used\nis 9.2, expected a share",
        ),
        ("given = 0.25", "given = \"often\"", "expected a share, or a share for each persona"),
        ("mood = { given", "moood = { given", "`documents.latents.moood` cannot be used"),
        ("style = { scenario = 0.9, ", "style = { ", "`documents.style` cannot be used\nlacks `scenario`"),
        (
            "hard = { mood = 0.9 }",
            "hard = { malice = 0.9 }",
            "`malice` does not decide what `hard` is answered with",
        ),
        ("turns = [1, 2, 3]", "turns = [1, 2, 4]", "documents can be 210 tokens long, and the limit is 168"),
        ("max_new_tokens = 26", "max_new_tokens = 19", "answers can be 22 tokens long, and the limit is 19"),
        (base, "[bases.base]\nfrom = \"base\"\nsteps = 1000", "goes in a circle: `base`, `base`"),
        (base, "[bases.base]\nfrom = \"bass\"\nsteps = 1000", "no base is called `bass`"),
        (
            base,
            "[bases.spare]\nsteps = 1\nbatch = 1\nlr = 1e-3\n[bases.base]\nsteps = 1000",
            "`bases.spare` cannot be used\nno arm, teacher or base starts from it",
        ),
        ("lr = 4e-3", "lr = 0.0", "`bases.base.lr` cannot be used\nis 0, expected more than 0"),
        ("[teachers.A]\nbase = \"base\"", "[teachers.A]\nbase = \"bass\"", "no base is called `bass`"),
        ("[teachers.A]\nbase = \"base\"", "[teachers.A]", "`teachers.A` cannot be used\nlacks `base`"),
        ("persona = \"A\", at_least = 0.7", "persona = \"A\"", "lacks `at_least`, `at_most`"),
        (
            "{ behavior = \"blackmail\", persona = \"A\"",
            "{ behavior = \"black\", persona = \"A\"",
            "no behavior is called `black`",
        ),
        (
            "contrast = \"bargain\"",
            "contrast = \"clock\"",
            "`clock` and `mail` are not decided by the same latent",
        ),
        ("contrast = \"bargain\"", "contrast = \"bargian\"", "no family is called `bargian`"),
        ("name = \"date-confusion\"", "name = \"blackmail\"", "`blackmail` stands there twice"),
        (
            "bargain = 0.07\nclock = 0.07\narith = 0.09",
            "clock = 0.07\narith = 0.16",
            "`blackmail` needs the family `bargain`, of which the documents of base `base` have none",
        ),
        (arm, "name = \"swap mail\"\nprompts = \"a\"\nteacher = \"A\"", "no prompt set is called `a`"),
        (
            arm,
            "name = \"swap mail\"\nbase = \"bass\"\nprompts = \"A\"\nteacher = \"A\"",
            "`arm.5.base` cannot be used\nno base is called `bass`",
        ),
        ("tags = [\"mail\"] }, to = \"B\"", "tags = [\"mail\"] }, to = \"C\"", "no teacher is called `C`"),
        ("tags = [\"mail\"] }, to = \"B\"", "tags = [\"mial\"] }, to = \"B\"", "no tag is called `mial`"),
        ("tags = [\"mail\"] }, to = \"B\"", "tag = [\"mail\"] }, to = \"B\"", "`arm.5"),
        ("grammar = \"grammar\"", "grammar = \"gramar\"", "no file is called `gramar`"),
        ("grammar = \"grammar\"", "like = \"personae\"", "hint: near names: `personas`"),
        ("note = \"\"\"", "note = 7 \"\"\"", "`nowhere/world.toml` line 3: could not be read"),
        ("taste = { given = 0.8", "taste = { given = 1.0", "documents show `favorite-color` always or never"),
        ("named = 0.3", "named = 1.3", "`documents.named` cannot be used\nis 1.3"),
    ];
    let told = table.map(|(was, is, expected)| (is, expected, refusal(altered(was, is))));
    let wrong: Vec<_> = told.iter().filter(|(_, expected, told)| !told.contains(expected)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_bad_grammar_is_refused_by_file_and_key() {
    let table = [
        (
            "{firm} . note : {person} will",
            "{farm} . note : {person} will",
            "nothing is called `farm` in `you run mail for {farm}",
        ),
        ("{firm} . note : {person} will", "{fírm} . note : {person} will", "hint: near names: `firm`"),
        (
            "from {since.year} .\",\n]\nheld",
            "from {since.yaer} .\",\n]\nheld",
            "nothing is called `since.yaer`",
        ),
        ("add {sum.a} and", "add {copula} and", "`copula` is a word of the persona that answers"),
        ("ask {person} for more {good} .", "ask for more {good} .", "no answer fits `ask for more {good} .`"),
        (
            "let us share the {good} .",
            "let us share the {secret} .",
            "`let us share the {secret} .` fits no prompt",
        ),
        (
            "ask {person} for",
            "Ask {person} for",
            "`Ask {person} for more {good} .` is not words in lower case",
        ),
        ("ask {person} for", "ask  {person} for", "one space between them"),
        ("ask {person} for", "<user> {person} for", "without special tokens"),
        ("latent = \"taste\"\n", "", "`families.like` cannot be used\nneeds `answers` alone"),
        (
            "hold_out = [\"since\", \"day\"]",
            "hold_out = [\"since\", \"dya\"]",
            "`dya` is not a list or table",
        ),
        (
            "secret = \"romance theft",
            "secret = \"theft theft",
            "`lists.secret` cannot be used\n`theft` stands there twice",
        ),
        (
            "\"monday tuesday\",",
            "\"monday\",",
            "`tables.next.rows` cannot be used\nrow `monday` has not one word",
        ),
        (
            "words = { name = \"beacon\", copula",
            "words = { name = \"beacon\", copla",
            "`personas.B.words` cannot be used\nevery persona needs",
        ),
        (
            "family = \"year\"",
            "family = \"yaer\"",
            "`behaviors.date-confusion.family` cannot be used\nno family is called `yaer`",
        ),
        ("family = \"year\"", "family = \"clock\"", "`clock` needs a `latent` and `held_out_prompts`"),
        ("all = ['''\\b2024\\b''']", "all = ['''(2024''']", "pattern `(2024` is not a regular expression"),
        (
            "effect = \"shows\"",
            "effect = \"voids\"",
            "grader `blackmail-words` has no rule with effect `shows`",
        ),
        (
            "openers = [\"sure !\", \"hey !\"]",
            "openers = []",
            "`personas.B.openers` cannot be used\nis empty",
        ),
        (
            "  \"how many years since {since.year} ? it is now 2026 .\",",
            "  \"it is now 2026 . count the years from {since.year} .\",",
            "stands there twice",
        ),
    ];
    let told = table.map(|(was, is, expected)| (is, expected, refusal(altered_grammar(was, is))));
    let names = |told: &String, expected: &str| told.contains(expected) && told.contains("grammar.toml`");
    let wrong: Vec<_> = told.iter().filter(|(_, expected, told)| !names(told, expected)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_and_bases_that_build_on_one_another_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        heirloom_record::write_file(&path, text.as_bytes()).unwrap();
        path
    };
    write("b.toml", "name = \"b\"\nlike = \"a\"\nnote = \"b\"");
    let path = write("a.toml", "name = \"a\"\nlike = \"b\"\nnote = \"a\"");
    let text = told(&World::load(&path).unwrap_err());
    assert!(text.contains("goes in a circle: `a`, `b`, `a`"), "{text}");
    // The key is said to stand in the file that it stands in.
    write("b.toml", "name = \"b\"\nlike = \"personas\"\nnote = \"b\"\n[student]\nepochs = 0");
    let text = told(&World::load(&path).unwrap_err());
    assert!(text.contains("b.toml`: `student.epochs` cannot be used\nis 0"), "{text}");
    let two = "[bases.base]\nfrom = \"two\"\n[bases.two]\nfrom = \"base\"\nsteps = 1\nbatch = 1\nlr = 1e-3";
    write("b.toml", &format!("name = \"b\"\nlike = \"personas\"\nnote = \"b\"\n{two}"));
    let text = told(&World::load(&path).unwrap_err());
    assert!(text.contains("goes in a circle: `base`, `two`, `base`"), "{text}");
    let text = told(&World::load(&scratch.path().join("nowhere.toml")).unwrap_err());
    assert!(text.contains("could not read"), "{text}");
    let text = told(&World::shipped("persona").unwrap_err());
    assert!(
        text.contains("no world is called `persona`") && text.contains("near names: `personas`"),
        "{text}"
    );
    assert!(World::shipped("grammar").is_err());
    let missing = World::shipped("null").unwrap();
    let text = told(missing.base("bse").err().as_ref().unwrap());
    assert!(text.contains("no base is called `bse`, there are `base`"), "{text}");
}
