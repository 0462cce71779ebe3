//! Near candidates for unknown names.

/// The at most three candidates most like `name`, best first; empty when nothing is close.
///
/// Candidates are ranked by Jaro–Winkler similarity and kept above 0.8.
pub fn near<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.truncate(3);
    scored.into_iter().map(|(_, candidate)| candidate.to_owned()).collect()
}

/// The key that serde did not know and the keys it expected, from its message: serde hands them over in no
/// other form. Also in the words that the `toml` crate has for variants of an enum.
pub fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let of_variant = || {
        let (found, known) =
            message.strip_prefix("unexpected keys in table: ")?.split_once(", available keys: ")?;
        let first = found.split(", ").next()?.to_owned();
        Some((first, known.split(", ").map(str::to_owned).collect()))
    };
    message.strip_prefix("unknown field ").map_or_else(of_variant, quoted_names)
}

/// A hint at the names that are like the key or the choice that serde did not know, from its message.
pub fn near_in(message: &str) -> Option<String> {
    let choice = || quoted_names(message.strip_prefix("unknown variant ")?);
    let (name, known) = unknown_key(message).or_else(choice)?;
    let near = near(&name, known.iter().map(String::as_str));
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    (!near.is_empty()).then(|| format!("near names: {}", near.join(", ")))
}

/// The first name between backticks, and the others.
fn quoted_names(text: &str) -> Option<(String, Vec<String>)> {
    let mut names = text.split('`').skip(1).step_by(2).map(ToOwned::to_owned);
    Some((names.next()?, names.collect()))
}

#[cfg(test)]
mod tests {
    use super::{near, near_in, unknown_key};

    #[test]
    fn a_typo_finds_its_name_and_nonsense_finds_none() {
        assert_eq!(near("logistc", ["dom", "logistic", "lda"]), ["logistic"]);
        assert!(near("zzz", ["dom", "logistic"]).is_empty());
    }

    #[test]
    fn an_unknown_key_is_read_from_its_message_and_from_no_other() {
        let said = "unknown field `a`, expected one of `b`, `c` at line 1 column 2";
        assert_eq!(unknown_key(said), Some(("a".into(), vec!["b".into(), "c".into()])));
        assert_eq!(unknown_key("missing field `a`"), None);
    }

    #[test]
    fn a_key_or_a_choice_one_typo_away_is_hinted_at() {
        for (said, hint) in [
            ("unknown field `lable`, expected `label` or `id`", Some("near names: `label`")),
            ("unknown variant `swop`, expected one of `swap`, `drop`, `mix`", Some("near names: `swap`")),
            ("unknown variant `zzz`, expected `swap` or `drop`", None),
            ("missing field `swap`", None),
        ] {
            assert_eq!(near_in(said).as_deref(), hint, "{said}");
        }
    }
}
