//! The page as HTML. Everything that a file or a model said is escaped, or stands as JSON in a data block.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use heirloom_figure::{Made, Tables, font_faces};
use heirloom_record::Metric;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Changed, Page, has};
use crate::figures::{Drawn, Ready};
use crate::{Error, Result};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page.
pub(super) fn html(page: &Page, drawn: &Drawn, tables: &Tables) -> Result<String> {
    let mut sections = vec![];
    if !page.verdicts.is_empty() {
        sections.push(("verdicts", "Verdicts", verdicts(page)));
    }
    if !drawn.ready.is_empty() {
        sections.push(("figures", "Figures", figures(&drawn.ready)?));
    }
    if !page.arms.is_empty() {
        sections.push(("arms", "Arms", arms(&page.arms)));
    }
    if !tables.metrics.is_empty() {
        sections.push(("numbers", "Numbers", numbers(tables)));
    }
    if !page.texts.rows.is_empty() {
        sections.push(("texts", "Texts", texts(page)));
    }
    if !page.parameters.is_null() {
        sections.push(("parameters", "Parameters", parameters(&page.parameters)));
    }
    sections.push(("reproduce", "Reproduce", reproduce(&drawn.made)));

    let title = escaped(&page.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         font-src data:; img-src data:; script-src 'sha256-{}'\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{}{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#{}\">Skip to the content</a>\n<header>\n<h1>{title}</h1>\n",
        policy_hash(SCRIPT),
        font_faces(),
        sections[0].0,
    );
    if !page.question.is_empty() {
        let _ = writeln!(out, "<p class=\"question\">{}</p>", prose(&page.question));
    }
    out.push_str("</header>\n<nav aria-label=\"Sections\"><ul>\n");
    for (id, name, _) in &sections {
        let _ = writeln!(out, "<li><a href=\"#{id}\">{name}</a></li>");
    }
    out.push_str("</ul></nav>\n<main>\n");
    for note in &page.notes {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", prose(note));
    }
    for (id, name, body) in &sections {
        let _ = writeln!(
            out,
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{name}</h2>\n{body}</section>"
        );
    }
    let data = json!({ "numbers": columns(&tables.metrics), "texts": page.texts });
    let data = serde_json::to_string(&data).map_err(Error::Json)?;
    let _ = write!(
        out,
        "</main>\n<script type=\"application/json\" id=\"data\">{}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        inert(&data)
    );
    Ok(out)
}

fn verdicts(page: &Page) -> String {
    let mut out = String::from("<dl class=\"verdicts\">\n");
    for said in &page.verdicts {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", prose(&said.about), prose(&capital(&said.sentence)));
    }
    out + "</dl>\n"
}

fn figures(ready: &[Ready]) -> Result<String> {
    let mut out = String::new();
    for one in ready {
        let figure = one.drawing.draw(&one.tables)?;
        let name = escaped(&one.drawing.name);
        let wide = if figure.picture.is_full_width() { " class=\"wide\"" } else { "" };
        let _ = writeln!(
            out,
            "<figure id=\"figure-{name}\"{wide}>\n<div class=\"picture\" tabindex=\"0\" role=\"group\" aria-label=\"{name}\">{}</div>\n\
             <figcaption>{}</figcaption>\n</figure>",
            figure.picture.inline_svg()?,
            prose(&figure.caption.to_string())
        );
    }
    Ok(out)
}

fn arms(arms: &[Changed]) -> String {
    let mut out = String::from(
        "<p>What each arm does to the rows that its students are trained on.</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Arms\"><table class=\"static\" data-sortable>\n<thead><tr>",
    );
    for head in ["arm", "seed", "base", "prompts", "teacher", "changes", "rows", "tokens of answers"] {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for arm in arms {
        let Changed { arm, base, prompts, teacher, seed, rows, tokens, changes } = arm;
        let texts = [arm, base, prompts, teacher, changes].map(|text| prose(text));
        let [arm, base, prompts, teacher, changes] = texts;
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{arm}</th><td class=\"n\">{seed}</td><td>{base}</td><td>{prompts}</td><td>{teacher}</td>\
             <td class=\"long\">{changes}</td><td class=\"n\">{rows}</td><td class=\"n\">{tokens}</td></tr>"
        );
    }
    out + "</tbody></table></div>\n"
}

fn numbers(tables: &Tables) -> String {
    let first = ["rate", "auroc_at_chosen_layer"].into_iter().find(|metric| has(tables, metric));
    format!(
        "<p>Every number with n and interval; empty cells do not apply. A head sorts, fields filter.</p>\n\
         <div id=\"numbers-table\" data-first=\"{}\"></div>\n\
         <noscript><p>The table needs JavaScript; it is also in <code>table.csv</code> beside this page.</p></noscript>\n",
        first.unwrap_or_default()
    )
}

fn texts(page: &Page) -> String {
    format!(
        "<p>{}</p>\n<div id=\"texts-list\"></div>\n<noscript><p>The list needs JavaScript.</p></noscript>\n",
        prose(&page.texts.what)
    )
}

fn parameters(value: &Value) -> String {
    let mut out = String::new();
    listed(&mut out, value, 0);
    out
}

/// An object as a list of its keys, what is deep folded away.
fn listed(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            out.push_str("<dl class=\"parameters\">");
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                let _ = write!(out, "<div><dt>{}</dt><dd>", escaped(key));
                let is_long = value.to_string().len() > 400 && depth > 0
                    || matches!(value, Value::Array(items) if items.len() > 40);
                if is_long {
                    out.push_str("<details><summary>show</summary>");
                }
                listed(out, value, depth + 1);
                out.push_str(if is_long { "</details></dd></div>" } else { "</dd></div>" });
            }
            out.push_str("</dl>");
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.push_str("<ol>");
            for item in items {
                out.push_str("<li>");
                listed(out, item, depth + 1);
                out.push_str("</li>");
            }
            out.push_str("</ol>");
        }
        Value::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| format!("<code>{}</code>", plain(item))).collect();
            out.push_str(&items.join(" "));
        }
        other => {
            let _ = write!(out, "<code>{}</code>", plain(other));
        }
    }
}

