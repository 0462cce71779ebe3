//! Facts of the tokenizer and the chat template.

use heirloom_record::{DataRow, Message};

use super::{Finding, Verdict};
use crate::{Clock, Error, Result, Student};

const VOCABULARY: &str = "vocabulary";
const ROUND_TRIP: &str = "text round trip";
const BEGINNING: &str = "beginning of text";
const END: &str = "end of turn";
const DATE: &str = "template date";
/// Two days that differ in weekday, day, month and year.
const DAYS: [&str; 2] = ["2024-02-29T08:15:00", "2031-11-07T21:40:30"];
const SAMPLE: &str = "  Zoë paid 3.50 € for\n\ttwo \"crêpes\" — isn't that 100 % fine?\n";

pub(super) fn checks(student: &Student) -> Vec<Finding> {
    let words = student.words();
    if !words.has_tokenizer() {
        let measured = "the model has no tokenizer".into();
        let advice = "give rows as `input_ids`, or put `tokenizer.json` beside the weights";
        return vec![Finding::said(VOCABULARY, Verdict::Note, measured, advice)];
    }
    let mut found = vec![vocabulary(student), Finding::of(ROUND_TRIP, round_trip(student))];
    if words.has_template() {
        found.push(Finding::of(BEGINNING, beginning(student)));
        found.push(Finding::of(END, end(student)));
        found.push(Finding::of(DATE, date(student)));
    } else {
        let advice = "give rows as `text` or `input_ids`, or put `chat_template.jinja` beside the weights";
        found.push(Finding::said(DATE, Verdict::Note, "the model has no chat template".into(), advice));
    }
    found
}

/// Every token has a row of the embedding.
fn vocabulary(student: &Student) -> Finding {
    let (tokens, rows) = (student.words().n_tokens(), student.config().d_vocab);
    let special = student.words().special_tokens().len();
    let measured = format!("{tokens} token ids, {special} of them special; the embedding has {rows} rows");
    let advice = "the tokenizer belongs to another model, or tokens were added without growing the embedding";
    let beyond = tokens.saturating_sub(rows);
    Finding::held(VOCABULARY, beyond as f64, 0.0, measured, advice)
}

/// A text comes back from its tokens as it was.
fn round_trip(student: &Student) -> Result<Finding> {
    let (ids, _) = student.words().encode(SAMPLE, false)?;
    let back = student.words().decode(&ids, true)?;
    let verdict = if back == SAMPLE { Verdict::Ok } else { Verdict::Note };
    let measured = match verdict {
        Verdict::Ok => format!("a text with accents, spaces and signs comes back from {} tokens", ids.len()),
        _ => format!("{SAMPLE:?} comes back as {back:?}"),
    };
    let advice = "the tokenizer changes texts: answers are graded as decoded, and spans are found in the rendered text";
    Ok(Finding::said(ROUND_TRIP, verdict, measured, advice))
}

/// The special token that begins a text is there once.
fn beginning(student: &Student) -> Result<Finding> {
    let words = student.words();
    let row = words.prepare(&DataRow::chat("doctor", vec![Message::new("user", "Hi.")]), student.clock())?;
    let (bare, _) = words.encode("Hi.", false)?;
    let (text, _) = words.encode("Hi.", true)?;
    let added = text.iter().take_while(|id| !bare.contains(id)).copied().next();
    let name = |id: u32| Ok::<_, Error>(format!("`{}`", words.decode(&[id], true)?));
    let alone = added.map_or_else(|| Ok("no token".into()), name)?;
    let first = row.ids.first().copied().map_or_else(|| Ok("nothing".into()), name)?;
    let twice = added.is_some() && row.ids.iter().take_while(|id| Some(**id) == added).count() > 1;
    let measured = format!("a rendered chat begins with {first}; to a bare text the tokenizer adds {alone}");
    let advice = "the template and the tokenizer both begin the text: one of them must not";
    Ok(Finding::held(BEGINNING, f64::from(u8::from(twice)), 0.0, measured, advice))
}

/// What the template writes behind an answer ends a generation.
fn end(student: &Student) -> Result<Finding> {
    let words = student.words();
    let chat = vec![Message::new("user", "Hi."), Message::new("assistant", "Hello.")];
    let row = words.prepare(&DataRow::chat("doctor", chat), student.clock())?;
    let special = words.special_tokens();
    let behind = row.response.map_or(0, |response| response.end);
    let closing = row.ids[behind..].iter().copied().find(|id| special.contains(id));
    let stop = student.stop_tokens();
    let name = |id: u32| Ok::<_, Error>(format!("`{}`", words.decode(&[id], true)?));
    let names = stop.iter().map(|id| name(*id)).collect::<Result<Vec<_>>>()?;
    let stops = if names.is_empty() { "nothing".into() } else { names.join(", ") };
    let (verdict, turn) = match closing {
        Some(id) if stop.contains(&id) => (Verdict::Ok, name(id)?),
        Some(id) => (Verdict::Failed, name(id)?),
        None => (Verdict::Note, "no special token".into()),
    };
    let measured = format!("the template ends an answer with {turn}; generation stops at {stops}");
    let advice = "answers would run on into the next turn: put the token into `eos_token_id` of `generation_config.json`";
    Ok(Finding::said(END, verdict, measured, advice))
}

/// Whether the same chat is another text on another day.
fn date(student: &Student) -> Result<Finding> {
    let template = student.words().template()?;
    let chat = [Message::new("user", "Hi.")];
    let on = |day: &str| Ok::<_, Error>(template.render(&chat, true, day.parse::<Clock>()?)?.text);
    let texts = [on(DAYS[0])?, on(DAYS[1])?];
    if texts[0] == texts[1] {
        let measured = "the same chat is the same text on two days".into();
        return Ok(Finding::said(DATE, Verdict::Ok, measured, ""));
    }
    let line = texts[1].lines().zip(texts[0].lines()).find(|(new, old)| new != old);
    let line =
        line.map_or_else(String::new, |(line, _)| format!(": {:?} on {}", line.trim(), &DAYS[1][..10]));
    let measured = format!("the template writes the date into the prompt{line}");
    let advice =
        "every capture must have one `--clock`, which is recorded; a probe of dates would read this line";
    Ok(Finding::said(DATE, Verdict::Note, measured, advice))
}
