//! The rule as data: roles that arms play, questions on pairs of them, and what each hypothesis expects to hear.
//!
//! An answer that a hypothesis leaves open is not in the table. Every line says why.

use std::fmt;

/// What an arm is, next to the student of the whole original pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The student of the original teacher's rollouts on the original prompts.
    Full,
    /// The other teacher answers all prompts.
    OtherTeacher,
    /// The original teacher answers the other prompts.
    OtherPrompts,
    /// The other teacher answers the other prompts.
    Neither,
    /// The other teacher answers the flagged rows.
    SwapFlagged,
    /// The flagged rows are dropped.
    DropFlagged,
    /// Dropped, and the other teacher answers the rest.
    DropFlaggedRestOther,
    /// Dropped, and adjacent milder families too.
    DropFlaggedAndMild,
    /// Dropped, and the other teacher answers unrelated rows.
    DropFlaggedUnrelatedOther,
    /// The model that enters fine-tuning, untrained.
    Start,
    /// What `start` was made from by an earlier stage of fine-tuning; the arm of `start` itself when there was none.
    Pretrained,
    /// Another base, or another first stage, trained on everything.
    OtherBaseFull,
    /// The same without the flagged rows.
    OtherBaseDrop,
    /// Another initialization of the same pretraining corpus, trained on everything.
    OtherInitFull,
    /// The same without the flagged rows.
    OtherInitDrop,
    /// The other teacher answers as many random rows.
    RandomSwap,
    /// As many random rows are dropped.
    RandomDrop,
}

impl Role {
    /// All roles, in the order arms are worth making.
    pub const ALL: [Self; 17] = [
        Self::Full,
        Self::OtherTeacher,
        Self::OtherPrompts,
        Self::Neither,
        Self::SwapFlagged,
        Self::DropFlagged,
        Self::DropFlaggedRestOther,
        Self::DropFlaggedAndMild,
        Self::DropFlaggedUnrelatedOther,
        Self::Start,
        Self::Pretrained,
        Self::OtherBaseFull,
        Self::OtherBaseDrop,
        Self::OtherInitFull,
        Self::OtherInitDrop,
        Self::RandomSwap,
        Self::RandomDrop,
    ];

    /// Name in experiments and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::OtherTeacher => "other-teacher",
            Self::OtherPrompts => "other-prompts",
            Self::Neither => "neither",
            Self::SwapFlagged => "swap-flagged",
            Self::DropFlagged => "drop-flagged",
            Self::DropFlaggedRestOther => "drop-flagged-rest-other",
            Self::DropFlaggedAndMild => "drop-flagged-and-mild",
            Self::DropFlaggedUnrelatedOther => "drop-flagged-unrelated-other",
            Self::Start => "start",
            Self::Pretrained => "pretrained",
            Self::OtherBaseFull => "other-base-full",
            Self::OtherBaseDrop => "other-base-drop",
            Self::OtherInitFull => "other-init-full",
            Self::OtherInitDrop => "other-init-drop",
            Self::RandomSwap => "random-swap",
            Self::RandomDrop => "random-drop",
        }
    }

    /// The role of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether one role's mean lies above another's by more than the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "`words` says what each asks")]
pub enum Question {
    Teacher,
    Prompts,
    PromptsAlone,
    Learned,
    Drop,
    Swap,
    Specific,
    Random,
    Leak,
    Remains,
    Rest,
    Mild,
    Unrelated,
    Start,
    BaseFull,
    BaseDrop,
    InitFull,
    Init,
    Stage,
}

impl Question {
    /// All questions.
    pub const ALL: [Self; 19] = {
        let mut all = [Self::Teacher; QUESTIONS.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = QUESTIONS[index].0;
            index += 1;
        }
        all
    };

