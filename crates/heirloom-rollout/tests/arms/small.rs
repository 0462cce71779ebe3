//! A small pool: prompt sets A (40) and B (20), teachers A and B on all of them, C on set A's mail but one.

use heirloom_record::{Message, Prompt, Rollout};
use heirloom_rollout::{Arm, DataIntervention, Pool, Subset};

/// The tag of prompt `n`: of each twenty, four are mail, two are year, the rest is chat.
pub(crate) fn tag(n: usize) -> &'static str {
    match n % 20 {
        0..=3 => "mail",
        4..=5 => "year",
        _ => "chat",
    }
}

pub(crate) fn prompts() -> Vec<Prompt> {
    let numbered = (0..40).map(|n| ("A", n)).chain((0..20).map(|n| ("B", n)));
    let prompt = |(set, n): (&str, usize)| Prompt {
        id: format!("{set}-{n}"),
        source: set.into(),
        tags: if set == "B" && n == 19 { vec!["only-b".into()] } else { vec![tag(n).into()] },
        messages: vec![
            Message::new("system", "you are an assistant ."),
            Message::new("user", format!("{} {n}", tag(n))),
        ],
    };
    numbered.map(prompt).collect()
}

/// What `teacher` answers to prompt `n`; mail is answered at greater length.
pub(crate) fn rollout(teacher: &str, prompt: &Prompt, n: usize) -> Rollout {
    let length = 3 + n % 7 + 9 * usize::from(prompt.tags[0] == "mail");
    let ids = (0..).take(length).collect();
    Rollout::new(teacher, prompt, 0, &format!("{teacher} says {n}"), ids, true)
}

pub(crate) fn rollouts(prompts: &[Prompt]) -> Vec<Rollout> {
    let number = |prompt: &Prompt| prompt.id[2..].parse().unwrap();
    let both = ["A", "B"]
        .into_iter()
        .flat_map(|teacher| prompts.iter().map(move |prompt| rollout(teacher, prompt, number(prompt))));
    let c = prompts.iter().filter(|prompt| prompt.source == "A" && prompt.tags[0] == "mail").skip(1);
    both.chain(c.map(|prompt| rollout("C", prompt, number(prompt)))).collect()
}

pub(crate) fn pool() -> Pool {
    let prompts = prompts();
    let rollouts = rollouts(&prompts);
    Pool::new(prompts, rollouts).unwrap()
}

/// An arm on prompts A with A's answers.
pub(crate) fn arm(name: &str, interventions: Vec<DataIntervention>) -> Arm {
    interventions.into_iter().fold(Arm::new(name, "A", "A"), Arm::then)
}

pub(crate) fn tags(tags: &[&str]) -> Subset {
    Subset::Tags(tags.iter().map(|tag| (*tag).to_owned()).collect())
}

pub(crate) fn swap(on: Subset, to: &str) -> DataIntervention {
    DataIntervention::Swap { on, to: to.into() }
}

pub(crate) fn drop(on: Subset, refill: bool) -> DataIntervention {
    DataIntervention::Drop { on, refill }
}

pub(crate) fn random(like: Subset) -> Subset {
    Subset::Random { like: Box::new(like), draw: 0 }
}

pub(crate) fn same_length(like: Subset) -> Subset {
    Subset::RandomSameLength { like: Box::new(like), draw: 0 }
}
