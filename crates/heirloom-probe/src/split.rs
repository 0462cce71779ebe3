//! Splits that never tear a group apart.
//!
//! Prompts of one family share wording; a probe that saw some of them knows the rest. So whole groups go to `fit`, `select` or `report`, and the
//! report rows are read once, after every choice has been made.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::dataset::{Dataset, check_both_classes};
use crate::error::{Error, Result};
use crate::random::stream;

/// How rows are shared out, as weights that need not sum to one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Rows that probes are fit on.
    pub fit: f64,
    /// Rows that choices such as the layer are made on.
    pub select: f64,
    /// Rows that the published number comes from.
    pub report: f64,
}

impl Default for Shares {
    /// Half for fitting, a quarter each for choosing and reporting.
    fn default() -> Self {
        Self { fit: 0.5, select: 0.25, report: 0.25 }
    }
}

/// Row numbers of the three parts, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows that probes are fit on.
    pub fit: Vec<usize>,
    /// Rows that choices such as the layer are made on.
    pub select: Vec<usize>,
    /// Rows that the published number comes from.
    pub report: Vec<usize>,
}

const PARTS: [&str; 3] = ["fit", "select", "report"];

impl Split {
    /// Shares whole groups out at random, each to the part that lacks most rows of its share.
    ///
    /// **Errors** when there are fewer than three groups, or a part ends with one class only.
    ///
    /// **Determinism** depends on the generator and the groups' names and sizes, not on the order of rows.
    pub fn by_group(data: &Dataset, shares: Shares, rng: &ChaCha8Rng) -> Result<Self> {
        let shares = [shares.fit, shares.select, shares.report];
        if let Some(share) = shares.iter().find(|share| !(share.is_finite() && **share > 0.0)) {
            return Err(Error::Setting { name: "shares", expected: "positive weights", found: *share });
        }
        let mut groups = data.present_groups();
        if groups.len() < PARTS.len() {
            return Err(Error::TooFew { unit: "group", expected: PARTS.len(), found: groups.len() });
        }
        groups.shuffle(&mut stream(rng, 0));
        let total: f64 = shares.iter().sum();
        let mut lacking = shares.map(|share| share / total * data.n_rows() as f64);
        let mut parts: [Vec<usize>; 3] = Default::default();
        for (index, group) in groups.iter().enumerate() {
            let left = groups.len() - index;
            let empty = parts.iter().filter(|part| part.is_empty()).count();
            // The last groups go to empty parts, or a big early group could leave one with nothing.
            let part = (0..3)
                .filter(|part| left > empty || parts[*part].is_empty())
                .max_by(|a, b| lacking[*a].total_cmp(&lacking[*b]).then(b.cmp(a)))
                .unwrap_or(0);
            let rows = data.rows_of_group(*group);
            lacking[part] -= rows.len() as f64;
            parts[part].extend(rows);
        }
        let [fit, select, report] = parts;
        Self::from_rows(data, fit, select, report)
    }

    /// The split a person wrote down by groups' names.
    ///
    /// **Errors** name a group that no row carries, or that stands in two parts.
    pub fn by_named_groups<S: AsRef<str>>(
        data: &Dataset,
        fit: &[S],
        select: &[S],
        report: &[S],
    ) -> Result<Self> {
        let rows = |names: &[S]| -> Result<Vec<usize>> {
            let mut rows = Vec::new();
            for name in names {
                let number = data.group_names().iter().position(|known| known == name.as_ref());
                let of_group = number.map(|number| data.rows_of_group(number)).unwrap_or_default();
                if of_group.is_empty() {
                    return Err(Error::UnknownGroup {
                        group: name.as_ref().to_owned(),
                        known: data.present_group_names(),
                    });
                }
                rows.extend(of_group);
            }
            Ok(rows)
        };
        Self::from_rows(data, rows(fit)?, rows(select)?, rows(report)?)
    }

