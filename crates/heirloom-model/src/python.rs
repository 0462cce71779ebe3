//! Values as Python writes them: `json.dumps`, which Hugging Face templates mean by `tojson`, and `str` of lists
//! and dictionaries.

use std::fmt::Write as _;

use serde_json::Value;

/// The keyword arguments of `json.dumps` that templates use.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) indent: Option<usize>,
    pub(crate) ascii: bool,
    pub(crate) sort_keys: bool,
    /// Between items and between key and value.
    pub(crate) separators: (String, String),
}

impl Style {
    /// Python's defaults, but for `ensure_ascii`, which Hugging Face turns off.
    pub(crate) fn new(indent: Option<usize>) -> Self {
        let item = if indent.is_some() { "," } else { ", " };
        Self { indent, ascii: false, sort_keys: false, separators: (item.into(), ": ".into()) }
    }
}

/// Writes `value` in `style`.
pub(crate) fn dumps(value: &Value, style: &Style) -> String {
    let mut out = String::new();
    write(&mut out, value, style, 0);
    out
}

fn write(out: &mut String, value: &Value, style: &Style, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => match (number.is_f64(), number.as_f64()) {
            (true, Some(float)) => out.push_str(&repr_float(float)),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => quote(out, text, style.ascii),
        Value::Array(items) => {
            let items = items.iter().map(|item| (None, item));
            list(out, items.collect(), style, depth, ['[', ']']);
        }
        Value::Object(map) => {
            let mut items: Vec<_> = map.iter().map(|(key, item)| (Some(key), item)).collect();
            if style.sort_keys {
                items.sort_by_key(|(key, _)| *key);
            }
            list(out, items, style, depth, ['{', '}']);
        }
    }
}

fn list(
    out: &mut String,
    items: Vec<(Option<&String>, &Value)>,
    style: &Style,
    depth: usize,
    [open, close]: [char; 2],
) {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = style.indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    };
    out.push(open);
    let empty = items.is_empty();
    for (index, (key, item)) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_str(&style.separators.0);
        }
        line(out, depth + 1);
        if let Some(key) = key {
            quote(out, key, style.ascii);
            out.push_str(&style.separators.1);
        }
        write(out, item, style, depth + 1);
    }
    if !empty {
        line(out, depth);
    }
    out.push(close);
}

fn quote(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (ascii && !(' '..='~').contains(&c)) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Python's `repr` of a value: what `str` prints inside lists and dictionaries.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(flag) => if *flag { "True" } else { "False" }.into(),
        Value::Number(number) => match (number.is_f64(), number.as_f64()) {
            (true, Some(float)) => repr_float(float),
            _ => number.to_string(),
        },
        Value::String(text) => repr_text(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> =
                map.iter().map(|(key, item)| format!("{}: {}", repr_text(key), repr(item))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// Single quotes, unless the text has some and no double ones.
fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// Python's `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.
fn repr_float(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = x.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_python_writes_it() {
        let value = json!({"b": [1, 1e-5, 2.0, 1e16, null], "a": {}, "é": "<\"\n\u{1}🙂"});
        let plain = Style::new(None);
        assert_eq!(
            dumps(&value, &plain),
            "{\"b\": [1, 1e-05, 2.0, 1e+16, null], \"a\": {}, \"é\": \"<\\\"\\n\\u0001🙂\"}"
        );
        assert_eq!(repr(&value), "{'b': [1, 1e-05, 2.0, 1e+16, None], 'a': {}, 'é': '<\"\\n\\x01🙂'}");
        assert_eq!(repr(&json!(["it's", "'\"", true])), "[\"it's\", '\\'\"', True]");
        let ascii = Style { ascii: true, sort_keys: true, ..plain };
        assert_eq!(
            dumps(&value, &ascii),
            "{\"a\": {}, \"b\": [1, 1e-05, 2.0, 1e+16, null], \"\\u00e9\": \"<\\\"\\n\\u0001\\ud83d\\ude42\"}"
        );
        assert_eq!(
            dumps(&json!([1, [], {"a": 2}]), &Style::new(Some(2))),
            "[\n  1,\n  [],\n  {\n    \"a\": 2\n  }\n]"
        );
    }
}
