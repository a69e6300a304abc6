import re

import pytest

from infra.local.commands import evaluate
from infra.local.errors import LocalError
from tests.e2e.conftest import SYNTHETIC, Application, Trained


def test_the_recipe_is_compared_with_that_of_14_features_on_the_clean_rows(
    application: Application, trained: Trained
) -> None:
    # Without real data, these rows are already clean.
    said = application.platform.run("evaluate", "--dataset", SYNTHETIC, "--model", "logistic_regression")
    assert re.findall(r"fold (\d) of 5", said) == ["1", "2", "3", "4", "5"]
    assert "SYNTHETIC data" in said
    kept = application.count("clean", "diabetes_clean WHERE data_kind = 'synthetic' AND discharge_disposition_id NOT IN"
                             " (11, 13, 14, 19, 20, 21)")  # fmt: skip
    assert f"logistic_regression on {kept:,} encounters" in said
    header, *lines = said[said.index("served") :].splitlines()
    assert re.split(r"  +", header) == ["served", "served, 14 known", "14 only"]
    figures = {line.split(":")[0]: re.findall(r"[\d.]+ ± [\d.]+", line) for line in lines if "±" in line}
    assert len(figures) == len(evaluate.METRICS) and {len(cells) for cells in figures.values()} == {3}
    assert re.search(r"\(a\) AUC [+-]0\.\d{4} \[[+-]0\.\d{4}, [+-]0\.\d{4}\]", said)


def test_without_a_data_set_the_existing_clean_rows_are_evaluated_preferring_real_ones(
    application: Application, trained: Trained
) -> None:
    before = application.count("clean", "diabetes_clean")
    assert evaluate.clean_rows(application.settings, None) == trained.output["data_kind"]
    assert application.count("clean", "diabetes_clean") == before


def test_an_unknown_model_is_refused_with_the_known_ones(application: Application) -> None:
    with pytest.raises(LocalError, match="MODEL: 'oracle' must be one of logistic_regression, random_forest"):
        evaluate.evaluate(application.settings, None, "oracle")
