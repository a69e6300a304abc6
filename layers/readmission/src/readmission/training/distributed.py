"""Gradient boosting on a cluster: each worker holds its share of the encoded rows, and LightGBM fits one model.

The workers read the Parquet export twice: first to count, which is all that encoding needs, then to encode and fit.
What evaluation, early stopping and the API's context need of single rows comes from a sample of whole patients of at
most about `SAMPLE_ROWS` rows of each split. Smaller data are used whole. So only a worker's memory grows with the rows.
"""

import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from operator import itemgetter
from typing import Any, Final, Self
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from distributed import get_worker
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from readmission.domain.contract import CLASSES
from readmission.domain.features import CATEGORIES, FEATURES, INPUTS
from readmission.domain.splits import SPLITS, Split
from readmission.errors import NoTrainingData, SplitsOverlap
from readmission.evaluation import dataset
from readmission.evaluation.dataset import TARGET, Part
from readmission.scoring import export
from readmission.training import boosting, cluster
from readmission.training.boosting import Recipe, codes_of, hashed
from readmission.training.cluster import Cluster
from readmission.training.model import Sizes, TrainedModel, evaluated
from readmission.training.rows import FOLD, Strips
from readmission.training.target_encoding import ClassCounts

SAMPLE_ROWS: Final = 100_000
_SHARE_OF: Final[Mapping[Split, float]] = {"train": 0.70, "validation": 0.15, "test": 0.15}
_BUCKETS: Final = 16  # of patients, to count them without having all of them in one place
_ENCODED_ROWS: Final = 20_000
_CLASSES: Final = sorted(CLASSES)


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of some rows: counts that add up, and the sample.

    `classes` are the numbers of rows by class, `counts` those of the training rows, `known` the inputs that have a
    value in a training row, `values` how often each of the 14 features has each value there.
    """

    classes: Mapping[Split, Counter[str]]
    counts: ClassCounts
    known: frozenset[str]
    values: Mapping[str, Counter[float]]
    sample: pd.DataFrame

    @classmethod
    def of(cls, rows: Strips, shares: Mapping[Split, float]) -> Self:
        """Read the rows; of each split, the sample has so large a share of the patients."""
        table = rows.read()
        training = table[table["split"] == "train"]
        chance = hashed(table["patient_nbr"].to_numpy()) / np.float64(2**64)
        return cls(
            classes={split: _counted(table[TARGET][table["split"] == split]) for split in SPLITS},
            counts=ClassCounts.of(training, CATEGORIES, codes_of(training[TARGET]), training[FOLD].to_numpy()),
            known=frozenset(str(name) for name in INPUTS if training[name].notna().any()),
            values={name: _counted(training[name]) for name in FEATURES},
            sample=table[chance < table["split"].map(dict(shares)).to_numpy(np.float64)],
        )

    @classmethod
    def sum(cls, parts: Iterable[Self]) -> Self:
        parts = list(parts)
        return cls(
            classes={split: sum((part.classes[split] for part in parts), Counter()) for split in SPLITS},
            counts=ClassCounts.sum(part.counts for part in parts),
            known=frozenset().union(*(part.known for part in parts)),
            values={name: sum((part.values[name] for part in parts), Counter()) for name in FEATURES},
            sample=pd.concat([part.sample for part in parts], ignore_index=True),
        )

    def check(self) -> None:
        """Raises `NoTrainingData` if a split lacks a class."""
        for split, found in self.classes.items():
            if lacking := [name for name in _CLASSES if not found[name]]:
                raise NoTrainingData(
                    f"the exported rows of the {split} split ({found.total()}) lack the class {', '.join(lacking)};"
                    " ingest and clean more data first"
                )


def train_model(shares: Sequence[Sequence[Strips]], workers: Cluster, excluded: Mapping[str, int]) -> TrainedModel:
    """Fit on the training rows of all shares, one per worker, and evaluate on the sample.

    The same shares give the same model. Raises `NoTrainingData`, `SplitsOverlap` and `WorkerLost`.
    """
    of_hosts = _summaries(shares, workers)
    summary = Summary.sum(of_hosts)
    summary.check()
    patients = _patients(shares, workers)
    if patients["shared"]:
        raise SplitsOverlap(f"{patients['shared']} patients of the exported rows are in two splits; clean them again")
    parts = {split: dataset.part_of(summary.sample[summary.sample["split"] == split]) for split in SPLITS}
    recipe = Recipe([name for name in INPUTS if name in summary.known], summary.counts)
    workers.progress(f"{summary.classes['train'].total():,} training rows, {recipe.width} columns")
    model = _fit(shares, [one.counts for one in of_hosts], recipe, parts["validation"], workers)
    pipeline = Pipeline([("columns", recipe.columns), ("model", model)])
    context = export.context_of(pipeline, parts["train"].features)
    context["reference"] = {name: _median(summary.values[name]) for name in FEATURES}
    return evaluated(pipeline, context, parts, excluded, Sizes(_sizes(summary, patients), patients["shared"]))


def _summaries(shares: Sequence[Sequence[Strips]], workers: Cluster) -> list[Summary]:
    """One of each share. Raises `NoTrainingData` for one without a class, which LightGBM would number otherwise."""
    rows = sum(one.rows for share in shares for one in share)
    sampled = {split: min(1.0, SAMPLE_ROWS / (rows * share)) for split, share in _SHARE_OF.items()} if rows else {}
    found: list[Summary] = workers.results(
        [
            workers.tree(Summary.sum, [workers.submit(Summary.of, one, sampled, host=host) for one in share], host)
            for host, share in enumerate(shares)
            if share
        ]
    )
    if len(found) < len(shares) or any(0 in one.counts.rows.sum(axis=0) for one in found):
        raise NoTrainingData(
            f"{rows} exported rows are too few for {len(shares)} workers: each needs training rows of every class"
        )
    return found


def _patients(shares: Sequence[Sequence[Strips]], workers: Cluster) -> Counter[str]:
    """The number of patients of each split, and as `shared` of those in more than one."""
    lists = [workers.submit(_patients_of, one, host=host) for host, share in enumerate(shares) for one in share]
    buckets = [[workers.submit(itemgetter(index), one) for one in lists] for index in range(_BUCKETS)]
    return sum(workers.results([workers.submit(_count_patients, *bucket) for bucket in buckets]), Counter())


def _patients_of(rows: Strips) -> list[dict[str, NDArray[np.int64]]]:
    """By bucket, the patients of each split."""
    table = rows.read(("split", "patient"))
    patients = {split: table["patient_nbr"][table["split"] == split].unique() for split in SPLITS}
    buckets = {split: hashed(found) % np.uint64(_BUCKETS) for split, found in patients.items()}
    return [{split: patients[split][buckets[split] == index] for split in SPLITS} for index in range(_BUCKETS)]


def _count_patients(*lists: Mapping[str, NDArray[np.int64]]) -> Counter[str]:
    found = {split: np.unique(np.concatenate([one[split] for one in lists])) for split in SPLITS}
    each = Counter({str(split): len(patients) for split, patients in found.items()})
    shared = each.total() - len(np.unique(np.concatenate(list(found.values()))))
    return each + Counter({"shared": shared})


def _counted(values: "pd.Series[Any]") -> Counter[Any]:
    """How often each value occurs, without missing ones."""
    found: dict[Any, int] = values.value_counts().to_dict()
    return Counter(found)


def _sizes(summary: Summary, patients: Mapping[str, int]) -> dict[Split, dict[str, Any]]:
    return {
        split: {
            "rows": found.total(),
            "patients": patients[split],
            "classes": {name: found[name] for name in _CLASSES},
        }
        for split, found in summary.classes.items()
    }


def _median(values: Counter[float]) -> float:
    """As pandas computes it."""
    ordered = np.array(sorted(values))
    ends = np.cumsum([values[value] for value in ordered])
    low, high = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], side="right")
    return float((ordered[low] + ordered[high]) / 2)


def _fit(
    shares: Sequence[Sequence[Strips]],
    counts: Sequence[ClassCounts],
    recipe: Recipe,
    validation: Part,
    workers: Cluster,
) -> LGBMClassifier:
    machines = _machines(workers)
    tasks = [
        (share, int(own.rows.sum()), recipe, validation, machines, rank)
        for rank, (share, own) in enumerate(zip(shares, counts, strict=True))
    ]
    first, *_ = workers.run(_fit_share, tasks)
    assert first is not None
    return first


def _machines(workers: Cluster) -> list[str]:
    """An address for LightGBM of each worker, as `IP address:port`."""
    while True:
        found = workers.run(_endpoint, [()] * len(workers.addresses))
        if len(set(found)) == len(found):
            return found


def _endpoint() -> str:
    """LightGBM finds itself in the list by the addresses of the machine's interfaces, and knows one of the loopback."""
    address = ip_address(socket.gethostbyname(str(urlsplit(get_worker().address).hostname)))
    with closing(socket.socket()) as free:
        free.bind(("", 0))
        return f"{'127.0.0.1' if address.is_loopback else address}:{free.getsockname()[1]}"


