"""What a family's model depends on besides the rows and the code: the tag `recipe` of its run."""

from collections.abc import Sequence
from importlib.metadata import version


def of_one_process(newest: int, requirements: Sequence[str]) -> str:
    """Of a training in one process on the `newest` rows, wherever it runs: these packages and their versions."""
    return "; ".join((f"newest={newest}", *(f"{name}=={version(name)}" for name in requirements)))


def of_workers(engine: str, workers: int, rows: int | None = None) -> str:
    """Of a distributed training, of a trial on no more than so many `rows`.

    Without versions of packages: the function that compares recipes does not have those of the workers.
    """
    return "; ".join((f"engine={engine}", f"workers={workers}", *([f"rows={rows}"] if rows else [])))
