//! A layer with what it is called on: where its arguments and weights are asked for.

use keras_spec::{Error, HostTensor, LayerRef, PartialShape, Result, TensorSpec};
use serde_json::Value as Json;

use super::graph::{Graph, Value};
use super::unsupported;
use crate::saving::json;

/// A call of a layer.
pub(super) struct Site<'a> {
    pub(super) layer: &'a LayerRef,
    pub(super) config: Json,
    pub(super) inputs: &'a [Value],
    /// What the layer says of its results.
    pub(super) outputs: Vec<TensorSpec>,
}

impl Site<'_> {
    /// The only input.
    pub(super) fn input(&self) -> Result<&Value> {
        self.inputs.first().ok_or_else(|| Error::other("a layer without an input"))
    }

    /// The shape of the first result.
    pub(super) fn output_shape(&self) -> Result<&PartialShape> {
        self.outputs.first().map(|s| &s.shape).ok_or_else(|| Error::other("a layer without a result"))
    }

    pub(super) fn unsupported(&self, what: impl std::fmt::Display) -> Error {
        unsupported(self.layer, what)
    }

    pub(super) fn argument(&self, name: &str) -> &Json {
        self.config.get(name).unwrap_or(&Json::Null)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.argument(name).as_bool().unwrap_or(false)
    }

    pub(super) fn number(&self, name: &str) -> Result<f64> {
        json::to_f64(self.argument(name)).ok_or_else(|| self.wrong(name))
    }

    pub(super) fn text(&self, name: &str) -> Result<&str> {
        self.argument(name).as_str().ok_or_else(|| self.wrong(name))
    }

    /// An integer or a list of them, `rank` in number.
    pub(super) fn sizes(&self, name: &str, rank: usize) -> Result<Vec<i64>> {
        let value = self.argument(name);
        let list: Option<Vec<i64>> = match value {
            Json::Array(list) => list.iter().map(Json::as_i64).collect(),
            one => one.as_i64().map(|n| vec![n; rank]),
        };
        list.filter(|l| l.len() == rank).ok_or_else(|| self.wrong(name))
    }

    fn wrong(&self, name: &str) -> Error {
        self.unsupported(format!("`{name}` is {}", self.argument(name)))
    }

    /// A weight of the layer, or of a layer inside it, by its name.
    pub(super) fn weight(&self, name: &str) -> Result<HostTensor> {
        self.optional_weight(name)?.ok_or_else(|| self.unsupported(format!("it has no weight `{name}`")))
    }

    pub(super) fn optional_weight(&self, name: &str) -> Result<Option<HostTensor>> {
        let found = self.layer.weights().into_iter().find(|w| w.name() == name);
        found.map(|w| w.get().to_host()).transpose()
    }

    /// Whether the spatial dimensions stand before the channels.
    pub(super) fn channels_last(&self) -> bool {
        self.argument("data_format").as_str() != Some("channels_first")
    }

    /// Runs `write` on the input with the channels first, and puts those of its result where the layer has them.
    pub(super) fn channels_first(
        &self,
        graph: &mut Graph,
        write: impl FnOnce(&mut Graph, &str) -> Result<String>,
    ) -> Result<String> {
        let x = self.input()?;
        if !self.channels_last() {
            return write(graph, &x.name);
        }
        let rank = x.rank() as i64;
        let forth: Vec<i64> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let back: Vec<i64> = [0].into_iter().chain(2..rank).chain([1]).collect();
        let first = graph.node("Transpose", &[&x.name], vec![super::proto::Attribute::ints("perm", &forth)]);
        let result = write(graph, &first)?;
        Ok(graph.node("Transpose", &[&result], vec![super::proto::Attribute::ints("perm", &back)]))
    }

    /// The axes between the batch and the channels.
    pub(super) fn spatial_axes(&self) -> Result<Vec<i64>> {
        let rank = self.input()?.rank() as i64;
        Ok(if self.channels_last() { (1..rank - 1).collect() } else { (2..rank).collect() })
    }
}
