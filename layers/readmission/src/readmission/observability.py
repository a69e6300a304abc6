"""Metric names, and the logger and metrics that every function uses."""

from typing import Final

from aws_lambda_powertools import Logger, Metrics

NAMESPACE: Final = "Readmission"

ROWS_PLANNED: Final = "RowsPlanned"
BATCHES_PLANNED: Final = "BatchesPlanned"
ROWS_READ: Final = "RowsRead"
ROWS_ADDED: Final = "RowsAdded"
ROWS_CLEANED: Final = "RowsCleaned"
ROWS_QUARANTINED: Final = "RowsQuarantined"
ROWS_CHECKED: Final = "RowsChecked"
MODELS_TRAINED: Final = "ModelsTrained"
MODELS_PROMOTED: Final = "ModelsPromoted"
PLOTS_WRITTEN: Final = "PlotsWritten"
CARDS_WRITTEN: Final = "CardsWritten"


def logger(service: str) -> Logger:
    """The structured JSON logger of a function."""
    return Logger(service=service)


def metrics(service: str) -> Metrics:
    """The EMF metrics of a function, in one namespace, told apart by `service`."""
    return Metrics(namespace=NAMESPACE, service=service)
