//! Labelled activations whose rows know their contrast pair and their prompt family.
//!
//! Three levels matter to every later number: a *row* is one activation, a *cluster* is the contrast pair or scenario that rows share and that
//! resampling draws whole, a *group* is the prompt family that splits keep on one side.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array2, ArrayView2, Axis};

use crate::error::{Error, Result};

/// Activations at one hook point with labels, clusters and groups; checked once, then trusted.
///
/// Cluster and group numbers follow the sorted names, so they do not depend on the order of rows, and subsets keep the numbers of the whole.
#[derive(Debug, Clone)]
pub struct Dataset {
    x: Array2<f32>,
    labels: Vec<bool>,
    clusters: Vec<usize>,
    groups: Vec<usize>,
    cluster_names: Arc<[String]>,
    group_names: Arc<[String]>,
}

impl Dataset {
    /// Checks and joins activations and what is known of their rows.
    ///
    /// **Shapes** `x` is `[rows, d_model]`; the other arguments have one entry per row.
    ///
    /// **Errors** name the row and column of a NaN or infinity, unequal lengths, a missing class, a cluster that lies in two groups.
    pub fn new<C: AsRef<str>, G: AsRef<str>>(
        x: Array2<f32>,
        labels: Vec<bool>,
        clusters: &[C],
        groups: &[G],
    ) -> Result<Self> {
        check_rows("labels", x.nrows(), labels.len())?;
        check_rows("clusters", x.nrows(), clusters.len())?;
        check_rows("groups", x.nrows(), groups.len())?;
        check_finite(x.view())?;
        check_both_classes("dataset", &labels)?;
        let (cluster_names, clusters) = numbered(clusters);
        let (group_names, groups) = numbered(groups);
        let mut group_of = vec![None; cluster_names.len()];
        for (&cluster, &group) in clusters.iter().zip(&groups) {
            let first = *group_of[cluster].get_or_insert(group);
            if first != group {
                return Err(Error::ClusterStraddlesGroups {
                    cluster: cluster_names[cluster].clone(),
                    first: group_names[first].clone(),
                    second: group_names[group].clone(),
                });
            }
        }
        Ok(Self { x, labels, clusters, groups, cluster_names, group_names })
    }

    /// Activations, `[rows, d_model]`.
    pub fn x(&self) -> ArrayView2<'_, f32> {
        self.x.view()
    }

    /// True where the behavior is present.
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    /// Cluster number of each row, an index into [`Self::cluster_names`].
    pub fn clusters(&self) -> &[usize] {
        &self.clusters
    }

    /// Group number of each row, an index into [`Self::group_names`].
    pub fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// Sorted names of all clusters of the dataset this one was taken from.
    pub fn cluster_names(&self) -> &[String] {
        &self.cluster_names
    }

    /// Sorted names of all groups of the dataset this one was taken from.
    pub fn group_names(&self) -> &[String] {
        &self.group_names
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.x.nrows()
    }

    /// Width of an activation.
    pub fn d_model(&self) -> usize {
        self.x.ncols()
    }

    /// Number of positive rows.
    pub fn n_positive(&self) -> usize {
        count_positive(&self.labels)
    }

    /// Numbers of the groups that have rows here, ascending.
    pub fn present_groups(&self) -> Vec<usize> {
        present(&self.groups, self.group_names.len())
    }

    /// Names of the groups that have rows here, sorted.
    pub fn present_group_names(&self) -> Vec<String> {
        self.present_groups().into_iter().map(|group| self.group_names[group].clone()).collect()
    }

    /// Numbers of the clusters that have rows here, ascending.
    pub fn present_clusters(&self) -> Vec<usize> {
        present(&self.clusters, self.cluster_names.len())
    }

    /// Rows of one group, ascending.
    pub fn rows_of_group(&self, group: usize) -> Vec<usize> {
        self.groups.iter().enumerate().filter(|(_, g)| **g == group).map(|(row, _)| row).collect()
    }

    /// The given rows as a dataset of their own, copied so that the whole can be freed.
    ///
    /// **Errors** when a row is out of range or a class is missing; `what` names the rows in that message.
    pub fn select(&self, what: &str, rows: &[usize]) -> Result<Self> {
        if let Some(&row) = rows.iter().find(|row| **row >= self.n_rows()) {
            return Err(Error::RowOutOfRange { row, rows: self.n_rows() });
        }
        let labels: Vec<bool> = rows.iter().map(|row| self.labels[*row]).collect();
        check_both_classes(what, &labels)?;
        Ok(Self {
            x: self.x.select(Axis(0), rows),
            labels,
            clusters: rows.iter().map(|row| self.clusters[*row]).collect(),
            groups: rows.iter().map(|row| self.groups[*row]).collect(),
            cluster_names: Arc::clone(&self.cluster_names),
            group_names: Arc::clone(&self.group_names),
        })
    }

    /// The same rows with other labels, as the controls need.
    pub fn with_labels(&self, labels: Vec<bool>) -> Result<Self> {
        check_rows("labels", self.n_rows(), labels.len())?;
        check_both_classes("dataset", &labels)?;
        Ok(Self { labels, ..self.clone() })
    }

    /// The same rows read at another hook point or checkpoint.
    pub fn with_activations(&self, x: Array2<f32>) -> Result<Self> {
        check_rows("activations", self.n_rows(), x.nrows())?;
        check_finite(x.view())?;
        Ok(Self {
            x,
            labels: self.labels.clone(),
            clusters: self.clusters.clone(),
            groups: self.groups.clone(),
            cluster_names: Arc::clone(&self.cluster_names),
            group_names: Arc::clone(&self.group_names),
        })
    }
}

/// Errors unless the matrix has rows, columns and only finite values.
pub(crate) fn check_finite(x: ArrayView2<f32>) -> Result<()> {
    if x.is_empty() {
        return Err(Error::Empty { rows: x.nrows(), columns: x.ncols() });
    }
    match x.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), value)) => Err(Error::NonFinite { row, column, value: f64::from(*value) }),
        None => Ok(()),
    }
}

/// Errors unless two per-row arrays have one length.
pub(crate) fn check_rows(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Rows { what, expected, found }) }
}

/// Errors unless both classes have a row.
pub(crate) fn check_both_classes(what: &str, labels: &[bool]) -> Result<()> {
    let positives = count_positive(labels);
    let negatives = labels.len() - positives;
    if positives > 0 && negatives > 0 {
        return Ok(());
    }
    Err(Error::OneClass { what: what.to_owned(), positives, negatives })
}

/// Number of true labels.
pub(crate) fn count_positive(labels: &[bool]) -> usize {
    labels.iter().filter(|label| **label).count()
}

fn numbered<S: AsRef<str>>(names: &[S]) -> (Arc<[String]>, Vec<usize>) {
    let mut number: BTreeMap<&str, usize> = names.iter().map(|name| (name.as_ref(), 0)).collect();
    for (index, value) in number.values_mut().enumerate() {
        *value = index;
    }
    let of_rows = names.iter().map(|name| number[name.as_ref()]).collect();
    (number.keys().map(|name| (*name).to_owned()).collect(), of_rows)
}

fn present(numbers: &[usize], n: usize) -> Vec<usize> {
    let mut seen = vec![false; n];
    for number in numbers {
        seen[*number] = true;
    }
    (0..n).filter(|number| seen[*number]).collect()
}
