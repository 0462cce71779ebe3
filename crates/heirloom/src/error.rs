//! What can go wrong when an experiment is put together.

use std::path::{Path, PathBuf};

use heirloom_record::{HookPoint, Readout, near, near_in};

/// The result of composing a pipeline.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when an experiment is put together. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing an artifact.
    #[error(transparent)]
    Record(#[from] heirloom_record::Error),
    /// Loading or grading a behavior.
    #[error(transparent)]
    Rollout(#[from] heirloom_rollout::Error),
    /// Loading or running a student.
    #[error(transparent)]
    Model(#[from] heirloom_model::Error),
    /// Fitting or scoring.
    #[error(transparent)]
    Probe(#[from] heirloom_probe::Error),
    /// Drawing.
    #[error(transparent)]
    Figure(#[from] heirloom_figure::Error),
    /// Getting a model from the hub.
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// The experiment file cannot be read.
    #[error("could not read `{}`", path.display())]
    ReadExperiment {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A world was given where an experiment is meant.
    #[error("`{}` tells a world, not an experiment", path.display())]
    WorldAlone {
        /// The file.
        path: PathBuf,
    },
    /// An experiment that is a script of verbs was given where one of TOML is meant.
    #[error("`{}` is an experiment by a script, not by `experiment.toml`", path.display())]
    Scripted {
        /// The folder.
        path: PathBuf,
    },
    /// The experiment file is not what it should be.
    #[error("could not understand `{}`", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A record could not be written as JSON.
    #[error("could not write a record as JSON")]
    Json(#[source] serde_json::Error),
    /// The model's file is not there.
    #[error("the model `{}` is not there", path.display())]
    NoModel {
        /// Where it was looked for.
        path: PathBuf,
        /// The command that fetches it.
        fetch: Option<String>,
    },
    /// The model is a name on a hub, and nobody was asked to fetch it.
    #[error("the model `{name}` is on a hub, and only the command line fetches models")]
    NotFetched {
        /// The name.
        name: String,
    },
    /// The headline method is not among the methods.
    #[error("the headline method `{headline}` is not among the methods ({})", methods.join(", "))]
    Headline {
        /// The headline method.
        headline: String,
        /// The methods.
        methods: Vec<String>,
    },
    /// A setting of the experiment is not what it should be.
    #[error("`{key}`: expected {expected}, found {found}")]
    Setting {
        /// The key, with the section it stands in.
        key: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A list of the experiment names something twice.
    #[error("`{key}` names `{name}` twice")]
    Twice {
        /// The list's key.
        key: &'static str,
        /// What it names twice.
        name: String,
    },
    /// A readout from which no probe of contrast pairs can be fit.
    #[error("contrast pairs cannot be probed by the readout `{readout}`: {reason}")]
    Readout {
        /// The readout.
        readout: Readout,
        /// Why not.
        reason: &'static str,
    },
    /// A behavior has fewer groups than the split needs.
    #[error("the split asks for {asked} groups, the behavior `{behavior}` has {found}")]
    FewGroups {
        /// The behavior.
        behavior: String,
        /// Groups of all three parts.
        asked: usize,
        /// Groups of its contrast pairs.
        found: usize,
    },
    /// A base has not learned what its world is about.
    #[error("the base `{base}` failed its gate after {steps} steps: {}", failed.join("; "))]
    Gate {
        /// The base.
        base: String,
        /// Steps it was trained for.
        steps: usize,
        /// The checks that do not hold, with what was found.
        failed: Vec<String>,
    },
    /// An experiment names an arm that its world does not have.
    #[error("the world has no arm `{name}`")]
    NoArm {
        /// The name.
        name: String,
        /// Arms with similar names.
        near: Vec<String>,
    },
    /// A series that has its first checkpoint was given another.
    #[error("`{}` is a checkpoint at step 0, and `--base` is another", path.display())]
    TwoBases {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A model did not stand its examination.
    #[error("{} of {of} checks failed: {}", failed.len(), failed.join(", "))]
    Unwell {
        /// Checks beyond their bounds.
        failed: Vec<&'static str>,
        /// Checks in all.
        of: usize,
    },
    /// Checkpoints of a series tokenize the same rows differently.
    #[error(
        "at step {step} the row `{row}` has other tokens than at the first checkpoint: {found} of them instead of {expected}, the first {at} alike"
    )]
    OtherTokens {
        /// The step.
        step: usize,
        /// The first row that differs.
        row: String,
        /// Tokens before the first that differs.
        at: usize,
        /// Tokens at the first checkpoint.
        expected: usize,
        /// Tokens at this one.
        found: usize,
    },
    /// A list of checkpoints is not what it should be.
    #[error("could not understand the list of checkpoints `{}`", path.display())]
    SeriesFile {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        source: Box<toml::de::Error>,
    },
    /// An entry of a list of checkpoints has no model.
    #[error("`{}`: step {step} has no model", path.display())]
    NoModelAtStep {
        /// The file.
        path: PathBuf,
        /// The entry's step.
        step: usize,
    },
    /// A folder of stores holds another capture than the one to be continued.
    #[error("`{}` holds another capture: its {what} is {found}, not {expected}", path.display())]
    OtherCapture {
        /// The store.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it is here.
        expected: String,
        /// What it is in the store.
        found: String,
    },
    /// A file of parts names no behavior.
    #[error("`{}` names no behavior", path.display())]
    NoParts {
        /// The file.
        path: PathBuf,
    },
    /// Parts of which nothing can be asked.
    #[error("`{behavior}` has {} part{}: nothing can be compared", parts.len(), if parts.len() == 1 { "" } else { "s" })]
    OnePart {
        /// The behavior.
        behavior: String,
        /// The parts it has.
        parts: Vec<String>,
    },
    /// A part without a file of grades.
    #[error("`{part}` of `{behavior}` lists no file of grades")]
    NoFiles {
        /// The behavior.
        behavior: String,
        /// The part.
        part: String,
    },
    /// A file of grades is not there.
    #[error("`{part}` of `{behavior}`: there are no grades at `{}`", path.display())]
    NoGradesFile {
        /// The behavior.
        behavior: String,
        /// The part.
        part: String,
        /// Where they were looked for.
        path: PathBuf,
    },
    /// A file of grades has none of a behavior.
    #[error("`{}` has no grades of `{behavior}`", path.display())]
    NoGrades {
        /// The file.
        path: PathBuf,
        /// The behavior.
        behavior: String,
    },
    /// Grades are those of several graders.
    #[error("grades of `{behavior}` are by several graders, of which `{}` is one: {}", path.display(), quoted(graders))]
    SeveralGraders {
        /// The file.
        path: PathBuf,
        /// The behavior.
        behavior: String,
        /// Their names and content hashes.
        graders: Vec<String>,
    },
    /// Two arms were tried with different numbers of seeds.
    #[error(
        "`{part}` has {found} files of grades, one for each seed, and `{other}` has {expected}: `{}` …, `{}` …",
        path.display(), other_path.display()
    )]
    OtherSeeds {
        /// The one part.
        part: String,
        /// Its first file.
        path: PathBuf,
        /// Its seeds.
        found: usize,
        /// The other part.
        other: String,
        /// Its first file.
        other_path: PathBuf,
        /// Its seeds.
        expected: usize,
    },
    /// Two arms of one seed were tried on different prompts.
    #[error("`{}` and `{}` grade different prompts: only one of them has `{prompt}`", path.display(), other.display())]
    OtherPrompts {
        /// The one file.
        path: PathBuf,
        /// The other.
        other: PathBuf,
        /// A prompt that one of them lacks.
        prompt: String,
    },
    /// Two students of one seed were asked other words by one id.
    #[error("`{}` and `{}` ask other words by the id `{prompt}`", path.display(), other.display())]
    OtherWords {
        /// The one file of rollouts.
        path: PathBuf,
        /// The other.
        other: PathBuf,
        /// The prompt's id.
        prompt: String,
    },
    /// Grades of a rollout that is not there.
    #[error("`{}` has no rollout `{id}`, which `{}` grades", rollouts.display(), grades.display())]
    NoRollout {
        /// The rollouts.
        rollouts: PathBuf,
        /// The grades.
        grades: PathBuf,
        /// The rollout's id.
        id: String,
    },
    /// One checkpoint among several.
    #[error("could not look into `{}`", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
    },
    /// One world of a benchmark.
    #[error("the world `{name}` could not be run")]
    World {
        /// Its name in the run's folder.
        name: String,
        /// Why.
        source: Box<Error>,
    },
    /// A part in the origin of a behavior that arms do not play.
    #[error("`origins.{behavior}` has no part `{name}`")]
    NoRole {
        /// The behavior.
        behavior: String,
        /// The name as given.
        name: String,
        /// Roles with similar names.
        near: Vec<String>,
    },
    /// An experiment of this kind has no stage of the name.
    #[error("the experiment `{experiment}` has no stage `{name}`; it has {}", stages.join(", "))]
    NoStage {
        /// The experiment.
        experiment: String,
        /// The name as given.
        name: String,
        /// Its stages, in order.
        stages: Vec<&'static str>,
    },
    /// An experiment was asked for its quick version and has none.
    #[error("the experiment `{name}` has no `[quick]`")]
    NoQuick {
        /// The experiment.
        name: String,
    },
    /// A folder without figures.
    #[error("`{}` holds neither a finished run nor figures", path.display())]
    NoFigures {
        /// The folder.
        path: PathBuf,
    },
    /// Figures were to be drawn where none are named.
    #[error("`{}` names no figures to draw", path.display())]
    NoneNamed {
        /// The run, or the file of figures.
        path: PathBuf,
    },
    /// Figures that are not what their tables draw.
    #[error("{} of {of} figures are not what their tables draw: {}", problems.len(), problems.join("; "))]
    NotAsDrawn {
        /// What does not agree, figure by figure.
        problems: Vec<String>,
        /// How many were checked.
        of: usize,
    },
    /// Something that a run wrote could not be read back.
    #[error("could not read `{}`", path.display())]
    ReadArtifact {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nothing stands at a path that was given.
    #[error("there is no {what} at `{}`", path.display())]
    Absent {
        /// What was looked for.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What would do, or what makes one.
        help: &'static str,
        /// Names beside it that are close.
        near: Vec<String>,
    },
    /// A row that defines the units of a tracking lacks what it needs for that.
    #[error("row `{row}` of `{}` has no {field}, and it is one of the reference rows", path.display())]
    NoReference {
        /// Where the row stands.
        path: PathBuf,
        /// The row's id.
        row: String,
        /// `label` or `group`.
        field: &'static str,
    },
    /// A direction that was fit on answers, and a row without one.
    #[error("row `{row}` of `{}` has no answer, which the direction reads: its readout is `response-mean`", path.display())]
    Unanswered {
        /// Where the row stands.
        path: PathBuf,
        /// The row's id.
        row: String,
    },
    /// A path holds neither a model nor something that heirloom wrote.
    #[error("`{}` is {found}", path.display())]
    Unknown {
        /// The path.
        path: PathBuf,
        /// What it holds instead, in words.
        found: &'static str,
        /// What would do.
        known: &'static str,
    },
    /// Directions would be written over something else.
    #[error("`{}` is there already and is no file of directions", path.display())]
    NotDirections {
        /// The file.
        path: PathBuf,
    },
    /// Scores would be written over something else.
    #[error("`{}` is there already and is no score file", path.display())]
    NotScores {
        /// The file.
        path: PathBuf,
    },
    /// A row of a store lacks what a probe needs.
    #[error("row `{row}` of `{}` has no {field}", store.display())]
    Unlabelled {
        /// The store.
        store: PathBuf,
        /// The row's id.
        row: String,
        /// `label` or `group`.
        field: &'static str,
    },
    /// A direction is scored on activations of another model, readout or width.
    #[error("the directions were fit on {field} `{expected}`, the activations have `{found}`")]
    Foreign {
        /// What differs.
        field: &'static str,
        /// What the directions were fit on.
        expected: String,
        /// What the activations have.
        found: String,
    },
    /// Directions are at hook points that the activations lack.
    #[error("the activations lack {} of the directions' hook points: {}", missing.len(), names(missing))]
    MissingHooks {
        /// The hook points.
        missing: Vec<HookPoint>,
    },
    /// A file of arms has none of the name.
    #[error("`{}` has no arm `{name}`; it has {}", path.display(), quoted(known))]
    UnknownArm {
        /// The file.
        path: PathBuf,
        /// The name as given.
        name: String,
        /// Names close to it.
        near: Vec<String>,
        /// The arms there are.
        known: Vec<String>,
    },
    /// Prompts leave no room for answers.
    #[error(
        "{} of {of} prompts leave no room for {max_new_tokens} new tokens in the model's context of {n_ctx}: {}",
        prompts.len(), lengths(prompts)
    )]
    NoRoom {
        /// Id and tokens of each.
        prompts: Vec<(String, usize)>,
        /// Prompts in all.
        of: usize,
        /// Most tokens of an answer.
        max_new_tokens: usize,
        /// The model's context.
        n_ctx: usize,
    },
    /// Rows to train on are longer than the context.
    #[error("{} of {of} rows are longer than the model's context of {n_ctx} tokens: {}", rows.len(), lengths(rows))]
    LongRows {
        /// Id and tokens of each.
        rows: Vec<(String, usize)>,
        /// Rows in all.
        of: usize,
        /// The model's context.
        n_ctx: usize,
    },
    /// The rows beside a manifest are not the manifest's.
    #[error("`{}` holds other rows than its manifest", path.display())]
    OtherRows {
        /// The file.
        path: PathBuf,
    },
    /// Rollouts are of a teacher whose tokens are not the base's.
    #[error(
        "the rollouts of `{teacher}` were drawn with another tokenizer than that of `{base}`: its {what}"
    )]
    OtherTokenizer {
        /// The model to be trained.
        base: String,
        /// Who answered.
        teacher: String,
        /// What of the base's differs, in words.
        what: String,
    },
    /// The environment lacks a variable that was named.
    #[error("the environment has no variable `{name}`")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// A run has no arm, base or teacher of the name.
    #[error("the run of `{experiment}` has no arm `{name}`")]
    NotRun {
        /// The experiment.
        experiment: String,
        /// The name as given.
        name: String,
        /// Names close to it.
        near: Vec<String>,
        /// What was measured.
        known: Vec<String>,
    },
    /// A folder holds no run of an experiment with arms.
    #[error("`{}` holds no run of an experiment with arms", path.display())]
    NoArmsRun {
        /// The folder.
        path: PathBuf,
    },
    /// A run did not measure at a place, or on a seed.
    #[error("the run of `{experiment}` has no {what} `{name}`; it has {}", quoted(known))]
    NotMeasured {
        /// The experiment.
        experiment: String,
        /// `seed` or `hook point`.
        what: &'static str,
        /// The name as given.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Two runs do not share what would pair them.
    #[error("`{}` and `{}` cannot be compared: {reason}", first.display(), second.display())]
    Unpaired {
        /// The first run's folder.
        first: PathBuf,
        /// The second run's folder.
        second: PathBuf,
        /// What they do not share.
        reason: String,
    },
    /// A direction is scored on groups it was fit on, or its hook point was chosen on.
    #[error("{}", held_in(fitted, chosen))]
    HeldIn {
        /// The groups scored that the directions were fit on.
        fitted: Vec<String>,
        /// The groups scored that the hook point was chosen on.
        chosen: Vec<String>,
    },
}

impl Error {
    /// Nothing stands at `path`, where there should be `what`; names beside it that are close are looked for.
    pub fn absent(path: &Path, what: &'static str, help: &'static str) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let near = near(&name, beside.iter().map(String::as_str));
        Self::Absent { what, path: path.into(), help, near }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Record(error) => error.hint(),
            Self::Rollout(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Probe(error) => error.hint(),
            Self::Figure(error) => error.hint(),
            Self::Hub(error) => error.hint(),
            Self::World { source, .. } | Self::Checkpoint { source, .. } => source.hint(),
            Self::WorldAlone { path } => {
                Some(format!("name it in an experiment, as in `world = \"{}\"`, and run that", path.display()))
            }
            Self::Scripted { path } => Some(format!("run `{}`", path.join("run").display())),
            Self::TwoBases { .. } => Some("leave `--base` out: the series begins with its own".into()),
            Self::NoModelAtStep { .. } => Some("write `model = \"…\"` in the entry, or above the list for all of them".into()),
            Self::OtherCapture { .. } => Some("choose another `--out`, or capture as it was begun".into()),
            Self::Unwell { .. } => Some("symptoms, causes and checks stand in docs/divergence.md".into()),
            Self::OtherTokens { .. } => {
                Some("checkpoints that are compared need one tokenizer and one chat template: leave out the checkpoint, or put the first one's `tokenizer.json` and `tokenizer_config.json` beside its weights".into())
            }
            Self::NotFetched { .. } => {
                Some("load the experiment with `Experiment::load_with`, or name a folder in `model.path`".into())
            }
            Self::NoModel { fetch: Some(fetch), .. } => Some(format!("fetch it with `{fetch}`")),
            Self::Setting { key: "name", .. } => {
                Some("the name is a file name: letters, digits, `-`, `_` and `.`".into())
            }
            Self::Readout { .. } => Some("read the answers with `readout = \"response-mean\"`".into()),
            Self::FewGroups { .. } => Some(
                "`fit`, `select` and `report` share out whole groups: ask for fewer, or write pairs in more groups".into(),
            ),
            Self::Gate { .. } => Some(
                "train it for longer (`steps`, or the gate's `most`), or loosen the gate's checks in the world's file".into(),
            ),
            Self::NoArm { near, .. } if near.is_empty() => Some("arms are listed in the world's file".into()),
            Self::NoArm { near, .. } => Some(format!("close to it is `{}`", near.join("`, `"))),
            Self::NoFigures { .. } => Some("give the folder of a run that came to its end, or one with pictures beside their `.json`; a table alone is drawn with `--spec`".into()),
            Self::NoneNamed { .. } => Some("name them in a file for `--spec`, or under the experiment's `[figures]`".into()),
            Self::NotAsDrawn { .. } => Some("draw them again with `heirloom figures`, and look at each".into()),
            Self::NoQuick { .. } => Some("add a `[quick]` with `seeds`, `arms` and `scenarios`".into()),
            Self::Absent { help, near, .. } if near.is_empty() => Some((*help).into()),
            Self::Absent { help, near, .. } => Some(format!("beside it is `{}`; {help}", near.join("`, `"))),
            Self::Unknown { known, .. } => Some(format!("known are {known}")),
            Self::NoReference { .. } => Some(
                "reference rows define the units: give each a `label` and a `group`, or give others that have them with `--reference`".into(),
            ),
            Self::Unanswered { .. } => Some(
                "end `messages` with an assistant message, as `heirloom rollout` writes them, or track a direction that was captured with `--readout last-prompt`".into(),
            ),
            Self::Toml { source, .. } | Self::SeriesFile { source, .. } => near_in(source.message()),
            Self::NotDirections { .. } | Self::NotScores { .. } => Some("choose another `--out`, or remove it".into()),
            Self::Unlabelled { field: "label", .. } => {
                Some("give every row `\"label\": true` or `false` and capture again".into())
            }
            Self::Unlabelled { .. } => {
                Some("give every row a `\"group\"`; groups never straddle a split".into())
            }
            Self::Foreign { .. } => Some("fit on activations that were captured in the same way".into()),
            Self::MissingHooks { .. } => Some(
                "capture them with `--hooks`, or pass `--skip-missing` to score the others".into(),
            ),
            Self::UnknownArm { near, .. } if !near.is_empty() => {
                Some(format!("near names: {}", quoted(near)))
            }
            Self::NoRoom { .. } => Some("lower `--max-new-tokens`, or shorten the prompts".into()),
            Self::LongRows { .. } => Some("split them, or pass `--leave-out-long-rows`".into()),
            Self::OtherRows { .. } => Some("write both again with `heirloom arm --write`".into()),
            Self::OtherTokenizer { .. } => Some(
                "train the base that the teacher was made from, or pass `--other-tokenizer` to learn the texts alone".into(),
            ),
            Self::NoVariable { name } => {
                Some(format!("set it, as in `export {name}=…`; the flag takes the variable's name, not what it holds"))
            }
            Self::NotRun { near, .. } if !near.is_empty() => Some(format!("near names: {}", quoted(near))),
            Self::NotRun { known, .. } => Some(format!("it has {}", quoted(known))),
            Self::NoArmsRun { .. } => {
                Some("make one with `heirloom quickstart`, or with `heirloom run` on an experiment that names a world".into())
            }
            Self::Unpaired { .. } => Some(
                "pairs are scenarios of one seed: run both experiments in one world, with seeds and `measure.scenarios` in common".into(),
            ),
            Self::HeldIn { .. } => Some(
                "score other groups with `--groups`, or pass `--held-in` to accept a number that says nothing about transfer".into(),
            ),
            _ => self.hint_on_parts(),
        }
    }

    /// What the user can do about arms and grades that play parts in an origin.
    fn hint_on_parts(&self) -> Option<String> {
        match self {
            Self::NoParts { .. } | Self::OnePart { .. } => Some(
                "under a table such as `[blackmail]`, give `full` and at least one more, such as `other-teacher` or `drop-flagged`; FILES.md of heirloom-record lists them".into(),
            ),
            Self::NoGradesFile { .. } => Some(
                "make them with `heirloom grade --out`; paths start at the folder of the file that lists them".into(),
            ),
            Self::NoGrades { .. } => {
                Some("grade the rollouts with `heirloom grade --out`; the table's name is the behavior's".into())
            }
            Self::SeveralGraders { .. } => Some("grade all rollouts with one grader, and keep its lines in files of their own".into()),
            Self::OtherSeeds { .. } => Some("give every part one file for each seed, in the same order".into()),
            Self::NoRollout { .. } => {
                Some("give the rollouts that were graded, seeds in the same order".into())
            }
            Self::OtherPrompts { .. } | Self::OtherWords { .. } => Some(
                "arms are compared scenario by scenario: try every arm of a seed on the same prompts, and list seeds in the same order".into(),
            ),
            Self::NoRole { near, .. } => {
                let close = near.iter().map(|name| format!("close to it is `{name}`; "));
                let close: String = close.collect();
                Some(close + "parts are roles such as `full` or `swap-flagged`, all listed by `heirloom origin --help`, and corners such as `OAO`: base, prompts, teacher")
            }
            _ => None,
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The first few rows with their tokens, and how many more there are.
fn lengths(rows: &[(String, usize)]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> =
        rows.iter().take(SHOWN).map(|(id, tokens)| format!("`{id}` ({tokens})")).collect();
    let more = rows.len() - shown.len();
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn names(hooks: &[HookPoint]) -> String {
    hooks.iter().map(|hook| format!("`{hook}`")).collect::<Vec<_>>().join(", ")
}

fn held_in(fitted: &[String], chosen: &[String]) -> String {
    let parts = [("directions were fit", fitted), ("hook point was chosen", chosen)];
    let said = parts.iter().filter(|(_, groups)| !groups.is_empty());
    let said: Vec<String> = said
        .map(|(what, groups)| format!("the {what} on groups that are scored here: {}", groups.join(", ")))
        .collect();
    said.join("; ")
}
