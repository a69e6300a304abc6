"""The export to Parquet, called like a function: no function does it, because the training layer lacks pyarrow."""

import os
from typing import Any

from readmission.settings import TrainSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.training import parquet


def handler(event: dict[str, Any], context: object) -> parquet.Manifest:
    """Export the clean rows of a data kind."""
    database = TrainSettings.from_environment().database
    with connect("clean", database, parquet.ANSWER_SECONDS) as clean:
        return parquet.export(clean, event["data_kind"], s3_client(), os.environ["DATA_BUCKET"])
