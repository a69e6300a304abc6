"""Generates `pipeline.asl.json`, which is deployed, from `pipeline.asl.yaml`: `python statemachines/generate.py`.

AWS rejects YAML aliases in a state machine's definition, LocalStack accepts only JSON, and SAM uploads the file as it
is.
"""

import json
from pathlib import Path
from typing import Final

import yaml

SOURCE: Final = Path(__file__).with_name("pipeline.asl.yaml")
TARGET: Final = SOURCE.with_suffix(".json")


def definition() -> str:
    """The definition as JSON, with all aliases resolved."""
    return json.dumps(yaml.safe_load(SOURCE.read_text()), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(definition())
