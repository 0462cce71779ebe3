//! How a check of one's own students names itself.

use std::path::Path;

use heirloom_record::HookPoint;
use heirloom_rollout::MOST_REPEATED;

use super::OwnOptions;
use super::aims::Aim;
use crate::steering::about::{About, At, Told};

pub(super) fn about<'a>(
    model: &str,
    adapters: &[&Path],
    aims: &[Aim],
    hook: HookPoint,
    options: &'a OwnOptions,
) -> About<'a> {
    let n = adapters.len().max(1);
    let arm = options.name.clone().unwrap_or_else(|| model.to_owned());
    About {
        told: Told {
            who: who(&arm, model, adapters.len()),
            fit: fit(adapters, aims),
            scenarios: "scenarios\nof each behavior",
            well_formed: Some(well_formed()),
            within: within(n, options.at),
        },
        arm,
        students: (1..=n as u64).collect(),
        unit: "students",
        hook,
        at: options.at,
        fit_on: aims.iter().map(Aim::fit).collect(),
        search: &options.search,
        behaviors: aims.iter().map(|aim| (aim.name.clone(), aim.name.clone())).collect(),
    }
}

fn who(arm: &str, model: &str, adapters: usize) -> String {
    match adapters {
        0 if arm == model => format!("`{model}`"),
        0 => format!("`{arm}`, which is `{model}`"),
        1 => format!("`{arm}`, one student: an adapter on `{model}`"),
        n => format!("`{arm}`, {n} students: adapters on `{model}`"),
    }
}

/// Students and what directions were fit on, a line each.
fn fit(adapters: &[&Path], aims: &[Aim]) -> String {
    let students = adapters.iter().zip(1..).map(|(path, n)| format!("student {n}: {}\n", path.display()));
    let directions = aims.iter().map(|aim| format!("{}: fit on {}\n", aim.direction(), aim.fit()));
    students.chain(directions).collect()
}

/// What [`heirloom_rollout::is_well_formed`] asks.
fn well_formed() -> String {
    format!(
        "Well formed: it has a word, and at most {:.0} % of its trigrams repeat an earlier one. Words that make no sense pass, so it is\n\
         told, too, how likely the bare model finds the answers: mean log-probability of a token, in nats.",
        100.0 * MOST_REPEATED
    )
}

fn within(students: usize, at: At) -> String {
    let token = if at == At::All { "every token" } else { "one token" };
    if students == 1 {
        format!(
            "one student of one base, at {token} of one place; of students of other seeds it says nothing"
        )
    } else {
        format!("students of one base, at {token} of one place")
    }
}
