"""Writes dashboards/readmission.json: `python -m infra.grafana.dashboard`.

Every query is one of Prometheus'. Colours are those of Okabe and Ito, which colour-blind people can tell apart.
"""

from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)
from readmission.telemetry.metrics import OUTCOMES, ROUTES, STATUSES

FILE = Path(__file__).with_name("dashboards") / "readmission.json"
DATASOURCE_UID = "readmission-prometheus"
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
)
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW)

# AWS's prices in us-east-1, in dollars, and the memory of the function predict.
PRICES = {
    "memory_gb": "0.5",
    "gb_second": "0.0000166667",
    "lambda_request": "0.0000002",
    "api_request": "0.0000035",
}
PRICES_TOLD = (
    "The function's memory (0.5 GB) by Lambda's duration at $0.0000166667 a GB second, and for a million requests "
    "$0.20 of Lambda and $3.50 of the REST API: constants of this dashboard. Where Lambda reports no duration, the "
    "time in the handler stands for it. Transfer, logs and CloudWatch are not in it."
)

type Query = tuple[str, str]
"""PromQL, and the legend of its series."""


def _with_queries[T: (timeseries.Panel, stat.Panel, bargauge.Panel)](
    panel: T, queries: Iterable[Query], now: bool
) -> T:
    for letter, (expression, legend) in zip("ABCDEFGH", queries, strict=False):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).datasource(DATASOURCE)
        panel.with_target(query.instant() if now else query.range())
    return panel.datasource(DATASOURCE)


def _thresholds(warning: float | None, critical: float | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color=BLUE)]
    steps += [Threshold(value=at, color=color) for at, color in ((warning, ORANGE), (critical, VERMILION)) if at]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def figure(
    title: str, query: str, unit: str, description: str, warning: float | None = None, critical: float | None = None
) -> stat.Panel:
    """One number, as it is now; orange and vermilion from the thresholds on."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .thresholds(_thresholds(warning, critical))
        .no_value("none yet")
        .span(6)
        .height(4)
    )
    return _with_queries(panel, [(query, title)], now=True)


def graph(
    title: str,
    queries: Sequence[Query],
    unit: str,
    description: str,
    colours: Sequence[tuple[str, str]] = (),
    stacked: StackingMode = StackingMode.NONE,
    bars: bool = False,
) -> timeseries.Panel:
    """Lines over time with a table of their last and largest values; `colours` are regular expressions of legends."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
        .fill_opacity(70 if bars or stacked != StackingMode.NONE else 0)
        .line_width(2)
        .stacking(common.StackingConfig().mode(stacked).group("A"))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .span(12)
        .height(8)
    )
    for expression, colour in colours:
        fixed = DynamicConfigValue(id_val="color", value={"mode": FieldColorModeId.FIXED.value, "fixedColor": colour})
        panel.override_by_regexp(f"/^{expression}/", [fixed])
    return _with_queries(panel, queries, now=False)


