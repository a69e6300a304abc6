import json
import random
from collections.abc import Sequence
from hashlib import sha256
from math import exp, inf, nan, nextafter
from typing import Any

import pytest
from readmission.errors import ScorerInvalid
from readmission.scoring.scorer import Scorer, load

from tests.unit.readmission.documents import CONTEXT, REFERENCE, document, numbers, stump

LINEAR = {
    "type": "linear",
    "mean": [1.0, 2.0],
    "scale": [2.0, 4.0],
    "coefficients": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
    "intercepts": [0.0, 0.0, 0.5],
}
FOREST = {
    "type": "forest",
    "trees": [
        stump(0, 1.5, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
        stump(1, 0.0, [0.2, 0.2, 0.6], [0.0, 0.0, 1.0]),
    ],
}
BOOSTING = {
    "type": "boosting",
    "baseline": [0.0, 1.0, 2.0],
    "trees": [[stump(0, 1.5, 3.0, -3.0), stump(1, 0.0, 0.5, 0.25)], [], [stump(1, 0.0, -1.0, 1.0)]],
}
KIND = {"name": "a", "kind": "category", "values": {"x": [1.0, 0.0], "?": [0.0, 1.0]}, "unseen": [2.0, 2.0]}
MODELS = pytest.mark.parametrize("model", [LINEAR, FOREST, BOOSTING], ids=lambda model: model["type"])


def _softmax(*scores: float) -> list[float]:
    return [exp(score) / sum(map(exp, scores)) for score in scores]


def _bytes(content: Any) -> tuple[bytes, str]:
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return encoded, sha256(encoded).hexdigest()


def test_a_linear_model_is_the_softmax_of_weighted_scaled_columns() -> None:
    assert Scorer(document(LINEAR)).probabilities([5.0, 10.0]) == pytest.approx(_softmax(2.0, 2.0, 0.5))


def test_a_forest_averages_the_leaves_of_its_trees() -> None:
    assert Scorer(document(FOREST)).probabilities([1, 1]) == [0.5, 0.0, 0.5]


def test_a_boosting_is_the_softmax_of_its_baseline_plus_its_leaves() -> None:
    assert Scorer(document(BOOSTING)).probabilities([2, 0]) == pytest.approx(_softmax(-2.5, 1.0, 1.0))


@pytest.mark.parametrize(
    ("value", "goes"),
    [(1.5, "left"), (nextafter(1.5, -inf), "left"), (1.6, "right")],
    ids=["on", "below", "above"],
)
@pytest.mark.parametrize("model", [FOREST, BOOSTING], ids=["forest", "boosting"])
def test_a_value_up_to_the_threshold_goes_left(model: dict[str, Any], value: float, goes: str) -> None:
    scorer = Scorer(document(model))
    assert scorer.probabilities([value, 0]) == scorer.probabilities([1 if goes == "left" else 2, 0])


def test_a_forest_compares_in_32_bits_and_a_boosting_in_64() -> None:
    above = nextafter(1.5, inf)
    forest, boosting = Scorer(document(FOREST)), Scorer(document(BOOSTING))
    assert forest.probabilities([above, 0]) == forest.probabilities([1.5, 0])
    assert boosting.probabilities([above, 0]) != boosting.probabilities([1.5, 0])


def test_scores_too_large_for_exp_give_probabilities() -> None:
    assert Scorer(document(LINEAR)).probabilities([1e6, 0]) == [1.0, 0.0, 0.0]


def _split(column: int, threshold: float, kind: str, missing: str = "r") -> dict[str, Any]:
    """A model with one split: `<30` up to the threshold, `>30` above it."""
    if kind == "forest":
        return {"type": "forest", "trees": [stump(column, threshold, [1, 0, 0], [0, 1, 0], missing)]}
    trees = [[stump(column, threshold, 1.0, 0.0, missing)], [stump(column, threshold, 0.0, 1.0, missing)], []]
    return {"type": "boosting", "baseline": [0.0, 0.0, 0.0], "trees": trees}


def _side(scorer: Scorer, *row: Any) -> str:
    shares = scorer.probabilities(row)
    return "left" if shares[0] > shares[1] else "right"


KINDS = pytest.mark.parametrize("kind", ["forest", "boosting"])


@KINDS
@pytest.mark.parametrize("value", [None, nan], ids=["None", "NaN"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("threshold", [-1e30, 0.0, 1e30])
def test_a_missing_number_goes_to_the_nodes_side(kind: str, value: Any, side: str, threshold: float) -> None:
    scorer = Scorer(document(_split(1, threshold, kind, missing=side[0])))
    assert _side(scorer, 0, value) == side


@KINDS
def test_an_imputed_number_counts_as_its_fill_value(kind: str) -> None:
    inputs = [*numbers("a"), {"name": "b", "kind": "number", "missing": [7.0]}]
    for threshold in (6.5, 7.5):
        scorer = Scorer(document(_split(1, threshold, kind), inputs=inputs))
        assert _side(scorer, 0, None) == _side(scorer, 0, nan) == _side(scorer, 0, 7)


@KINDS
def test_an_indicator_is_1_for_a_missing_number_and_0_otherwise(kind: str) -> None:
    inputs = [{"name": "a", "kind": "number", "missing": [7.0, 1.0]}, *numbers("b")]
    scorer = Scorer(document(_split(1, 0.5, kind), inputs=inputs))
    assert [_side(scorer, value, 0) for value in (None, 7.0, 0)] == ["right", "left", "left"]
    scorer = Scorer(document(_split(1, -0.5, kind), inputs=inputs))
    assert [_side(scorer, value, 0) for value in (None, 7.0, 0)] == ["right", "right", "right"]
    # The next input's column follows the indicator.
    scorer = Scorer(document(_split(2, 0.5, kind), inputs=inputs))
    assert [_side(scorer, None, value) for value in (0, 1)] == ["left", "right"]


@KINDS
@pytest.mark.parametrize(
    ("category", "columns"),
    [("x", [1, 0]), ("?", [0, 1]), (None, [0, 1]), ("other", [2, 2]), ("", [2, 2])],
    ids=["known", "missing", "None", "unseen", "empty"],
)
def test_a_category_becomes_its_columns(kind: str, category: Any, columns: list[float]) -> None:
    inputs = [*numbers("b"), KIND]
    for column, value in enumerate(columns, 1):
        for threshold, side in ((value - 0.5, "right"), (value, "left")):
            assert _side(Scorer(document(_split(column, threshold, kind), inputs=inputs)), 0, category) == side


def test_a_linear_model_weights_the_columns_of_categories_and_missing_numbers() -> None:
    inputs = [{"name": "b", "kind": "number", "missing": [7.0, 1.0]}, KIND]
    model = {
        "type": "linear",
        "mean": [1.0, 0.0, 0.0, 0.0],
        "scale": [2.0, 1.0, 1.0, 1.0],
        "coefficients": [[1.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.25]],
        "intercepts": [0.0, 0.0, 0.0],
    }
    scorer = Scorer(document(model, inputs=inputs))
    assert scorer.features == ("b", "a")
    assert scorer.probabilities([3, "x"]) == pytest.approx(_softmax(1, 0, 0.5))
    assert scorer.probabilities([None, "?"]) == pytest.approx(_softmax(3, 5, 0.25))
    assert scorer.probabilities([1, "other"]) == pytest.approx(_softmax(0, 0, 1.5))


def test_none_is_an_unseen_category_if_training_had_no_missing_ones() -> None:
    inputs = [*numbers("b"), {**KIND, "values": {"x": [1.0, 0.0]}}]
    scorer = Scorer(document(_split(1, 1.5, "boosting"), inputs=inputs))
    assert [_side(scorer, 0, category) for category in ("x", None)] == ["left", "right"]


@pytest.mark.parametrize("value", [None, nan, inf])
def test_a_linear_model_without_a_value_for_a_missing_number_says_so(value: Any) -> None:
    with pytest.raises(ScorerInvalid, match="no value for a missing number"):
        Scorer(document(LINEAR)).probabilities([0, value])


@MODELS
def test_text_in_place_of_a_number_is_a_type_error(model: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Scorer(document(model)).probabilities(["1", 0])


@MODELS
@pytest.mark.parametrize("row", [[], [0], [0, 0, 0]], ids=len)
def test_a_row_of_the_wrong_length_is_a_value_error(model: dict[str, Any], row: list[float]) -> None:
    with pytest.raises(ValueError, match="zip"):
        Scorer(document(model)).probabilities(row)


def _random_tree(r: random.Random, leaves: int) -> dict[str, Any]:
    """A tree of any shape over two columns; its thresholds are few, so that many are equal."""

    def grow(leaves: int) -> list[tuple[int, float, str]]:
        if leaves == 1:
            return [(-1, 0, "r")]
        left = r.randint(1, leaves - 1)
        return [(r.randint(0, 1), r.randint(0, 9) / 2, r.choice("lr")), *grow(left), *grow(leaves - left)]

    columns, thresholds, missing = zip(*grow(leaves), strict=True)
    values = [r.gauss(0, 1) for _ in range(leaves)]
    return {"columns": columns, "thresholds": thresholds, "missing": "".join(missing), "values": values}


def _walked(tree: dict[str, Any], row: Sequence[float | None]) -> float:
    """The tree's score of a row by definition: walk down from the root."""
    nodes = zip(tree["columns"], tree["thresholds"], tree["missing"], strict=True)
    values = iter(tree["values"])

    def walk() -> float:
        column, threshold, side = next(nodes)
        if column < 0:
            return next(values)
        value, left, right = row[column], walk(), walk()
        return left if (side == "l" if value is None else value <= threshold) else right

    return walk()


@pytest.mark.parametrize("most", [1, 2, 7, 8, 9, 16, 17, 64, 65, 255])
def test_a_boosting_finds_the_leaf_of_a_walk_in_trees_of_any_size(most: int) -> None:
    r = random.Random(most)
    sizes = [most, 1, *(r.randint(1, most) for _ in range(28))]
    trees = [_random_tree(r, leaves) for leaves in r.sample(sizes, len(sizes))]
    groups = [trees[:7], trees[7:20], trees[20:]]
    scorer = Scorer(document({"type": "boosting", "baseline": [0.5, 0.0, -0.5], "trees": groups}))
    values = [None, *(number / 4 for number in range(-1, 21))]
    for row in ((a, b) for a in values for b in values):
        sums = [sum(_walked(tree, row) for tree in group) for group in groups]
        expected = _softmax(sums[0] + 0.5, sums[1], sums[2] - 0.5)
        assert scorer.probabilities(row) == pytest.approx(expected, abs=1e-12, rel=0)


def test_a_boosting_with_a_tree_of_more_leaves_than_a_byte_can_number_is_refused() -> None:
    tree = _random_tree(random.Random(0), 256)
    with pytest.raises(ScorerInvalid, match="a tree of a boosting has 256 leaves, more than 255"):
        Scorer(document({**BOOSTING, "trees": [[tree], [], []]}))


@MODELS
def test_probabilities_sum_to_1(model: dict[str, Any]) -> None:
    for row in ([0, 0], [5, -3], [1e9, 1e9], [-1e9, 1e-9]):
        assert sum(Scorer(document(model)).probabilities(row)) == pytest.approx(1, abs=1e-12)


@MODELS
def test_a_document_with_the_registered_hash_is_loaded(model: dict[str, Any]) -> None:
    scorer = load(*_bytes(document(model)))
    assert (scorer.features, scorer.classes) == (("a", "b"), ("<30", ">30", "NO"))


def test_a_scorer_has_the_documents_context() -> None:
    scorer = Scorer(document(LINEAR, context=CONTEXT))
    assert scorer.reference == REFERENCE
    assert scorer.risk_quantiles == tuple(percent / 100 for percent in range(101))


def test_a_document_without_context_has_neither_reference_nor_quantiles() -> None:
    scorer = Scorer(document(LINEAR))
    assert (scorer.reference, scorer.risk_quantiles) == (None, None)


RISING = CONTEXT["risk_quantiles"]


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="list"),
        pytest.param({"reference": REFERENCE}, id="no-quantiles"),
        pytest.param({"risk_quantiles": RISING}, id="no-reference"),
        pytest.param({**CONTEXT, "reference": {**REFERENCE, "blood_group": 1}}, id="unknown-feature"),
        pytest.param({**CONTEXT, "reference": {"age_numeric": 65}}, id="missing-features"),
        pytest.param({**CONTEXT, "reference": {**REFERENCE, "age_numeric": inf}}, id="infinite-reference"),
        pytest.param({**CONTEXT, "reference": {**REFERENCE, "age_numeric": "old"}}, id="text-in-reference"),
        pytest.param({**CONTEXT, "risk_quantiles": RISING[1:]}, id="100-quantiles"),
        pytest.param({**CONTEXT, "risk_quantiles": [*RISING, 1.0]}, id="102-quantiles"),
        pytest.param({**CONTEXT, "risk_quantiles": RISING[::-1]}, id="descending"),
        pytest.param({**CONTEXT, "risk_quantiles": [nan, *RISING[1:]]}, id="not-a-number"),
        pytest.param({**CONTEXT, "risk_quantiles": [None, *RISING[1:]]}, id="null-quantile"),
    ],
)
def test_a_malformed_context_is_refused(context: Any) -> None:
    with pytest.raises(ScorerInvalid, match="cannot be used"):
        Scorer(document(LINEAR, context=context))


def test_a_document_with_another_hash_is_refused_with_both_hashes() -> None:
    content, found = _bytes(document(LINEAR))
    with pytest.raises(ScorerInvalid, match=f"{found}, not the registered {'0' * 64}"):
        load(content, "0" * 64)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut-off"),
        pytest.param(b"<html>", id="html"),
        pytest.param(b"\xff\xfe\x00", id="binary"),
        pytest.param([], id="list"),
        pytest.param(None, id="null"),
        pytest.param("text", id="text"),
    ],
)
def test_anything_but_a_json_object_is_refused(content: Any) -> None:
    with pytest.raises(ScorerInvalid, match=r"not (valid JSON|a JSON object)"):
        load(*_bytes(content))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"format": "onnx"}, id="other-format"),
        pytest.param({"format": None}, id="no-format"),
        pytest.param({"format_version": 1}, id="earlier-version"),
        pytest.param({"format_version": 3}, id="later-version"),
        pytest.param({"format_version": "2"}, id="version-as-text"),
    ],
)
def test_another_format_or_version_is_refused_with_the_supported_one(changes: dict[str, Any]) -> None:
    with pytest.raises(ScorerInvalid, match=r"this code reads 'readmission-scorer', version 2"):
        load(*_bytes(document(LINEAR, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model": None}, id="no-model"),
        pytest.param({"model": []}, id="model-list"),
        pytest.param({"model": {}}, id="model-without-type"),
        pytest.param({"model": {"type": "svm"}}, id="unknown-type"),
        pytest.param({"model": {"type": []}}, id="type-list"),
        pytest.param({"inputs": None}, id="no-inputs"),
        pytest.param({"inputs": ["a", "b"]}, id="inputs-text"),
        pytest.param({"inputs": [{"name": "a"}, {"name": "b"}]}, id="inputs-without-kind"),
        pytest.param({"inputs": [{"name": "a", "kind": "date"}, *numbers("b")]}, id="unknown-kind"),
        pytest.param({"inputs": [{"kind": "number"}, *numbers("b")]}, id="input-without-name"),
        pytest.param({"inputs": numbers("a")}, id="too-few-inputs"),
        pytest.param({"inputs": numbers("a", "b", "c")}, id="too-many-inputs"),
        pytest.param({"inputs": [{**numbers("a")[0], "missing": []}, *numbers("b", "c")]}, id="missing-of-no-column"),
        pytest.param({"inputs": [{**numbers("a")[0], "missing": ["?"]}, *numbers("b")]}, id="missing-of-text"),
        pytest.param({"inputs": [{**KIND, "unseen": "xy"}]}, id="unseen-of-text"),
        pytest.param({"inputs": [{"name": "a", "kind": "category", "values": {}}]}, id="category-without-unseen"),
        pytest.param({"inputs": [{"name": "a", "kind": "category", "unseen": [0, 0]}]}, id="category-without-values"),
        pytest.param({"inputs": [{**KIND, "values": []}]}, id="values-list"),
        pytest.param({"inputs": [{**KIND, "values": {"x": [1.0]}}]}, id="category-of-another-width"),
        pytest.param({"inputs": [{**KIND, "values": {"x": ["1", "2"]}}]}, id="category-of-text"),
        pytest.param({"classes": 3}, id="classes-number"),
        pytest.param({"model": {**LINEAR, "intercepts": [0.0]}}, id="too-few-intercepts"),
        pytest.param({"model": {"type": "linear", "mean": []}}, id="linear-without-coefficients"),
        pytest.param({"model": {**LINEAR, "scale": [0.0, 1.0]}}, id="scale-of-0"),
        pytest.param({"model": {**LINEAR, "mean": [0.0]}}, id="too-few-means"),
        pytest.param({"model": {**LINEAR, "coefficients": [["a", "b"]] * 3}}, id="coefficients-of-text"),
        pytest.param({"model": {**LINEAR, "coefficients": [[1.0]] * 3}}, id="too-few-coefficients"),
        pytest.param({"model": {**BOOSTING, "baseline": [0.0]}}, id="too-few-baselines"),
        pytest.param({"model": {**BOOSTING, "baseline": ["0"] * 3}}, id="baseline-of-text"),
        pytest.param({"model": {"type": "forest"}}, id="forest-without-trees"),
        pytest.param({"model": {"type": "forest", "trees": [{"columns": [-1]}]}}, id="half-a-tree"),
        pytest.param({"model": {"type": "forest", "trees": [[]]}}, id="tree-list"),
        pytest.param(
            {"model": {"type": "forest", "trees": [stump(0, 0.0, [1, 0, 0], [0, 0, 0])]}}, id="leaf-without-weight"
        ),
    ],
)
def test_an_incomplete_or_inconsistent_document_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ScorerInvalid, match="cannot be used"):
        load(*_bytes(document(LINEAR, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"columns": []}, id="no-node"),
        pytest.param({"columns": [0, -1]}, id="no-right-side"),
        pytest.param({"columns": [0, -1, 0]}, id="no-last-leaf"),
        pytest.param({"columns": [-1, 0, -1]}, id="no-root"),
        pytest.param({"columns": [0, -1, -1, -1]}, id="a-leaf-too-many"),
        pytest.param({"columns": [2, -1, -1]}, id="unknown-column"),
        pytest.param({"columns": [0.5, -1, -1]}, id="half-a-column"),
        pytest.param({"columns": ["a", -1, -1]}, id="column-name"),
        pytest.param({"columns": None}, id="columns-null"),
        pytest.param({"thresholds": [0.0]}, id="too-few-thresholds"),
        pytest.param({"thresholds": ["0.0", 0, 0]}, id="threshold-of-text"),
        pytest.param({"thresholds": [None, 0, 0]}, id="threshold-null"),
        pytest.param({"missing": "r"}, id="too-few-sides"),
        pytest.param({"missing": 0}, id="sides-number"),
        pytest.param({"values": [1]}, id="too-few-values"),
        pytest.param({"values": [1] * 7}, id="too-many-values"),
    ],
)
@KINDS
def test_an_inconsistent_tree_is_refused(kind: str, changes: dict[str, Any]) -> None:
    model = _split(0, 0.0, kind)
    (model["trees"][0] if kind == "forest" else model["trees"][0][0]).update(changes)
    with pytest.raises(ScorerInvalid, match="cannot be used"):
        load(*_bytes(document(model)))


@KINDS
def test_leaves_of_text_are_refused(kind: str) -> None:
    model = _split(0, 0.0, kind)
    tree = model["trees"][0] if kind == "forest" else model["trees"][0][0]
    tree["values"] = [str(value) for value in tree["values"]]
    with pytest.raises(ScorerInvalid, match="cannot be used"):
        load(*_bytes(document(model)))


@MODELS
@pytest.mark.parametrize("classes", [["NO"], ["<30", ">30", "NO", "?"]])
def test_a_document_with_more_or_fewer_classes_than_its_model_is_refused(
    model: dict[str, Any], classes: list[str]
) -> None:
    with pytest.raises(ScorerInvalid, match=f"{len(classes)} classes with"):
        load(*_bytes(document(model, classes=classes)))


def test_a_forest_without_trees_is_refused() -> None:
    with pytest.raises(ScorerInvalid, match="3 classes with 0 probabilities"):
        load(*_bytes(document({"type": "forest", "trees": []})))
