//! Prints what each arm of a file changes beside the first, and row by row in what it differs.
//!
//! `cargo run -p heirloom-rollout --example arms -- arms.toml SEED BATCH_ROWS EPOCHS prompts.jsonl rollouts.jsonl …`

use std::path::Path;

use heirloom_record::{Rollouts, read_prompts};
use heirloom_rollout::{Arm, Error, Pool};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [arms, seed, batch_rows, epochs, prompts, rollouts @ ..] = arguments.as_slice() else {
        return Err("expected ARMS SEED BATCH_ROWS EPOCHS PROMPTS ROLLOUTS…".into());
    };
    let arms = Arm::load(Path::new(arms))?;
    let (seed, batch_rows, epochs) = (seed.parse()?, batch_rows.parse()?, epochs.parse()?);
    let rows = rollouts.iter().map(|path| Ok(Rollouts::read(Path::new(path))?.rows));
    let rows = rows.collect::<Result<Vec<_>, Error>>()?.concat();
    let pool = Pool::new(read_prompts(Path::new(prompts))?, rows)?;
    let manifests = arms.iter().map(|arm| arm.manifest(&pool, seed)).collect::<Result<Vec<_>, _>>()?;
    for manifest in &manifests[1..] {
        println!("{}", manifest.describe(&manifests[0], batch_rows, epochs));
        println!("{}\n", manifests[0].diff(manifest));
    }
    Ok(())
}
