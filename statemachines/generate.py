"""Generates `pipeline.asl.json` and `score.asl.json`, which are deployed, from the YAML files of the same names.

Run it by `python statemachines/generate.py`. AWS rejects YAML aliases in a state machine's definition, LocalStack
accepts only JSON, and SAM uploads the file as it is.
"""

import json
from pathlib import Path
from typing import Final

import yaml

MACHINES: Final = ("pipeline", "score")


def target(machine: str = "pipeline") -> Path:
    """The file that is deployed."""
    return Path(__file__).with_name(f"{machine}.asl.json")


def definition(machine: str = "pipeline") -> str:
    """The definition as JSON, with all aliases resolved."""
    return json.dumps(yaml.safe_load(target(machine).with_suffix(".yaml").read_text()), indent=2) + "\n"


if __name__ == "__main__":
    for name in MACHINES:
        target(name).write_text(definition(name))
