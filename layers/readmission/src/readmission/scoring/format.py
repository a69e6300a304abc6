"""The scorer document: a fitted pipeline as one JSON object. `export` writes it and `scorer` evaluates it.

    {"format": "readmission-scorer", "format_version": 2, "inputs": [input, …], "classes": [name, …], "model": model,
     "context": {"reference": {feature: number}, "risk_quantiles": [number x 101]}}

The optional context describes the training rows: the medians of the 14 features, and the percentiles 0 to 100 of the
probability of an early readmission.

An input is one value of a row. It becomes one or more columns, which the model receives in the order of the inputs:

    {"name", "kind": "number"}                              the number; a missing one stays missing
    {"name", "kind": "number", "missing": [column, …]}      the number, then zeros; `missing` if the number is missing
    {"name", "kind": "category", "values": {category: [column, …]}, "unseen": [column, …]}

The model is one of

    {"type": "linear",   "mean": [column], "scale": [column], "coefficients": [[column] x class], "intercepts": [class]}
    {"type": "forest",   "trees": [tree, …]}                                 a leaf has a weight for each class
    {"type": "boosting", "baseline": [class], "trees": [[tree, …] x class]}  a leaf has a raw score

A tree is `{"columns", "thresholds", "missing", "values"}`. The first three have one entry per node; `values` has one
entry per leaf (in a forest: per leaf and class). The nodes are in preorder (node, left subtree, right subtree), so the
document needs no pointers. A leaf has column -1. At any other node, a row goes left if its column is at most the
threshold; a missing number goes left if the node's character in the string `missing` is `l`.
"""

from typing import Final

FORMAT: Final = "readmission-scorer"
FORMAT_VERSION: Final = 2
QUANTILES: Final = 101  # of the risk: the percentiles 0 to 100
MOST_LEAVES: Final = 255  # per tree of a boosting: leaves count from 1, and the number must fit in a byte
