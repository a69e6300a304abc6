"""The deployed API keeps to its contract, whatever it is asked."""

import schemathesis
from schemathesis import Case, Config

from tests.contracts import bounded, contract, hold
from tests.e2e.conftest import Application, Trained


def _behind_the_gateway(document: dict[str, dict[str, dict[str, dict[str, dict[str, object]]]]]) -> dict[str, object]:
    """With an answer to a request without a key that has no content.

    LocalStack does not write the problem document that the template gives it.
    """
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"]["403"] = {"description": "The key is missing or wrong."}
    return {**document}


# Each field's limits are the application's, which tests/unit/readmission/serving/test_contract.py holds to the same
# contract with 2,600 more requests.
config = Config.from_dict(
    {"operations": [{"include-path-regex": "^/predict", "phases": {"coverage": {"enabled": False}}}]}
)
schema = schemathesis.openapi.from_dict(_behind_the_gateway(contract()), config=config)


@schema.parametrize()
@bounded
def test_every_answer_is_one_that_the_contract_describes(
    case: Case, application: Application, trained: Trained
) -> None:
    if case.headers.get("Content-Type") == "multipart/form-data":
        return  # LocalStack fails at one without a boundary, and calls no function; the unit test has it
    hold(
        case,
        base_url=application.stack.api_url,
        headers={"x-api-key": application.stack.api_key, "x-request-id": "contract"},
        verify=str(application.settings.certificate),
    )


def test_the_contract_is_the_deployed_one(application: Application) -> None:
    assert application.call("/openapi.json", key=None).json == contract()
