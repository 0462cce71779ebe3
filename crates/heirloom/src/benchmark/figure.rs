//! Cases → what is drawn of them: how often each verdict was named, world by world.

use heirloom_figure::{Behavior, Drawing, FigureSpec, VERDICTS, VerdictTableSpec};
use heirloom_record::{Case, Metric};

/// The verdicts from rates, all arms and all seeds of students, with what is drawn: a row for each behavior of each world.
pub(crate) fn drawing(cases: &[Case]) -> (Drawing, Vec<Metric>) {
    let most = cases.iter().map(|case| case.students).max();
    let whole: Vec<&Case> = cases
        .iter()
        .filter(|case| case.measure == "rates" && case.arms == "all" && Some(case.students) == most)
        .collect();
    let (mut behaviors, mut rows): (Vec<Behavior>, Vec<Metric>) = (vec![], vec![]);
    for case in &whole {
        let label = format!("{}: {}", case.world, case.behavior);
        if behaviors.iter().any(|behavior| behavior.name == label) {
            continue;
        }
        let own =
            || whole.iter().filter(|other| other.world == case.world && other.behavior == case.behavior);
        let n = own().count();
        for (name, _) in VERDICTS {
            let named = own().filter(|other| other.named_hypothesis == name).count();
            rows.push(Metric {
                behavior: label.clone(),
                metric: format!("verdict_{name}"),
                value: Some(named as f64 / n as f64),
                n: i64::try_from(n).ok(),
                ..Metric::default()
            });
        }
        behaviors.push(Behavior::named(label));
    }
    let probability = "share of the world's seeds in which the verdict from rates names it";
    let spec = VerdictTableSpec { behaviors, probability: probability.into(), unit: "seeds".into() };
    (Drawing::new("verdicts", FigureSpec::VerdictTable(spec)), rows)
}