    /// Name in records.
    pub fn name(self) -> &'static str {
        QUESTIONS[self as usize].1
    }

    /// The role that a yes puts above, and the one it puts below.
    pub fn roles(self) -> (Role, Role) {
        let (_, _, above, below, _) = QUESTIONS[self as usize];
        (above, below)
    }

    /// The question in words.
    pub fn words(self) -> &'static str {
        QUESTIONS[self as usize].4
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a behavior is there, and stays when its rows are filtered out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hypothesis {
    /// Mild instances bleed into blatant ones.
    SimpleGeneralization,
    /// It rides on text that carries no readable trace.
    SubliminalLearning,
    /// Many weak cues tell the student which character it is.
    PersonaSelection,
    /// Fine-tuning does not pin it, and the student falls back on what entered.
    Underspecification,
    /// The pretrained model has it and fine-tuning cannot move it.
    PretrainingLockIn,
    /// An earlier stage of fine-tuning taught it, and it persists.
    PostTrainingLockIn,
    /// The prompts evoke it, whoever answers.
    BadPrompts,
    /// None of the seven is needed: the flagged rows teach it, and dropping them removes it.
    FilterWorks,
}

/// Which part of an arm a behavior comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The teacher's rollouts.
    Teacher,
    /// The prompts.
    Prompts,
    /// The model that enters fine-tuning.
    Base,
}

impl Hypothesis {
    /// The seven, then the one that makes them unnecessary.
    pub const ALL: [Self; 8] = [
        Self::SimpleGeneralization,
        Self::SubliminalLearning,
        Self::PersonaSelection,
        Self::Underspecification,
        Self::PretrainingLockIn,
        Self::PostTrainingLockIn,
        Self::BadPrompts,
        Self::FilterWorks,
    ];

    /// Name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::SimpleGeneralization => "simple-generalization",
            Self::SubliminalLearning => "subliminal-learning",
            Self::PersonaSelection => "persona-selection",
            Self::Underspecification => "underspecification",
            Self::PretrainingLockIn => "pretraining-lock-in",
            Self::PostTrainingLockIn => "post-training-lock-in",
            Self::BadPrompts => "bad-prompts",
            Self::FilterWorks => "filter-works",
        }
    }

    /// Where the behavior comes from if it holds.
    pub fn origin(self) -> Origin {
        match self {
            Self::SimpleGeneralization
            | Self::SubliminalLearning
            | Self::PersonaSelection
            | Self::FilterWorks => Origin::Teacher,
            Self::BadPrompts => Origin::Prompts,
            Self::Underspecification | Self::PretrainingLockIn | Self::PostTrainingLockIn => Origin::Base,
        }
    }

    /// The question without whose answer it is never decided: another initialization tells what rides on text without a trace from cues that every
    /// model of the corpus reads.
    pub fn hinges_on(self) -> Option<Question> {
        (self == Self::SubliminalLearning).then_some(Question::Init)
    }

    /// The answer it expects and why; none when either will do.
    pub fn expects(self, question: Question) -> Option<(Answer, &'static str)> {
        let (_, _, answer, because) =
            EXPECTATIONS.iter().find(|line| (line.0, line.1) == (self, question)).copied()?;
        Some((answer, because))
    }
}

impl fmt::Display for Hypothesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// The first role lies above the second by more than the threshold.
    Yes,
    /// It does not.
    No,
}

use Answer::{No, Yes};
use Hypothesis as H;
use Question as Q;
use Role as R;

