//! What one seed draws: prompts, their rollouts by every teacher, and the scenarios its students are tried on.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_record::{Hasher, NewFolder, Prompt, Rollouts, RunFolder, rows_to_jsonl};
use heirloom_rollout::Pool;

use super::ArmsExperiment;
use super::models::Made;
use super::sampling::Draw;
use super::workers::each;
use crate::streams::{seed_of, stream};
use crate::{Progress, Result};

/// What the students of one seed share.
pub(crate) struct Seeded {
    pub(crate) seed: u64,
    /// Prompt sets and rollouts.
    pub(crate) pool: Pool,
    /// Held-out scenarios of every behavior, one after the other.
    pub(crate) scenarios: Vec<Prompt>,
}

/// One teacher on one prompt set.
struct Pairing<'a> {
    seed: u64,
    teacher: &'a str,
    set: &'a str,
    prompts: &'a [Prompt],
}

impl ArmsExperiment {
    /// Draws the prompts of every seed and samples every teacher that an arm pairs with them.
    pub(crate) fn seeds(
        &self,
        run: &RunFolder,
        teachers: &BTreeMap<String, Made>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Seeded>> {
        let pairings: BTreeSet<(&str, &str)> = self.pairings();
        let sets: BTreeSet<&str> = pairings.iter().map(|(_, set)| *set).collect();
        let mut prompts: BTreeMap<(u64, &str), Vec<Prompt>> = BTreeMap::new();
        for seed in &self.spec.seeds {
            for set in &sets {
                let mut rng = stream(*seed, &format!("prompts {set}"));
                let n = self.world.student().rows;
                prompts.insert((*seed, *set), self.world.prompts(self.world.prompt_set(set)?, n, &mut rng));
            }
        }
        let jobs: Vec<Pairing<'_>> = prompts
            .iter()
            .flat_map(|((seed, set), prompts)| {
                let own = pairings.iter().filter(move |(_, other)| other == set);
                own.map(move |(teacher, _)| Pairing { seed: *seed, teacher, set, prompts })
            })
            .collect();
        progress.begin("sample", "teachers", jobs.len() as u64, "sets");
        let sampled = each(&jobs, |job| self.answers(run, job, &teachers[job.teacher]), progress);
        progress.end();
        let mut rollouts: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for (job, sampled) in jobs.iter().zip(sampled?) {
            rollouts.entry(job.seed).or_default().extend(sampled.rows);
        }
        let seeded = |seed: &u64| {
            let own = prompts.iter().filter(|((other, _), _)| other == seed);
            let prompts = own.flat_map(|(_, prompts)| prompts.iter().cloned()).collect();
            let pool = Pool::new(prompts, rollouts.remove(seed).unwrap_or_default())?;
            Ok(Seeded { seed: *seed, pool, scenarios: self.scenarios(*seed)? })
        };
        self.spec.seeds.iter().map(seeded).collect()
    }

    fn answers(&self, run: &RunFolder, job: &Pairing<'_>, teacher: &Made) -> Result<Rollouts> {
        let key = Hasher::default()
            .part("stage", "rollouts 1")
            .part("teacher", &teacher.key)
            .part("seed", job.seed.to_le_bytes())
            .part("sampled", format!("{:?}", self.world.sampled()))
            .part("prompts", rows_to_jsonl(job.prompts))
            .finish();
        let path = run.artifact("rollouts", &format!("{}-on-{}-s{}", job.teacher, job.set, job.seed), &key);
        if !path.exists() {
            run.may_make(&path)?;
            let seed = seed_of(job.seed, &format!("rollouts of {} on {}", job.teacher, job.set));
            let draw = Draw { teacher: job.teacher, seed, samples: 1 };
            let rollouts = self.sample(&teacher.student, job.prompts, &draw)?;
            let folder = NewFolder::create(&path)?;
            rollouts.write_into(folder.work_path())?;
            folder.commit()?;
        }
        // Read back in either case, so that a resumed run goes on from the same values.
        Ok(Rollouts::read(&path)?)
    }

    /// Held-out scenarios of each behavior and seed.
    pub(crate) fn scenarios_of_behavior(&self) -> usize {
        self.spec.measure.scenarios.unwrap_or(self.world.scenario_count().prompts)
    }

    fn scenarios(&self, seed: u64) -> Result<Vec<Prompt>> {
        let n = self.scenarios_of_behavior();
        let mut all = vec![];
        for name in &self.behaviors {
            let mut rng = stream(seed, &format!("scenarios {name}"));
            all.extend(self.world.scenarios(self.world.behavior(name)?, n, &mut rng));
        }
        Ok(all)
    }
}
