//! Numbers and texts as every summary writes them.

/// Two digits; a zero that rounding left has no sign.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".into() } else { text.replace('-', "−") }
}

/// A number and the ends of its interval.
pub(crate) fn brackets(value: f64, low: f64, high: f64) -> String {
    format!("{} [{}, {}]", number(value), number(low), number(high))
}

/// Whole percent; what is not all or nothing is not rounded to it.
pub(crate) fn percent(share: f64) -> String {
    match share {
        share if share >= 1.0 => "100 %".into(),
        share if share > 0.99 => "over 99 %".into(),
        share => format!("{:.0} %", 100.0 * share),
    }
}

/// One line of at most so many letters.
pub(crate) fn short(text: &str, most: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most).collect::<String>() + "…"
}
