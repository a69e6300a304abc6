"""The program of a process with a model alone: `python -m tests.benchmarks.alone sklearn|onnx FOLDER rows.json TIMES`.

Loads the model, scores the rows one by one, and prints the times and the first result.
`onnx-export` makes FOLDER's ONNX file: of the boosting alone, as the steps before it (target-encoded categories and
masks of this project) have no converter; so that its rows are those that they give.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

_ONNX = "boosting.onnx"
_ROWS = "boosting-rows.json"


def main() -> None:
    _, kind, folder, rows, *times = sys.argv
    if kind == "onnx-export":
        _export(Path(folder), json.loads(Path(rows).read_text()))
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
