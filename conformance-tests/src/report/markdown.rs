//! Several reports side by side, as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Count, Outcome, Report, Route};
use crate::tier::Tier;

/// A page with the score of each backend, then what it does of every tier, layer and operation.
pub fn markdown(reports: &[Report]) -> String {
    let mut out = String::from("# Conformance\n\n");
    let score = |r: &Report| {
        let count = r.count();
        format!("{} of {}", count.passed, count.total())
    };
    table(&mut out, "tests that pass", reports, [("all".to_owned(), reports.iter().map(score).collect())]);
    out.push_str("\n## Tiers\n\n");
    let tier = |tier: Tier| (tier.name().to_owned(), cells(reports, |o| o.tier == tier));
    table(&mut out, "tier", reports, Tier::ALL.map(tier));
    out.push_str("\n## Layers\n\nGolden vectors, gradients included, and the life of a layer. *fused*: fused operations of the \
                  backend's own took part.\n\n");
    let is_layer = |o: &&Outcome| o.kind == "layer" || o.kind == "life";
    let all = reports.iter().flat_map(|r| &r.cases);
    let classes: BTreeSet<&str> = all.filter(is_layer).map(|o| o.class_name.as_str()).collect();
    let row = |&class: &&str| {
        let cells = reports.iter().map(|r| {
            let tests = || r.cases.iter().filter(is_layer).filter(|o| o.class_name == class);
            let own = |name: &String| r.routes.get(name) == Some(&Route::Fused);
            let fused = if tests().flat_map(|o| &o.fused).any(own) { ", fused" } else { "" };
            format!("{}{fused}", cell(Count::of(tests())))
        });
        (class.to_owned(), cells.collect())
    };
    table(&mut out, "layer", reports, classes.iter().map(row));
    out.push_str("\n## Operations\n\n");
    if reports.iter().flat_map(|r| r.routes.values()).any(|route| matches!(route, Route::Partly { .. })) {
        out.push_str("*native N of M*: of M pairs of a function and a dtype.\n\n");
    }
    let names: BTreeSet<&String> = reports.iter().flat_map(|r| r.routes.keys()).collect();
    let row = |&name: &&String| {
        let how = |r: &Report| r.routes.get(name).map(ToString::to_string).unwrap_or_default();
        (name.clone(), reports.iter().map(how).collect())
    };
    table(&mut out, "operation", reports, names.iter().map(row));
    not_passed(&mut out, reports);
    out
}

fn table(
    out: &mut String,
    heading: &str,
    reports: &[Report],
    rows: impl IntoIterator<Item = (String, Vec<String>)>,
) {
    let backends: Vec<&str> = reports.iter().map(|r| r.backend.as_str()).collect();
    let line = |first: &str, rest: &str| format!("| {first} | {rest} |\n");
    out.push_str(&line(heading, &backends.join(" | ")));
    out.push_str(&line("---", &vec!["---"; backends.len()].join(" | ")));
    for (name, cells) in rows {
        out.push_str(&line(&name, &cells.join(" | ")));
    }
}

fn cells(reports: &[Report], belongs: impl Fn(&Outcome) -> bool) -> Vec<String> {
    reports.iter().map(|r| cell(Count::of(r.cases.iter().filter(|o| belongs(o))))).collect()
}

/// `pass`, or what else there is.
fn cell(count: Count) -> String {
    let parts =
        [(count.failed, "failed"), (count.unsupported, "unsupported"), (count.bugs, "expected to fail")];
    let wrong: Vec<String> =
        parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    match (count.total(), wrong.is_empty()) {
        (0, _) => String::new(),
        (n, true) => format!("pass ({n})"),
        (n, false) => format!("{} of {n}", wrong.join(", ")),
    }
}

/// Every test that does not pass, by its reason.
fn not_passed(out: &mut String, reports: &[Report]) {
    for report in reports {
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for o in &report.cases {
            if let Some(why) = o.status.reason() {
                by_reason.entry(why.lines().next().unwrap_or_default()).or_default().push(&o.id);
            }
        }
        if by_reason.is_empty() {
            continue;
        }
        let _ = write!(out, "\n## What does not pass on {}\n\n", report.backend);
        for (why, ids) in by_reason {
            let shown: Vec<String> = ids.iter().take(5).map(|id| format!("`{id}`")).collect();
            let more = if ids.len() > 5 { format!(" and {} more", ids.len() - 5) } else { String::new() };
            let _ = writeln!(out, "- {why}: {}{more}", shown.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    fn outcome(tier: Tier, kind: &str, class: &str, status: Status) -> Outcome {
        Outcome {
            id: format!("{class}/1"),
            tier,
            kind: kind.to_owned(),
            class_name: class.to_owned(),
            file: String::new(),
            status,
            error: 0.0,
            fused: Vec::new(),
            rerun: None,
            failure: None,
        }
    }

    #[test]
    fn backends_stand_side_by_side() {
        let report = |backend: &str, status: Status, route: Route| Report {
            backend: backend.to_owned(),
            routes: BTreeMap::from([("dense".to_owned(), route)]),
            cases: vec![
                Outcome {
                    fused: vec!["dense".to_owned()],
                    ..outcome(Tier::Layers, "layer", "Dense", Status::Passed)
                },
                outcome(Tier::Layers, "life", "Dense", status),
            ],
        };
        let a = report("a", Status::Passed, Route::Fused);
        let b = report("b", Status::Unsupported("no such dtype".to_owned()), Route::Composed);
        let mut page = markdown(&[a.clone(), b]);
        let c = report("c", Status::Passed, Route::Partly { native: 2, of: 3 });
        page += &markdown(&[a, c]);
        for line in [
            "| all | 2 of 2 | 1 of 2 |",
            "| layers | pass (2) | 1 unsupported of 2 |",
            "| Dense | pass (2), fused | 1 unsupported of 2 |",
            "| dense | fused | composed |",
            "| dense | fused | native 2 of 3, else via host |",
            "- no such dtype: `Dense/1`",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }
}
