//! Which rows are resampled together.

use std::collections::BTreeMap;

/// Clusters of rows that are joined by either of two things: what they ask, by number, and their pair, where they have one; through other rows, too.
///
/// A cluster's number is the least of what its rows ask, so that it is the same wherever the same rows are.
pub fn joined<P: Ord>(asked: &[usize], pairs: &[Option<P>]) -> Vec<usize> {
    let mut found = asked.to_vec();
    loop {
        let (mut by_pair, mut by_asked) = (BTreeMap::new(), BTreeMap::new());
        for ((pair, asked), cluster) in pairs.iter().zip(asked).zip(&found) {
            let least = |seen: &mut usize| *seen = (*seen).min(*cluster);
            by_asked.entry(*asked).and_modify(least).or_insert(*cluster);
            if let Some(pair) = pair {
                by_pair.entry(pair).and_modify(least).or_insert(*cluster);
            }
        }
        let next = pairs.iter().zip(asked).map(|(pair, asked)| {
            let pair = pair.as_ref().map_or(usize::MAX, |pair| by_pair[pair]);
            pair.min(by_asked[asked])
        });
        let next: Vec<usize> = next.collect();
        if next == found {
            return found;
        }
        found = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_joined_by_pair_or_by_what_they_ask_and_through_others() {
        let check = |rows: &[(usize, Option<&str>)], expected: &[usize]| {
            let (asked, pairs): (Vec<usize>, Vec<Option<&str>>) = rows.iter().copied().unzip();
            assert_eq!(joined(&asked, &pairs), expected, "{rows:?}");
        };
        check(&[(7, None), (3, None), (7, None)], &[7, 3, 7]);
        check(&[(7, Some("a")), (3, Some("a")), (9, Some("b"))], &[3, 3, 9]);
        // The third asks what the second does, which has the pair of the first.
        check(&[(7, Some("a")), (8, Some("a")), (8, None), (9, None)], &[7, 7, 7, 9]);
        check(&[(9, Some("a")), (8, Some("a")), (8, Some("b")), (2, Some("b"))], &[2; 4]);
        check(&[], &[]);
    }
}