    /// Checks row numbers from elsewhere.
    ///
    /// **Errors** name a group on both sides, a row out of range, a part with one class only.
    pub fn from_rows(
        data: &Dataset,
        mut fit: Vec<usize>,
        mut select: Vec<usize>,
        mut report: Vec<usize>,
    ) -> Result<Self> {
        let mut part_of = vec![None; data.group_names().len()];
        for (part, rows) in [&mut fit, &mut select, &mut report].into_iter().enumerate() {
            rows.sort_unstable();
            rows.dedup();
            if let Some(&row) = rows.last().filter(|row| **row >= data.n_rows()) {
                return Err(Error::RowOutOfRange { row, rows: data.n_rows() });
            }
            for row in rows.iter() {
                let group = data.groups()[*row];
                let first = *part_of[group].get_or_insert(part);
                if first != part {
                    return Err(Error::GroupOnBothSides {
                        group: data.group_names()[group].clone(),
                        first: PARTS[first],
                        second: PARTS[part],
                    });
                }
            }
            let labels: Vec<bool> = rows.iter().map(|row| data.labels()[*row]).collect();
            check_both_classes(PARTS[part], &labels)?;
        }
        Ok(Self { fit, select, report })
    }

    /// The rows that probes are fit on, of any dataset with the same rows.
    pub fn fit_of(&self, data: &Dataset) -> Result<Dataset> {
        data.select("fit", &self.fit)
    }

    /// The rows that choices are made on.
    pub fn select_of(&self, data: &Dataset) -> Result<Dataset> {
        data.select("select", &self.select)
    }

    /// The rows that the published number comes from.
    pub fn report_of(&self, data: &Dataset) -> Result<Dataset> {
        data.select("report", &self.report)
    }
}

/// What cross-validation keeps whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Prompt families.
    Group,
    /// Contrast pairs or scenarios; for data of one group only.
    Cluster,
}

/// One fold of a cross-validation, as row numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// Rows to fit on, ascending.
    pub train: Vec<usize>,
    /// Rows to score, ascending.
    pub test: Vec<usize>,
}

/// Cross-validation folds of whole units and near-equal size.
///
/// Units go, largest first, to the lightest fold, as in scikit-learn's `GroupKFold`; no randomness is needed, and ties go by name.
/// With fewer units than `k`, each unit is its own fold.
///
/// **Errors** when there are fewer than two units, or the rows to fit on of a fold have one class only.
pub fn folds(data: &Dataset, unit: Unit, k: usize) -> Result<Vec<Fold>> {
    if k < 2 {
        return Err(Error::Setting { name: "folds", expected: "at least 2", found: k as f64 });
    }
    let (numbers, mut units, name) = match unit {
        Unit::Group => (data.groups(), data.present_groups(), "group"),
        Unit::Cluster => (data.clusters(), data.present_clusters(), "cluster"),
    };
    if units.len() < 2 {
        return Err(Error::TooFew { unit: name, expected: 2, found: units.len() });
    }
    let mut sizes = vec![0_usize; units.last().map_or(0, |last| last + 1)];
    for number in numbers {
        sizes[*number] += 1;
    }
    units.sort_by_key(|number| std::cmp::Reverse(sizes[*number]));
    let mut weight = vec![0_usize; k.min(units.len())];
    let mut fold_of = vec![0_usize; sizes.len()];
    for number in units {
        let lightest = (0..weight.len()).min_by_key(|fold| weight[*fold]).unwrap_or(0);
        fold_of[number] = lightest;
        weight[lightest] += sizes[number];
    }
    (0..weight.len())
        .map(|fold| {
            let (test, train): (Vec<usize>, Vec<usize>) =
                (0..data.n_rows()).partition(|row| fold_of[numbers[*row]] == fold);
            let labels: Vec<bool> = train.iter().map(|row| data.labels()[*row]).collect();
            check_both_classes("cross-validation fold", &labels)?;
            Ok(Fold { train, test })
        })
        .collect()
}
