"""The scorer agrees with the fitted pipeline: categories, missing numbers, and every step before the model."""

import csv
import io
import json
import math
import random
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from readmission.domain.contract import CLASSES, COLUMNS, MISSING, IntegerRange
from readmission.pipeline import synthetic
from readmission.scoring import export
from readmission.scoring.scorer import Scorer
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder, StandardScaler, TargetEncoder
from threadpoolctl import threadpool_limits

NUMBERS = ["count", "lab", "last", "score"]
CATEGORIES = ["code", "drug", "only"]
FEATURES = ["code", *NUMBERS, "drug", "only"]

# Their leaves are small, so that every threshold matters.
MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: LogisticRegression(max_iter=2000),
    "forest": lambda: RandomForestClassifier(n_estimators=20, min_samples_leaf=3, random_state=1),
    "boosting": lambda: HistGradientBoostingClassifier(
        max_iter=15, max_leaf_nodes=16, min_samples_leaf=3, max_features=0.5, early_stopping=False, random_state=1
    ),
}
TREES = ["forest", "boosting"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread fits such small tables faster."""
    with threadpool_limits(1):
        yield


def _table(rows: int, seed: int, *, new: bool = False) -> pd.DataFrame:
    """Numbers and categories, some of them missing; `new` adds categories that other tables lack."""
    return _generated(rows, seed, new).copy()


@cache
def _generated(rows: int, seed: int, new: bool) -> pd.DataFrame:
    r = random.Random(seed)

    def gap(value: float) -> float:
        return math.nan if r.random() < 0.2 else value

    codes = [*map(str, range(250, 262)), MISSING, *(["never seen", ""] if new else [])]
    records = [
        {
            "code": r.choice(codes),
            "count": r.randint(0, 6),
            "lab": gap(r.gauss(40, 15)),
            "last": gap(float(r.randint(0, 3))),
            "score": r.random(),
            "drug": r.choice(["No", "Up", "Steady", MISSING]),
            "only": r.choice(["x", "y"]) if new else "x",
        }
        for _ in range(rows)
    ]
    return pd.DataFrame(records, columns=FEATURES)


def _target(table: pd.DataFrame) -> list[str]:
    """A class for each row, which depends on numbers, missing values, categories and chance."""
    r = random.Random(2)
    codes = table["code"].map(lambda code: len(code) + int(code in {"251", "255", MISSING}))
    scores = table["count"] / 6 + table["last"].isna() * 0.8 + codes / 4 + table["lab"].fillna(60) / 80 - 1.7
    return [CLASSES[min(2, max(0, round(score + r.gauss(0, 0.5))))] for score in scores]


def _columns(numbers: Any = "passthrough", **settings: Any) -> ColumnTransformer:
    encoder = TargetEncoder(target_type="multiclass")
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("categories", encoder, CATEGORIES)], **settings)


def _fitted(*steps: Any, rows: int = 700) -> Pipeline:
    table = _table(rows, seed=1)
    return make_pipeline(*steps).fit(table, _target(table))


def _difference(pipeline: Pipeline, rows: pd.DataFrame, features: list[str] = FEATURES) -> float:
    document = export.to_json(export.document_of(pipeline, features))
    return export.largest_difference(document, pipeline.predict_proba(rows), rows)


IMPUTERS = {
    "median": SimpleImputer(strategy="median"),
    "median-indicator": SimpleImputer(strategy="median", add_indicator=True),
    "mean-indicator": SimpleImputer(strategy="mean", add_indicator=True),
    "constant": SimpleImputer(strategy="constant", fill_value=-1.0),
    "constant-indicator": SimpleImputer(strategy="constant", fill_value=-1.0, add_indicator=True),
}
PIPELINES = [
    *(pytest.param([_columns(), MODELS[model]], id=f"{model}-passthrough") for model in TREES),
    *(
        pytest.param([_columns(imputer), MODELS[model]], id=f"{model}-{name}")
        for name, imputer in IMPUTERS.items()
        for model in TREES
    ),
    *(
        pytest.param([_columns(imputer), StandardScaler(), MODELS["linear"]], id=f"linear-{name}-scaler")
        for name, imputer in IMPUTERS.items()
    ),
    pytest.param([_columns(IMPUTERS["median"]), MODELS["linear"]], id="linear-unscaled"),
    pytest.param(
        [_columns(make_pipeline(IMPUTERS["median-indicator"], StandardScaler())), MODELS["linear"]],
        id="linear-numbers-scaled",
    ),
    pytest.param(
        [_columns(make_pipeline(IMPUTERS["mean-indicator"], StandardScaler())), StandardScaler(), MODELS["linear"]],
        id="linear-scaled-twice",
    ),
    pytest.param(
        [_columns(make_pipeline("passthrough", IMPUTERS["median"])), "passthrough", MODELS["forest"]],
        id="forest-steps-that-do-nothing",
    ),
    pytest.param(
        [
            _columns(IMPUTERS["median"]),
            StandardScaler(with_mean=False),
            StandardScaler(with_std=False),
            MODELS["linear"],
        ],
        id="linear-half-scaled",
    ),
]


@pytest.mark.parametrize("steps", PIPELINES)
def test_the_scorer_equals_the_pipeline_on_unseen_rows(steps: list[Any]) -> None:
    *before, model = steps
    pipeline = _fitted(*before, model())
    rows = _table(2000, seed=5, new=True)
    shares = pipeline.predict_proba(rows)
    assert shares.max() - shares.min() > 0.5
    assert _difference(pipeline, rows) <= 1e-14


@pytest.mark.parametrize("model", TREES)
@pytest.mark.parametrize("towards", [-math.inf, None, math.inf], ids=["just-below", "on", "just-above"])
def test_the_scorer_equals_the_pipeline_around_every_threshold_of_a_number(model: str, towards: float | None) -> None:
    pipeline = _fitted(_columns(), MODELS[model]())
    document = export.document_of(pipeline, FEATURES)
    groups = document["model"]["trees"]
    trees = [tree for group in groups for tree in (group if isinstance(group, list) else [group])]
    lab = _column_of(document, "lab")
    nodes = [node for tree in trees for node in zip(tree["columns"], tree["thresholds"], strict=True)]
    # Without the largest float, which separates missing from other numbers.
    thresholds = sorted({threshold for column, threshold in nodes if column == lab and threshold < 1e30})
    assert len(thresholds) > 20
    rows = _table(len(thresholds), seed=6)
    rows["lab"] = [one if towards is None else math.nextafter(one, towards) for one in thresholds]
    assert _difference(pipeline, rows) <= 1e-14
    # The same in 32 bits, in which a forest compares.
    rows["lab"] = np.nextafter(np.float32(thresholds), np.float32(towards or 0)).astype(float)
    assert _difference(pipeline, rows) <= 1e-14


def _column_of(document: dict[str, Any], name: str) -> int:
    """The index of an input's first column."""
    column = 0
    for one in document["inputs"]:
        if one["name"] == name:
            break
        column += len(one["unseen"] if one["kind"] == "category" else one.get("missing", [None]))
    return column


@pytest.mark.parametrize("model", TREES)
def test_a_split_between_missing_and_other_numbers_is_exported(model: str) -> None:
    """scikit-learn gives it an infinite threshold, which JSON cannot express."""
    r = random.Random(3)
    table = pd.DataFrame({"x": [math.nan if r.random() < 0.5 else 1.0 for _ in range(300)]})
    target = [r.choice(CLASSES[:2]) if math.isnan(x) else r.choice(CLASSES[1:]) for x in table["x"]]
    pipeline = make_pipeline(MODELS[model]()).fit(table, target)
    rows = pd.DataFrame({"x": [math.nan, 1.0, -1e30, 1e30]})
    shares = pipeline.predict_proba(rows)
    assert abs(shares[0] - shares[1]).max() > 0.3
    assert _difference(pipeline, rows, ["x"]) <= 1e-14


@pytest.mark.parametrize("model", TREES)
def test_a_missing_number_that_training_never_saw_goes_where_the_pipeline_sends_it(model: str) -> None:
    pipeline = _fitted(_columns(), MODELS[model]())
    rows = _table(500, seed=8).assign(count=math.nan)
    assert _difference(pipeline, rows) <= 1e-14


@pytest.mark.parametrize("name", FEATURES)
def test_each_input_reaches_its_own_column(name: str) -> None:
    """One input alone decides the class: the scorer can only equal the pipeline if it reads that input."""
    r = random.Random(4)
    table = pd.concat([_table(600, seed=9), _table(600, seed=10, new=True)], ignore_index=True)
    values = table[name].fillna(-1).rank(method="dense", pct=True)
    target = [CLASSES[min(2, max(0, int(value * 2 + r.random() * 2 - 0.5)))] for value in values]
    pipeline = make_pipeline(_columns(IMPUTERS["median-indicator"]), MODELS["forest"]()).fit(table, target)
    assert _difference(pipeline, _table(300, seed=11, new=True)) <= 1e-14


@pytest.mark.parametrize("columns", [NUMBERS, []], ids=["numbers-only", "nothing"])
def test_a_transformer_of_numbers_only_is_exported(columns: list[str]) -> None:
    transformer = ColumnTransformer(
        [("numbers", "passthrough", columns or ["lab"]), ("categories", TargetEncoder(), []), ("out", "drop", ["only"])]
    )
    pipeline = _fitted(transformer, MODELS["boosting"]())
    document = export.document_of(pipeline, FEATURES)
    assert [one["name"] for one in document["inputs"]] == (columns or ["lab"])
    assert _difference(pipeline, _table(300, seed=12)) <= 1e-14


def test_inputs_are_in_the_order_of_the_features_without_dropped_ones() -> None:
    pipeline = _fitted(ColumnTransformer([("numbers", "passthrough", ["score", "lab"])]), MODELS["boosting"]())
    document = export.document_of(pipeline, FEATURES)
    assert [one["name"] for one in document["inputs"]] == ["lab", "score"]
    assert _difference(pipeline, _table(300, seed=12)) <= 1e-14


def test_a_category_is_exported_with_its_encoding_for_each_class() -> None:
    pipeline = _fitted(_columns(), MODELS["boosting"]())
    inputs = {one["name"]: one for one in export.document_of(pipeline, FEATURES)["inputs"]}
    encoder = pipeline[0].named_transformers_["categories"]
    assert sorted(inputs["drug"]["values"]) == sorted(["No", "Up", "Steady", MISSING])
    assert inputs["drug"]["unseen"] == encoder.target_mean_.tolist()
    assert list(inputs["only"]["values"]) == ["x"]
    row = pd.DataFrame([["251", "Up", "x"]], columns=CATEGORIES)
    assert inputs["code"]["values"]["251"] + inputs["drug"]["values"]["Up"] == encoder.transform(row)[0, :6].tolist()


def test_none_is_the_missing_category() -> None:
    scorer = Scorer(export.document_of(_fitted(_columns(), MODELS["boosting"]()), FEATURES))
    row = dict(zip(FEATURES, _table(1, seed=13).iloc[0].tolist(), strict=True))
    for name in ("code", "drug"):
        none, mark = (scorer.probabilities([*{**row, name: value}.values()]) for value in (None, MISSING))
        assert none == mark


def test_a_forest_is_exported_with_counts_and_short_thresholds() -> None:
    pipeline = _fitted(_columns(), MODELS["forest"]())
    for tree in export.document_of(pipeline, FEATURES)["model"]["trees"]:
        assert all(isinstance(weight, int) for weight in tree["values"])
        assert all(len(repr(abs(threshold))) <= 14 for threshold in tree["thresholds"])


def test_a_forest_with_fractional_weights_is_exported_exactly() -> None:
    forest = RandomForestClassifier(10, min_samples_leaf=3, class_weight="balanced", bootstrap=False, random_state=1)
    pipeline = _fitted(_columns(), forest)
    weights = [weight for tree in forest.estimators_ for weight in tree.tree_.weighted_n_node_samples.tolist()]
    assert not all(map(float.is_integer, weights))
    assert _difference(pipeline, _table(500, seed=14)) <= 1e-14


@pytest.mark.parametrize("leaves", [2, 8, 9, 31, 200])
def test_a_boosting_with_trees_of_any_size_is_exported_exactly(leaves: int) -> None:
    model = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=leaves, min_samples_leaf=1, early_stopping=False)
    assert _difference(_fitted(_columns(), model, rows=1500), _table(500, seed=15, new=True)) <= 1e-14


