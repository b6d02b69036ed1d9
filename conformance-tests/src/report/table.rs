//! A report as text.

use std::collections::BTreeMap;
use std::fmt;

use super::{Count, Report, Status};
use crate::tier::Tier;

/// Rows of counts under a heading.
struct Table<const N: usize> {
    heading: [&'static str; N],
    rows: Vec<([String; N], Count)>,
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |i: usize| {
            let cells = self.rows.iter().map(|(names, _)| names[i].chars().count());
            cells.max().unwrap_or(0).max(self.heading[i].len())
        };
        for (i, name) in self.heading.iter().enumerate() {
            write!(f, "{name:w$}  ", w = width(i))?;
        }
        writeln!(f, "passed  failed  unsupported  known bugs  largest error")?;
        for (names, Count { passed, failed, unsupported, bugs, error }) in &self.rows {
            for (i, name) in names.iter().enumerate() {
                write!(f, "{name:w$}  ", w = width(i))?;
            }
            writeln!(f, "{passed:6}  {failed:6}  {unsupported:11}  {bugs:10}  {error:13.3}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    /// Tables by kind and class and by tier, what did not pass, the level of the specification, and last the line `N passed, N failed, N skipped`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: BTreeMap<(&str, &str), Count> = BTreeMap::new();
        for c in &self.cases {
            rows.entry((&c.kind, &c.class_name)).or_default().add(c);
        }
        let rows = rows.into_iter().map(|((a, b), count)| ([a.to_owned(), b.to_owned()], count));
        writeln!(f, "{}", Table { heading: ["kind", "class"], rows: rows.collect() })?;
        let tiers = Tier::ALL.into_iter().filter_map(|tier| {
            let count = Count::of(self.cases.iter().filter(|c| c.tier == tier));
            let state = if count.passed == count.total() { "complete" } else { "" };
            (count.total() > 0).then(|| ([tier.name().to_owned(), state.to_owned()], count))
        });
        write!(f, "{}", Table { heading: ["tier", ""], rows: tiers.collect() })?;
        for c in self.cases.iter().filter(|c| c.status != Status::Passed) {
            write!(f, "\n{}\n", c.explained())?;
        }
        writeln!(f, "\nspecification level {}", crate::level())?;
        let count = self.count();
        write!(f, "\n{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let outcome = |status| Outcome {
            id: "a/b".to_owned(),
            tier: Tier::Layers,
            kind: "layer".to_owned(),
            class_name: "Dense".to_owned(),
            file: "a.json".to_owned(),
            status,
            error: 0.5,
            fused: Vec::new(),
            rerun: None,
            failure: None,
        };
        let cases = vec![
            outcome(Status::Passed),
            outcome(Status::Failed("no".to_owned())),
            outcome(Status::Bug("known".to_owned())),
        ];
        let report = Report { backend: "ndarray".to_owned(), cases, ..Report::default() };
        let text = report.to_string();
        assert!(text.ends_with("\n1 passed, 1 failed, 1 skipped"), "{text}");
        assert!(!text.contains("complete"), "{text}");
        assert!(!report.is_success() && !Report::default().is_success());
        let json = report.to_json().unwrap();
        let read: Report = serde_json::from_str(&json).unwrap();
        assert!(json.contains(r#""status": "failed""#) && read.count() == report.count());
    }
}
