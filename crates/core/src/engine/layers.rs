//! Layers that are alike: tract reads one of them, and the others are that one with other weights.
//!
//! What tract does to a graph takes its time for each node, and an encoder is the same nodes over and over. So all but
//! the first of a row of layers are taken out of the graph before tract sees it, and put back as blocks when it has been
//! found what block the first is (`fuse.rs`). That is the same, since tract has seen nothing of the weights in which the
//! layers differ: they are [opaque](Weight::is_opaque) to it, and whatever else a layer takes is the same for each.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;

use super::proto::{Decoded, has_inner_graphs};
use super::weights::Weight;

/// The weights of another layer, by the names of those that the first has in their places.
pub(super) type Layer = HashMap<String, Arc<Weight>>;

/// The operator that marks where the layer begins, and where it ends.
pub(super) const BORDER: &str = "isovec.Border";

/// The value that the layer is given, behind the mark.
const ENTRY: &str = "isovec.entry";

/// The graph with one layer in the place of several that are alike, if it has such, and the others in order.
pub(super) fn shorten(whole: &Decoded) -> Option<(Decoded, Vec<Layer>)> {
    let Decoded { graph, weights, opset_import } = whole;
    let search = Search::of(graph, weights)?;
    let row = search.row()?;
    let Row { start, length, count, entry, exit, layers } = row;
    let [first, last] = [start, start + (count - 1) * length].map(|of| &graph.node[of + exit.0]);
    let exits = [first.output.get(exit.1)?, last.output.get(exit.1)?];

    let mut node = graph.node[..start].to_vec();
    node.push(border(entry, ENTRY));
    for own in &graph.node[start..start + length] {
        let mut own = own.clone();
        own.input
            .iter_mut()
            .filter(|input| *input == entry)
            .for_each(|input| *input = ENTRY.into());
        node.push(own);
    }
    // What comes behind takes it for what the last layer gives.
    node.push(border(exits[0], exits[1]));
    node.extend_from_slice(&graph.node[start + count * length..]);

    let used: HashSet<&str> = node
        .iter()
        .flat_map(|node| &node.input)
        .chain(graph.output.iter().map(|output| &output.name))
        .map(String::as_str)
        .collect();
    let initializer = graph.initializer.iter().filter(|tensor| used.contains(&*tensor.name));
    let weights = weights.iter().filter(|weight| used.contains(weight.name())).cloned().collect();
    let owned = |(name, weight): (&str, &Weight)| (name.into(), Arc::new(weight.clone()));
    let others = layers.into_iter().map(|layer| layer.into_iter().map(owned).collect()).collect();
    let graph = GraphProto {
        initializer: initializer.cloned().collect(),
        input: graph.input.clone(),
        output: graph.output.clone(),
        node,
        ..GraphProto::default()
    };
    Some((Decoded { opset_import: opset_import.clone(), graph, weights }, others))
}

fn border(from: &str, to: &str) -> NodeProto {
    NodeProto {
        op_type: BORDER.into(),
        input: vec![from.into()],
        output: vec![to.into()],
        ..NodeProto::default()
    }
}

/// Layers that follow each other: `count` times `length` nodes from `start` on.
struct Row<'a> {
    start: usize,
    length: usize,
    count: usize,
    /// The value that the first is given.
    entry: &'a str,
    /// The value that each gives the next: the node in the layer, and which of its outputs.
    exit: (usize, usize),
    /// The weights of all but the first.
    layers: Vec<HashMap<&'a str, &'a Weight>>,
}

