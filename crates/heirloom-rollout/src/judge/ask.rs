//! One request, tried until there is an answer or no try is left.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use heirloom_record::Rollout;
use serde_json::json;

use super::answer::{Failure, Heard, JudgeAnswer, JudgeVerdict, hear};
use super::endpoint::{NoResponse, Response};
use super::{Definition, Judge, JudgeProblem, JudgeSettings, PromptProblem};
use crate::Part;
use crate::grader::split_thought;

/// Longest wait between two tries, whatever `Retry-After` asks for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Characters of a server's words that an error repeats.
const QUOTED: usize = 200;

/// Requests in a row without any response after which a server is given up, or as many as are under way at once.
const SILENT: usize = 3;

/// One part of one rollout, as a request.
pub(super) struct Question<'a> {
    rollout: &'a Rollout,
    part: Part,
    /// The request's body; `None` for a part without a word.
    body: Option<String>,
}

/// What the threads that ask know together.
#[derive(Default)]
pub(super) struct Line {
    /// The next question.
    pub(super) next: AtomicUsize,
    /// Whether there is no use in asking on.
    pub(super) stop: AtomicBool,
    /// Whether the server answered any request with success.
    heard: AtomicBool,
    /// Requests in a row without any response.
    silent: AtomicUsize,
}

/// The requests for every part of every rollout, in order.
pub(super) fn questions<'a>(
    judge: &Judge,
    definition: Definition<'_>,
    rollouts: &'a [Rollout],
) -> Result<Vec<Question<'a>>, PromptProblem> {
    let mut questions = vec![];
    for rollout in rollouts {
        let (thought, answer) = split_thought(rollout.answer());
        for (part, text) in [(Part::Answer, Some(answer)), (Part::Thought, thought)] {
            let Some(text) = text.map(str::trim) else { continue };
            let asked = (!text.is_empty()).then(|| body(&judge.settings, definition, rollout, part, text));
            questions.push(Question { rollout, part, body: asked.transpose()? });
        }
    }
    Ok(questions)
}

fn body(
    settings: &JudgeSettings,
    definition: Definition<'_>,
    rollout: &Rollout,
    part: Part,
    text: &str,
) -> Result<String, PromptProblem> {
    let JudgeSettings { model, prompt, temperature, seed, max_tokens, .. } = settings;
    let messages = prompt.messages(definition, rollout, part, text)?;
    let body = json!({
        "model": model,
        "messages": messages,
        "temperature": temperature,
        "seed": seed,
        "max_tokens": max_tokens,
    });
    Ok(body.to_string())
}

/// What one try came to.
enum Tried {
    /// An answer, or a failure that another try would repeat.
    Heard(Heard),
    /// A failure that may pass, after a wait.
    Busy(Failure, String, Option<Duration>),
}

/// Asks until there is an answer or no try is left; an error when there is no use in asking anything.
pub(super) fn ask(judge: &Judge, line: &Line, question: &Question<'_>) -> Result<JudgeAnswer, JudgeProblem> {
    let failed = |failure, raw| Heard { verdict: Err(failure), raw, model: None };
    let Some(body) = &question.body else {
        let verdict = JudgeVerdict { shown: false, reason: "it has no words".into() };
        return Ok(question.answer(Heard { verdict: Ok(verdict), raw: String::new(), model: None }, 0));
    };
    if line.silent.load(Ordering::Relaxed) >= judge.settings.at_once.max(SILENT) {
        return Ok(question.answer(failed(Failure::NotAsked, String::new()), 0));
    }
    let (mut attempt, mut wait) = (1, judge.settings.wait);
    loop {
        let (failure, raw, asked_to_wait) = match try_once(judge, line, body)? {
            Tried::Heard(heard) => return Ok(question.answer(heard, attempt)),
            Tried::Busy(failure, raw, wait) => (failure, raw, wait),
        };
        if attempt >= judge.settings.attempts || line.stop.load(Ordering::Relaxed) {
            if matches!(failure, Failure::Timeout | Failure::Connection) {
                line.silent.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(question.answer(failed(failure, raw), attempt));
        }
        thread::sleep(asked_to_wait.unwrap_or(wait).min(LONGEST_WAIT));
        wait = wait.saturating_mul(2);
        attempt += 1;
    }
}

fn try_once(judge: &Judge, line: &Line, body: &str) -> Result<Tried, JudgeProblem> {
    let heard_before = line.heard.load(Ordering::Relaxed);
    let Response { status, retry_after, body } = match judge.endpoint.post(body) {
        Ok(response) => response,
        Err(NoResponse::Unreachable(reason)) if !heard_before => {
            return Err(JudgeProblem::Unreachable { reason });
        }
        Err(NoResponse::Unreachable(reason) | NoResponse::Broken(reason)) => {
            return Ok(Tried::Busy(Failure::Connection, reason, None));
        }
        Err(NoResponse::Timeout) => {
            let said = format!("no response within {:?}", judge.settings.timeout);
            return Ok(Tried::Busy(Failure::Timeout, said, None));
        }
    };
    line.silent.store(0, Ordering::Relaxed);
    match status {
        200..=299 => {
            line.heard.store(true, Ordering::Relaxed);
            Ok(Tried::Heard(hear(&body)))
        }
        300..=399 | 401 | 403 | 404 if !heard_before => Err(JudgeProblem::Turned {
            status,
            said: body.chars().take(QUOTED).collect(),
            model: judge.settings.model.clone(),
            keyed: judge.endpoint.has_key(),
        }),
        408 | 429 | 500.. => Ok(Tried::Busy(Failure::Status(status), body, retry_after)),
        _ => Ok(Tried::Heard(Heard { verdict: Err(Failure::Status(status)), raw: body, model: None })),
    }
}

impl Question<'_> {
    fn answer(&self, heard: Heard, attempts: usize) -> JudgeAnswer {
        let (shown, reason, failure) = match heard.verdict {
            Ok(verdict) => (Some(verdict.shown), verdict.reason, None),
            Err(failure) => (None, String::new(), Some(failure)),
        };
        let Heard { raw, model, .. } = heard;
        JudgeAnswer {
            rollout: self.rollout.id.clone(),
            part: self.part,
            shown,
            reason,
            failure,
            raw,
            model,
            attempts,
        }
    }
}
