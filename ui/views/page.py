"""What every page uses: its language, the gateway, and how it tells that something is wrong."""

import logging
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st
from botocore.exceptions import BotoCoreError, ClientError
from readmission.client import ApiProblem, ApiUnreachable, Client, Wrong

from ui.services import aws, configuration
from ui.services.configuration import Configuration, NotConfigured
from ui.services.measurements import MeasurementsUnavailable
from ui.texts import DASH, Texts

_LOGGER = logging.getLogger("ui")


def texts() -> Texts:
    return Texts(st.session_state.get("lang") or st.session_state.get("first_lang") or "en")


def heading(t: Texts, name: str) -> None:
    """A page's title, and what it is for."""
    st.title(t(f"{name}.title"), anchor=False)
    st.markdown(t(f"{name}.lead"))


def connect(found: Configuration, **options: Any) -> Client:
    return Client(found.api_url, found.api_key, ca_file=found.api_ca, retries=1, **options)


def gateway() -> Client:
    """This session's client, which keeps its connection. Raises NotConfigured."""
    return _client(configuration.load())


@st.cache_resource(scope="session", on_release=Client.close, show_spinner=False)
def _client(found: Configuration) -> Client:
    return connect(found)


def stack() -> aws.Stack:
    """Raises NotConfigured, NotDeployed, or what botocore raises."""
    return aws.stack(configuration.load().stack_name)


@contextmanager
def explained(t: Texts) -> Iterator[None]:
    """What goes wrong inside is told on the page, with the way out; what follows it goes on."""
    try:
        yield
    except ApiProblem as error:
        _api(t, error)
    except ApiUnreachable:
        problem(t, "unreachable", url=configuration.load().api_url)
    except NotConfigured as error:
        problem(t, "not_configured", name=error.name)
    except aws.NotDeployed as error:
        problem(t, "not_deployed", name=error)
    except MeasurementsUnavailable as error:
        problem(t, "prometheus", reason=error)
    except (BotoCoreError, ClientError) as error:
        problem(t, "aws", reason=error)
    except Exception as error:
        # Without the message, which may hold what was typed into the form.
        lines = "".join(traceback.format_tb(error.__traceback__))
        _LOGGER.error("%s on a page\n%s", type(error).__name__, lines)
        problem(t, "unexpected", kind=type(error).__name__)


def problem(t: Texts, name: str, /, **values: Any) -> None:
    """One of the problems that the texts tell of: what it is, and the way out."""
    what, way_out = t(f"problem.{name}.what", **values), t(f"problem.{name}.way_out", **values)
    st.error(f"**{what}**\n\n{way_out}", icon=":material/error:")


def _api(t: Texts, error: ApiProblem) -> None:
    names = {401: "wrong_key", 403: "wrong_key", 429: "too_many", 503: "no_model", 502: "failed", 504: "failed"}
    if error.status == 422 and error.errors:
        problem(t, "refused", errors=_errors(t, error.errors))
    elif name := names.get(error.status):
        problem(t, name, detail=error.detail)
    else:
        problem(t, "other", status=error.status, detail=error.detail, request_id=error.request_id or DASH)


def _errors(t: Texts, errors: Sequence[Wrong]) -> str:
    """A line for each message, with the fields that it is about: a file may lack forty columns."""
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for one in errors:
        fields[one["message"]].append(_field(t, one["field"]))
    return "\n".join(f"- {', '.join(names)}: {message}" for message, names in fields.items())


def _field(t: Texts, name: str) -> str:
    """As the page calls it, and as the API and a file's header do."""
    try:
        return f"**{t(f'field.{name}')}** (`{name}`)"
    except KeyError:
        return f"`{name}`"


def synthetic(t: Texts, data_kind: str) -> None:
    """The label of everything that comes of invented patients."""
    if data_kind != "real":
        st.warning(t("common.synthetic"), icon=":material/science:")


def as_table(t: Texts, rows: Sequence[Mapping[str, Any]], alt: str) -> None:
    """What a chart shows, for who reads rather than looks."""
    with st.expander(t("common.as_table")):
        st.dataframe(rows, hide_index=True, alt=alt)
