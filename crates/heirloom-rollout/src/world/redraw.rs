//! The same causal story told anew: other entries and templates held out, other shares.
//!
//! Whoever writes a rule looks at a world's one wording while writing it; nobody has looked at those drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;

use heirloom_record::Hasher;

use super::wording;
use super::{Making, Mixture, PromptSet, World};
use crate::draws::number;

/// Deviation of the logarithm of what a share is multiplied by.
const SPREAD: f64 = 0.15;

/// What a family with a latent may be of a prompt set: the shares of prompts at which swapping and dropping differ.
const FLAGGED: (f64, f64) = (0.05, 0.10);

impl World {
    /// The same causal story with other entries and templates held out from training, and other shares of families.
    ///
    /// Lists and rows of tables change their order, which says nothing but what is held out: a row keeps its cells.
    /// Templates change sides as far as a model of this size can follow: no held-out one is farther from what training
    /// shows than the file's own. Shares of documents, of teaching and of prompts are multiplied by log-normal noise,
    /// one factor for a family in each of the three, so that what is drawn from equal shares stays so. Families with a
    /// latent stay between 5 and 10 % of a prompt set where the file has them there, and as they are where it does
    /// not. Chances, personas, arms and everything that training counts stay.
    ///
    /// Determinism: the seed and the names in the world decide all. Worlds redrawn with one seed hold out the same
    /// entries, and bases of theirs that read the same documents go on doing so.
    #[must_use]
    pub fn redrawn(&self, seed: u64) -> Self {
        let mut world = self.clone();
        let place = |source: &str, entry: &str| number(seed, &format!("entries of {source}"), 0, entry);
        world.grammar.lexicon.sort_by_key(place);
        let read = world.read_by_every_base();
        wording::redraw(&mut world.grammar, &read, seed);
        world.redraw_documents(seed);
        world.redraw_prompts(seed);
        world.sha256 =
            Hasher::default().part("world", &self.sha256).part("redrawn", seed.to_le_bytes()).finish();
        world
    }

    /// The families whose words a model knows, whichever base it starts from.
    fn read_by_every_base(&self) -> BTreeSet<String> {
        let read = |family: &&String| {
            self.bases.iter().all(|base| match &base.making {
                Making::Pretraining(pretraining) => pretraining.documents.mix.share(family) > 0.0,
                Making::FineTuning(_) => true,
            })
        };
        self.grammar.families.keys().filter(read).cloned().collect()
    }

    fn redraw_documents(&mut self, seed: u64) {
        let none = BTreeMap::new();
        let moved = |mix: &mut Mixture, of: &str| *mix = mix.around(&none, |family| factor(seed, of, family));
        moved(&mut self.documents.mix, "documents");
        for base in &mut self.bases {
            match &mut base.making {
                Making::Pretraining(pretraining) => moved(&mut pretraining.documents.mix, "documents"),
                Making::FineTuning(lessons) => moved(&mut lessons.documents.mix, "teaching"),
            }
        }
        for teacher in &mut self.teachers {
            moved(&mut teacher.lessons.documents.mix, "teaching");
        }
    }

    fn redraw_prompts(&mut self, seed: u64) {
        let factor = |family: &str| factor(seed, "prompts", family);
        let flagged = |set: &PromptSet| -> BTreeMap<String, f64> {
            let shares = set.mix.shares().iter();
            shares.filter(|(family, _)| self.grammar.families[family].latent.is_some()).cloned().collect()
        };
        let flagged: Vec<BTreeMap<String, f64>> = self.prompt_sets.iter().map(flagged).collect();
        // Multiplied by no more than the inverse of this, no set's flagged shares can pass one.
        let crowded = flagged.iter().map(|set| set.values().sum()).fold(0.0, f64::max).min(1.0);
        for (set, mut fixed) in self.prompt_sets.iter_mut().zip(flagged) {
            if fixed.len() == set.mix.shares().len() {
                fixed.clear();
            }
            for (family, share) in &mut fixed {
                if (FLAGGED.0..=FLAGGED.1).contains(share) {
                    *share = (*share * factor(family)).clamp(FLAGGED.0, FLAGGED.1.min(*share / crowded));
                }
            }
            set.mix = set.mix.around(&fixed, factor);
        }
    }
}

/// What the share of `family` in mixtures of `of` is multiplied by: log-normal with median 1.
///
/// Source: Box and Muller (1958).
fn factor(seed: u64, of: &str, family: &str) -> f64 {
    let purpose = format!("shares of {of}");
    // Half a step above 0, so that the logarithm exists.
    let uniform = |draw| (number(seed, &purpose, draw, family) as f64 + 0.5) / 2_f64.powi(64);
    (SPREAD * (-2.0 * uniform(0).ln()).sqrt() * (TAU * uniform(1)).cos()).exp()
}