def test_a_forest_grown_best_leaf_first_is_exported_exactly() -> None:
    """scikit-learn then stores the nodes in the order in which they were split."""
    forest = RandomForestClassifier(n_estimators=10, max_leaf_nodes=12, random_state=1)
    assert _difference(_fitted(_columns(), forest), _table(500, seed=16)) <= 1e-14


def test_integers_in_a_table_with_text_count_like_floats() -> None:
    pipeline = _fitted(_columns(), MODELS["boosting"]())
    rows = _table(100, seed=17)
    assert rows["count"].dtype == np.int64
    assert _difference(pipeline, rows) == _difference(pipeline, rows.astype({"count": float}))


@cache
def _encounters(diabetes_data: Path | None) -> pd.DataFrame:
    """6,000 of the real encounters, or as many synthetic ones."""
    if diabetes_data is None:
        return pd.DataFrame(synthetic.rows(6000, seed=1), columns=list(COLUMNS))
    with zipfile.ZipFile(diabetes_data) as archive:
        content = archive.read("dataset_diabetes/diabetic_data.csv").decode()
    header, *rows = csv.reader(io.StringIO(content))
    return pd.DataFrame(random.Random(1).sample(rows, 6000), columns=header)


@pytest.mark.parametrize("model", MODELS)
def test_the_scorer_equals_the_pipeline_on_encounters(model: str, diabetes_data: Path | None) -> None:
    table = _encounters(diabetes_data).copy()
    target = table.pop("readmitted")
    counts = [name for name in table if isinstance(COLUMNS[name], IntegerRange) and not name.endswith(("_nbr", "_id"))]
    texts = [name for name in table if name not in counts and not name.endswith(("_nbr", "encounter_id"))]
    table[counts] = table[counts].astype(float)
    table["number_inpatient"] = table["number_inpatient"].where(table["num_procedures"] > 0)
    columns = ColumnTransformer(
        [
            ("numbers", "passthrough" if model == "boosting" else IMPUTERS["median-indicator"], counts),
            ("categories", TargetEncoder(target_type="multiclass"), texts),
        ]
    )
    scaler = StandardScaler() if model == "linear" else "passthrough"
    pipeline = make_pipeline(columns, scaler, MODELS[model]()).fit(table[:3000], target[:3000])
    assert len(texts) > 30
    assert _difference(pipeline, table[3000:], list(table)) <= 1e-14


