"""Turns a good graph into the variants found in the wild, and into bad ones.

Each edit is a function of a model, so that the encoder's builder stays free
of cases that exist only to be refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def quantize_weights(model: onnx.ModelProto) -> None:
    """Stores every matrix as int8, restored by Cast and Mul before its use.

    Embedding tables carry one scale per row, products one per output column;
    all arithmetic stays in float32.
    """
    initializers, restoring = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
            initializers.append(tensor)
            continue
        axis = 1 if "embeddings" in tensor.name else 0
        value = numpy_helper.to_array(tensor)
        scale = np.abs(value).max(axis=axis, keepdims=True) / np.float32(127)
        quantized = np.rint(value / scale).astype(np.int8)

        name = tensor.name
        initializers.append(numpy_helper.from_array(quantized, f"{name}_q"))
        initializers.append(numpy_helper.from_array(scale, f"{name}_scale"))
        restoring += [
            helper.make_node(
                "Cast",
                [f"{name}_q"],
                [f"{name}_f"],
                name=f"{name}_cast",
                to=TensorProto.FLOAT,
            ),
            helper.make_node(
                "Mul", [f"{name}_f", f"{name}_scale"], [name], name=f"{name}_mul"
            ),
        ]
    _replace(model.graph.initializer, initializers)
    _prepend_nodes(model, restoring)


def list_weights_as_inputs(model: onnx.ModelProto) -> None:
    """Names every weight among the inputs too, as files before IR version 4 do."""
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    )


def guard_probabilities(model: onnx.ModelProto) -> None:
    """Takes probabilities that are no numbers for zero, as torch exports them."""
    nodes = []
    zero = numpy_helper.from_array(np.array(0, dtype=np.float32), "no_probability")
    model.graph.initializer.append(zero)
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Softmax":
            (guarded,) = node.output
            raw, is_nan = f"{guarded}_raw", f"{guarded}_is_nan"
            node.output[0] = raw
            nodes += [
                helper.make_node("IsNaN", [raw], [is_nan], name=f"{node.name}/IsNaN"),
                helper.make_node(
                    "Where",
                    [is_nan, zero.name, raw],
                    [guarded],
                    name=f"{node.name}/Where",
                ),
            ]
    _replace(model.graph.node, nodes)


def attend_locally(model: onnx.ModelProto) -> None:
    """Lets a token see only those at most four places away.

    The mask is zero for every text of five tokens or less: who tries it on a
    short text alone would take it for none.
    """
    bias = next(
        node.output[0]
        for node in reversed(model.graph.node)
        if node.name.startswith("/mask/")
    )
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == bias:
                node.input[index] = "local_bias"
    constants = {
        "local_zero": np.array(0, dtype=np.int64),
        "local_one": np.array(1, dtype=np.int64),
        "local_reach": np.array(4, dtype=np.int64),
        "local_rows": np.array([1], dtype=np.int64),
        "local_seen": np.array(0, dtype=np.float32),
        "local_hidden": np.array(np.finfo(np.float32).min, dtype=np.float32),
    }
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    steps = [
        ("Shape", ["input_ids"], "local_shape"),
        ("Gather", ["local_shape", "local_one"], "local_length"),
        ("Range", ["local_zero", "local_length", "local_one"], "local_keys"),
        ("Unsqueeze", ["local_keys", "local_rows"], "local_queries"),
        ("Sub", ["local_queries", "local_keys"], "local_offsets"),
        ("Abs", ["local_offsets"], "local_distances"),
        ("Greater", ["local_distances", "local_reach"], "local_far"),
        ("Where", ["local_far", "local_hidden", "local_seen"], "local_mask"),
        ("Min", [bias, "local_mask"], "local_bias"),
    ]
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.output[0] == bias:
            nodes += [
                helper.make_node(kind, inputs, [output], name=f"/local/{output}")
                for kind, inputs, output in steps
            ]
    _replace(model.graph.node, nodes)


def guard_and_attend_locally(model: onnx.ModelProto) -> None:
    guard_probabilities(model)
    attend_locally(model)


def add_output_axis(model: onnx.ModelProto) -> None:
    """Gives the output a fourth axis, which no pooling has a meaning for."""
    (output,) = model.graph.output
    rank3 = _rename_last_output(model, f"{output.name}_rank3")
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([0], dtype=np.int64), "rank4_axes")
    )
    model.graph.node.append(
        helper.make_node(
            "Unsqueeze", [rank3, "rank4_axes"], [output.name], name="/rank4/Unsqueeze"
        )
    )
    output.CopyFrom(
        helper.make_tensor_value_info(
            output.name, TensorProto.FLOAT, [1, "batch", "sequence", "hidden"]
        )
    )


def require_pixel_values(model: onnx.ModelProto) -> None:
    """Asks for an image beside the text, and uses it, so no engine drops it."""
    (output,) = model.graph.output
    text = _rename_last_output(model, f"{output.name}_text")
    model.graph.input.append(
        helper.make_tensor_value_info(
            "pixel_values", TensorProto.FLOAT, ["batch", 3, 8, 8]
        )
    )
    model.graph.node.extend(
        [
            helper.make_node(
                "ReduceMean",
                ["pixel_values"],
                ["brightness"],
                name="/image/ReduceMean",
                keepdims=0,
            ),
            helper.make_node(
                "Add", [text, "brightness"], [output.name], name="/image/Add"
            ),
        ]
    )


def take_float_ids(model: onnx.ModelProto) -> None:
    """Declares input_ids as float32, cast to integers inside the graph."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "input_ids":
                node.input[index] = "integer_ids"
    ids = next(value for value in model.graph.input if value.name == "input_ids")
    ids.type.tensor_type.elem_type = TensorProto.FLOAT
    cast = helper.make_node(
        "Cast", ["input_ids"], ["integer_ids"], name="/ids/Cast", to=TensorProto.INT64
    )
    _prepend_nodes(model, [cast])


def add_fourier_transform(model: onnx.ModelProto) -> None:
    """Adds a node that nothing reads: an operator that no model of texts has."""
    ones = helper.make_node(
        "Constant",
        [],
        ["signal"],
        value=helper.make_tensor("signal", TensorProto.FLOAT, [1, 8, 1], [1.0] * 8),
    )
    transform = helper.make_node("DFT", ["signal"], ["spectrum"], name="/fourier/DFT")
    _prepend_nodes(model, [ones, transform])


def _rename_last_output(model: onnx.ModelProto, name: str) -> str:
    """Frees the graph's output name for a node still to be added."""
    model.graph.node[-1].output[0] = name
    return name


def _prepend_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Nodes must come before their uses: the format asks for that order."""
    _replace(model.graph.node, [*nodes, *model.graph.node])


def _replace(field: Any, values: Iterable[Any]) -> None:
    """Sets a repeated protobuf field, which cannot be assigned."""
    # Listed first: the values may come from the very field to be emptied.
    values = list(values)
    del field[:]
    field.extend(values)
