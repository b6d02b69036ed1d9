//! Puts what `cargo bench -p benches` has measured into the tables of `docs/src/performance.md`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use benches::OURS;
use serde_json::Value;

const BEGIN: &str = "<!-- measured: begin (written by `cargo run --release -p benches`) -->";
const END: &str = "<!-- measured: end -->";

/// Two medians, in nanoseconds.
struct Row {
    group: String,
    case: String,
    ours: f64,
    peer: String,
    theirs: f64,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // target/release/benches
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("the program is not in a target directory")?;
    let rows = read(&target.join("criterion"))?;
    if rows.is_empty() {
        return Err("there are no measurements: run `cargo bench -p benches` first".into());
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/performance.md");
    let text = fs::read_to_string(&page)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("the page has no place for the tables")?;
    let (_, after) = rest.split_once(END).ok_or("the place for the tables has no end")?;
    fs::write(&page, format!("{before}{BEGIN}\n\n{}\n{END}{after}", tables(&rows)?))?;
    println!("{} comparisons written to {}", rows.len(), page.display());
    Ok(())
}

/// All folders that have a measurement, at any depth.
fn measurements(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with("new") {
            found.push(path);
        } else if path.is_dir() {
            measurements(&path, found)?;
        }
    }
    Ok(())
}

/// What criterion has left in its folder, as pairs.
fn read(folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut folders = Vec::new();
    if folder.is_dir() {
        measurements(folder, &mut folders)?;
    }
    let mut medians: BTreeMap<(String, String), BTreeMap<String, f64>> = BTreeMap::new();
    for folder in folders {
        let json = |name: &str| -> Result<Value, Box<dyn Error>> {
            Ok(serde_json::from_str(&fs::read_to_string(folder.join(name))?)?)
        };
        let (benchmark, estimates) = (json("benchmark.json")?, json("estimates.json")?);
        let text = |key: &str| benchmark[key].as_str().unwrap_or_default().to_owned();
        let median = estimates["median"]["point_estimate"].as_f64().ok_or("an estimate without a median")?;
        medians.entry((text("group_id"), text("value_str"))).or_default().insert(text("function_id"), median);
    }
    let pair = |((group, case), mut sides): ((String, String), BTreeMap<String, f64>)| {
        let ours = sides.remove(OURS)?;
        let (peer, theirs) = sides.pop_first()?;
        Some(Row { group, case, ours, peer, theirs })
    };
    Ok(medians.into_iter().filter_map(pair).collect())
}

fn tables(rows: &[Row]) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let threads = std::thread::available_parallelism()?;
    writeln!(out, "{}, {threads} threads, {}; medians. Below 1 this project is faster.\n", cpu(), today()?)?;
    writeln!(out, "| | | keras | peer | ratio |\n|---|---|--:|--:|--:|")?;
    for row in rows {
        let Row { group, case, ours, peer, theirs } = row;
        let (ours, theirs) = (duration(*ours), duration(*theirs));
        writeln!(out, "| {group} | {case} | {ours} | {peer} {theirs} | {:.2} |", row.ratio())?;
    }
    writeln!(out, "\nSlower than the peer, by the time lost:\n")?;
    writeln!(out, "| | | lost | ratio |\n|---|---|--:|--:|")?;
    let mut slower: Vec<&Row> = rows.iter().filter(|row| row.ratio() > 1.0).collect();
    slower.sort_by(|a, b| (b.ours - b.theirs).total_cmp(&(a.ours - a.theirs)));
    for row in slower {
        let lost = duration(row.ours - row.theirs);
        writeln!(out, "| {} | {} | {lost} | {:.2} |", row.group, row.case, row.ratio())?;
    }
    Ok(out)
}

fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n => (n / 1e6, "ms"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// The processor's name, where Linux tells it.
fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

/// The date in the Gregorian calendar (UTC).
fn today() -> Result<String, Box<dyn Error>> {
    let mut days = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / 86400;
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    Ok(format!("{year}-{:02}-{:02}", month + 1, days + 1))
}
