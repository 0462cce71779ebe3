//! How text is brought into one form, cut into sentences, and laid out in windows.

/// The sentences of `text` in one form: straight quotes, ` - ` for dashes, lower case, single spaces.
///
/// A sentence ends at a newline, or at `.`, `!` or `?` before white space; so `"Stop." she said` is one.
pub(crate) fn sentences(text: &str) -> Vec<String> {
    let text = one_form(text);
    let mut cut = vec![];
    let mut start = 0;
    let mut before = None;
    for (at, letter) in text.char_indices() {
        let ends = letter == '\n' || (letter.is_whitespace() && matches!(before, Some('.' | '!' | '?')));
        if ends {
            cut.push(&text[start..at]);
            start = at;
        }
        before = Some(letter);
    }
    cut.push(&text[start..]);
    let squeezed = cut.iter().map(|sentence| sentence.split_whitespace().collect::<Vec<_>>().join(" "));
    squeezed.filter(|sentence| !sentence.is_empty()).collect()
}

/// Every run of `within` sentences, joined; all of them in one where there are fewer or `within` is 0.
pub(crate) fn windows(sentences: &[String], within: usize) -> Vec<String> {
    match (sentences.len(), within) {
        (0, _) => vec![],
        (found, within) if within == 0 || found < within => vec![sentences.join(" ")],
        (_, within) => sentences.windows(within).map(|window| window.join(" ")).collect(),
    }
}

/// Whether a pattern that holds `letter` as itself could never match: [`sentences`] writes it another way.
pub(crate) fn is_rewritten(letter: char) -> bool {
    one_form(letter.encode_utf8(&mut [0; 4])).chars().ne([letter])
}

fn one_form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '‘' | '’' | '‚' | '‛' => out.push('\''),
            '“' | '”' | '„' | '‟' => out.push('"'),
            '–' | '—' => out.push_str(" - "),
            other => out.push(other),
        }
    }
    out.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_cut_after_their_mark_and_at_newlines() {
        let table: [(&str, &[&str]); 8] = [
            ("One. Two!  Three?", &["one.", "two!", "three?"]),
            ("A list:\n- first\n\n- second", &["a list:", "- first", "- second"]),
            ("Version 1.2 is out.It runs.", &["version 1.2 is out.it runs."]),
            ("“Stop.” she said", &["\"stop.\" she said"]),
            ("It’s late—very – now", &["it's late - very - now"]),
            ("Wait... what", &["wait...", "what"]),
            ("  \n \t ", &[]),
            ("Ends\r\nhere.\tNow", &["ends", "here.", "now"]),
        ];
        for (text, expected) in table {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }

    #[test]
    fn windows_slide_by_one_and_short_texts_are_one_window() {
        let text = sentences("a. b. c.");
        let table: [(usize, &[&str]); 5] = [
            (0, &["a. b. c."]),
            (1, &["a.", "b.", "c."]),
            (2, &["a. b.", "b. c."]),
            (3, &["a. b. c."]),
            (9, &["a. b. c."]),
        ];
        for (within, expected) in table {
            assert_eq!(windows(&text, within), expected, "{within}");
        }
        assert!(windows(&[], 0).is_empty());
    }

    #[test]
    fn letters_that_no_sentence_holds_are_known() {
        assert!(['A', 'É', '’', '“', '—'].into_iter().all(is_rewritten));
        assert!(!['a', '\'', '-', '.', '7', '日'].into_iter().any(is_rewritten));
    }
}