def ranking(title: str, query: Query, unit: str, description: str) -> bargauge.Panel:
    """A bar for each series, over the time that is shown."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(_thresholds(None, None))
        .span(12)
        .height(8)
    )
    return _with_queries(panel, [query], now=True)


def _palette(names: Iterable[str]) -> list[tuple[str, str]]:
    return [
        (f"{name.replace('/', chr(92) + '/')}$", colour) for name, colour in zip(names, cycle(PALETTE), strict=False)
    ]


CLASS_COLOURS = (("<30", VERMILION), (">30", ORANGE), ("NO", BLUE))
STATUS_COLOURS = [(name, BLUE if name < "300" else VERMILION if name >= "500" else ORANGE) for name in STATUSES]
OUTCOME_COLOURS = list(zip(OUTCOMES, (BLUE, VERMILION), strict=True))
ERRORS = "max(source:readmission_errors:ratio_rate5m)"
TRAFFIC = 'readmission_requests_total{service!="metrics", route=~"$route"}'


def _quantile(share: str) -> str:
    buckets = 'readmission_request_duration_seconds_bucket{service!="metrics", route=~"$route"}'
    return f"histogram_quantile({share}, sum by (le) (rate({buckets}[$__rate_interval])))"


def _increase(metric: str, by: str = "", window: str = "$__rate_interval") -> str:
    return f"sum{f' by ({by}) ' if by else ''}(increase({metric}[{window}]))"


def _mean(metric: str, by: str) -> str:
    window = "$__range"
    return f"{_increase(f'{metric}_sum', by, window)} / ({_increase(f'{metric}_count', by, window)} > 0)"


def _cost(window: str) -> str:
    """Dollars for 1,000 predictions."""
    duration = (
        f'(sum(increase(aws_lambda_duration_seconds_sum{{function_name=~".*-predict"}}[{window}])) > 0'
        f' or sum(increase(readmission_request_duration_seconds_sum{{service="predict"}}[{window}])))'
    )
    requests = f'sum(increase(readmission_requests_total{{service="predict"}}[{window}]))'
    predictions = f"(sum(increase(readmission_predictions_total[{window}])) > 0)"
    price = f"{duration} * $memory_gb * $gb_second + {requests} * ($lambda_request + $api_request)"
    return f"1000 * ({price}) / {predictions}"


type Panel = timeseries.Panel | stat.Panel | bargauge.Panel


def traffic() -> list[Panel]:
    return [
        figure("Requests", f"sum(rate({TRAFFIC}[$__rate_interval]))", "reqps", "Answered by the functions."),
        figure(
            "Requests that fail",
            ERRORS,
            "percentunit",
            "5xx of the last five minutes, as the functions or the gateway count them, whichever is more.",
            0.01,
            0.05,
        ),
        figure(
            "p95 of POST /predict",
            'route:readmission_request_duration_seconds:p95_rate5m{route="/predict"}',
            "s",
            "Time in the handler; the gateway's and the network's are not in it.",
            0.1,
            0.25,
        ),
        figure(
            "p95 of the scorer",
            "readmission_scorer_duration_seconds:p95_rate5m",
            "s",
            "Time of the model itself in a request to /predict.",
        ),
        graph(
            "Requests by route",
            [(f"sum by (route) (rate({TRAFFIC}[$__rate_interval]))", "{{route}}")],
            "reqps",
            "The exporter's own requests are left out.",
            _palette(ROUTES),
        ),
        graph(
            "Answers by status",
            [(f"sum by (status) (rate({TRAFFIC}[$__rate_interval]))", "{{status}}")],
            "reqps",
            "Blue: answered. Orange: the request was wrong. Vermilion: the application was.",
            STATUS_COLOURS,
            StackingMode.NORMAL,
        ),
        graph(
            "Time in the handler",
            [(_quantile(share), name) for share, name in (("0.50", "p50"), ("0.95", "p95"), ("0.99", "p99"))],
            "s",
            "Of the chosen routes, without the gateway and the network.",
            _palette(("p50", "p95", "p99")),
        ),
        graph(
            "Share of requests that fail",
            [("source:readmission_errors:ratio_rate5m", "{{source}}")],
            "percentunit",
            "What only the gateway counts are functions that crashed or ran out of time.",
            _palette(("functions", "gateway")),
        ),
    ]


def predictions() -> list[Panel]:
    by_class = "sum by (readmitted) (rate(readmission_predictions_total[$__rate_interval]))"
    by_version = "sum by (model_version, readmitted) (rate(readmission_predictions_total[$__rate_interval]))"
    return [
        graph(
            "Predictions by version and class",
            [(by_version, "{{readmitted}}, version {{model_version}}")],
            "ops",
            "Forecasts a second by the class with the highest probability; rows of batches count each.",
            CLASS_COLOURS,
            StackingMode.NORMAL,
        ),
        graph(
            "Share of each class",
            [(by_class, "{{readmitted}}")],
            "ops",
            "A shift without a promotion means other patients, or a client that sends other fields.",
            CLASS_COLOURS,
            StackingMode.PERCENT,
        ),
        figure(
            "Readmissions forecast",
            "readmission_predictions_readmitted:ratio_increase1d",
            "percentunit",
            "Share of the last day's forecasts that are <30 or >30.",
        ),
        figure(
            "Predictions",
            _increase("readmission_predictions_total", window="$__range"),
            "short",
            "In the time that is shown.",
        ),
        graph(
            "Refused for what they hold",
            [(_increase("readmission_validation_errors_total", "route"), "{{route}}")],
            "short",
            "Requests and rows of batches with a field that cannot be read.",
            _palette(ROUTES),
            bars=True,
        ),
    ]


def pipeline() -> list[Panel]:
    ends = (("succeeded", BLUE), ("failed", VERMILION), ("timed_out", ORANGE), ("aborted", PURPLE))
    rows = ("read", "added", "cleaned", "quarantined")
    return [
        graph(
            "Executions of the pipeline",
            [(f"{_increase(f'aws_states_executions_{end}_total')} or vector(0)", end) for end, _ in ends],
            "short",
            "By how they ended, as Step Functions counts them.",
            ends,
            StackingMode.NORMAL,
            bars=True,
        ),
        graph(
            "Runs of steps",
            [(_increase("readmission_step_runs_total", "outcome, service"), "{{outcome}}: {{service}}")],
            "short",
            "Every try counts; ingest and clean run once a batch.",
            OUTCOME_COLOURS,
            StackingMode.NORMAL,
            bars=True,
        ),
        ranking(
            "Mean time of a step",
            (_mean("readmission_step_duration_seconds", "service"), "{{service}}"),
            "s",
            "In the time that is shown; of ingest and clean, of one batch.",
        ),
        graph(
            "Rows",
            [(_increase(f"readmission_rows_{name}_total"), name) for name in rows],
            "short",
            "Added are new to the raw table; quarantined break the data contract.",
            list(zip(rows, (SKY, BLUE, GREEN, VERMILION), strict=True)),
            bars=True,
        ),
        figure(
            "Rows in quarantine",
            "readmission_rows_quarantined:ratio_increase1d",
            "percentunit",
            "Share of the rows of the last day. Above MaxInvalidShare, 2 %, a run stops.",
            0.01,
            0.02,
        ),
        figure(
            "Rows cleaned",
            _increase("readmission_rows_cleaned_total", window="$__range"),
            "short",
            "In the time that is shown.",
        ),
    ]


def model() -> list[Panel]:
    score = "max by (metric, model_version) (readmission_model_test_score{{metric=~'{}'}})"
    legend = "{{metric}}, version {{model_version}}"
    return [
        graph(
            "Discrimination",
            [(score.format("auc_.*"), legend)],
            "none",
            "Areas under ROC curves of the version in Production on the test rows: larger is better.",
            (("auc_early", BLUE), ("auc_any", ORANGE), ("auc_macro_ovr", GREEN)),
        ),
        graph(
            "Calibration and loss",
            [(score.format("log_loss|brier_early|early_.*"), legend)],
            "none",
            "Smaller is better, but for the slope, which is best at 1.",
            (("log_loss", BLUE), ("brier_early", ORANGE), ("early_calibration_slope", GREEN), ("early_ece", PURPLE)),
        ),
        graph(
            "Decisions on what serves",
            [(_increase("readmission_promotion_decisions_total", "decision"), "{{decision}}")],
            "short",
            "make history tells their reasons.",
            (("promoted", BLUE), ("refused", ORANGE), ("rolled_back", VERMILION)),
            StackingMode.NORMAL,
            bars=True,
        ),
        ranking(
            "Mean time of a training",
            (_mean("readmission_training_duration_seconds", "model"), "{{model}}"),
            "s",
            "In the time that is shown: fit, evaluation and logging.",
        ),
        figure(
            "Age of the model",
            "readmission_model_age_seconds",
            "s",
            "Since the version that serves was put into Production.",
            30 * 86400,
        ),
        figure(
            "Reloads that failed",
            _increase('readmission_model_reloads_total{outcome="failed"}', window="$__range"),
            "short",
            "Looks at the registry, in the time that is shown.",
            1,
            10,
        ),
    ]


def cost() -> list[Panel]:
    cold = _increase('readmission_cold_start_total{service="predict"}', window="$__range")
    requests = _increase('readmission_requests_total{service="predict"}', window="$__range")
    lambdas = (("invocations", BLUE), ("errors", VERMILION), ("throttles", ORANGE))
    return [
        figure("Cost of 1,000 predictions", _cost("$__range"), "currencyUSD", PRICES_TOLD),
        figure(
            "Requests that met a cold start",
            f"{cold} / ({requests} > 0)",
            "percentunit",
            "Of those to the function predict, in the time that is shown.",
            0.05,
        ),
        graph(
            "Cold starts",
            [(_increase("readmission_cold_start_total", "service"), "{{service}}")],
            "short",
            "Execution environments that answered their first invocation.",
            _palette(("predict", "history", "metrics", "train", "clean", "ingest", "plan")),
            StackingMode.NORMAL,
            bars=True,
        ),
        graph("Cost of 1,000 predictions over time", [(_cost("$__rate_interval"), "cost")], "currencyUSD", PRICES_TOLD),
        graph(
            "Lambda",
            [(f"{_increase(f'aws_lambda_{name}_total')} or vector(0)", name) for name, _ in lambdas],
            "short",
            "Of all functions, as AWS counts them.",
            lambdas,
        ),
    ]


ROWS = (
    ("Traffic, errors, latency", traffic),
    ("Predictions by version and class", predictions),
    ("Pipeline and data quality", pipeline),
    ("Model quality and promotions", model),
    ("Cold starts and cost", cost),
)


def _with_variables(board: dashboard.Dashboard) -> dashboard.Dashboard:
    board.with_variable(
        dashboard.DatasourceVariable("datasource")
        .label("Prometheus")
        .type("prometheus")
        .current(VariableOption(selected=True, text="Readmission Prometheus", value=DATASOURCE_UID))
    )
    board.with_variable(
        dashboard.QueryVariable("route")
        .label("Route")
        .datasource(DATASOURCE)
        .query('label_values(readmission_requests_total{service!="metrics"}, route)')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
    for name, value in PRICES.items():
        board.with_variable(dashboard.ConstantVariable(name).value(value))
    return board


def build() -> str:
    """The dashboard as Grafana reads it."""
    board = (
        dashboard.Dashboard("Readmission forecast")
        .uid("readmission")
        .description("The API, the forecasts, the pipeline, the models and what they cost.")
        .tags(["readmission"])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
    )
    _with_variables(board)
    numbers = iter(range(1, 100))
    for title, panels in ROWS:
        board.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels():
            board.with_panel(panel.id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


if __name__ == "__main__":
    FILE.write_text(build())
