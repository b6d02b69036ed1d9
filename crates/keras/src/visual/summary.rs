//! `Model.summary()` as Keras 3.15.1 prints it.

use std::collections::HashSet;

use keras_spec::{Call, LayerRef, Result, TensorSpec, Variable};

use crate::class::builders;
use crate::models::{Chain, Functional, KerasTensor, Model, Node, Places};

/// The arguments of `summary` (`keras.Model.summary`, Keras 3.15.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    line_length: Option<usize>,
    expand_nested: bool,
    show_trainable: bool,
}

impl Summary {
    /// Keras's defaults.
    pub fn new() -> Self {
        Summary::default()
    }

    builders! {
        /// The width of the table; 88 or more, as columns need, unless given.
        some line_length = usize;
        /// Whether the layers of nested models are listed.
        expand_nested = bool;
        /// Whether a column says which layers are trained.
        show_trainable = bool;
    }
}

impl Model {
    /// Prints the layers with their output shapes and numbers of parameters.
    ///
    /// # Errors
    /// If a layer's output shape cannot be inferred.
    pub fn summary(&self) -> Result<()> {
        print!("{}", self.summary_text(Summary::new())?);
        Ok(())
    }

    /// What [`summary`](Model::summary) prints.
    ///
    /// # Errors
    /// If a layer's output shape cannot be inferred, or the line length leaves no room for a column.
    pub fn summary_text(&self, options: Summary) -> Result<String> {
        let graph = self.as_layer().downcast::<Functional>();
        let places = graph.map(Places::new);
        let branching = graph.zip(places.as_ref()).filter(|(graph, places)| branches(graph, places));
        let mut header = vec!["Layer (type)", "Output Shape", "Param #"];
        let mut positions = vec![0.45, 0.80, 1.0];
        let mut length = 88;
        if branching.is_some() {
            header.push("Connected to");
            positions = vec![0.3, 0.56, 0.74, 1.0];
            length = 108;
        }
        if options.show_trainable {
            header.push("Trainable");
            positions.iter_mut().for_each(|p| *p *= 0.9);
            positions.push(1.0);
            length += 12;
        }
        let widths = widths(&positions, options.line_length.unwrap_or(length))?;
        let mut rows = Vec::new();
        let layers = branching.map_or_else(|| self.layers(), |(graph, _)| graph.operations().to_vec());
        let branching = branching.map(|(_, places)| places);
        for layer in layers {
            add_rows(&layer, "", branching, options, &mut rows)?;
        }
        let mut out = format!("Model: \"{}\"\n{}", self.name(), table(&header, &rows, &widths));
        let all = self.weights();
        let (trained, fixed): (Vec<_>, Vec<_>) = all.iter().partition(|w| w.trainable());
        let state = self.compiled.as_ref().map(|c| c.optimizer.variables()).unwrap_or_default();
        let total: Vec<&Variable> = all.iter().chain(&state).collect();
        let mut line = |name: &str, variables: &[&Variable]| {
            let count: usize = variables.iter().map(|v| v.shape().size()).sum();
            let bytes: usize = variables.iter().map(|v| v.shape().size() * v.dtype().size()).sum();
            out.push_str(&format!(" {name}: {} ({})\n", thousands(count), memory(bytes)));
        };
        line("Total params", &total);
        line("Trainable params", &trained);
        line("Non-trainable params", &fixed);
        if !state.is_empty() {
            line("Optimizer params", &state.iter().collect::<Vec<_>>());
        }
        Ok(out)
    }
}

/// Whether a graph is more than a chain of layers.
fn branches(graph: &Functional, places: &Places) -> bool {
    let mut read = HashSet::new();
    let mut read_before = |n: &Node| n.tensors().iter().any(|t| !read.insert(t.node().id()));
    graph.inputs().len() > 1
        || graph.outputs().len() > 1
        || graph.layers().iter().any(|l| places.nodes_of(l).len() > 1)
        || graph.nodes().iter().any(|n| n.tensors().len() > 1 || read_before(n))
}

fn add_rows(
    layer: &LayerRef,
    prefix: &str,
    graph: Option<&Places>,
    options: Summary,
    rows: &mut Vec<Vec<String>>,
) -> Result<()> {
    let params = match layer.is_built() {
        true => thousands(layer.count_params()),
        false => "0 (unbuilt)".to_owned(),
    };
    let mut row =
        vec![format!("{prefix}{} ({})", layer.name(), layer.class().name), shape(layer, graph)?, params];
    if let Some(graph) = graph {
        row.push(connections(layer, graph));
    }
    if options.show_trainable {
        let mark = match (layer.weights().is_empty(), layer.is_trainable()) {
            (true, _) => "-",
            (false, true) => "Y",
            (false, false) => "N",
        };
        row.push(mark.to_owned());
    }
    rows.push(row);
    if options.expand_nested {
        let inner = match (layer.downcast::<Functional>(), layer.downcast::<Chain>()) {
            (Some(f), _) => f.layers(),
            (_, Some(c)) => c.layers(),
            _ => &[],
        };
        let prefix = match prefix.strip_suffix("└ ") {
            Some(indent) => format!("{indent}   └ "),
            None => "   └ ".to_owned(),
        };
        for l in inner {
            add_rows(l, &prefix, graph, options, rows)?;
        }
    }
    Ok(())
}

