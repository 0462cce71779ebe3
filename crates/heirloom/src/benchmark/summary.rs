//! The end of a benchmark on the terminal: how often verdicts were right, then where they were not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use heirloom_record::{Case, Metric};

const COLUMNS: [(&str, &str); 5] = [
    ("origin_right_where_planted", "origin right"),
    ("origin_wrong", "origin wrong"),
    ("hypothesis_right", "hypothesis right"),
    ("hypothesis_wrong", "hypothesis wrong"),
    ("false_alarm", "false alarms"),
];

/// What a stranger should read first.
pub(super) fn summary(cases: &[Case], metrics: &[Metric], folder: &Path) -> String {
    let mut out = String::from("How often verdicts are right, over worlds whose origins are known\n\n");
    let _ = write!(out, "  {:<20}{:<12}{:<10}", "from", "arms", "students");
    for (_, title) in COLUMNS {
        let _ = write!(out, "{title:>24}");
    }
    out.push('\n');
    let mut lines: BTreeMap<(String, String, String), BTreeMap<&str, String>> = BTreeMap::new();
    for row in metrics {
        let key = [&row.method, &row.arm, &row.scored_on].map(|text| text.clone().unwrap_or_default());
        let [method, arms, students] = key;
        if let (Some(value), Some(low), Some(high), Some(n)) = (row.value, row.low, row.high, row.n) {
            let cell = format!("{value:.2} [{low:.2}, {high:.2}] n={n}");
            lines.entry((method, arms, students)).or_default().insert(row.metric.as_str(), cell);
        }
    }
    for ((method, arms, students), cells) in &lines {
        let students = students.split(' ').next().unwrap_or_default();
        let _ = write!(out, "  {method:<20}{arms:<12}{students:<10}");
        for (metric, _) in COLUMNS {
            let _ = write!(out, "{:>24}", cells.get(metric).map_or("–", String::as_str));
        }
        out.push('\n');
    }
    out.push_str("\nVerdicts from all arms and all seeds, by world\n\n");
    let most = cases.iter().map(|case| case.students).max().unwrap_or(0);
    let mut worlds: BTreeMap<(&str, &str, &str), BTreeMap<String, usize>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.arms == "all" && case.students == most) {
        let verdict = format!("{} / {}", case.named_origin, case.named_hypothesis);
        let key = (case.world.as_str(), case.behavior.as_str(), case.measure.as_str());
        *worlds.entry(key).or_default().entry(verdict).or_default() += 1;
    }
    for ((world, behavior, measure), verdicts) in worlds {
        let truth = cases.iter().find(|case| case.world == world && case.behavior == behavior);
        let truth = truth.map_or(String::new(), |case| {
            format!("{} / {}", case.origin, case.hypothesis.as_deref().unwrap_or("–"))
        });
        let said: Vec<String> = verdicts.iter().map(|(verdict, n)| format!("{n} × {verdict}")).collect();
        let _ = writeln!(out, "  {world:<24}{behavior:<18}{measure:<20}{truth:<36}{}", said.join(", "));
    }
    let _ = writeln!(
        out,
        "\n[low, high]: Wilson's 95 % as if cases were independent; those of one seed share random streams, those of one world a story.
origin right: where one is planted; false alarms: where none is\n\n{}",
        folder.display()
    );
    out.push_str("  cases.csv, cases.parquet   every verdict beside what is known\n  table.csv, table.parquet   the shares above\n  figures/verdicts.svg, .pdf, .png  how often each verdict was named\n");
    out
}
