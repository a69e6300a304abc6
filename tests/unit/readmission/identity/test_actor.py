"""What an EHR may ask for: the endpoints of CDS Hooks that its token is for, and nothing else."""

import pytest
from readmission.errors import ScopeMissing, TokenInvalid
from readmission.identity.actor import Actor, is_cds_hooks

SERVICE = "/cds-services/readmission-at-discharge"
EHR = Actor.of_ehr("https://ehr.example", "https://ehr.example, tenant 7", ["/cds-services", SERVICE])


@pytest.mark.parametrize("path", ["/cds-services", SERVICE, f"{SERVICE}/feedback", "/cds-services/a.b_c~d-1"])
def test_the_endpoints_of_cds_hooks_are_known(path: str) -> None:
    assert is_cds_hooks(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/predict", "/", "/cds-services/", "/cds-services/a/", "/cds-services/a/b", "/cds-services/a/feedback/c"),
        *("/cds-services/..", "/cds-services/../predict", "/cds-servicesx", "//cds-services", "/CDS-services"),
        *("/cds-services\n", "/v1/cds-services", "/cds-services/a b", "/cds-services/../a"),
    ],
)
def test_no_other_path_is_one_of_them(path: str) -> None:
    assert not is_cds_hooks(path)


@pytest.mark.parametrize("path", ["/cds-services", SERVICE])
def test_an_ehr_may_call_the_endpoints_that_its_token_is_for(path: str) -> None:
    EHR.require(path)


@pytest.mark.parametrize("path", [f"{SERVICE}/feedback", "/cds-services/another"])
def test_at_another_endpoint_the_token_is_not_valid(path: str) -> None:
    with pytest.raises(TokenInvalid, match="another endpoint"):
        EHR.require(path)


OTHERS = ["/predict", "/predict/batch", "/model", "/outcomes", "/reload-model", "/monitor", "/metrics", "/feedback"]


@pytest.mark.parametrize("path", OTHERS)
def test_other_paths_are_closed_to_an_ehr_even_if_its_token_named_them(path: str) -> None:
    with pytest.raises(ScopeMissing, match="CDS Hooks alone"):
        EHR.require(path)
    with pytest.raises(ScopeMissing, match="CDS Hooks alone"):
        Actor.of_ehr("https://ehr.example", "EHR", [path]).require(path)


def test_people_and_keys_may_call_them_as_they_may_ask_for_forecasts() -> None:
    for path in ("/cds-services", SERVICE, f"{SERVICE}/feedback"):
        Actor.with_key().require(path)
        Actor("u-17", "Ana Ruiz", scopes=frozenset({"predict"})).require(path)
        with pytest.raises(ScopeMissing, match="'predict'"):
            Actor("u-18", "Bo Lund", scopes=frozenset({"operate"})).require(path)


def test_the_gateway_passes_an_ehr_on_with_its_endpoints_and_no_other_scopes() -> None:
    assert Actor.from_gateway({"authorizer": EHR.as_context()}) == EHR
    found = Actor.from_gateway({"authorizer": EHR.as_context() | {"scopes": "predict operate"}})
    assert found.scopes == {"predict"}
    without = {name: value for name, value in EHR.as_context().items() if name != "endpoints"}
    with pytest.raises(TokenInvalid):
        Actor.from_gateway({"authorizer": without}).require(SERVICE)
