//! Stored rollouts → verdicts, re-runnable without sampling: other rules grade the same rollouts anew.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use heirloom_record::{
    GradeRow, Hasher, NewFolder, Rollout, Rollouts, RunFolder, read_jsonl, rows_to_jsonl, write_file,
};
use heirloom_rollout::grade_rollouts;
use heirloom_rollout::world::WorldBehavior;

use super::ArmsExperiment;
use super::measured;
use super::students::{Subject, step_name};
use super::tables::{Seen, Verdicts};
use super::workers::each;
use crate::scenarios::scenario_number;
use crate::{Progress, Result};

impl ArmsExperiment {
    /// Grades the rollouts of every subject; `students` are their artifacts.
    pub(crate) fn grades(
        &self,
        run: &RunFolder,
        subjects: &[Subject<'_>],
        students: &[PathBuf],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Seen>> {
        let jobs: Vec<(&Subject<'_>, &Path)> =
            subjects.iter().zip(students.iter().map(PathBuf::as_path)).collect();
        progress.begin("grade", "rollouts", jobs.len() as u64, "models");
        let seen = each(&jobs, |(subject, student)| self.seen(run, subject, student), progress);
        progress.end();
        seen
    }

    /// What one subject's artifact `student` holds, graded.
    pub(crate) fn seen(&self, run: &RunFolder, subject: &Subject<'_>, student: &Path) -> Result<Seen> {
        let measured = measured::read(student)?;
        let steps: Vec<usize> = measured.iter().map(|measured| measured.step).collect();
        let graded = self.graded(run, student, &steps)?;
        let (mut clusters, mut scenarios) = (HashMap::new(), BTreeMap::new());
        for behavior in &self.behaviors {
            let prefix = format!("{behavior}/");
            let own = subject.seeded.scenarios.iter().filter(|scenario| scenario.id.starts_with(&prefix));
            let numbers: &mut Vec<usize> = scenarios.entry(behavior.clone()).or_default();
            for scenario in own {
                let number = scenario_number(&scenario.messages);
                numbers.push(number);
                clusters.insert(scenario.id.as_str(), number);
            }
        }
        let mut verdicts: BTreeMap<(usize, String), Verdicts> = BTreeMap::new();
        for step in steps {
            for (_, row) in read_jsonl::<GradeRow>(&graded.join(file_name(step)))? {
                let cell = verdicts.entry((step, row.behavior.clone())).or_default();
                let shows = row.sha256 == self.world.behavior(&row.behavior)?.grader.sha256();
                let own = if shows { &mut cell.shown } else { &mut cell.coherent };
                own.push((clusters[row.prompt.as_str()], row.answer));
            }
        }
        let (arm, artifact) = (subject.name.clone(), student.to_owned());
        Ok(Seen { arm, seed: subject.seeded.seed, artifact, verdicts, measured, scenarios })
    }

    /// The verdicts of every behavior's two graders on one student's rollouts, a file for each step.
    pub(super) fn graded(&self, run: &RunFolder, student: &Path, steps: &[usize]) -> Result<PathBuf> {
        let name = student.file_name().unwrap_or_default().to_string_lossy();
        let behaviors = self.behaviors.iter().map(|name| Ok(self.world.behavior(name)?));
        let behaviors: Vec<&WorldBehavior> = behaviors.collect::<Result<_>>()?;
        let mut hasher = Hasher::default().part("stage", "grades 1").part("student", name.as_bytes());
        for behavior in &behaviors {
            hasher = hasher
                .part(&behavior.name, behavior.grader.sha256())
                .part("coherent", behavior.coherent.sha256());
        }
        let path = run.artifact("grade", &name, &hasher.finish());
        if path.exists() {
            return Ok(path);
        }
        run.may_make(&path)?;
        let folder = NewFolder::create(&path)?;
        for step in steps {
            let rollouts = Rollouts::read(&student.join(step_name(*step)))?;
            let mut rows: Vec<GradeRow> = vec![];
            for behavior in &behaviors {
                let prefix = format!("{}/", behavior.name);
                let own = rollouts.rows.iter().filter(|row| row.prompt.starts_with(&prefix));
                let own: Vec<Rollout> = own.cloned().collect();
                for grader in [&behavior.grader, &behavior.coherent] {
                    rows.extend(grade_rollouts(grader, &behavior.name, &own));
                }
            }
            write_file(&folder.work_path().join(file_name(*step)), rows_to_jsonl(&rows).as_bytes())?;
        }
        folder.commit()?;
        Ok(path)
    }
}

fn file_name(step: usize) -> String {
    format!("{}.jsonl", step_name(step))
}
