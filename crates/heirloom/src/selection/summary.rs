//! A ranking on the terminal: the top prompts of each seed, and how good the ranking is where that is known.

use std::fmt::Write as _;

use super::{Held, Ranked, Ranking, Selected};
use crate::words::{brackets, number, short};

/// Longest text of a question or an answer that is shown.
const TEXT: usize = 110;

/// What a stranger should read first.
pub(super) fn summary(selected: &Selected, top: usize) -> String {
    let Selected { behavior, by, prompts, teacher, to, base, hook, rankings, notes } = selected;
    let mut out = String::new();
    let what = if behavior.is_empty() { String::new() } else { format!(" for {behavior}") };
    let _ = writeln!(out, "Prompts {prompts}, ranked{what} by {by}");
    if let (Some(hook), Some(base)) = (hook, base) {
        let _ = writeln!(
            out,
            "what swapping {teacher}'s answer for {to}'s would change, at {hook} of `{base}`, mean over response tokens"
        );
    }
    for ranking in rankings {
        seed(&mut out, selected, ranking, top);
    }
    for note in notes {
        let _ = writeln!(out, "\n{note}");
    }
    out
}

fn seed(out: &mut String, selected: &Selected, ranking: &Ranking, top: usize) {
    let Ranking { seed, chosen, rows, quality } = ranking;
    let share = 100.0 * *chosen as f64 / rows.len() as f64;
    let _ = writeln!(out, "\nSeed {seed}: {chosen} of {} prompts chosen ({share:.1} %)\n", rows.len());
    let last = rows[chosen - 1].score;
    let [above, through] =
        [rows.partition_point(|row| row.score > last), rows.partition_point(|row| row.score >= last)];
    if through > *chosen {
        let (equal, score) = (through - above, number(last));
        let _ = writeln!(
            out,
            "  {equal} prompts have the score {score}, at which the choice ends; `top = {through}` takes all of them\n"
        );
    }
    for (rank, row) in (1..=top).zip(rows) {
        let Ranked { prompt, score, tags, asked, answers } = row;
        let _ = writeln!(
            out,
            "  {rank:>3} {:>9} {prompt} ({}): {}",
            number(*score),
            tags.join(", "),
            short(asked, TEXT)
        );
        for (who, answer) in [&selected.teacher, &selected.to].into_iter().zip(answers) {
            let _ = writeln!(out, "                {who}: {}", short(answer, TEXT));
        }
    }
    let Some(quality) = quality else { return };
    let _ = writeln!(
        out,
        "\n  against the {} prompts tagged `{}`{:>22}{:>14}",
        quality.n, quality.causal, "this ranking", "random"
    );
    let rows = [
        (format!("precision of the top {chosen}"), &quality.precision),
        (format!("recall of the top {chosen}"), &quality.recall),
        ("average precision".to_owned(), &quality.average_precision),
    ];
    for (name, held) in rows {
        let Held { value, low, high, random, .. } = held;
        let _ = writeln!(out, "    {name:<28} {:>24} {:>14}", brackets(*value, *low, *high), number(*random));
    }
}