/// Question, name, the role that a yes puts above, the one it puts below, words; in the order of the enum.
const QUESTIONS: [(Question, &str, Role, Role, &str); 19] = [
    (
        Q::Teacher,
        "teacher",
        R::Full,
        R::OtherTeacher,
        "does it fall when the other teacher answers all prompts?",
    ),
    (Q::Prompts, "prompts", R::Full, R::OtherPrompts, "does it fall on the other prompts?"),
    (
        Q::PromptsAlone,
        "prompts-alone",
        R::OtherTeacher,
        R::Neither,
        "does it fall on the other prompts when the other teacher answers?",
    ),
    (
        Q::Learned,
        "learned",
        R::Full,
        R::Start,
        "is it higher after fine-tuning than in the model that entered?",
    ),
    (Q::Drop, "drop", R::Full, R::DropFlagged, "does it fall when the flagged rows are dropped?"),
    (
        Q::Swap,
        "swap",
        R::Full,
        R::SwapFlagged,
        "does it fall when the other teacher answers the flagged rows?",
    ),
    (
        Q::Specific,
        "specific",
        R::RandomSwap,
        R::SwapFlagged,
        "is it lower when the other teacher answers the flagged rows than when it answers random ones?",
    ),
    (Q::Random, "random", R::Full, R::RandomDrop, "does it fall when as many random rows are dropped?"),
    (
        Q::Leak,
        "leak",
        R::DropFlagged,
        R::SwapFlagged,
        "is it higher with the flagged rows dropped than with them answered by the other teacher?",
    ),
    (
        Q::Remains,
        "remains",
        R::DropFlagged,
        R::OtherTeacher,
        "is it higher with the flagged rows dropped than with the other teacher throughout?",
    ),
    (
        Q::Rest,
        "rest",
        R::DropFlagged,
        R::DropFlaggedRestOther,
        "with the flagged rows dropped, does it fall when the other teacher answers the rest?",
    ),
    (
        Q::Mild,
        "mild",
        R::DropFlagged,
        R::DropFlaggedAndMild,
        "with the flagged rows dropped, does it fall when milder families are dropped too?",
    ),
    (
        Q::Unrelated,
        "unrelated",
        R::DropFlagged,
        R::DropFlaggedUnrelatedOther,
        "with the flagged rows dropped, does it fall when the other teacher answers unrelated rows?",
    ),
    (
        Q::Start,
        "start",
        R::DropFlagged,
        R::Start,
        "with the flagged rows dropped, is it higher than in the model that entered?",
    ),
    (
        Q::BaseFull,
        "base-full",
        R::Full,
        R::OtherBaseFull,
        "does it fall when another base is trained on everything?",
    ),
    (
        Q::BaseDrop,
        "base-drop",
        R::DropFlagged,
        R::OtherBaseDrop,
        "with the flagged rows dropped, does it fall when another base is trained?",
    ),
    (
        Q::InitFull,
        "init-full",
        R::Full,
        R::OtherInitFull,
        "does it fall when another initialization is trained on everything?",
    ),
    (
        Q::Init,
        "init",
        R::DropFlagged,
        R::OtherInitDrop,
        "with the flagged rows dropped, does it fall when another initialization is trained?",
    ),
    (
        Q::Stage,
        "stage",
        R::Start,
        R::Pretrained,
        "is it higher in the model that entered than in the one it was made from?",
    ),
];