def _fit_share(
    share: Sequence[Strips], rows: int, recipe: Recipe, validation: Part, machines: Sequence[str], rank: int
) -> LGBMClassifier | None:
    """On a worker: encode its `rows` training rows, and take part in the fit. The first worker returns the model."""
    features = np.empty((rows * recipe.copies, recipe.width), np.float32)
    targets: list[NDArray[np.str_]] = []
    filled = 0
    for table in _training_rows(share):
        encoded = recipe.training_rows(table, table[FOLD].to_numpy())
        features[filled : filled + len(encoded)] = encoded
        filled += len(encoded)
        targets.append(recipe.targets(table[TARGET]))
    cluster.report(f"worker {rank}: {rows:,} training rows encoded, {features.nbytes / 1e6:,.0f} MB")
    network = {
        "machines": ",".join(machines),
        "local_listen_port": int(machines[rank].rpartition(":")[2]),
        "num_machines": len(machines),
        "tree_learner": "data",
        "pre_partition": True,
    }
    model = boosting.fit_model(
        features,
        np.concatenate(targets),
        recipe.other_rows(validation.features),
        recipe.targets(validation.target),
        progress=cluster.report if rank == 0 else None,
        n_jobs=get_worker().state.nthreads,
        **(network if len(machines) > 1 else {}),
    )
    if rank:
        return None
    return boosting.without(model, network)


def _training_rows(share: Sequence[Strips]) -> Iterator[pd.DataFrame]:
    """The training rows of the share, some at a time: encoding takes several times their memory."""
    for one in share:
        table = one.read()
        training = table[table["split"] == "train"]
        for start in range(0, len(training), _ENCODED_ROWS):
            yield training.iloc[start : start + _ENCODED_ROWS]
