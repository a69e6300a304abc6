"""Shared by all pages: language, gateway client, error messages, tables and charts."""

import logging
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
from readmission.client import ApiProblem, ApiUnreachable, BearerToken, Client, Wrong

from ui.services import aws, configuration
from ui.services.configuration import Configuration, NotConfigured
from ui.services.login import InvalidSetting
from ui.services.measurements import MeasurementsUnavailable
from ui.texts import DASH, Texts
from ui.views import entrance

if TYPE_CHECKING:  # the first page does without, so that a new server shows it at once
    import pandas as pd

    from ui import charts

type Formats = Mapping[str, Callable[[float], str]]

_LOGGER = logging.getLogger("ui")
_PROBLEMS: Final = {
    401: "wrong_key",
    403: "wrong_key",
    429: "too_many",
    502: "failed",
    503: "no_model",
    504: "failed",
}


def texts() -> Texts:
    return Texts(st.session_state.get("lang") or st.session_state.get("first_lang") or "en")


def heading(t: Texts, name: str) -> None:
    """The page's title and purpose."""
    st.title(t(f"{name}.title"), anchor=False)
    st.markdown(t(f"{name}.lead"))


def connect(settings: Configuration, token: str | None = None, **options: Any) -> Client:
    """A client that asks in the name of the person whose token it is, or else with the pages' API key."""
    credential = BearerToken(token) if token else settings.api_key
    return Client(settings.api_url, credential, ca_file=settings.api_ca, retries=1, **options)


def gateway() -> Client:
    """The session's client, which keeps its connection open. Raises NotConfigured."""
    return _client(configuration.load(), entrance.person().token)


@st.cache_resource(scope="session", on_release=Client.close, show_spinner=False)
def _client(settings: Configuration, token: str | None) -> Client:
    return connect(settings, token)


def stack() -> aws.Stack:
    """Raises NotConfigured, NotDeployed, or botocore's errors."""
    return aws.stack(configuration.load().stack_name)


@contextmanager
def explained(t: Texts) -> Iterator[None]:
    """Show errors raised inside on the page, with a way out; the rest of the page still renders."""
    try:
        yield
    except ApiProblem as error:
        _api(t, error)
    except ApiUnreachable:
        problem(t, "unreachable", url=configuration.load().api_url)
    except InvalidSetting as error:
        problem(t, "invalid_setting", name=error.name)
    except NotConfigured as error:
        problem(t, "not_configured", name=error.name)
    except PermissionError:
        problem(t, "not_allowed")
    except aws.NotDeployed as error:
        problem(t, "not_deployed", name=error)
    except MeasurementsUnavailable as error:
        problem(t, "prometheus", reason=error)
    except Exception as error:
        if aws.failed(error):
            problem(t, "aws", reason=error)
            return
        # Without the message, which may contain form input.
        lines = "".join(traceback.format_tb(error.__traceback__))
        _LOGGER.error("%s on a page\n%s", type(error).__name__, lines)
        problem(t, "unexpected", kind=type(error).__name__)


def problem(t: Texts, name: str, /, detail: str = "", **values: Any) -> None:
    """Show one of the problems in the texts: what is wrong, the way out, and the API's own words if given."""
    what, way_out = t(f"problem.{name}.what", **values), t(f"problem.{name}.way_out", **values)
    said = f"\n\n{t('problem.said', detail=detail)}" if detail else ""
    st.error(f"**{what}**\n\n{way_out}{said}", icon=":material/error:")


def _api(t: Texts, error: ApiProblem) -> None:
    if error.status == 422 and error.errors:
        problem(t, "refused", errors=_errors(t, error.errors))
        return
    # The API's details are in English; in other languages the status has to do.
    detail = "" if t.translates else error.detail
    if entrance.person().token and error.status in (401, 403):
        problem(t, "wrong_token" if error.status == 401 else "not_allowed", detail=detail)
    elif name := _PROBLEMS.get(error.status):
        problem(t, name, detail=detail)
    else:
        problem(t, "other", detail=detail, status=error.status, request_id=error.request_id or DASH)


def _errors(t: Texts, errors: Sequence[Wrong]) -> str:
    """One line per message with all its fields: a file may lack forty columns."""
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for error in errors:
        fields[t.message(error)].append(_field(t, error["field"]))
    return "\n".join(f"- {', '.join(names)}: {message}" for message, names in fields.items())


def _field(t: Texts, name: str) -> str:
    """The field's name on the page, and in the API and file headers."""
    label = t.get(f"field.{name}", "")
    return f"**{label}** (`{name}`)" if label else f"`{name}`"


def synthetic(t: Texts, data_kind: str) -> None:
    """Warn that results are based on synthetic patients, if they are."""
    if data_kind != "real":
        st.warning(t("common.synthetic"), icon=":material/science:")


def chart(t: Texts, drawn: "charts.Chart", alt: str) -> None:
    from ui import charts

    st.altair_chart(charts.localized(drawn, t.language), alt=alt, width="stretch")


def table(
    rows: "Sequence[Mapping[str, Any]] | pd.DataFrame",
    alt: str,
    *,
    formats: Formats | None = None,
    **options: Any,
) -> None:
    """A table; `formats` write the numbers of a column, which still sort as numbers."""
    import pandas as pd

    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    shown = frame.style.format(dict[Any, Any](formats), na_rep="") if formats else frame
    st.dataframe(shown, hide_index=True, alt=alt, **options)


def as_table(t: Texts, rows: Sequence[Mapping[str, Any]], alt: str, formats: Formats | None = None) -> None:
    """A chart's data as an accessible table."""
    with st.expander(t("common.as_table")):
        table(rows, alt, formats=formats)