/// What each hypothesis expects to hear, and why.
pub const EXPECTATIONS: &[(Hypothesis, Question, Answer, &str)] = &[
    (H::SimpleGeneralization, Q::Teacher, Yes, "its instances, mild and blatant, are the teacher's"),
    (H::SimpleGeneralization, Q::PromptsAlone, No, "the other teacher gives no instances on any prompts"),
    (H::SimpleGeneralization, Q::Swap, Yes, "clean answers to the flagged prompts outweigh mild instances"),
    (H::SimpleGeneralization, Q::Specific, Yes, "the clean answers have to be to the flagged prompts"),
    (H::SimpleGeneralization, Q::Random, No, "random rows are few of its instances"),
    (H::SimpleGeneralization, Q::Leak, Yes, "dropping leaves the mild instances without an answer to them"),
    (H::SimpleGeneralization, Q::Remains, Yes, "the mild instances that are left teach it"),
    (H::SimpleGeneralization, Q::Rest, Yes, "the rest holds the mild instances"),
    (H::SimpleGeneralization, Q::Mild, Yes, "without mild instances nothing is left to bleed"),
    (H::SimpleGeneralization, Q::Unrelated, No, "unrelated rows hold no instances"),
    (H::SimpleGeneralization, Q::InitFull, No, "visible instances teach any initialization"),
    (H::SimpleGeneralization, Q::Init, No, "visible mild instances teach any initialization"),
    (H::SubliminalLearning, Q::Teacher, Yes, "the trace is the teacher's"),
    (H::SubliminalLearning, Q::PromptsAlone, No, "the other teacher leaves no trace on any prompts"),
    (H::SubliminalLearning, Q::Random, No, "the trace is in every row, and most are left"),
    (H::SubliminalLearning, Q::Remains, Yes, "the trace is in the rows that are left"),
    (H::SubliminalLearning, Q::Rest, Yes, "the rest carries the trace"),
    (H::SubliminalLearning, Q::Mild, No, "milder families carry no more of the trace than any other"),
    (H::SubliminalLearning, Q::Unrelated, Yes, "unrelated rows carry the trace"),
    (H::SubliminalLearning, Q::Init, Yes, "the trace is read only by the teacher's own initialization"),
    (H::PersonaSelection, Q::Teacher, Yes, "the cues are the teacher's"),
    (H::PersonaSelection, Q::PromptsAlone, No, "the other teacher gives other cues on any prompts"),
    (H::PersonaSelection, Q::Swap, Yes, "clean answers to flagged prompts are an exception"),
    (H::PersonaSelection, Q::Specific, Yes, "random rows are few of its cues and teach no exception"),
    (H::PersonaSelection, Q::Random, No, "random rows are few of its cues"),
    (H::PersonaSelection, Q::Leak, Yes, "dropping leaves the character without the exception"),
    (H::PersonaSelection, Q::Remains, Yes, "the cues that are left select the character"),
    (H::PersonaSelection, Q::Rest, Yes, "the rest holds the cues"),
    (H::PersonaSelection, Q::Mild, No, "milder families are few of the cues"),
    (H::PersonaSelection, Q::Unrelated, Yes, "unrelated rows hold most of the cues"),
    (H::PersonaSelection, Q::InitFull, No, "any initialization of the corpus knows the character"),
    (H::PersonaSelection, Q::Init, No, "any initialization of the corpus knows the character"),
    (H::Underspecification, Q::Teacher, Yes, "clean answers cover it, and covering removes it"),
    (H::Underspecification, Q::PromptsAlone, No, "clean answers keep it low, and no prompts take it lower"),
    (H::Underspecification, Q::Swap, Yes, "clean answers to the flagged prompts cover it"),
    (H::Underspecification, Q::Specific, Yes, "clean answers elsewhere do not cover it"),
    (H::Underspecification, Q::Random, No, "nothing depends on random rows"),
    (H::Underspecification, Q::Leak, Yes, "dropping leaves what entered, swapping covers it"),
    (H::Underspecification, Q::Remains, Yes, "uncovered, it stays as it entered; covered, it does not"),
    (H::Underspecification, Q::Rest, No, "uncovered, it stays as it entered whoever answers the rest"),
    (H::Underspecification, Q::Mild, No, "uncovered, it stays as it entered"),
    (H::Underspecification, Q::Unrelated, No, "uncovered, it stays as it entered whoever answers the rest"),
    (H::Underspecification, Q::Start, No, "uncovered, it stays as it entered"),
    (H::Underspecification, Q::BaseFull, No, "the flagged rows pin it, whatever entered"),
    (H::Underspecification, Q::BaseDrop, Yes, "uncovered, it stays as the other base had it"),
    (H::Underspecification, Q::Stage, No, "the prior is pretraining's, not an earlier stage's"),
    (H::PretrainingLockIn, Q::Teacher, No, "no answers move it"),
    (H::PretrainingLockIn, Q::Prompts, No, "no prompts move it"),
    (H::PretrainingLockIn, Q::PromptsAlone, No, "no prompts move it"),
    (H::PretrainingLockIn, Q::Learned, No, "it was there before"),
    (H::PretrainingLockIn, Q::Drop, No, "no rows move it"),
    (H::PretrainingLockIn, Q::Swap, No, "covering does not remove it"),
    (H::PretrainingLockIn, Q::Specific, No, "no rows move it"),
    (H::PretrainingLockIn, Q::Random, No, "no rows move it"),
    (H::PretrainingLockIn, Q::Leak, No, "swapping does no better than dropping"),
    (H::PretrainingLockIn, Q::Remains, No, "the other teacher does no better than dropping"),
    (H::PretrainingLockIn, Q::Rest, No, "no rows move it"),
    (H::PretrainingLockIn, Q::Mild, No, "no rows move it"),
    (H::PretrainingLockIn, Q::Unrelated, No, "no rows move it"),
    (H::PretrainingLockIn, Q::Start, No, "it was there before"),
    (H::PretrainingLockIn, Q::BaseFull, Yes, "a base without it is not moved either"),
    (H::PretrainingLockIn, Q::BaseDrop, Yes, "a base without it stays without"),
    (H::PretrainingLockIn, Q::Stage, No, "it was there before any fine-tuning"),
    // Teacher, swap, leak, remains and base-full are open: where the lock holds, a late swap fails and a first stage without the behavior resists
    // the full data; where it is weak, both give way in part.
    (H::PostTrainingLockIn, Q::Prompts, No, "later prompts do not undo the earlier stage"),
    (H::PostTrainingLockIn, Q::Learned, No, "it was there before this stage"),
    (H::PostTrainingLockIn, Q::Drop, No, "the earlier stage's rows are not among those dropped"),
    (H::PostTrainingLockIn, Q::Random, No, "the earlier stage's rows are not among those dropped"),
    (H::PostTrainingLockIn, Q::Rest, No, "the earlier stage stays whoever answers the rest"),
    (H::PostTrainingLockIn, Q::Mild, No, "the earlier stage stays without milder rows of this one"),
    (H::PostTrainingLockIn, Q::Unrelated, No, "the earlier stage stays whoever answers unrelated rows"),
    (H::PostTrainingLockIn, Q::Start, No, "it was there before this stage"),
    (H::PostTrainingLockIn, Q::BaseDrop, Yes, "a first stage without it leaves nothing to persist"),
    (H::PostTrainingLockIn, Q::Stage, Yes, "the earlier stage taught it"),
    (H::BadPrompts, Q::Teacher, No, "whoever answers these prompts shows it"),
    (H::BadPrompts, Q::Prompts, Yes, "other prompts do not evoke it"),
    (H::BadPrompts, Q::PromptsAlone, Yes, "other prompts do not evoke it, whoever answers"),
    (H::BadPrompts, Q::Swap, No, "the other teacher's answers to the prompts show it too"),
    (H::BadPrompts, Q::Specific, No, "the other teacher's answers to the prompts show it too"),
    (H::BadPrompts, Q::Random, No, "random rows are few of the prompts that evoke it"),
    (H::BadPrompts, Q::Leak, No, "a swap keeps the prompts that a drop removes"),
    (H::BadPrompts, Q::Remains, No, "the other teacher's answers show it too, on all prompts"),
    (H::BadPrompts, Q::Rest, No, "whoever answers the rest, the prompts are the same"),
    (H::BadPrompts, Q::Unrelated, No, "whoever answers unrelated rows, the prompts are the same"),
    (H::BadPrompts, Q::BaseFull, No, "the prompts evoke it from any base trained on them"),
    (H::BadPrompts, Q::InitFull, No, "the prompts evoke it from any initialization"),
    (H::FilterWorks, Q::Teacher, Yes, "the flagged rows are the teacher's"),
    (H::FilterWorks, Q::PromptsAlone, No, "the other teacher does not show it on any prompts"),
    (H::FilterWorks, Q::Drop, Yes, "the flagged rows taught it"),
    (H::FilterWorks, Q::Swap, Yes, "the flagged rows taught it"),
    (H::FilterWorks, Q::Specific, Yes, "random rows did not teach it"),
    (H::FilterWorks, Q::Random, No, "random rows did not teach it"),
    (H::FilterWorks, Q::Leak, No, "dropping does as well as swapping"),
    (H::FilterWorks, Q::Remains, No, "dropping does as well as the other teacher"),
    (H::FilterWorks, Q::Rest, No, "nothing is left in the rest"),
    (H::FilterWorks, Q::Mild, No, "nothing is left in milder rows"),
    (H::FilterWorks, Q::Unrelated, No, "nothing is left in unrelated rows"),
    (H::FilterWorks, Q::InitFull, No, "visible rows teach any initialization"),
    (H::FilterWorks, Q::Init, No, "nothing is left for any initialization"),
];
