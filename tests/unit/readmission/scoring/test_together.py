"""Many rows at once get the probabilities that each gets alone, to the last bit."""

import math
import random
from typing import Any

import pytest
from readmission.errors import ScorerInvalid
from readmission.scoring.scorer import Scorer
from readmission.scoring.together import FEWEST, MOST

from tests.unit.readmission.documents import MIXED_INPUTS, document, random_rows, random_tree, stump
from tests.unit.readmission.scoring.test_scorer import BOOSTING, FOREST, LINEAR


def _boosting(*trees: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "boosting", "baseline": [0.1, 0.2, 0.3], "trees": trees}


def _are_the_same(scorer: Scorer, rows: list[list[Any]]) -> bool:
    return scorer.probabilities_of(rows) == [scorer.probabilities(row) for row in rows]


@pytest.mark.parametrize("most", [1, 2, 8, 9, 31, 64, 129, 255])
def test_a_boosting_gives_the_same_bits_whatever_the_number_of_leaves(most: int) -> None:
    r = random.Random(most)
    trees = [[random_tree(r, r.randint(1, most)) for _ in range(count)] for count in (70, 0, 5)]
    trees[0].append(random_tree(r, most))
    assert _are_the_same(Scorer(document(_boosting(*trees), inputs=MIXED_INPUTS)), random_rows(r, 300))


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1, FEWEST, MOST, MOST + 1, MOST + FEWEST])
def test_any_number_of_rows_is_scored(count: int) -> None:
    r = random.Random(count)
    trees = [[random_tree(r, 9) for _ in range(3)] for _ in range(3)]
    rows = random_rows(r, count)
    scorer = Scorer(document(_boosting(*trees), inputs=MIXED_INPUTS))
    assert _are_the_same(scorer, rows) and len(scorer.probabilities_of(rows)) == count


@pytest.mark.parametrize("different", [253, 254, 255, 508, 509, 1000])
def test_a_column_may_have_more_values_than_a_byte(different: int) -> None:
    thresholds = [index + half for index in range(0, different, 3) for half in (0, 0.5)]
    trees = [stump(0, threshold, threshold, -1.0, "lr"[index % 2]) for index, threshold in enumerate(thresholds)]
    scorer = Scorer(document(_boosting(trees, [], [])))
    rows = [[value, 0] for value in (*range(different), None, math.nan, -math.inf)]
    random.Random(1).shuffle(rows)
    assert _are_the_same(scorer, rows)


def test_rows_of_the_other_models_have_their_own_errors() -> None:
    (found, error, other) = Scorer(document(LINEAR)).probabilities_of([[1, 2], [1, None], [3, 4]])
    assert isinstance(error, ScorerInvalid)
    assert [found, other] == [Scorer(document(LINEAR)).probabilities(row) for row in ([1, 2], [3, 4])]
    assert _are_the_same(Scorer(document(FOREST)), [[1, 2], [None, -1]] * FEWEST)


def test_text_in_place_of_a_number_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        Scorer(document(BOOSTING)).probabilities_of([["1", 2]] * FEWEST)


@pytest.mark.parametrize("row", [[1], [1, 2, 3]])
def test_a_row_of_the_wrong_length_is_a_value_error(row: list[int]) -> None:
    with pytest.raises(ValueError):
        Scorer(document(BOOSTING)).probabilities_of([[1, 2]] * FEWEST + [row])
