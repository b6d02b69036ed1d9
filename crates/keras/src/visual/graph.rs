//! A model's graph as a picture (`keras.utils.plot_model`, Keras 3.15.1).

use std::path::Path;

use keras_spec::{Call, Error, LayerRef, Result, TensorSpec};
use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;

use crate::class::builders;
use crate::models::{Functional, Model};

/// How many calls of layers a picture has room for.
const MAX_BOXES: usize = 1200;

/// How many tensors.
const MAX_ARROWS: usize = 5000;

/// What the picture shows beside names: the arguments of `plot_model` (`keras.utils.plot_model`, Keras 3.15.1).
///
/// A box is a call of a layer, an arrow a tensor. A model inside the model is one box, as with `expand_nested=False`: the
/// library that places the boxes has no clusters. [`Model::summary_text`] lists what is inside.
#[derive(Clone, Copy, Debug)]
pub struct PlotModel {
    show_shapes: bool,
    show_dtype: bool,
    left_to_right: bool,
}

impl Default for PlotModel {
    fn default() -> Self {
        PlotModel { show_shapes: true, show_dtype: false, left_to_right: false }
    }
}

impl PlotModel {
    /// Names, classes and output shapes, from top to bottom.
    pub fn new() -> Self {
        PlotModel::default()
    }

    builders! {
        /// Whether boxes have output shapes.
        show_shapes = bool;
        /// Whether boxes have dtypes.
        show_dtype = bool;
        /// Whether the graph runs from left to right instead of from top to bottom.
        left_to_right = bool;
    }

    fn label(self, layer: &LayerRef, outputs: &[TensorSpec]) -> String {
        let mut lines = vec![format!("{} ({})", layer.name(), layer.class().name)];
        if self.show_shapes {
            let shapes: Vec<String> = outputs.iter().map(|s| s.shape.to_string()).collect();
            lines.push(shapes.join(", "));
        }
        if self.show_dtype {
            lines.push(layer.policy().name());
        }
        lines.join("\n")
    }
}

impl Model {
    /// The model's graph as an SVG picture.
    ///
    /// # Errors
    /// If a layer's output shape cannot be inferred, or there are more than 1,200 boxes or 5,000 arrows.
    pub fn plot_svg(&self, options: PlotModel) -> Result<String> {
        self.check_size()?;
        let orientation = match options.left_to_right {
            true => Orientation::LeftToRight,
            false => Orientation::TopToBottom,
        };
        let mut picture = VisualGraph::new(orientation);
        let add = |picture: &mut VisualGraph, label: String| {
            let width = label.lines().map(|l| l.chars().count()).max().unwrap_or(1);
            let size = Point::new(9.0 * width as f64 + 20.0, 20.0 * label.lines().count() as f64 + 16.0);
            let shape = ShapeKind::new_box(&label);
            picture.add_node(Element::create(shape, StyleAttr::simple(), orientation, size))
        };
        if let Some(graph) = self.as_layer().downcast::<Functional>() {
            let mut handles = std::collections::HashMap::new();
            for node in graph.nodes() {
                let handle = add(&mut picture, options.label(node.layer(), node.outputs()));
                handles.insert(node.id(), handle);
                for t in node.tensors() {
                    if let Some(from) = handles.get(&t.node().id()) {
                        picture.add_edge(Arrow::simple(""), *from, handle);
                    }
                }
            }
        } else {
            let mut specs: Vec<TensorSpec> = self.inputs()?.into_iter().map(|(_, s)| s).collect();
            let mut last = None;
            for layer in self.layers() {
                specs = layer.output_spec(&specs, &Call::inference())?;
                let handle = add(&mut picture, options.label(&layer, &specs));
                if let Some(last) = last.replace(handle) {
                    picture.add_edge(Arrow::simple(""), last, handle);
                }
            }
        }
        let mut svg = SVGWriter::new();
        picture.do_it(false, false, false, &mut svg);
        Ok(svg.finalize())
    }

    /// Refuses pictures that take the library longer than anybody waits: its time goes by more than the square of their size.
    fn check_size(&self) -> Result<()> {
        let (boxes, arrows) = match self.as_layer().downcast::<Functional>() {
            Some(graph) => (graph.nodes().len(), graph.nodes().iter().map(|node| node.tensors().len()).sum()),
            None => (self.layers().len(), 0),
        };
        if boxes > MAX_BOXES || arrows > MAX_ARROWS {
            let why = format!(
                "a picture has at most {MAX_BOXES} boxes and {MAX_ARROWS} arrows, this one would have {boxes} and \
                 {arrows}; `summary` lists the layers"
            );
            return Err(Error::other(why));
        }
        Ok(())
    }

    /// Writes the model's graph to an SVG file.
    ///
    /// # Errors
    /// If the file cannot be written or a layer's output shape cannot be inferred.
    pub fn plot(&self, path: impl AsRef<Path>, options: PlotModel) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.plot_svg(options)?)
            .map_err(|e| Error::other(format!("{}: {e}", path.display())))
    }
}
