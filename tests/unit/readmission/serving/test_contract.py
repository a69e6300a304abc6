"""The application answers generated requests as its contract says."""

import schemathesis
from schemathesis import Case

from tests.contracts import bounded, contract, hold
from tests.unit.readmission.serving.fakes import serving


def _unlocked(document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> dict[str, object]:
    """Without the keys, which the gateway checks, and the paths that other functions serve."""
    for path in ("/model/history", "/monitor", "/outcomes", "/jobs", "/jobs/{id}", "/metrics"):
        del document["paths"][path]
    for item in document["paths"].values():
        for operation in item.values():
            del operation["security"]
    return {**document, "servers": [{"url": "/"}]}


schema = schemathesis.openapi.from_dict(_unlocked(contract()))
schema.app = serving(0.1, 0.2, 0.7).app


@schema.parametrize()
@bounded
def test_every_answer_is_one_that_the_contract_describes(case: Case) -> None:
    hold(case)
