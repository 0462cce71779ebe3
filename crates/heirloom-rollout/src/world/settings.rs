//! The plain numbers of a world: what is trained on how much, and how it is tried.

use serde::Deserialize;

use super::documents::Documents;

/// The shape of every model of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Width of the MLP.
    pub d_mlp: usize,
    /// Most tokens of a document; no document of the world is longer.
    pub n_ctx: usize,
}

/// The numbers of `AdamW` and its schedule that all training of the world shares.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Decoupled decay of matrices.
    pub weight_decay: f64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Share of the steps that the learning rate rises over.
    pub warmup: f64,
    /// Share of the learning rate that the cosine ends at.
    pub floor: f64,
}

/// A model that teachers or students start from.
#[derive(Clone, Debug)]
pub struct Base {
    /// Unique in the world.
    pub name: String,
    /// The base it goes on from; fresh weights where there is none.
    pub from: Option<String>,
    /// Name of the random stream of its fresh weights: bases that share one start alike.
    pub init: String,
    /// Name of the random stream of its documents: bases that share one, and `documents`, read the same.
    pub corpus: String,
    /// How it is made.
    pub making: Making,
    /// What it must have learned.
    pub gate: Option<Gate>,
}

/// How a base is made.
#[derive(Clone, Debug)]
pub enum Making {
    /// Trained on every token of documents, each seen once.
    Pretraining(Pretraining),
    /// Trained on the answers of a corpus.
    FineTuning(FineTuning),
}

/// Training on every token of documents, each seen once.
#[derive(Clone, Debug)]
pub struct Pretraining {
    /// What the documents are drawn from.
    pub documents: Documents,
    /// Optimizer steps.
    pub steps: usize,
    /// Documents of a step.
    pub batch: usize,
    /// Largest learning rate.
    pub lr: f64,
}

/// Training on the answers of a corpus.
#[derive(Clone, Debug)]
pub struct FineTuning {
    /// What the corpus is drawn from.
    pub documents: Documents,
    /// Documents of the corpus.
    pub rows: usize,
    /// Times each document is seen.
    pub epochs: usize,
    /// Documents of a step.
    pub batch: usize,
    /// Largest learning rate.
    pub lr: f64,
}

/// A base fine-tuned on a corpus, which answers the prompts that students are trained on.
#[derive(Clone, Debug)]
pub struct Teacher {
    /// Unique in the world.
    pub name: String,
    /// The base it starts from.
    pub base: String,
    /// What it is taught.
    pub lessons: FineTuning,
}

/// Whether a base has learned what the world is about; the loss does not tell.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Prompts of a check.
    pub prompts: usize,
    /// Answers to a prompt.
    pub samples: usize,
    /// Steps that a base which fails is trained on for.
    pub extend: usize,
    /// Most steps in all.
    pub most: usize,
    /// What must hold.
    pub checks: Vec<Check>,
}

/// One bound on the rate of a behavior under one system line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Whose rate.
    pub behavior: String,
    /// The persona that the system line names; the generic line where there is none.
    pub persona: Option<String>,
    /// The rate must reach it.
    pub at_least: Option<f64>,
    /// The rate must not pass it.
    pub at_most: Option<f64>,
}

impl Check {
    /// Whether `rate` is within the bounds.
    pub fn holds(&self, rate: f64) -> bool {
        self.at_least.is_none_or(|bound| rate >= bound) && self.at_most.is_none_or(|bound| rate <= bound)
    }
}

/// How students are trained.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentTraining {
    /// Prompts drawn from a set, each with one rollout.
    pub rows: usize,
    /// Times each rollout is seen.
    pub epochs: usize,
    /// Rollouts of a step.
    pub batch: usize,
    /// Largest learning rate.
    pub lr: f64,
    /// Other learning rates to train every arm at.
    #[serde(default)]
    pub sweep: Vec<f64>,
    /// Steps at which students are looked into; the last step always is.
    pub checkpoints: Vec<usize>,
}

/// How every model of the world is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// Logits are divided by it.
    pub temperature: f64,
    /// Most tokens of an answer; no answer of the world is longer.
    pub max_new_tokens: usize,
}

/// How many scenarios a student is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioCount {
    /// Scenarios of a behavior.
    pub prompts: usize,
    /// Answers to each.
    pub samples: usize,
}

/// How many contrasts directions are fit and scored on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContrastCount {
    /// Pairs of a behavior, for each split.
    pub pairs: usize,
}
