import json
from hashlib import sha256
from math import exp, inf, nextafter
from typing import Any

import pytest
from readmission.errors import ScorerInvalid
from readmission.scorer import Scorer, load

from tests.unit.readmission.documents import document, stump

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
MODELS = pytest.mark.parametrize("model", [LINEAR, FOREST, BOOSTING], ids=lambda model: model["type"])


def _softmax(*scores: float) -> list[float]:
    return [exp(score) / sum(map(exp, scores)) for score in scores]


def _bytes(content: Any) -> tuple[bytes, str]:
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return encoded, sha256(encoded).hexdigest()


def test_a_linear_model_scales_weighs_and_takes_the_softmax() -> None:
    assert Scorer(document(LINEAR)).probabilities([5.0, 10.0]) == pytest.approx(_softmax(2.0, 2.0, 0.5))


def test_a_forest_averages_the_leaves_of_its_trees() -> None:
    assert Scorer(document(FOREST)).probabilities([1, 1]) == [0.5, 0.0, 0.5]


def test_a_boosting_adds_its_leaves_to_the_baseline_and_takes_the_softmax() -> None:
    assert Scorer(document(BOOSTING)).probabilities([2, 0]) == pytest.approx(_softmax(-2.5, 1.0, 1.0))


@pytest.mark.parametrize(
    ("value", "goes"),
    [(1.5, "left"), (nextafter(1.5, -inf), "left"), (1.6, "right")],
    ids=["on", "below", "above"],
)
@pytest.mark.parametrize("model", [FOREST, BOOSTING], ids=["forest", "boosting"])
def test_a_walk_goes_left_up_to_the_threshold(model: dict[str, Any], value: float, goes: str) -> None:
    scorer = Scorer(document(model))
    assert scorer.probabilities([value, 0]) == scorer.probabilities([1 if goes == "left" else 2, 0])


def test_a_forest_compares_in_32_bits_and_a_boosting_in_64() -> None:
    above = nextafter(1.5, inf)
    forest, boosting = Scorer(document(FOREST)), Scorer(document(BOOSTING))
    assert forest.probabilities([above, 0]) == forest.probabilities([1.5, 0])
    assert boosting.probabilities([above, 0]) != boosting.probabilities([1.5, 0])


def test_scores_too_large_for_exp_are_no_problem() -> None:
    assert Scorer(document(LINEAR)).probabilities([1e6, 0]) == [1.0, 0.0, 0.0]


@MODELS
def test_probabilities_sum_to_1(model: dict[str, Any]) -> None:
    for row in ([0, 0], [5, -3], [1e9, 1e9], [-1e9, 1e-9]):
        assert sum(Scorer(document(model)).probabilities(row)) == pytest.approx(1, abs=1e-12)


@MODELS
def test_a_document_of_the_registered_hash_is_loaded(model: dict[str, Any]) -> None:
    scorer = load(*_bytes(document(model)))
    assert (scorer.features, scorer.classes) == (("a", "b"), ("<30", ">30", "NO"))


def test_a_document_of_another_hash_is_refused_with_both_hashes() -> None:
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
def test_what_is_no_json_object_is_refused(content: Any) -> None:
    with pytest.raises(ScorerInvalid, match="no JSON"):
        load(*_bytes(content))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"format": "onnx"}, id="other-format"),
        pytest.param({"format": None}, id="no-format"),
        pytest.param({"format_version": 2}, id="later-version"),
        pytest.param({"format_version": "1"}, id="version-as-text"),
    ],
)
def test_another_format_or_version_is_refused_with_what_this_code_reads(changes: dict[str, Any]) -> None:
    with pytest.raises(ScorerInvalid, match=r"this code reads 'readmission-scorer', version 1"):
        load(*_bytes(document(LINEAR, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model": None}, id="no-model"),
        pytest.param({"model": []}, id="model-list"),
        pytest.param({"model": {}}, id="model-without-type"),
        pytest.param({"model": {"type": "svm"}}, id="unknown-type"),
        pytest.param({"model": {"type": []}}, id="type-list"),
        pytest.param({"features": None}, id="no-features"),
        pytest.param({"classes": 3}, id="classes-number"),
        pytest.param({"model": {"type": "forest"}}, id="forest-without-trees"),
        pytest.param({"model": {"type": "forest", "trees": [{"feature": [-1]}]}}, id="half-a-tree"),
        pytest.param({"model": {"type": "forest", "trees": [[]]}}, id="tree-list"),
        pytest.param({"model": {**LINEAR, "intercepts": [0.0]}}, id="too-few-intercepts"),
        pytest.param({"model": {**BOOSTING, "baseline": [0.0]}}, id="too-few-baselines"),
        pytest.param({"model": {"type": "linear", "mean": []}}, id="linear-without-coefficients"),
        pytest.param({"features": ["a"]}, id="too-few-features"),
        pytest.param({"model": {**LINEAR, "scale": [0.0, 1.0]}}, id="scale-of-0"),
        pytest.param({"model": {**LINEAR, "coefficients": [["a", "b"]] * 3}}, id="coefficients-of-text"),
        pytest.param({"model": {"type": "forest", "trees": [stump(7, 0.0, [1.0], [1.0])]}}, id="unknown-feature"),
    ],
)
def test_a_document_that_lacks_what_it_needs_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ScorerInvalid, match="cannot be used"):
        load(*_bytes(document(LINEAR, **changes)))


@pytest.mark.parametrize("classes", [["NO"], ["<30", ">30", "NO", "?"]])
def test_a_document_with_another_number_of_classes_than_its_model_is_refused(classes: list[str]) -> None:
    with pytest.raises(ScorerInvalid, match=f"{len(classes)} classes with 3 probabilities"):
        load(*_bytes(document(LINEAR, classes=classes)))
