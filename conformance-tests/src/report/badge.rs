//! A badge for a README.

use super::Report;

/// Width of a character of the badge's font, on average.
const CHARACTER: usize = 7;

/// An SVG with the share of tests that pass; green where all do.
pub fn badge(report: &Report) -> String {
    let count = report.count();
    let share = count.passed as f64 / count.total().max(1) as f64;
    // Rounded down: only what is complete is 100 %.
    let value = format!("{} %", (share * 1000.0).floor() / 10.0);
    let color = match share {
        1.0 => "#2e8b57",
        s if s >= 0.9 => "#b8860b",
        _ => "#b22222",
    };
    let label = "Keras conformance";
    let [left, right] = [label, &value].map(|text| text.chars().count() * CHARACTER + 12);
    let (width, middle_left, middle_right) = (left + right, left / 2, left + right / 2);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {value}">
<title>{label}: {value}</title>
<rect width="{left}" height="20" fill="#555"/>
<rect x="{left}" width="{right}" height="20" fill="{color}"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{middle_left}" y="14">{label}</text>
<text x="{middle_right}" y="14">{value}</text>
</g>
</svg>
"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Outcome, Status};
    use crate::tier::Tier;

    #[test]
    fn only_what_is_complete_is_green() {
        let outcome = |status| Outcome {
            id: String::new(),
            tier: Tier::Core,
            kind: String::new(),
            class_name: String::new(),
            file: String::new(),
            status,
            error: 0.0,
            fused: Vec::new(),
            rerun: None,
            failure: None,
        };
        let mut report = Report { cases: vec![outcome(Status::Passed); 2000], ..Report::default() };
        assert!(badge(&report).contains("100 %") && badge(&report).contains("#2e8b57"));
        report.cases.push(outcome(Status::Bug("why".to_owned())));
        assert!(badge(&report).contains("99.9 %"));
        assert!(badge(&Report::default()).contains("0 %"));
    }
}
