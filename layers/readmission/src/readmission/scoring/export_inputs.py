"""Writes the inputs of a scorer document from the fitted steps in front of a pipeline's model."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, TargetEncoder

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Some of a pipeline's encoded columns, and the inputs they come from.

    `indices` lists the columns of each input. `mean` and `scale` have one entry per column.
    """

    inputs: list[dict[str, Any]]
    indices: list[list[int]]
    mean: Floats
    scale: Floats

    @property
    def order(self) -> NDArray[np.intp]:
        """The block's columns in the order of the document, input by input."""
        return np.asarray([index for indices in self.indices for index in indices], dtype=np.intp)

    @property
    def scaled(self) -> bool:
        return bool((self.mean != 0).any() or (self.scale != 1).any())

    def scaled_by(self, scaler: StandardScaler) -> "Block":
        """The block followed by the scaler: ((x - mean) / scale - scaler mean) / scaler scale, in one step."""
        mean = scaler.mean_ if scaler.with_mean else np.zeros_like(self.mean)
        scale = scaler.scale_ if scaler.with_std else np.ones_like(self.scale)
        return Block(self.inputs, self.indices, self.mean + mean * self.scale, self.scale * scale)


def _unscaled(inputs: list[dict[str, Any]], indices: list[list[int]]) -> Block:
    width = sum(map(len, indices))
    return Block(inputs, indices, np.zeros(width), np.ones(width))


def encode(steps: list[Any], features: list[str]) -> Block:
    """All fitted steps in front of the model as one block, with its inputs in the order of `features`.

    Raises TypeError for a step, or a setting of a step, that a scorer document cannot express.
    """
    steps = _active(steps)
    if not steps or not isinstance(steps[0], ColumnTransformer):
        return _numbers(steps, features)
    parts = steps[0].transformers_
    block = _joined(_part(step, names) for part, step, names in parts if _has_output(steps[0], part))
    for step in steps[1:]:
        if not isinstance(step, StandardScaler):
            raise TypeError(f"no scorer export for {type(step).__name__} after the ColumnTransformer")
        block = block.scaled_by(step)
    names = [one["name"] for one in block.inputs]
    if len(set(names)) < len(names) or not set(names) <= set(features):
        raise TypeError(f"no scorer export for a ColumnTransformer of {names}: duplicate or unknown features")
    order = sorted(range(len(names)), key=lambda index: features.index(names[index]))
    return Block(
        [block.inputs[index] for index in order],
        [block.indices[index] for index in order],
        block.mean,
        block.scale,
    )


def _active(steps: Iterable[Any]) -> list[Any]:
    """The steps that have an effect. A fitted ColumnTransformer turns "passthrough" into a function that is None."""
    return [
        step
        for step in steps
        if not (step is None or step == "passthrough" or (isinstance(step, FunctionTransformer) and step.func is None))
    ]


def _has_output(transformer: ColumnTransformer, part: str) -> bool:
    """Whether a part has any columns. A part that drops its columns, or has none, is not fitted."""
    columns = transformer.output_indices_[part]
    return bool(columns.stop > columns.start)


def _part(step: Any, names: Any) -> Block:
    """One part of a ColumnTransformer, over the named columns."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"no scorer export for a ColumnTransformer whose columns are not a list of names: {names!r}")
    if isinstance(step, TargetEncoder):
        return _categories(step, names)
    return _numbers(_active([part for _, part in step.steps] if isinstance(step, Pipeline) else [step]), names)


def _joined(blocks: Iterable[Block]) -> Block:
    """One block with the columns of all blocks, one block after another."""
    inputs: list[dict[str, Any]] = []
    indices: list[list[int]] = []
    means, scales = [np.zeros(0)], [np.ones(0)]
    for block in blocks:
        begin = sum(map(len, means))
        inputs += block.inputs
        indices += [[begin + index for index in own] for own in block.indices]
        means.append(block.mean)
        scales.append(block.scale)
    return Block(inputs, indices, np.concatenate(means), np.concatenate(scales))


def _numbers(steps: list[Any], names: list[str]) -> Block:
    """The named columns, after steps for numbers."""
    block = _unscaled([{"name": name, "kind": "number"} for name in names], [[index] for index in range(len(names))])
    for position, step in enumerate(steps):
        if isinstance(step, SimpleImputer) and position == 0:
            block = _imputed(step, names)
        elif isinstance(step, StandardScaler):
            block = block.scaled_by(step)
        else:
            raise TypeError(f"no scorer export for {type(step).__name__} as step {position + 1} for numbers")
    return block


def _imputed(imputer: SimpleImputer, names: list[str]) -> Block:
    """The named columns without missing values, then the indicators of those that had any in training."""
    fills = np.asarray(imputer.statistics_, dtype=np.float64)
    if not np.isnan(imputer.missing_values):
        raise TypeError(f"no scorer export for a SimpleImputer of missing_values={imputer.missing_values!r}")
    if dropped := [name for name, fill in zip(names, fills, strict=True) if np.isnan(fill)]:
        raise TypeError(f"no scorer export for a SimpleImputer that drops {dropped}: set keep_empty_features")
    inputs = [
        {"name": name, "kind": "number", "missing": [fill]} for name, fill in zip(names, fills.tolist(), strict=True)
    ]
    indices = [[index] for index in range(len(names))]
    if imputer.add_indicator:
        for index, feature in enumerate(imputer.indicator_.features_.tolist(), len(names)):
            inputs[feature]["missing"].append(1.0)
            indices[feature].append(index)
    return _unscaled(inputs, indices)


def _categories(encoder: TargetEncoder, names: list[str]) -> Block:
    """The named columns, each encoded as one column per class."""
    if encoder.target_type_ != "multiclass":
        raise TypeError(f"no scorer export for a TargetEncoder with a {encoder.target_type_} target")
    width = len(encoder.classes_)
    inputs = []
    for index, (name, categories) in enumerate(zip(names, encoder.categories_, strict=True)):
        if not all(isinstance(category, str) for category in categories):
            raise TypeError(f"no scorer export for a TargetEncoder: a category of {name} is not text")
        # A feature's encodings follow each other: for each class, one array over the feature's categories.
        encodings = np.column_stack(encoder.encodings_[width * index : width * (index + 1)])
        inputs.append(
            {
                "name": name,
                "kind": "category",
                "values": dict(zip(map(str, categories), encodings.tolist(), strict=True)),
                "unseen": encoder.target_mean_.tolist(),
            }
        )
    return _unscaled(inputs, [list(range(width * index, width * (index + 1))) for index in range(len(names))])
