//! What is steered, along what: students with their scenarios and norms, directions with their controls, edits.

use heirloom_model::{CaptureOptions, CapturePlan, Edit, Student, TokenRow};
use heirloom_probe::control::{random_difference_directions, random_directions};
use heirloom_record::{DataRow, HookPoint, Prompt, Readout};
use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::About;
use crate::Result;
use crate::arms::{ArmsExperiment, Steerable, Trained};
use crate::streams::{seed_of, stream};

/// Where a vector comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// A behavior's own direction, at the behavior's place.
    Fit,
    /// Spread evenly over the sphere.
    Random,
    /// A difference of two activations of one student.
    Difference,
}

/// What is done to the last prompt token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Doing {
    /// Adds the vector, this many mean norms of it.
    Add(f64),
    /// Projects the vector out.
    Ablate,
    /// Sets the component along the vector to the base's mean on the behavior's scenarios.
    ToBase,
    /// Adds as much of the vector as ablating this direction moves the activations, on root mean square. Ablating a
    /// vector that means nothing hardly moves them: it would be no control.
    LikeAblating(usize),
    /// Adds as much as setting the component along this direction to the base's moves them.
    LikeToBase(usize),
}

/// One edit along one vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    /// Its place among the vectors.
    pub(super) vector: usize,
    pub(super) doing: Doing,
}

/// A student and what it is asked.
pub(super) struct Tried {
    pub(super) student: Student,
    /// Root of its answers' random streams: every edit has the same draws.
    pub(super) draws: u64,
    /// Scenarios by behavior.
    pub(super) rows: Vec<Vec<TokenRow>>,
    /// Mean length of its activations.
    pub(super) norm: f64,
    /// Its activations, by behavior.
    own: Vec<Array2<f32>>,
    /// Mean activation of the base, by behavior.
    base: Vec<Array1<f64>>,
}

impl Tried {
    /// How far activations are from having `component` along a unit vector, on root mean square.
    fn distance(&self, behavior: usize, vector: &Array1<f64>, component: f64) -> f64 {
        let along = self.own[behavior].mapv(f64::from).dot(vector);
        (along.mapv(|value| (value - component).powi(2)).sum() / along.len() as f64).sqrt()
    }
}

/// Every edit along every vector.
pub(super) struct Edits {
    /// Of each vector: the behaviors' own in their order, then controls.
    pub(super) families: Vec<Family>,
    pub(super) looks: Vec<Look>,
}

impl Edits {
    pub(super) fn new(directions: usize, controls: usize, strengths: &[f64]) -> Self {
        let of = |family, n| std::iter::repeat_n(family, n);
        let families: Vec<Family> = of(Family::Fit, directions)
            .chain(of(Family::Random, controls))
            .chain(of(Family::Difference, controls))
            .collect();
        let add = strengths.iter().map(|strength| Doing::Add(*strength));
        let own: Vec<Doing> = add.clone().chain([Doing::Ablate, Doing::ToBase]).collect();
        let like = (0..directions).flat_map(|own| [Doing::LikeAblating(own), Doing::LikeToBase(own)]);
        let like: Vec<Doing> = add.chain(like).collect();
        let looks = families.iter().enumerate().flat_map(|(vector, family)| {
            let doings = if *family == Family::Fit { &own } else { &like };
            doings.iter().map(move |doing| Look { vector, doing: *doing })
        });
        let looks = looks.collect();
        Self { families, looks }
    }

    /// Vectors of a family, by their places.
    pub(super) fn of(&self, family: Family) -> impl Iterator<Item = usize> {
        let own = self.families.iter().enumerate().filter(move |(_, found)| **found == family);
        own.map(|(index, _)| index)
    }
}

/// Students and vectors.
pub(super) struct Bench {
    pub(super) hook: HookPoint,
    pub(super) base: Student,
    pub(super) tried: Vec<Tried>,
    /// Unit vectors, in the order of the families.
    pub(super) vectors: Vec<Array1<f64>>,
    pub(super) edits: Edits,
}

