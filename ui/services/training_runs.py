"""What MLflow holds of a training run: plots, evaluation and the model card's data, read over its REST API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

from readmission.client import Figure
from readmission.errors import ConfigurationError, TrackingUnavailable
from readmission.registry import names
from readmission.registry.rest import RestClient, UnexpectedAnswer
from readmission.reporting.facts import Facts
from readmission.settings import ModelSettings
from readmission.telemetry.metrics import SCORES

PLOTS: Final = ("roc", "precision_recall", "reliability", "decision_curve", "feature_effect")
_TIMEOUT_SECONDS: Final = 10

type Reason = Literal["no_mlflow", "mlflow_away"]


class RunsUnavailable(Exception):
    """MLflow is not configured or does not respond; `reason` is the key of the page's text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@contextmanager
def mlflow(url: str | None, model: str, secret: str = "") -> Iterator[RestClient]:
    """MLflow's client, with the credentials of the secret. Raises RunsUnavailable, also for errors of its calls."""
    if url is None:
        raise RunsUnavailable("no_mlflow")
    try:
        yield RestClient(ModelSettings(url, model, secret=secret), _TIMEOUT_SECONDS)
    except (ConfigurationError, TrackingUnavailable, UnexpectedAnswer) as error:
        raise RunsUnavailable("mlflow_away") from error


def plots(client: RestClient, run_id: str) -> dict[str, bytes]:
    """The run's plots as PNG files, by name."""
    found = {name: client.find_artifact(run_id, names.plot(name)) for name in PLOTS}
    return {name: content for name, content in found.items() if content is not None}


def evaluation(client: RestClient, run_id: str) -> dict[str, Any] | None:
    """The run's evaluation document, None if it has none."""
    return _document(client, run_id, names.EVALUATION)


def data_report(client: RestClient, run_id: str) -> dict[str, Any] | None:
    """The report on the run's training data, None for runs of earlier releases."""
    return _document(client, run_id, names.DATA_REPORT)


def card_data(client: RestClient, version: str) -> tuple[Facts, dict[str, Any]] | None:
    """What the model card of a version is composed from; None for a version without an evaluation."""
    registered = client.version(version)
    run = client.run(registered.run_id)
    document = evaluation(client, run.id)
    if document is None:
        return None
    facts = Facts(
        name=registered.name,
        number=registered.number,
        family=run.tags.get(names.FAMILY, ""),
        data_kind=run.tags.get(names.DATA_KIND, ""),
        run_id=run.id,
        created=datetime.fromtimestamp(registered.created / 1000, UTC),
        tags=run.tags,
        params=run.params,
        data_report=data_report(client, run.id),
    )
    return facts, document


def figures(evaluation: dict[str, Any] | None) -> dict[str, Figure]:
    """The scores on the run's own test rows, with 95 % intervals."""
    if evaluation is None:
        return {}
    test = evaluation["test"]
    scores: dict[str, Figure] = {}
    for name in SCORES:
        if (value := test["metrics"].get(name)) is not None:
            low, high = test["intervals"].get(name) or (None, None)
            scores[name] = Figure(value=value, low=low, high=high)
    return scores


def _document(client: RestClient, run_id: str, path: str) -> dict[str, Any] | None:
    content = client.find_artifact(run_id, path)
    if content is None:
        return None
    try:
        document: dict[str, Any] = json.loads(content)
    except ValueError as error:
        raise UnexpectedAnswer(f"{path} of run {run_id} is not valid JSON") from error
    return document
