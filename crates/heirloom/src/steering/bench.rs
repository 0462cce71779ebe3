//! What is steered, along what: students with their scenarios and norms, directions with their controls, edits.

use heirloom_model::{CaptureOptions, CapturePlan, Edit, Student, TokenRow};
use heirloom_probe::control::{random_difference_directions, random_directions};
use heirloom_record::{DataRow, HookPoint};
use heirloom_rollout::{Grader, is_well_formed};
use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::Search;
use super::about::At;
use crate::Result;
use crate::streams::stream;

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

/// What is done to the activations at a token.
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

/// Students and directions, before anything is looked into.
pub(super) struct Given {
    pub(super) hook: HookPoint,
    pub(super) at: At,
    /// What students start from; absent where it is the one student itself.
    pub(super) base: Option<Student>,
    pub(super) students: Vec<Asked>,
    /// Unit vectors, by behavior.
    pub(super) directions: Vec<Array1<f64>>,
    pub(super) exam: Exam,
}

/// A student and what it will be asked.
pub(super) struct Asked {
    pub(super) student: Student,
    /// Root of its answers' random streams: every edit has the same draws.
    pub(super) draws: u64,
    /// Scenarios by behavior.
    pub(super) scenarios: Vec<Vec<DataRow>>,
}

/// How answers are drawn, and what is said of them.
pub(super) struct Exam {
    /// By behavior.
    pub(super) graders: Vec<Graders>,
    pub(super) max_new_tokens: usize,
    pub(super) temperature: f64,
    /// Most tokens that answers drawn together may hold.
    pub(super) batch_tokens: usize,
    /// One edit after another, each over all threads, in place of edits side by side, each of which holds a copy of the
    /// weights.
    pub(super) in_turn: bool,
}

/// What says of an answer whether it shows a behavior, and whether it is well formed.
pub(super) struct Graders {
    pub(super) shown: Grader,
    pub(super) coherent: Coherent,
}

/// What says whether an answer is well formed.
pub(super) enum Coherent {
    /// The rules of a miniature world, which know all its sentences.
    Rules(Grader),
    /// Silence and loops are not.
    Text,
}

impl Coherent {
    pub(super) fn is(&self, answer: &str) -> bool {
        match self {
            Self::Rules(grader) => grader.grade_text(answer).answer.shown,
            Self::Text => is_well_formed(answer),
        }
    }
}

/// A student that was looked into.
pub(super) struct Tried {
    pub(super) student: Student,
    /// As [`Asked::draws`].
    pub(super) draws: u64,
    /// Scenarios by behavior.
    pub(super) rows: Vec<Vec<TokenRow>>,
    /// Mean length of its activations.
    pub(super) norm: f64,
    /// How far its activations lie along each direction, by behavior and then by direction.
    along: Vec<Vec<Array1<f64>>>,
    /// Mean activation of the base, by behavior; none where the student is the base.
    base: Vec<Array1<f64>>,
    /// Random differences of its activations, a row each.
    differences: Array2<f64>,
}

