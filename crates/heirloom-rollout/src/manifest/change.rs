//! What an arm changes beside another, in numbers.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Applied, Manifest};
use crate::LengthMatch;

/// Unchanged groups of one kind that are printed one by one; more are counted.
const SHOWN: usize = 8;

/// One number of two arms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sides<T> {
    /// Of the arm that is compared against.
    pub against: T,
    /// Of the arm.
    pub arm: T,
}

/// What an arm changes beside another. Displays as a block of text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Names of the two arms.
    pub names: Sides<String>,
    /// What the arm's interventions did.
    pub applied: Vec<Applied>,
    /// Whether rows are taken in the manifest's order.
    pub ordered: Sides<bool>,
    /// Rows.
    pub rows: Sides<usize>,
    /// Prompts among them.
    pub prompts: Sides<usize>,
    /// Tokens of all answers; `None` where nobody counted them.
    pub tokens: Sides<Option<usize>>,
    /// Optimizer steps.
    pub steps: Sides<usize>,
    /// Rows of one optimizer step.
    pub batch_rows: usize,
    /// How often every row is seen.
    pub epochs: usize,
    /// Rows of each source.
    pub sources: BTreeMap<String, Sides<usize>>,
    /// Rows of each teacher.
    pub teachers: BTreeMap<String, Sides<usize>>,
    /// Rows with each tag; a row may have several.
    pub tags: BTreeMap<String, Sides<usize>>,
}

impl Manifest {
    /// What this arm changes beside `against`, trained for `epochs` in batches of `batch_rows`, the last batch of
    /// an epoch being what is left.
    ///
    /// # Panics
    /// If `batch_rows` is 0.
    pub fn describe(&self, against: &Self, batch_rows: usize, epochs: usize) -> Change {
        let both = |count: &dyn Fn(&Self) -> usize| Sides { against: count(against), arm: count(self) };
        let rows = both(&|manifest| manifest.rows.len());
        let steps = |rows: usize| rows.div_ceil(batch_rows) * epochs;
        Change {
            names: Sides { against: against.arm.clone(), arm: self.arm.clone() },
            applied: self.applied.clone(),
            ordered: Sides { against: against.ordered, arm: self.ordered },
            rows,
            prompts: both(&|manifest| manifest.copies().len()),
            tokens: Sides { against: against.n_tokens(), arm: self.n_tokens() },
            steps: Sides { against: steps(rows.against), arm: steps(rows.arm) },
            batch_rows,
            epochs,
            sources: self.shares(against, |row| std::slice::from_ref(&row.source)),
            teachers: self.shares(against, |row| std::slice::from_ref(&row.teacher)),
            tags: self.shares(against, |row| &row.tags),
        }
    }

    fn shares(
        &self,
        against: &Self,
        groups: impl Fn(&super::ManifestRow) -> &[String],
    ) -> BTreeMap<String, Sides<usize>> {
        let mut shares: BTreeMap<String, Sides<usize>> = BTreeMap::new();
        for group in against.rows.iter().flat_map(&groups) {
            shares.entry(group.clone()).or_default().against += 1;
        }
        for group in self.rows.iter().flat_map(&groups) {
            shares.entry(group.clone()).or_default().arm += 1;
        }
        shares
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` beside `{}`", self.names.arm, self.names.against)?;
        for (number, step) in (1..).zip(&self.applied) {
            let Applied { intervention, prompts, of, rows, lengths } = step;
            writeln!(f, "  {number}. {intervention}: {prompts} of {of} prompts, {rows} rows")?;
            for LengthMatch { like, control } in lengths {
                let off = 100.0 * (control / like - 1.0);
                let means = format!("{control:.1} tokens on average for {like:.1} ({off:+.1} %)");
                writeln!(f, "     answers of the control: {means}")?;
            }
        }
        if self.ordered.arm {
            writeln!(f, "  rows are taken in this order, not shuffled")?;
        }
        let rows = self.table();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [name, against, arm, change] = [0, 1, 2, 3].map(width);
        for (index, [a, b, c, d]) in rows.iter().enumerate() {
            let line = format!("  {a:<name$}  {b:>against$}  {c:>arm$}  {d:>change$}");
            let end = if index + 1 == rows.len() { "" } else { "\n" };
            write!(f, "{}{end}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Change {
    /// Label, two values and their difference, by line.
    fn table(&self) -> Vec<[String; 4]> {
        let Sides { against, arm } = &self.names;
        let mut table = vec![[String::new(), against.clone(), arm.clone(), "change".into()]];
        let steps = format!("steps (batches of {}, {})", self.batch_rows, plural(self.epochs, "epoch"));
        for (label, Sides { against, arm }) in
            [("rows", self.rows), ("prompts", self.prompts), (steps.as_str(), self.steps)]
        {
            table.push([label.into(), against.to_string(), arm.to_string(), relative(against, arm)]);
        }
        let tokens = |side: Option<usize>| side.map_or("not counted".into(), |tokens| tokens.to_string());
        let Sides { against, arm } = self.tokens;
        let change = against.zip(arm).map_or(String::new(), |(against, arm)| relative(against, arm));
        table.insert(3, ["tokens of answers".into(), tokens(against), tokens(arm), change]);
        for (kind, groups) in [("teacher", &self.teachers), ("source", &self.sources), ("tag", &self.tags)] {
            self.push_shares(kind, groups, &mut table);
        }
        table
    }

    fn push_shares(&self, kind: &str, groups: &BTreeMap<String, Sides<usize>>, table: &mut Vec<[String; 4]>) {
        let share = |rows: usize, of: usize| 100.0 * rows as f64 / of.max(1) as f64;
        // Rounded first, so that the change printed is that of the shares printed.
        let tenth = |share: f64| (share * 10.0).round() / 10.0;
        let mut same = 0;
        for (name, Sides { against, arm }) in groups {
            let (against, arm) = (share(*against, self.rows.against), share(*arm, self.rows.arm));
            let change = tenth(arm) - tenth(against);
            let is_same = change.abs() < 0.05;
            same += usize::from(is_same);
            if !is_same || same <= SHOWN {
                let change = if is_same { String::new() } else { format!("{change:+.1}") };
                let [against, arm] = [against, arm].map(|share| format!("{share:.1} %"));
                table.push([format!("{kind} {name}"), against, arm, change]);
            }
        }
        if same > SHOWN {
            let rest = format!("{} more {kind}s, unchanged", same - SHOWN);
            table.push([rest, String::new(), String::new(), String::new()]);
        }
    }
}

fn relative(against: usize, arm: usize) -> String {
    let change = 100.0 * (arm as f64 / against.max(1) as f64 - 1.0);
    match change.abs() {
        _ if against == arm => String::new(),
        0.0..0.1 => format!("{change:+.3} %"),
        _ => format!("{change:+.1} %"),
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
