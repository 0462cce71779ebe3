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

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_typo_finds_its_name_and_nonsense_finds_none() {
        assert_eq!(near("logistc", ["dom", "logistic", "lda"]), ["logistic"]);
        assert!(near("zzz", ["dom", "logistic"]).is_empty());
    }
}
