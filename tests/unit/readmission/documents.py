"""Scorer documents small enough to evaluate by hand."""

from typing import Any

from readmission.features import FEATURES

CLASSES = ["<30", ">30", "NO"]


def document(model: dict[str, Any], /, **changes: Any) -> dict[str, Any]:
    """A scorer document of that model."""
    return {
        "format": "readmission-scorer",
        "format_version": 1,
        "features": ["a", "b"],
        "classes": CLASSES,
        "model": model,
        **changes,
    }


def stump(feature: int, threshold: float, below: Any, above: Any) -> dict[str, Any]:
    """A tree of one question."""
    return {
        "feature": [feature, -1, -1],
        "threshold": [threshold, 0.0, 0.0],
        "left": [1, 0, 1],
        "right": [2, 0, 0],
        "value": [below, above],
    }


def constant(*shares: float) -> dict[str, Any]:
    """A document over the real features that gives every encounter these probabilities."""
    tree = {"feature": [-1], "threshold": [0.0], "left": [0], "right": [0], "value": [list(shares)]}
    return document({"type": "forest", "trees": [tree]}, features=list(FEATURES))