fn shape(layer: &LayerRef, graph: Option<&Places>) -> Result<String> {
    let specs = match graph.and_then(|g| g.nodes_of(layer).first()) {
        Some(node) => node.outputs().to_vec(),
        None => match layer.build_shapes() {
            Some(shapes) => {
                let dtype = layer.policy().compute_dtype();
                let specs: Vec<_> = shapes.iter().map(|s| TensorSpec::new(s.clone(), dtype)).collect();
                layer.output_spec(&specs, &Call::inference())?
            }
            None => return Ok("?".to_owned()),
        },
    };
    let all: Vec<String> = specs.iter().map(|s| s.shape.to_string()).collect();
    Ok(if all.len() == 1 { all[0].clone() } else { format!("[{}]", all.join(", ")) })
}

fn connections(layer: &LayerRef, graph: &Places) -> String {
    let read = graph.nodes_of(layer).iter().flat_map(|node| node.tensors());
    let name = |t: &KerasTensor| {
        format!("{}[{}][{}]", t.node().layer().name(), graph.call_of(t).unwrap_or(0), t.index())
    };
    let all: Vec<String> = read.map(name).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// The widths of cells without their padding, shared out as the table printer of the original does.
fn widths(positions: &[f64], length: usize) -> Result<Vec<usize>> {
    let mut widths = Vec::with_capacity(positions.len());
    let mut at = 0;
    for p in positions {
        let end = (p * length as f64) as usize;
        widths.push((end - at) as f64 + 2.0);
        at = end;
    }
    let room = length as f64 - (positions.len() + 1) as f64;
    let mut excess = widths.iter().sum::<f64>() - room;
    let columns = widths.len();
    for (i, w) in widths.iter_mut().enumerate() {
        let share = (excess / (columns - i) as f64).round_ties_even();
        *w -= share;
        excess -= share;
    }
    match widths.iter().all(|&w| w >= 6.0) {
        true => Ok(widths.into_iter().map(|w| w as usize - 2).collect()),
        false => Err(keras_spec::Error::argument("line_length", "room for every column", length)),
    }
}

fn table(header: &[&str], rows: &[Vec<String>], widths: &[usize]) -> String {
    let rule = |left: char, fill: &str, cross: char, right: char| {
        let cells: Vec<String> = widths.iter().map(|w| fill.repeat(w + 2)).collect();
        format!("{left}{}{right}\n", cells.join(&cross.to_string()))
    };
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let mut out = rule('┏', "━", '┳', '┓') + &line(&header, widths, '┃') + &rule('┡', "━", '╇', '┩');
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            out += &rule('├', "─", '┼', '┤');
        }
        out += &line(row, widths, '│');
    }
    out + &rule('└', "─", '┴', '┘')
}

/// A row of cells, as many lines high as its highest cell: the third column to the right, the fifth (or the fourth of
/// four that says Y or N) in the middle.
fn line(cells: &[String], widths: &[usize], border: char) -> String {
    let wrapped: Vec<Vec<String>> = cells.iter().zip(widths).map(|(c, &w)| wrap(c, w)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(1);
    let mut out = String::new();
    for y in 0..height {
        for (x, (cell, &w)) in wrapped.iter().zip(widths).enumerate() {
            let text = cell.get(y).map_or("", String::as_str);
            let centred =
                x + 1 == cells.len() && ["Y", "N", "-", "Trainable"].contains(&cells[x].as_str()) && x > 2;
            let padded = match x {
                2 => format!("{text:>w$}"),
                _ if centred && widths[x] < 14 => format!("{text:^w$}"),
                _ => format!("{text:<w$}"),
            };
            out += &format!("{border} {padded} ");
        }
        out += &format!("{border}\n");
    }
    out
}

/// Breaks text at spaces into lines of at most `width` characters, and inside words that are longer.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut lines = vec![indent.clone()];
    let mut empty = true;
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        let mut word = word.as_slice();
        let last = lines.last().map_or(0, |l| l.chars().count());
        let needed = last + usize::from(!empty) + word.len();
        if needed > width && !empty {
            lines.push(String::new());
            empty = true;
        }
        while word.len() > width {
            let (line, rest) = word.split_at(width);
            if let Some(l) = lines.last_mut() {
                l.extend(line);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(l) = lines.last_mut() {
            if !empty {
                l.push(' ');
            }
            l.extend(word);
        }
        empty = false;
    }
    lines
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn memory(bytes: usize) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for next in ["KB", "MB", "GB", "TB", "PB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.2} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_keras() {
        assert_eq!(widths(&[0.45, 0.80, 1.0], 88), Ok(vec![36, 27, 15]));
        assert_eq!(widths(&[0.27, 0.504, 0.666, 0.9, 1.0], 120), Ok(vec![29, 25, 16, 25, 9]));
    }

    #[test]
    fn text_breaks_at_spaces() {
        assert_eq!(
            wrap("batch_normalization (BatchNormalization)", 36),
            ["batch_normalization", "(BatchNormalization)"]
        );
        assert_eq!(wrap("   └ dense (Dense)", 36), ["   └ dense (Dense)"]);
        assert_eq!(wrap("abcdef", 4), ["abcd", "ef"]);
    }

    #[test]
    fn numbers_read_easily() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(memory(13_352), "13.04 KB");
        assert_eq!(memory(256), "256.00 B");
    }
}