impl Tried {
    /// How far activations are from having `component` along a direction, on root mean square.
    fn distance(&self, behavior: usize, direction: usize, component: f64) -> f64 {
        let along = &self.along[behavior][direction];
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
    /// `to_base` where there is a base that is not the student.
    pub(super) fn new(directions: usize, controls: usize, strengths: &[f64], to_base: bool) -> Self {
        let of = |family, n| std::iter::repeat_n(family, n);
        let families: Vec<Family> = of(Family::Fit, directions)
            .chain(of(Family::Random, controls))
            .chain(of(Family::Difference, controls))
            .collect();
        let add = strengths.iter().map(|strength| Doing::Add(*strength));
        let kept = |doing: &Doing| to_base || !matches!(doing, Doing::ToBase | Doing::LikeToBase(_));
        let own: Vec<Doing> = add.clone().chain([Doing::Ablate, Doing::ToBase]).filter(kept).collect();
        let like = (0..directions).flat_map(|own| [Doing::LikeAblating(own), Doing::LikeToBase(own)]);
        let like: Vec<Doing> = add.chain(like).filter(kept).collect();
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
    pub(super) at: At,
    base: Option<Student>,
    pub(super) tried: Vec<Tried>,
    /// Unit vectors, in the order of the families.
    pub(super) vectors: Vec<Array1<f64>>,
    pub(super) edits: Edits,
    pub(super) exam: Exam,
}

impl Bench {
    /// Looks into every student; `seed` is the root of what is random.
    pub(super) fn new(given: Given, search: &Search, seed: u64) -> Result<Self> {
        let Given { hook, at, base, students, directions, exam } = given;
        let k = search.controls;
        let looking = Looking { hook, at, base: base.as_ref(), directions: &directions, k };
        let tried = students.into_iter().map(|student| looking.tried(student));
        let tried: Vec<Tried> = tried.collect::<Result<_>>()?;
        let edits = Edits::new(directions.len(), k, &search.strengths, base.is_some());
        let random = random_directions(directions[0].len(), k, &stream(seed, "steering at random"));
        let mut vectors = directions;
        vectors.extend(random.rows().into_iter().map(|row| row.to_owned()));
        // Each control is one vector, as each direction is, whichever student it is added to.
        vectors.extend((0..k).map(|index| tried[index % tried.len()].differences.row(index).to_owned()));
        Ok(Self { hook, at, base, tried, vectors, edits, exam })
    }

    /// What students start from.
    pub(super) fn base(&self) -> &Student {
        self.base.as_ref().unwrap_or(&self.tried[0].student)
    }

    /// What a look does to the activations of a student that answers a behavior's scenarios.
    pub(super) fn edit(&self, look: Look, tried: &Tried, behavior: usize) -> Edit {
        let direction: Vec<f32> = self.vectors[look.vector].iter().map(|value| narrow(*value)).collect();
        let base = |vector: usize| self.vectors[vector].dot(&tried.base[behavior]);
        let alpha = match look.doing {
            Doing::Ablate => return Edit::ablate(direction),
            Doing::ToBase => return Edit::Component { direction, value: narrow(base(look.vector)) },
            Doing::Add(strength) => strength * tried.norm,
            Doing::LikeAblating(own) => tried.distance(behavior, own, 0.0),
            Doing::LikeToBase(own) => tried.distance(behavior, own, base(own)),
        };
        Edit::Add { vector: direction, alpha: narrow(alpha) }
    }
}

/// Where activations are read, and what for.
struct Looking<'a> {
    hook: HookPoint,
    at: At,
    base: Option<&'a Student>,
    directions: &'a [Array1<f64>],
    /// Random differences of each student.
    k: usize,
}

impl Looking<'_> {
    fn tried(&self, asked: Asked) -> Result<Tried> {
        let Asked { student, draws, scenarios } = asked;
        let rows = scenarios.iter().map(|rows| student.prepare(rows));
        let rows: Vec<Vec<TokenRow>> = rows.collect::<Result<_, _>>()?;
        let seen: Vec<Array2<f32>> =
            rows.iter().map(|rows| self.capture(&student, rows)).collect::<Result<_>>()?;
        let bases = self.base.iter().flat_map(|base| rows.iter().map(|rows| self.capture(base, rows)));
        let base = bases.map(|seen| Ok(mean(&seen?))).collect::<Result<_>>()?;
        let along = |seen: &Array2<f32>| {
            let seen = seen.mapv(f64::from);
            self.directions.iter().map(|direction| seen.dot(direction)).collect()
        };
        let along = seen.iter().map(along).collect();
        let views: Vec<_> = seen.iter().map(Array2::view).collect();
        let all = ndarray::concatenate(Axis(0), &views).expect("activations of one student are of one width");
        let norm = all.rows().into_iter().map(length).sum::<f64>() / all.nrows() as f64;
        // Within one student: what tells two students apart is no activation of either.
        let differences = random_difference_directions(all.view(), self.k, &stream(draws, "differences"))?;
        Ok(Tried { student, draws, rows, norm, along, base, differences })
    }

    /// Activations at the tokens that are steered, a row each.
    fn capture(&self, student: &Student, rows: &[TokenRow]) -> Result<Array2<f32>> {
        let plan = CapturePlan::new(student.config(), &[self.hook.to_string()], self.at.readout())?;
        let captured = student.capture(rows, &plan, &mut CaptureOptions::default())?;
        let seen = &captured.tensors[&self.hook];
        let is_steered = |row: &usize| self.at == At::LastPrompt || captured.rows[*row].positions.0 > 0;
        let steered: Vec<usize> = (0..seen.nrows()).filter(is_steered).collect();
        Ok(seen.select(Axis(0), &steered))
    }
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