impl Bench {
    pub(super) fn new(experiment: &ArmsExperiment, left: Steerable, about: &About<'_>) -> Result<Self> {
        let Steerable { base, students, directions } = left;
        let at = At { hook: about.hook, plan: plan(&base, about.hook)? };
        let tried = students.into_iter().map(|student| at.tried(student, &base, about));
        let tried: Vec<Tried> = tried.collect::<Result<_>>()?;
        let (seed, k) = (experiment.spec().seed, about.options.controls);
        let edits = Edits::new(directions.len(), k, &about.options.strengths);
        let mut vectors: Vec<Array1<f64>> = directions.into_iter().map(|(_, vector)| vector).collect();
        let random = random_directions(vectors[0].len(), k, &stream(seed, "steering at random"));
        vectors.extend(random.rows().into_iter().map(|row| row.to_owned()));
        // Within one student: what tells two students apart is no activation of either. Each control is one vector, as
        // each direction is, whichever student it is added to.
        let mut families = vec![];
        for one in &tried {
            let views: Vec<_> = one.own.iter().map(Array2::view).collect();
            let seen =
                ndarray::concatenate(Axis(0), &views).expect("activations of one student are of one width");
            families.push(random_difference_directions(seen.view(), k, &stream(one.draws, "differences"))?);
        }
        vectors.extend((0..k).map(|index| families[index % families.len()].row(index).to_owned()));
        Ok(Self { hook: about.hook, base, tried, vectors, edits })
    }

    /// What a look does to the activations of a student that answers a behavior's scenarios.
    pub(super) fn edit(&self, look: Look, tried: &Tried, behavior: usize) -> Edit {
        let vector = &self.vectors[look.vector];
        let direction: Vec<f32> = vector.iter().map(|value| narrow(*value)).collect();
        match look.doing {
            Doing::Add(strength) => Edit::Add { vector: direction, alpha: narrow(strength * tried.norm) },
            Doing::Ablate => Edit::ablate(direction),
            Doing::ToBase => Edit::Component { direction, value: narrow(vector.dot(&tried.base[behavior])) },
            Doing::LikeAblating(own) => {
                let far = tried.distance(behavior, &self.vectors[own], 0.0);
                Edit::Add { vector: direction, alpha: narrow(far) }
            }
            Doing::LikeToBase(own) => {
                let own = &self.vectors[own];
                let far = tried.distance(behavior, own, own.dot(&tried.base[behavior]));
                Edit::Add { vector: direction, alpha: narrow(far) }
            }
        }
    }
}

/// Where activations are read.
struct At {
    hook: HookPoint,
    plan: CapturePlan,
}

impl At {
    fn tried(&self, trained: Trained, base: &Student, about: &About<'_>) -> Result<Tried> {
        let Trained { seed, student, scenarios } = trained;
        let (mut rows, mut own, mut means) = (vec![], vec![], vec![]);
        for (behavior, _) in &about.behaviors {
            let prefix = format!("{behavior}/");
            let asked = scenarios.iter().filter(|scenario| scenario.id.starts_with(&prefix));
            let asked: Vec<DataRow> = asked.take(about.options.scenarios).map(Prompt::row).collect();
            let asked = student.prepare(&asked)?;
            own.push(self.capture(&student, &asked)?);
            means.push(mean(&self.capture(base, &asked)?));
            rows.push(asked);
        }
        let norms = own.iter().flat_map(|seen| seen.rows().into_iter().map(length).collect::<Vec<_>>());
        let norms: Vec<f64> = norms.collect();
        let norm = norms.iter().sum::<f64>() / norms.len() as f64;
        Ok(Tried { student, draws: seed_of(seed, "steering"), rows, norm, own, base: means })
    }

    fn capture(&self, student: &Student, rows: &[TokenRow]) -> Result<Array2<f32>> {
        let captured = student.capture(rows, &self.plan, &mut CaptureOptions::default())?;
        Ok(captured.tensors[&self.hook].clone())
    }
}

fn plan(student: &Student, hook: HookPoint) -> Result<CapturePlan> {
    Ok(CapturePlan::new(student.config(), &[hook.to_string()], Readout::LastPrompt)?)
}

fn mean(rows: &Array2<f32>) -> Array1<f64> {
    rows.mapv(f64::from).sum_axis(Axis(0)) / rows.nrows() as f64
}

fn length(row: ArrayView1<f32>) -> f64 {
    row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

#[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}
