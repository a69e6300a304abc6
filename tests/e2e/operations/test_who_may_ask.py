"""The application deployed once more, with a real issuer: who gets through the gateway, and what their scopes allow.

Runs last: stacks of one account and region share their metrics, so tests that count the requests of one come before.
"""

import base64
import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from infra.local import files, stack
from infra.local.commands import predict
from infra.local.lifecycle import application as local
from tests.e2e.conftest import Application, Trained
from tests.ehr import Ehr, ehr
from tests.oidc import Issuer, issuer

NAME = "identity"
AUDIENCE = "https://readmission.example"
BUCKET = f"{NAME}-data-000000000000"
# Where the EHR finds the API: its token is for an endpoint below this.
BASE = "https://api.example/v1"
SCOPES = "predict outcomes operate metrics"
# The routes, how to ask for them, and the scope that each needs.
ROUTES = {
    "/predict": "predict",
    "/model": "predict",
    "/model/history": "predict",
    "/outcomes": "outcomes",
    "/jobs": "predict",
    "/reload-model": "operate",
}
JOB = {"id": "who-may-ask", "delivery": "none"}
OUTCOME = {"site": "who-may-ask", "encounter_id": 1, "readmitted": "NO"}


@pytest.fixture(scope="module")
def oidc() -> Iterator[Issuer]:
    with issuer() as started:
        yield started


@pytest.fixture(scope="module")
def hospital() -> Iterator[Ehr]:
    with ehr() as started:
        yield started


@pytest.fixture(scope="module")
def guarded(
    application: Application, trained: Trained, oidc: Issuer, hospital: Ehr, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    """A second stack of the same build, beside that of the other tests, whose model it serves."""
    settings = application.settings
    configuration = tmp_path_factory.mktemp("sam") / "samconfig.yaml"
    with local._sam_configuration(settings) as file:
        document = yaml.safe_load(file.read_text())
    parameters = document["default"]["deploy"]["parameters"]["parameter_overrides"]
    replaced = ("ApiKeyValue", "MetricsTokenValue", "DataBucketName")
    document["default"]["deploy"]["parameters"]["parameter_overrides"] = [
        *(one for one in parameters if not one.startswith(replaced)),
        "ApiKeyValue=a-key-of-the-second-stack",
        "MetricsTokenValue=a-metrics-token-of-the-second-stack",
        f"DataBucketName={BUCKET}",
        f"OidcIssuer={oidc.url}",
        f"OidcAudience={AUDIENCE}",
        f"EhrIssuers={hospital.url}={hospital.keys_url}",
        f"EhrBaseUrl={BASE}",
    ]
    files.write(configuration, yaml.safe_dump(document))
    local._sam(settings, "deploy", "--config-file", str(configuration), "--stack-name", NAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "NAME", NAME)
        found = stack.get(settings)
    yield Application(application.platform, found)
    cloudformation = application.platform.client("cloudformation")
    cloudformation.delete_stack(StackName=NAME)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})
    application.platform.client("s3").delete_bucket(Bucket=BUCKET)


def ask(guarded: Application, path: str, token: str | None) -> tuple[int, str]:
    """The status and the text of an answer to a request with the token and without a key."""
    body = {"/predict": predict.SAMPLE, "/outcomes": OUTCOME, "/jobs": JOB}.get(path)
    method = "POST" if path in ("/predict", "/outcomes", "/jobs", "/reload-model") else "GET"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = guarded.call(path, body, method=method, key=None, **headers)
    return answer.status, answer.text


