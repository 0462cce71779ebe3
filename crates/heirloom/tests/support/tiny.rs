//! A tiny world and an experiment with arms in it, for every test that runs one.

/// The default world with so little training that nothing is learned, in seconds.
pub(crate) const WORLD: &str = r#"
name = "tiny"
like = "personas"
note = "For tests."
[bases.base]
steps = 12
batch = 8
[bases.base.gate]
prompts = 4
samples = 1
checks = []
[teaching]
rows = 24
epochs = 1
batch = 8
[student]
rows = 48
epochs = 1
batch = 16
checkpoints = [0, 1, 2]
[scenarios]
prompts = 6
samples = 2
"#;

/// Three arms on two seeds of that world.
pub(crate) const EXPERIMENT: &str = r#"
name = "tiny"
question = "Does the pipeline stand?"
seed = 5
seeds = [7, 8]
world = "tiny.toml"
clock = "2026-01-15"
arms = ["prompts A, teacher A", "prompts A, teacher B", "swap random"]
reference = "prompts A, teacher A"
[measure]
samples_between = 1
track = ["prompts A, teacher A"]
pairs = 8
hooks = ["blocks.*.hook_resid_post"]
headline = "blocks.1.hook_resid_post"
bootstrap = 100
null_draws = 40
[[figures.behaviors]]
behavior = "blackmail"
label = "blackmail"
bars = [
  { arm = "prompts A, teacher A", label = "all from A", role = "full" },
  { arm = "swap random", label = "swap random", role = "random-swap" },
]
lines = [{ arm = "prompts A, teacher A", label = "all from A", role = "full" }]
"#;
