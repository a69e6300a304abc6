"""Array types, a safe division and JSON values, shared by the modules of this package."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]


def ratio(numerator: Floats, denominator: Floats, undefined: float = np.nan) -> Floats:
    """Element-wise division; `undefined` where the denominator is 0."""
    quotient: Floats = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), undefined)
    return np.divide(numerator, denominator, out=quotient, where=denominator != 0)


def json_value(value: Any) -> Any:
    """A copy with tuples as lists and with None for NaN and infinity, which neither JSON nor Postgres can hold."""
    if isinstance(value, Mapping):
        return {name: json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
