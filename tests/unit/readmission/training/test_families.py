import json
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from readmission.domain.features import CATEGORIES, FEATURES, INPUTS, NUMBERS
from readmission.domain.payloads import FAMILIES, Family
from readmission.evaluation.dataset import Part, part_of
from readmission.scoring import export
from readmission.training import families
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from tests.documents import ROOT
from tests.unit.readmission.training.tables import encounters

TRAINING, VALIDATION = part_of(encounters(700)), part_of(encounters(200, seed=2))
FEATURES_OF_ROWS, TARGET = TRAINING.features, TRAINING.target


def fit(family: Family, training: Part = TRAINING, validation: Part = VALIDATION) -> bytes:
    """The scorer document of the family, fitted on the rows."""
    with threadpool_limits(1):
        pipeline = families.fit(family, training, validation)
    return export.to_json(export.document_of(pipeline, list(training.features.columns)))


def test_the_trees_of_a_boosting_do_not_depend_on_the_number_of_threads() -> None:
    with threadpool_limits(2, user_api="openmp"):
        pipeline = families.fit("gradient_boosting", TRAINING, VALIDATION)
    assert export.to_json(export.document_of(pipeline, list(INPUTS))) == document("gradient_boosting")


@cache
def fitted(family: Family) -> Pipeline:
    """The family fitted on the rows above, for tests that only look at it."""
    with threadpool_limits(1):
        return families.fit(family, TRAINING, VALIDATION)


@cache
def document(family: Family) -> bytes:
    """The scorer document of `fitted`."""
    return export.to_json(export.document_of(fitted(family), list(INPUTS)))


def only_14(part: Part) -> Part:
    return replace(part, features=part.features[list(FEATURES)])


def test_masked_rows_know_only_the_14_features() -> None:
    masked = families.masked(FEATURES_OF_ROWS)
    assert list(masked) == list(INPUTS)
    pd.testing.assert_frame_equal(masked[list(FEATURES)], FEATURES_OF_ROWS[list(FEATURES)])
    assert masked[[name for name in NUMBERS if name not in FEATURES]].isna().all(axis=None)
    assert (masked[list(CATEGORIES)] == "?").all(axis=None)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_gives_probabilities_of_three_classes_for_complete_and_masked_rows(family: Family) -> None:
    pipeline = fitted(family)
    with threadpool_limits(1):
        for rows in (FEATURES_OF_ROWS, families.masked(FEATURES_OF_ROWS)):
            shares = pipeline.predict_proba(rows)
            assert shares.shape == (len(rows), 3)
            np.testing.assert_allclose(shares.sum(axis=1), 1)
            # Classes are not reweighted: the mean probability is the class's share.
            for index, name in enumerate(pipeline.classes_):
                assert abs(shares[:, index].mean() - (name == TARGET).mean()) < 0.06


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_rows_give_the_same_document(family: Family) -> None:
    assert fit(family) == document(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_number_without_any_value_is_not_an_input(family: Family) -> None:
    inputs = json.loads(document(family))["inputs"]
    assert [entry["name"] for entry in inputs] == [
        name for name in INPUTS if name in CATEGORIES or FEATURES_OF_ROWS[name].notna().any()
    ]
    assert "last_time_in_hospital" not in {entry["name"] for entry in inputs}


def test_rows_of_only_the_14_features_are_learned_from_once() -> None:
    once = only_14(TRAINING)
    plain = families.PIPELINES["logistic_regression"](list(FEATURES)).fit(once.features, once.target)
    expected = export.to_json(export.document_of(plain, list(FEATURES)))
    assert fit("logistic_regression", once, only_14(VALIDATION)) == expected


def test_boosting_stops_when_the_validation_rows_stop_improving() -> None:
    turned = replace(VALIDATION, target=VALIDATION.target.map({"NO": "<30", "<30": "NO", ">30": ">30"}))
    documents = document("gradient_boosting"), fit("gradient_boosting", validation=turned)
    improving, worsening = (len(json.loads(one)["model"]["trees"][0]) for one in documents)
    assert improving > worsening >= 20


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest"])
def test_the_other_families_ignore_the_validation_rows(family: Family) -> None:
    assert document(family) == fit(family, validation=TRAINING)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scorer_equals_the_pipeline_on_complete_masked_and_unseen_rows(family: Family) -> None:
    with threadpool_limits(1):
        unseen = encounters(80, seed=9)[list(INPUTS)].assign(medical_specialty="Astrology", diag_1_category="E999")
        rows = pd.concat([FEATURES_OF_ROWS[:80], families.masked(FEATURES_OF_ROWS[:80]), unseen], ignore_index=True)
        assert export.largest_difference(document(family), fitted(family).predict_proba(rows), rows) <= 1e-12


WITHOUT_SEMAPHORES = """
import _multiprocessing, sys, threading

class SemLock(_multiprocessing.SemLock):
    def __new__(self, *arguments, **options):
        raise OSError(38, "Function not implemented")

_multiprocessing.SemLock = SemLock

import warnings
warnings.simplefilter("ignore")  # joblib's, that it will work serially
import sklearn.ensemble._forest as forest
from tests.unit.readmission.training import test_families

build, together, used = forest._parallel_build_trees, threading.Barrier(2, timeout=60), set()

def watched(*arguments, **options):
    if threading.get_ident() not in used:
        used.add(threading.get_ident())
        together.wait()  # a single thread would wait for ever
    return build(*arguments, **options)

forest._parallel_build_trees = watched
sys.stdout.buffer.write(test_families.fit("random_forest"))
"""


def test_a_forest_grows_on_two_threads_where_there_is_no_shared_memory() -> None:
    """As on Lambda, whose joblib can create no semaphore. The model is the same."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_SEMAPHORES], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == document("random_forest")
