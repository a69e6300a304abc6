"""A run says, while its model is fitted, how many rounds are done."""

from threading import Event
from typing import Any, cast

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from readmission.training import progress
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression


class Client:
    """Takes the place of MLflow's client."""

    def __init__(self, error: Exception | None = None) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.asked = Event()
        self._error = error

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.asked.set()
        if self._error:
            raise self._error
        self.said.append((run_id, key, value))


def boosting() -> HistGradientBoostingClassifier:
    model = HistGradientBoostingClassifier(max_iter=9)
    return model.fit(np.arange(60).reshape(-1, 1), np.arange(60) % 2)


def test_a_model_that_is_fitted_in_rounds_tells_how_many_are_done() -> None:
    assert progress.rounds(boosting()) == "9 of at most 9 rounds"
    assert progress.rounds(HistGradientBoostingClassifier()) is None  # has not begun
    assert progress.rounds(LogisticRegression()) is None
    assert progress.rounds(None) is None


def reported(client: Client, model: Any) -> None:
    with progress.reported(cast(MlflowClient, client), "run"):
        progress.fitting(model)
        assert client.asked.wait(60)


def test_the_run_tells_the_rounds_while_the_fit_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.01)
    client = Client()
    reported(client, boosting())
    assert client.said == [("run", "progress", "9 of at most 9 rounds")]  # once, as there is nothing new


def test_an_mlflow_that_does_not_answer_does_not_stop_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.01)
    client = Client(MlflowException("no connection"))
    reported(client, boosting())
    assert client.said == []


def test_a_fit_that_nobody_watches_is_no_error() -> None:
    progress.fitting(boosting())
