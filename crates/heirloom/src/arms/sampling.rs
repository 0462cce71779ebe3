//! Prompts → rollouts: sampling a model, and the teachers' rollouts that students are trained on.

use heirloom_model::{GenerateOptions, Student};
use heirloom_record::{DataRow, Prompt, Rollout, Rollouts, Sampling, sha256_hex};

use super::ArmsExperiment;
use crate::Result;

/// How one set of prompts is sampled.
pub(crate) struct Draw<'a> {
    /// Who answers, as rollouts name it.
    pub(crate) teacher: &'a str,
    /// Root of the prompts' streams.
    pub(crate) seed: u64,
    /// Answers to each prompt.
    pub(crate) samples: usize,
}

impl ArmsExperiment {
    /// What `student` answers to `prompts`.
    pub(crate) fn sample(&self, student: &Student, prompts: &[Prompt], draw: &Draw<'_>) -> Result<Rollouts> {
        let sampled = self.world.sampled();
        let options = GenerateOptions {
            max_new_tokens: sampled.max_new_tokens,
            temperature: sampled.temperature,
            seed: draw.seed,
            samples: draw.samples,
            ..GenerateOptions::default()
        };
        let asked = prompts.iter().map(|prompt| DataRow::chat(prompt.id.clone(), prompt.messages.clone()));
        let rows = student.prepare(&asked.collect::<Vec<_>>())?;
        let generated = student.generate(&rows, &options)?;
        let by_prompt = generated.chunks(draw.samples);
        let rows = prompts.iter().zip(by_prompt).flat_map(|(prompt, answers)| {
            answers.iter().map(|answer| {
                let ids = answer.ids.clone();
                Rollout::new(draw.teacher, prompt, answer.sample, &answer.text, ids, answer.stopped)
            })
        });
        let sampling = Sampling {
            model: student.name(),
            model_sha256: student.sha256()?.to_owned(),
            adapter_sha256: None,
            seed: draw.seed,
            temperature: options.temperature,
            top_p: options.top_p,
            max_new_tokens: options.max_new_tokens,
            stop: student.stop_tokens().to_vec(),
            clock: student.clock().to_string(),
            template_sha256: sha256_hex(student.words().template()?.source().as_bytes()),
            hidden: vec![],
        };
        Ok(Rollouts { rows: rows.collect(), sampling: Some(sampling) })
    }
}
