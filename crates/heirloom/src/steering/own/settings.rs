//! `steer.json`: everything that decided a check.

use std::path::Path;

use heirloom_model::Student;
use heirloom_record::{DirectionHeader, HookPoint, sha256_hex, write_json};
use serde::Serialize;

use super::OwnOptions;
use super::aims::Aim;
use crate::Result;

const FILE: &str = "steer.json";

#[derive(Serialize)]
pub(super) struct Settings {
    model: String,
    model_sha256: String,
    adapters: Vec<Adapter>,
    hook: HookPoint,
    at: String,
    behaviors: Vec<Asked>,
    strengths: Vec<f64>,
    controls: usize,
    floor: f64,
    seed: u64,
    temperature: f64,
    max_new_tokens: usize,
    stop: Vec<u32>,
    dtype: String,
    device: String,
    clock: String,
    template_sha256: String,
    replicates: usize,
}

/// A student, in the order of their numbers.
#[derive(Serialize)]
struct Adapter {
    path: String,
    sha256: Option<String>,
}

#[derive(Serialize)]
struct Asked {
    name: String,
    sha256: String,
    grader: String,
    version: String,
    grader_sha256: String,
    scenarios: Vec<String>,
    direction: DirectionHeader,
    direction_sha256: String,
}

impl Settings {
    pub(super) fn new(
        (base, sha256): (&Student, &str),
        (paths, students): (&[&Path], &[Student]),
        aims: &[Aim],
        hook: HookPoint,
        options: &OwnOptions,
    ) -> Result<Self> {
        let adapters = paths.iter().zip(students).map(|(path, student)| {
            Ok(Adapter { path: path.display().to_string(), sha256: student.adapter_sha256()? })
        });
        Ok(Self {
            model: base.name(),
            model_sha256: sha256.to_owned(),
            adapters: adapters.collect::<Result<_>>()?,
            hook,
            at: options.at.to_string(),
            behaviors: aims.iter().map(Asked::new).collect(),
            strengths: options.search.strengths.clone(),
            controls: options.search.controls,
            floor: options.search.floor,
            seed: options.seed,
            temperature: options.temperature,
            max_new_tokens: options.max_new_tokens,
            stop: base.stop_tokens().to_vec(),
            dtype: base.dtype().to_string(),
            device: base.device().to_string(),
            clock: base.clock().date(),
            template_sha256: sha256_hex(base.words().template()?.source().as_bytes()),
            replicates: options.replicates,
        })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        Ok(write_json(&folder.join(FILE), "steer", 1, self)?)
    }
}

impl Asked {
    fn new(aim: &Aim) -> Self {
        let bytes: Vec<u8> = aim.stored.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self {
            name: aim.name.clone(),
            sha256: aim.sha256.clone(),
            grader: aim.grader.name().into(),
            version: aim.grader.version().into(),
            grader_sha256: aim.grader.sha256().into(),
            scenarios: aim.scenarios.iter().map(|row| row.id.clone()).collect(),
            direction: aim.header.clone(),
            direction_sha256: sha256_hex(&bytes),
        }
    }
}
