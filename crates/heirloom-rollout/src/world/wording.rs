//! Which templates training shows, drawn anew within what a small model can follow.
//!
//! A rate on held-out templates says that a behavior is not tied to one wording only as long as the model can read
//! them. Two laws keep that so. Every word of theirs is read somewhere, by every base; and none is farther from what
//! training shows than the farthest that the file holds out, counted in pairs of neighbors that are new. The bound is
//! the file's own because nothing else says how free a recombination a model of some size follows.

use std::collections::BTreeSet;

use super::grammar::{Family, Form, Grammar};
use super::template::{Piece, Template};
use crate::draws::number;

/// Holds out other templates of every family in `read` that holds out any: as many as the file does, or fewer where the
/// two laws forbid more, at least one. `read` are the families that every base has read.
pub(super) fn redraw(grammar: &mut Grammar, read: &BTreeSet<String>, seed: u64) {
    // What the file itself leaves unread is the file's affair.
    let allowed = unread(grammar, read);
    for name in read {
        let file = grammar.families[name].clone();
        let bound = farthest(&file);
        let mut forms: Vec<&Form> = file.forms_of_both().collect();
        forms.sort_by_key(|form| number(seed, &format!("templates of {name}"), 0, &form.template.text));
        let mut held_out: Vec<&str> = vec![];
        let mut best = file.holding_out(name, &held_out);
        for form in forms {
            if held_out.len() == file.held_out_prompts.len() {
                break;
            }
            held_out.push(&form.template.text);
            let family = file.holding_out(name, &held_out);
            let follows = family.is_whole() && farthest(&family) <= bound;
            grammar.families.insert(name.clone(), family.clone());
            // The more is trained, the better both laws hold, so each template that the file holds out could be held
            // out alone: one always is.
            if follows && unread(grammar, read).is_subset(&allowed) {
                best = family;
            } else {
                held_out.pop();
            }
        }
        grammar.families.insert(name.clone(), best);
    }
}

/// Words of held-out templates that no trained prompt and no answer has, within the families in `read`.
pub(super) fn unread(grammar: &Grammar, read: &BTreeSet<String>) -> BTreeSet<String> {
    let families = || read.iter().map(|name| &grammar.families[name]);
    let trained = families().flat_map(|family| {
        let prompts = family.prompts.iter().map(|form| &form.template);
        prompts.chain(&family.shown).chain(&family.calm).flat_map(words)
    });
    let trained: BTreeSet<&str> = trained.collect();
    let held_out = families().flat_map(|family| &family.held_out_prompts);
    let held_out = held_out.flat_map(|form| words(&form.template));
    held_out.filter(|word| !trained.contains(word)).map(str::to_owned).collect()
}

/// Most pairs of neighbors in a held-out template of `family` that none of its trained ones has, ends counted as
/// neighbors.
pub(super) fn farthest(family: &Family) -> usize {
    let trained: Vec<_> = family.prompts.iter().flat_map(|form| pairs(&form.template)).collect();
    let new = |form: &Form| pairs(&form.template).iter().filter(|pair| !trained.contains(pair)).count();
    family.held_out_prompts.iter().map(new).max().unwrap_or(0)
}

fn pairs(template: &Template) -> Vec<[Option<&Piece>; 2]> {
    let pieces = template.pieces.iter().map(Some);
    let places: Vec<Option<&Piece>> = [None].into_iter().chain(pieces).chain([None]).collect();
    places.windows(2).map(|pair| [pair[0], pair[1]]).collect()
}

fn words(template: &Template) -> impl Iterator<Item = &str> {
    template.pieces.iter().filter_map(|piece| match piece {
        Piece::Word(word) => Some(word.as_str()),
        _ => None,
    })
}