struct Search<'a> {
    graph: &'a GraphProto,
    /// Which output of which node each value is.
    producers: HashMap<&'a str, (usize, usize)>,
    weights: HashMap<&'a str, &'a Weight>,
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Search<'a> {
    /// Nothing, if the graph has graphs inside, which may take any value, or a name for two.
    fn of(graph: &'a GraphProto, weights: &'a [Weight]) -> Option<Self> {
        let stored = weights.len() + graph.initializer.len();
        let weights: HashMap<_, _> = weights.iter().map(|weight| (weight.name(), weight)).collect();
        let constants: HashMap<_, _> = graph.initializer.iter().map(|t| (&*t.name, t)).collect();
        if has_inner_graphs(&graph.node) || weights.len() + constants.len() < stored {
            return None;
        }
        let inputs: HashSet<&str> = graph.input.iter().map(|input| &*input.name).collect();
        let mut producers = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            if node.op_type == BORDER {
                return None;
            }
            for (slot, output) in
                node.output.iter().enumerate().filter(|(_, name)| !name.is_empty())
            {
                let name = output.as_str();
                let known = weights.contains_key(name)
                    || constants.contains_key(name)
                    || inputs.contains(name);
                if known || name == ENTRY || producers.insert(name, (index, slot)).is_some() {
                    return None;
                }
            }
        }
        Some(Search { graph, producers, weights, constants })
    }

    /// The layers around the softmaxes that have equal distances. The first may differ from the others, where it makes
    /// what all of them use.
    fn row(&self) -> Option<Row<'a>> {
        let nodes = self.graph.node.iter().enumerate();
        let softmaxes: Vec<usize> =
            nodes.filter(|(_, node)| node.op_type == "Softmax").map(|(index, _)| index).collect();
        (0..2).find_map(|skipped| {
            let of = softmaxes.get(skipped..)?;
            let length = of.get(1)? - of[0];
            let most = 1 + of.windows(2).take_while(|pair| pair[1] - pair[0] == length).count();
            // Nothing but the tokens goes into a layer, so not far before the softmax there are several values: the
            // first place with one is where the layer begins.
            let starts = (of[0] + 1).saturating_sub(length)..=of[0];
            starts.rev().find_map(|start| self.row_from(start, length, most))
        })
    }

    fn row_from(&self, start: usize, length: usize, most: usize) -> Option<Row<'a>> {
        let mut alike =
            Alike { search: self, start, length, entry: None, exit: None, shared: HashSet::new() };
        let layers: Vec<_> = (1..most).map_while(|k| alike.layer(k)).collect();
        let Alike { entry, exit, shared, .. } = alike;
        let (entry, exit) = (entry?, exit?);
        let count = layers.len() + 1;
        let end = start + count * length;
        let last = (start + (count - 1) * length + exit.0, exit.1);
        // Nothing but what the last one gives may be used behind the row.
        let taken = self.graph.node.get(end..)?.iter().flat_map(|node| &node.input);
        let outputs = self.graph.output.iter().map(|output| &output.name);
        let inside = taken.chain(outputs).all(|value| {
            let of = self.producers.get(&**value);
            of.is_none_or(|of| of.0 < start || of.0 >= end || *of == last)
        });
        let is_row = count > 1 && inside && !shared.contains(entry);
        is_row.then_some(Row { start, length, count, entry, exit, layers })
    }
}

/// What is known of layers that begin with a node, when some of them have been compared with the first.
struct Alike<'a, 'b> {
    search: &'b Search<'a>,
    start: usize,
    length: usize,
    entry: Option<&'a str>,
    exit: Option<(usize, usize)>,
    /// The values from before the row that all of them take.
    shared: HashSet<&'a str>,
}

impl<'a> Alike<'a, '_> {
    /// The weights of the layer number `k`, if it is like the first.
    fn layer(&mut self, k: usize) -> Option<HashMap<&'a str, &'a Weight>> {
        let nodes = self.search.graph.node.get(self.start..)?;
        let (first, other) =
            (nodes.get(..self.length)?, nodes.get(k * self.length..(k + 1) * self.length)?);
        let mut weights = HashMap::new();
        for (a, b) in first.iter().zip(other) {
            let same = a.op_type == b.op_type
                && a.domain == b.domain
                && a.attribute == b.attribute
                && a.input.len() == b.input.len()
                && a.output.len() == b.output.len();
            if !same
                || !a.input.iter().zip(&b.input).all(|(a, b)| self.value(k, a, b, &mut weights))
            {
                return None;
            }
        }
        Some(weights)
    }

    /// Whether the value `b` is in the layer number `k` what `a` is in the first.
    fn value(
        &mut self,
        k: usize,
        a: &'a str,
        b: &'a str,
        weights: &mut HashMap<&'a str, &'a Weight>,
    ) -> bool {
        let Search { producers, weights: all, constants, .. } = self.search;
        match (producers.get(a), producers.get(b)) {
            (Some(of_a), Some(of_b)) if of_a.0 >= self.start => {
                of_a.0 < self.start + self.length && (of_a.0 + k * self.length, of_a.1) == *of_b
            }
            (Some(_), Some(_)) if a == b => {
                self.shared.insert(a);
                true
            }
            (Some(_), Some(of_b)) => {
                let before = self.start + (k - 1) * self.length;
                let Some(at) = of_b.0.checked_sub(before).filter(|at| *at < self.length) else {
                    return false;
                };
                let exit = (at, of_b.1);
                *self.entry.get_or_insert(a) == a && *self.exit.get_or_insert(exit) == exit
            }
            (None, None) => match (all.get(a), all.get(b)) {
                (Some(own), Some(other)) => {
                    let alike = a == b || own.is_opaque() && own.is_like(other);
                    alike && std::ptr::eq(*weights.entry(a).or_insert(*other), *other)
                }
                (None, None) => {
                    a == b
                        || constants.get(a).zip(constants.get(b)).is_some_and(|(a, b)| equal(a, b))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// Whether two constants are the same but for their names.
fn equal(a: &TensorProto, b: &TensorProto) -> bool {
    a.dims == b.dims && *b == TensorProto { name: b.name.clone(), ..a.clone() }
}

#[cfg(test)]
mod tests;
