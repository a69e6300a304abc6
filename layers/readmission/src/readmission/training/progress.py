"""Says, while a model is fitted, how many of its rounds are done: as a tag of its MLflow run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Thread
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.ensemble import HistGradientBoostingClassifier

from readmission.registry import names

SECONDS: Final = 5.0
"""Between two looks. A tag takes MLflow a few milliseconds, on cores that may be those of the fit."""
_LOGGER: Final = logging.getLogger(__name__)


class _Fit:
    """What is fitted now; None before and after."""

    model: Any = None


_CURRENT: Final[ContextVar[_Fit | None]] = ContextVar("fit", default=None)


@contextmanager
def reported(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Meanwhile, the run says how far the model is that `fitting` names. Whatever happens to that, the fit goes on."""
    fit, ended = _Fit(), Event()
    token = _CURRENT.set(fit)
    thread = Thread(target=_report, args=(client, run_id, fit, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        _CURRENT.reset(token)
        ended.set()
        thread.join()


def fitting(model: Any) -> None:
    """Must be called in the thread of `reported`, before the fit; elsewhere it does nothing."""
    if fit := _CURRENT.get():
        fit.model = model


def rounds(model: Any) -> str | None:
    """How far the fit is; None for a model that is not fitted in rounds, or has not begun."""
    if isinstance(model, HistGradientBoostingClassifier) and (grown := len(getattr(model, "_predictors", ()))):
        return f"{grown} of at most {model.max_iter} rounds"
    return None


def _report(client: MlflowClient, run_id: str, fit: _Fit, ended: Event) -> None:
    said: str | None = None
    while not ended.wait(SECONDS):
        text = rounds(fit.model)
        if text is None or text == said:
            continue
        try:
            client.set_tag(run_id, names.PROGRESS, text)
        except MlflowException as error:
            _LOGGER.warning("MLflow does not know how far the fit is: %s", type(error).__name__)
        said = text