def part(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def unsigned(oidc: Issuer) -> str:
    """A good token without its signature."""
    return f"{oidc.token('u-17', AUDIENCE, scope=SCOPES).rpartition('.')[0]}."


def without_algorithm(oidc: Issuer) -> str:
    """The claims of a good token, with a header that says that nothing is signed."""
    claims = oidc.token("u-17", AUDIENCE, scope=SCOPES).split(".")[1]
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{claims}."


def of_another_issuer(oidc: Issuer) -> str:
    with issuer() as foreign:
        return foreign.token("u-17", AUDIENCE, scope=SCOPES)


REFUSED: dict[str, Callable[[Issuer], str | None]] = {
    "none": lambda oidc: None,
    "expired": lambda oidc: oidc.token("u-17", AUDIENCE, scope=SCOPES, exp=1_700_000_000),
    "for another service": lambda oidc: oidc.token("u-17", "another", scope=SCOPES),
    "of another issuer": of_another_issuer,
    "unsigned": unsigned,
    "alg none": without_algorithm,
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_token_that_is_not_valid_is_unauthorized(guarded: Application, oidc: Issuer, kind: str, path: str) -> None:
    status, text = ask(guarded, path, REFUSED[kind](oidc))
    assert status == 401, text


@pytest.mark.parametrize(("path", "needed"), ROUTES.items())
def test_a_valid_token_does_what_its_scopes_allow(guarded: Application, oidc: Issuer, path: str, needed: str) -> None:
    status, text = ask(guarded, path, oidc.token("u-17", AUDIENCE, scope=needed))
    assert status in (200, 202), text
    status, text = ask(guarded, path, oidc.token("u-17", AUDIENCE, scope=SCOPES.replace(needed, "")))
    assert status == 403, text
    assert needed in json.loads(text)["detail"]


def test_the_token_of_an_ehr_opens_the_endpoint_that_it_is_for_and_nothing_else(
    guarded: Application, hospital: Ehr
) -> None:
    token = hospital.token(f"{BASE}/cds-services")
    assert ask(guarded, "/cds-services", token)[0] not in (401, 403, 503)
    assert ask(guarded, "/cds-services", hospital.token(f"{BASE}/cds-services/another"))[0] == 401
    assert ask(guarded, "/cds-services", hospital.token("https://other.example/cds-services"))[0] == 401
    for path in ROUTES:
        status, text = ask(guarded, path, hospital.token(f"{BASE}/cds-services"))
        assert status == 403, text
    assert ask(guarded, "/metrics", hospital.token(f"{BASE}/cds-services"))[0] == 401


def test_the_metrics_need_their_scope_or_the_token_of_the_stack(guarded: Application, oidc: Issuer) -> None:
    assert ask(guarded, "/metrics", oidc.token("prometheus", AUDIENCE, scope="metrics"))[0] == 200
    assert ask(guarded, "/metrics", guarded.stack.metrics_token)[0] == 200
    assert ask(guarded, "/metrics", oidc.token("u-17", AUDIENCE, scope="predict"))[0] == 403
    assert ask(guarded, "/metrics", without_algorithm(oidc))[0] == 401


def test_what_needs_nobody_s_name_is_open_and_a_key_still_works(guarded: Application) -> None:
    assert ask(guarded, "/openapi.json", None)[0] == 200
    assert guarded.predict().status == 200
    assert guarded.call("/predict", predict.SAMPLE, key="guessed-key-of-20-characters").status == 403


def test_who_asked_is_in_the_audit_log_and_no_patient(guarded: Application, oidc: Issuer) -> None:
    patient = "8222157"
    token = oidc.token("u-42", AUDIENCE, name="Ana Ruiz", scope="predict")
    body = {**predict.SAMPLE, "patient_nbr": int(patient)}
    assert guarded.call("/predict", body, key=None, Authorization=f"Bearer {token}").status == 200
    outputs = guarded.platform.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"][0]["Outputs"]
    (group,) = (one["OutputValue"] for one in outputs if one["OutputKey"] == "AuditLogGroup")
    events = guarded.platform.client("logs").filter_log_events(logGroupName=group)["events"]
    text = "\n".join(event["message"] for event in events)
    assert "u-42" in text and "Ana Ruiz" in text and patient not in text