fn plain(value: &Value) -> String {
    escaped(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn reproduce(made: &Made) -> String {
    let mut out = String::from("<dl class=\"parameters\">");
    let mut row = |name: &str, value: String| {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    row("experiment", format!("<code>{}</code>", escaped(&made.experiment)));
    row("version", format!("<code>heirloom {}</code>", escaped(&made.version)));
    if let Some(command) = &made.command {
        row("made by", format!("<code>{}</code>", escaped(command)));
    }
    let seeds: Vec<String> = made.seeds.iter().map(u64::to_string).collect();
    row("seeds", format!("<code>{}</code>", seeds.join(" ")));
    for (file, sha256) in &made.sha256 {
        let (file, sha256) = (escaped(file), escaped(sha256));
        row(&format!("SHA-256 of {file}"), format!("<code class=\"hash\">{sha256}</code>"));
    }
    row("figures again", "<code>heirloom figures RUN</code>, from tables alone; <code>--check</code> holds them against their tables".into());
    out + "</dl>\n"
}

/// The table by columns; a column of texts holds each text once.
fn columns(rows: &[Metric]) -> Value {
    let text = |cell: fn(&Metric) -> Option<String>| {
        let mut names = super::texts::Names::default();
        let cells: Vec<Value> =
            rows.iter().map(|row| cell(row).map_or(Value::Null, |text| names.number(&text).into())).collect();
        json!({ "names": names.all, "cells": cells })
    };
    let number = |cell: fn(&Metric) -> Option<f64>| {
        let cells: Vec<Value> = rows.iter().map(|row| cell(row).map_or(Value::Null, Value::from)).collect();
        json!({ "cells": cells })
    };
    let whole =
        |cell: fn(&Metric) -> Option<i64>| json!({ "cells": rows.iter().map(cell).collect::<Vec<_>>() });
    json!([
        ["behavior", text(|row| Some(row.behavior.clone()))],
        ["arm", text(|row| row.arm.clone())],
        ["seed", whole(|row| row.seed)],
        ["step", whole(|row| row.step)],
        ["hook", text(|row| row.hook.map(|hook| hook.to_string()))],
        ["method", text(|row| row.method.clone())],
        ["fit_on", text(|row| row.fit_on.clone())],
        ["scored_on", text(|row| row.scored_on.clone())],
        ["metric", text(|row| Some(row.metric.clone()))],
        ["value", number(|row| row.value)],
        ["low", number(|row| row.low)],
        ["high", number(|row| row.high)],
        ["n", whole(|row| row.n)],
        ["interval", text(|row| row.interval.clone())],
    ])
}

/// Text as it stands in an element or an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Escaped text whose pieces between backticks are code.
fn prose(text: &str) -> String {
    let pieces: Vec<&str> = text.split('`').collect();
    let closed = pieces.len() % 2 == 1;
    let piece = |(index, piece): (usize, &&str)| {
        if index % 2 == 1 && closed { format!("<code>{}</code>", escaped(piece)) } else { escaped(piece) }
    };
    pieces.iter().enumerate().map(piece).collect::<Vec<_>>().join(if closed { "" } else { "`" })
}

fn capital(text: &str) -> String {
    let mut signs = text.chars();
    signs.next().map(|first| first.to_uppercase().chain(signs).collect()).unwrap_or_default()
}

/// JSON that no parser of HTML can take for markup, and every parser of JSON reads as before.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The hash of a script as a content security policy wants it.
fn policy_hash(script: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_said_becomes_markup() {
        let said = "</script><script>alert('&')</script>";
        assert_eq!(escaped(said), "&lt;/script&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;");
        assert_eq!(prose("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
        assert_eq!(prose("a `<b>"), "a `&lt;b&gt;");
        let data = inert(&json!({ "t": said }).to_string());
        assert!(!data.contains(['<', '>', '&']), "{data}");
        let back: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(back["t"], said);
        let said = said.to_owned();
        let made = Made {
            experiment: said.clone(),
            command: Some(said.clone()),
            version: said.clone(),
            sha256: [(said.clone(), said)].into(),
            ..Made::default()
        };
        let page = reproduce(&made);
        assert!(!page.contains("script>"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 5, "{page}");
    }

    #[test]
    fn a_hash_is_written_as_policies_want_it() {
        // The SHA-256 of nothing, as `openssl dgst -sha256 -binary /dev/null | base64` prints it.
        assert_eq!(policy_hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn columns_hold_each_text_once() {
        let row = |arm: Option<&str>, value: f64| Metric {
            behavior: "b".into(),
            arm: arm.map(str::to_owned),
            metric: "rate".into(),
            value: Some(value),
            ..Metric::default()
        };
        let columns = columns(&[row(Some("x"), 0.1 + 0.2), row(None, 1.0), row(Some("x"), 0.5)]);
        assert_eq!(columns[1], json!(["arm", { "names": ["x"], "cells": [0, null, 0] }]));
        assert_eq!(columns[9][1]["cells"][0].as_f64(), Some(0.1 + 0.2));
    }
}