def _with_two_classes(model: Any) -> Pipeline:
    table = _table(200, seed=1)
    columns = ColumnTransformer([("numbers", IMPUTERS["median"], NUMBERS)])
    return make_pipeline(columns, model).fit(table, ["<30", "NO"] * 100)


def _categorical() -> Pipeline:
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0] * 100})
    model = HistGradientBoostingClassifier(categorical_features=[0], max_iter=3, min_samples_leaf=1)
    return make_pipeline(model).fit(table, CLASSES * 100)


def _with_numeric_categories() -> Pipeline:
    columns = ColumnTransformer([("categories", TargetEncoder(target_type="multiclass"), ["count"])])
    return _fitted(columns, MODELS["boosting"]())


def _with_all_missing(imputer: SimpleImputer) -> Pipeline:
    table = _table(300, seed=1)
    with pytest.warns(UserWarning, match="without any observed values"):
        return make_pipeline(_columns(imputer), MODELS["forest"]()).fit(table.assign(lab=math.nan), _target(table))


def _dense(*parts: tuple[str, Any, Any]) -> ColumnTransformer:
    return ColumnTransformer([*parts], sparse_threshold=0)


REFUSED = [
    ("ExtraTreesClassifier", lambda: _fitted(_columns(), ExtraTreesClassifier(n_estimators=2))),
    ("Ridge", lambda: make_pipeline(Ridge()).fit([[0.0], [1.0]], [0.0, 1.0])),
    ("PCA after the ColumnTransformer", lambda: _fitted(_columns(IMPUTERS["median"]), PCA(2), MODELS["linear"]())),
    (
        "MinMaxScaler as step 2 for numbers",
        lambda: _fitted(_columns(make_pipeline(IMPUTERS["median"], MinMaxScaler())), MODELS["linear"]()),
    ),
    (
        "SimpleImputer as step 2 for numbers",
        lambda: _fitted(_columns(make_pipeline(StandardScaler(), IMPUTERS["median"])), MODELS["linear"]()),
    ),
    (
        "OrdinalEncoder as step 1 for numbers",
        lambda: _fitted(_dense(("categories", OrdinalEncoder(), ["drug"])), MODELS["forest"]()),
    ),
    (
        "RandomForestClassifier after a StandardScaler",
        lambda: _fitted(_columns(), StandardScaler(), MODELS["forest"]()),
    ),
    (
        "HistGradientBoostingClassifier after a StandardScaler",
        lambda: _fitted(_columns(StandardScaler()), MODELS["boosting"]()),
    ),
    ("LogisticRegression with 2 classes", lambda: _with_two_classes(LogisticRegression(max_iter=500))),
    ("RandomForestClassifier with 2 classes", lambda: _with_two_classes(RandomForestClassifier(n_estimators=2))),
    (
        "HistGradientBoostingClassifier with 2 classes",
        lambda: _with_two_classes(HistGradientBoostingClassifier(max_iter=2)),
    ),
    ("native categorical features", _categorical),
    (
        "more than 255 leaves",
        lambda: _fitted(
            _columns(),
            HistGradientBoostingClassifier(
                max_iter=2, max_leaf_nodes=None, min_samples_leaf=1, learning_rate=1, early_stopping=False
            ),
            rows=4000,
        ),
    ),
    ("TargetEncoder: a category of count is not text", _with_numeric_categories),
    (
        "TargetEncoder with a binary target",
        lambda: make_pipeline(_dense(("categories", TargetEncoder(), ["drug"])), MODELS["forest"]()).fit(
            _table(200, seed=1), ["<30", "NO"] * 100
        ),
    ),
    (r"SimpleImputer that drops \['lab'\]", lambda: _with_all_missing(SimpleImputer(strategy="median"))),
    (
        "SimpleImputer of missing_values=-1",
        lambda: _fitted(
            ColumnTransformer([("numbers", SimpleImputer(missing_values=-1), ["count"])]), MODELS["forest"]()
        ),
    ),
    (
        "not a list of names",
        lambda: _fitted(ColumnTransformer([("numbers", "passthrough", slice(1, 5))]), MODELS["boosting"]()),
    ),
    (
        "not a list of names",
        lambda: _fitted(ColumnTransformer([("numbers", "passthrough", [1, 2])]), MODELS["boosting"]()),
    ),
    (
        "duplicate or unknown features",
        lambda: _fitted(_dense(("one", "passthrough", ["lab"]), ("two", "passthrough", ["lab"])), MODELS["forest"]()),
    ),
]


@pytest.mark.parametrize(("named", "fit"), REFUSED, ids=[named for named, _ in REFUSED])
def test_a_pipeline_that_a_document_cannot_express_is_refused_by_name(named: str, fit: Callable[[], Pipeline]) -> None:
    pipeline = fit()
    with pytest.raises(TypeError, match=f"no scorer export for .*{named}"):
        export.document_of(pipeline, FEATURES)


def test_an_unknown_column_is_refused() -> None:
    pipeline = _fitted(_columns(), MODELS["boosting"]())
    with pytest.raises(TypeError, match="duplicate or unknown features"):
        export.document_of(pipeline, FEATURES[1:])


def test_a_document_of_any_pipeline_survives_json() -> None:
    for model in TREES:
        document = export.document_of(_fitted(_columns(), MODELS[model]()), FEATURES)
        assert json.loads(export.to_json(document)) == document
