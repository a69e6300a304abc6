"""Scorer documents small enough to evaluate by hand."""

import random
from collections.abc import Iterable
from typing import Any

from readmission.domain.features import FEATURES

CLASSES = ["<30", ">30", "NO"]
REFERENCE = {name: float((rule.low + rule.high) // 2) for name, rule in FEATURES.items()}
CONTEXT = {"reference": REFERENCE, "risk_quantiles": [percent / 100 for percent in range(101)]}


def numbers(*names: str) -> list[dict[str, Any]]:
    """Number inputs with these names."""
    return [{"name": name, "kind": "number"} for name in names]


def document(model: dict[str, Any], /, *, features: Iterable[str] = ("a", "b"), **changes: Any) -> dict[str, Any]:
    """A scorer document of that model, with number inputs of these names."""
    return {
        "format": "readmission-scorer",
        "format_version": 2,
        "inputs": numbers(*features),
        "classes": CLASSES,
        "model": model,
        **changes,
    }


def stump(column: int, threshold: float, below: Any, above: Any, missing: str = "r") -> dict[str, Any]:
    """A tree with one split; `below` and `above` are a score or the weights of the classes."""
    return {
        "columns": [column, -1, -1],
        "thresholds": [threshold, 0, 0],
        "missing": f"{missing}rr",
        "values": [*below, *above] if isinstance(below, list) else [below, above],
    }


def constant(*shares: float, **changes: Any) -> dict[str, Any]:
    """A document over the real features that gives every encounter these probabilities."""
    tree = {"columns": [-1], "thresholds": [0], "missing": "r", "values": list(shares)}
    return document({"type": "forest", "trees": [tree]}, features=FEATURES, **changes)


# A number, a number with columns for a missing one, and a category: four columns.
MIXED_INPUTS: list[dict[str, Any]] = [
    *numbers("a"),
    {"name": "c", "kind": "number", "missing": [7.0]},
    {"name": "b", "kind": "category", "values": {"x": [1.0, 0.0], "?": [0.0, 1.0]}, "unseen": [2.0, 2.0]},
]


def random_rows(r: random.Random, count: int) -> list[list[Any]]:
    """Rows of `MIXED_INPUTS`."""
    return [
        [r.choice([None, r.randint(0, 9) / 2]), r.choice([None, r.random() * 5]), r.choice(["x", "?", None, "new"])]
        for _ in range(count)
    ]


def random_tree(r: random.Random, leaves: int, classes: int = 1) -> dict[str, Any]:
    """A tree of any shape over four columns; its thresholds are few, so that many are equal."""

    def grow(leaves: int) -> list[tuple[int, float, str]]:
        if leaves == 1:
            return [(-1, 0, "r")]
        left = r.randint(1, leaves - 1)
        return [(r.randint(0, 3), r.randint(0, 9) / 2, r.choice("lr")), *grow(left), *grow(leaves - left)]

    columns, thresholds, missing = zip(*grow(leaves), strict=True)
    values = [r.random() for _ in range(leaves * classes)]
    return {"columns": [*columns], "thresholds": [*thresholds], "missing": "".join(missing), "values": values}
