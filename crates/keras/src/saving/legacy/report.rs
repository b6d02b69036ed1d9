//! The account of how a file was read.

use std::fmt;

use serde::Serialize;

use super::Origin;

/// What happened to an object of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Change {
    /// It goes by another name.
    Renamed,
    /// It says the same in another form.
    Converted,
    /// The file does not say it; a caller who knows better can.
    Guessed,
    /// It has no counterpart, or does not matter.
    Dropped,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Renamed => "renamed",
            Change::Converted => "converted",
            Change::Guessed => "guessed",
            Change::Dropped => "dropped",
        })
    }
}

/// One line of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What happened.
    pub change: Change,
    /// The object it happened to: a layer's name, `optimizer`, `weights`.
    pub object: String,
    /// A sentence that says it.
    pub text: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.change, self.object, self.text)
    }
}

/// Which program wrote a file, and what was changed to read it. Its `Display` has a line for each; serialized it is
/// `{"origin": …, "entries": [{"change", "object", "text"}, …]}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Who wrote the file.
    pub origin: Origin,
    /// What was changed, in the order in which it was met.
    pub entries: Vec<Entry>,
}

impl Report {
    /// An empty report of a file that `origin` wrote.
    pub fn new(origin: Origin) -> Self {
        Report { origin, entries: Vec::new() }
    }

    /// Something goes by another name.
    pub fn renamed(&mut self, object: impl Into<String>, text: impl Into<String>) {
        self.add(Change::Renamed, object.into(), text.into());
    }

    /// Something says the same in another form.
    pub fn converted(&mut self, object: impl Into<String>, text: impl Into<String>) {
        self.add(Change::Converted, object.into(), text.into());
    }

    /// Something had to be guessed. It is warned of through `tracing` too.
    pub fn guessed(&mut self, object: impl Into<String>, text: impl Into<String>) {
        self.add(Change::Guessed, object.into(), text.into());
    }

    /// Something was left out.
    pub fn dropped(&mut self, object: impl Into<String>, text: impl Into<String>) {
        self.add(Change::Dropped, object.into(), text.into());
    }

    /// The entries of one kind.
    pub fn of(&self, change: Change) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| e.change == change)
    }

    /// A layer that stands at several places of a file says the same each time; once is enough.
    fn add(&mut self, change: Change, object: String, text: String) {
        let entry = Entry { change, object, text };
        if self.entries.contains(&entry) {
            return;
        }
        if change == Change::Guessed {
            tracing::warn!("{}: {}", entry.object, entry.text);
        }
        self.entries.push(entry);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "written by {}", self.origin)?;
        self.entries.iter().try_for_each(|entry| write!(f, "\n{entry}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_lines_and_as_json() {
        let mut report = Report::new(Origin::new(Some("2.2.4"), Some("theano")));
        report.renamed("sgd", "`lr` is `learning_rate`");
        report.converted("conv2d_1", "the kernel is turned around");
        report.converted("conv2d_1", "the kernel is turned around");
        let lines = "written by Keras 2.2.4 on theano\n\
                     renamed: sgd: `lr` is `learning_rate`\n\
                     converted: conv2d_1: the kernel is turned around";
        assert_eq!(report.to_string(), lines);
        assert_eq!(report.of(Change::Converted).count(), 1);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["origin"]["version"], "2.2.4");
        assert_eq!(json["entries"][0]["change"], "renamed");
    }
}
