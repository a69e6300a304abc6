"""The program of a process with a model alone: `python -m tests.benchmarks.alone KIND FOLDER rows.json [TIMES]`.

With `sklearn` and `onnx`, it loads the model, scores the rows one by one, and prints the times and the first result.
With `vectorised` and `pyfunc`, it scores them all at once and prints the rows a second, with `pyfunc-rows` some of them
one by one. With `shadow`, it prints the milliseconds that a second version adds to a forecast.
`onnx-export` makes FOLDER's ONNX file: of the boosting alone, as the steps before it (target-encoded categories and
masks of this project) have no converter; so that its rows are those that they give.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ONNX = "boosting.onnx"
_ROWS = "boosting-rows.json"


def main() -> None:
    _, kind, folder, rows, *times = sys.argv
    if kind == "onnx-export":
        _export(Path(folder), json.loads(Path(rows).read_text()))
        return
    if kind in _ALL:
        print(json.dumps({"found": _ALL[kind](Path(folder), json.loads(Path(rows).read_text()))}))
        return
    ask = {"sklearn": _sklearn, "onnx": _onnx}[kind](Path(folder), Path(rows))
    first = ask(0)
    started = time.time()
    took, worked = [], time.process_time()
    for number in range(int(times[0])):
        began = time.perf_counter_ns()
        ask(number)
        took.append(time.perf_counter_ns() - began)
    worked = time.process_time() - worked
    with open("/proc/self/status") as lines:
        (kib,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    shares = [float(share) for share in first]
    print(json.dumps({"started": started, "took": took, "worked": worked, "mb": kib / 1024, "first": shares}))


def _pipeline(folder: Path) -> Any:
    import skops.io
    from readmission.training.families import TRUSTED

    return skops.io.load(next(folder.rglob("model.skops")), trusted=list(TRUSTED))


def _sklearn(folder: Path, rows: Path) -> Any:
    """Building the table counts, because a request does not arrive as one."""
    from tests.benchmarks import inputs

    pipeline = _pipeline(folder)
    known = json.loads(rows.read_text())
    return lambda number: pipeline.predict_proba(inputs.table([known[number % len(known)]]))[0]


def _onnx(folder: Path, rows: Path) -> Any:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / _ONNX, options, providers=["CPUExecutionProvider"])
    known = [np.array([row], dtype=np.float32) for row in json.loads((folder / _ROWS).read_text())]
    name = session.get_inputs()[0].name
    return lambda number: session.run(None, {name: known[number % len(known)]})[1][0]


def _rate(rows: int, score: Callable[[], Any]) -> float:
    """Rows a second of the processor's time, the second time: the first one warms up."""
    score()
    began = time.process_time()
    score()
    return rows / (time.process_time() - began)


def _vectorised(folder: Path, rows: list[list[Any]]) -> float:
    import numpy as np
    from readmission.domain.features import INPUTS
    from readmission.scoring.vectorised import VectorisedScorer

    scorer = VectorisedScorer(json.loads((folder / "scorer.json").read_text()))
    places = [INPUTS.index(name) for name in scorer.features]
    table = np.array([[row[place] for place in places] for row in rows], dtype=object)
    return _rate(len(rows), lambda: scorer.probabilities(table))


def _pyfunc(folder: Path, rows: list[list[Any]]) -> float:
    import mlflow.pyfunc

    from tests.benchmarks import inputs

    model, table = mlflow.pyfunc.load_model(str(folder / "pyfunc")), inputs.table(rows)
    return _rate(len(rows), lambda: model.predict(table))


def _pyfunc_rows(folder: Path, rows: list[list[Any]]) -> float:
    import mlflow.pyfunc

    from tests.benchmarks import inputs

    model, tables = mlflow.pyfunc.load_model(str(folder / "pyfunc")), [inputs.table([row]) for row in rows[:50]]
    return _rate(len(tables), lambda: [model.predict(table) for table in tables])


def _shadow(folder: Path, rows: list[list[Any]]) -> float:
    """Both versions are in the process all the time, as where a challenger is tried."""
    import logging
    from statistics import median
    from types import SimpleNamespace

    from readmission.domain.features import FEATURES, INPUTS
    from readmission.registry.production import Version
    from readmission.scoring.scorer import Scorer
    from readmission.serving.challenger import Trial
    from readmission.serving.encounters import Asked
    from readmission.serving.model_cache import Challenger, Served
    from readmission.telemetry.metrics import NullMeter

    document = json.loads((folder / "scorer.json").read_text())
    version = Version("readmission", "1", "run", "gradient_boosting", "real", "")
    served, challenger = Served(version, Scorer(document)), Challenger(version, Scorer(document))
    cache: Any = SimpleNamespace(challenger=None, challenger_seconds=1.0)
    trial = Trial(cache, logging.getLogger(), NullMeter())
    known = [dict(zip(INPUTS, row, strict=True)) for row in rows[:1000]]
    asked = [Asked({name: one[name] for name in FEATURES}) for one in known]

    def took() -> float:
        times = []
        for one in asked:
            began = time.perf_counter_ns()
            trial.answer(served, one)
            times.append(time.perf_counter_ns() - began)
        return median(times) / 1e6

    added = []
    for _ in range(5):
        cache.challenger = None
        alone = took()
        cache.challenger = challenger
        added.append(took() - alone)
    return median(added)


_ALL: dict[str, Callable[[Path, list[list[Any]]], float]] = {
    "vectorised": _vectorised,
    "pyfunc": _pyfunc,
    "pyfunc-rows": _pyfunc_rows,
    "shadow": _shadow,
}


def _export(folder: Path, rows: list[list[Any]]) -> None:
    from unittest.mock import patch

    import numpy as np
    import onnx
    from skl2onnx import to_onnx

    from tests.benchmarks import inputs

    pipeline = _pipeline(folder)
    encoded = pipeline[:-1].transform(inputs.table(rows))
    values = getattr(encoded, "to_numpy", lambda: encoded)().astype("float32")
    make = onnx.helper.make_attribute

    def of_whole_numbers(key: str, value: Any, *others: Any, **more: Any) -> Any:
        """skl2onnx 1.20 passes NumPy booleans, which protobuf does not accept as numbers."""
        if isinstance(value, list):
            value = [int(one) if isinstance(one, bool | np.bool_) else one for one in value]
        return make(key, value, *others, **more)

    with patch.object(onnx.helper, "make_attribute", of_whole_numbers):
        made = to_onnx(pipeline[-1], values[:1], options={"zipmap": False})
    (folder / _ONNX).write_bytes(made.SerializeToString())
    (folder / _ROWS).write_text(json.dumps(values.tolist()))


if __name__ == "__main__":
    main()
