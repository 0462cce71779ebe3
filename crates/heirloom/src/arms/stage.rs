//! The stages of an experiment with arms.

/// A stage of an experiment with arms, in order; each stage's output is artifacts of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArmsStage {
    /// What students and teachers start from.
    Bases,
    /// Who writes the rollouts, and the directions between them.
    Teachers,
    /// Teachers' answers to the prompts.
    Rollouts,
    /// Students, looked into on the way.
    Students,
    /// Grades, intervals, tables and pictures.
    Figures,
}

impl ArmsStage {
    /// Every stage, in order.
    pub const ALL: [Self; 5] = [Self::Bases, Self::Teachers, Self::Rollouts, Self::Students, Self::Figures];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bases => "bases",
            Self::Teachers => "teachers",
            Self::Rollouts => "rollouts",
            Self::Students => "students",
            Self::Figures => "figures",
        }
    }

    /// The run's folder that its artifacts lie in; the last stage's are the tables and pictures of the run.
    pub(crate) fn folder(self) -> Option<&'static str> {
        match self {
            Self::Bases => Some("base"),
            Self::Teachers => Some("teacher"),
            Self::Rollouts => Some("rollouts"),
            Self::Students => Some("student"),
            Self::Figures => None,
        }
    }
}
