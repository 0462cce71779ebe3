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
/// other form.
pub fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let names = message.strip_prefix("unknown field ")?;
    let mut names = names.split('`').skip(1).step_by(2).map(ToOwned::to_owned);
    Some((names.next()?, names.collect()))
}

#[cfg(test)]
mod tests {
    use super::{near, unknown_key};

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
}
