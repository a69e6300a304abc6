"""Writes dashboards/readmission.json: `python -m infra.grafana.dashboard`.

All queries are PromQL. The colours are Okabe and Ito's palette, which colour-blind people can distinguish.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
COST_DESCRIPTION = (
    "Memory of the function predict (0.5 GB) times Lambda's duration at $0.0000166667 per GB second, plus $0.20 "
    "(Lambda) and $3.50 (REST API) per million requests. These prices are variables of this dashboard. If Lambda "
    "reports no duration, the time in the handler is used. Excludes data transfer, logs and CloudWatch."
)


@dataclass(frozen=True)
class Style:
    draw: GraphDrawStyle
    stacking: StackingMode
    opacity: int


LINES = Style(GraphDrawStyle.LINE, StackingMode.NONE, 0)
STACKED_LINES = Style(GraphDrawStyle.LINE, StackingMode.NORMAL, 70)
SHARES = Style(GraphDrawStyle.LINE, StackingMode.PERCENT, 70)
BARS = Style(GraphDrawStyle.BARS, StackingMode.NONE, 70)
STACKED_BARS = Style(GraphDrawStyle.BARS, StackingMode.NORMAL, 70)

_RECENT = "5m"  # longer than a scrape interval
_LAPSED = "30d"  # the exporter omits a model version after two weeks without data, and then has its whole count again

type Query = tuple[str, str]
"""A PromQL expression and the legend of its series."""


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
    """One current number, orange from the warning threshold and vermilion from the critical one."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .thresholds(_thresholds(warning, critical))
        .no_value("no data yet")
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
    style: Style = LINES,
) -> timeseries.Panel:
    """Lines over time, with a table of last and maximum values. `colours` maps regular expressions for legends."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .draw_style(style.draw)
        .fill_opacity(style.opacity)
        .line_width(2)
        .stacking(common.StackingConfig().mode(style.stacking).group("A"))
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
    """One bar per series, for the selected time range."""
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
    return f"histogram_quantile({share}, sum by (route, le) (rate({buckets}[$__rate_interval])))"


def _gain(counter: str, window: str, recent: str) -> str:
    """What each series of a counter gained in the window, exactly.

    PromQL's `increase` extrapolates, and loses the first value of a new series and what a counter gains between two
    windows. Here the gains of all windows of a range add up to the gain of the range. Without a value before the
    window, a series began at 0 if the exporter was scraped then. Else Prometheus is new: what its first scrape found
    had been there, and a series that came later began at 0. A series was in the first scrape if it was in all; the
    number of its values shows. A smaller value than before is a counter that began again at 0, as the exporter's do at
    New Year. A process that keeps its own metrics has series of its own, by the label `replica`; those of one that has
    ended within the window count with their last value.
    """
    # Every instance of the exporter has the same counters, so the largest value is the newest.
    one = "max without (instance, job)"
    now = f"{one} (last_over_time({counter}[{window}]) or last_over_time({counter}[{_RECENT}]))"
    then = f"{one} (last_over_time({counter}[{recent}] offset {window}))"
    new = f"0 * {now} and on () last_over_time(readmission_cloudwatch_up[{_RECENT}] offset {window})"
    values = f"sum without (instance, job) (count_over_time({counter}[{window}]))"
    scrapes = f"sum(sum_over_time(readmission_cloudwatch_up[{window}]))"
    first = f"min without (instance, job) (min_over_time({counter}[{window}]))"
    found = f"{first} and {values} >= on () group_left () {scrapes}"
    before = f"({then} or {new} or ({found}) or 0 * {now})"
    return f"({now} - {before} >= 0 or {now} < {before})"


def _increase(counter: str, by: str = "", window: str = "$__interval", recent: str = _RECENT) -> str:
    return f"sum{f' by ({by}) ' if by else ''}({_gain(counter, window, recent)})"


def _mean(metric: str, by: str) -> str:
    window = "$__range"
    return f"{_increase(f'{metric}_sum', by, window)} / ({_increase(f'{metric}_count', by, window)} > 0)"


def _cost(window: str) -> str:
    """Dollars per 1,000 predictions."""
    lambda_duration = _increase('aws_lambda_duration_seconds_sum{function_name=~".*-predict"}', window=window)
    handler_duration = _increase('readmission_request_duration_seconds_sum{service="predict"}', window=window)
    duration = f"({lambda_duration} > 0 or {handler_duration})"
    requests = _increase('readmission_requests_total{service="predict"}', window=window)
    predictions = f"({_increase('readmission_predictions_total', window=window, recent=_LAPSED)} > 0)"
    price = f"{duration} * $memory_gb * $gb_second + {requests} * ($lambda_request + $api_request)"
    return f"1000 * ({price}) / {predictions}"


type Panel = timeseries.Panel | stat.Panel | bargauge.Panel


def traffic() -> list[Panel]:
    return [
        figure("Requests", f"sum(rate({TRAFFIC}[$__rate_interval]))", "reqps", "Requests that the functions answered."),
        figure(
            "Error rate",
            ERRORS,
            "percentunit",
            "5xx responses in the last five minutes, counted by the functions or the gateway, whichever is higher.",
            0.01,
            0.05,
        ),
        figure(
            "POST /predict, p95",
            'route:readmission_request_duration_seconds:p95_rate5m{route="/predict"}',
            "s",
            "Time in the handler, without gateway and network.",
            0.1,
            0.25,
        ),
        figure(
            "Scorer, p95",
            "readmission_scorer_duration_seconds:p95_rate5m",
            "s",
            "Time in the model itself, for requests to /predict.",
        ),
        graph(
            "Requests by route",
            [(f"sum by (route) (rate({TRAFFIC}[$__rate_interval]))", "{{route}}")],
            "reqps",
            "Excludes the exporter's own requests.",
            _palette(ROUTES),
        ),
        graph(
            "Responses by status",
            [(f"sum by (status) (rate({TRAFFIC}[$__rate_interval]))", "{{status}}")],
            "reqps",
            "Blue: success. Orange: client error. Vermilion: server error.",
            STATUS_COLOURS,
            STACKED_LINES,
        ),
        *(
            graph(
                f"Time in the handler, {name}",
                [(_quantile(share), "{{route}}")],
                "s",
                "By route, without gateway and network. A batch takes longer than one encounter.",
                _palette(ROUTES),
            )
            for share, name in (("0.50", "p50"), ("0.95", "p95"), ("0.99", "p99"))
        ),
        graph(
            "Error rate by source",
            [("source:readmission_errors:ratio_rate5m", "{{source}}")],
            "percentunit",
            "Errors that only the gateway counts are functions that crashed or timed out.",
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
            "Predictions per second by the most probable class. Each row of a batch counts.",
            CLASS_COLOURS,
            STACKED_LINES,
        ),
        graph(
            "Share of each class",
            [(by_class, "{{readmitted}}")],
            "ops",
            "If the shares shift without a promotion, the patients or the fields that a client sends have changed.",
            CLASS_COLOURS,
            SHARES,
        ),
        figure(
            "Predicted readmissions",
            "readmission_predictions_readmitted:ratio_increase1d",
            "percentunit",
            "Share of the last day's predictions that are <30 or >30.",
        ),
        figure(
            "Predictions",
            _increase("readmission_predictions_total", window="$__range", recent=_LAPSED),
            "short",
            "In the selected time range.",
        ),
        graph(
            "Validation errors",
            [(_increase("readmission_validation_errors_total", "route"), "{{route}}")],
            "short",
            "Requests and batch rows with an invalid field.",
            _palette(ROUTES),
            style=BARS,
        ),
        graph(
            "Prediction log",
            [
                (_increase("readmission_predictions_recorded_total"), "recorded"),
                (_increase("readmission_predictions_not_logged_total", "reason"), "not logged: {{reason}}"),
            ],
            "short",
            "Forecasts, if PredictionLog is on. Those that were not logged were answered all the same.",
            (
                ("recorded", BLUE),
                ("not logged: failed", VERMILION),
                ("not logged: late", ORANGE),
                ("not logged: paused", PURPLE),
            ),
            style=BARS,
        ),
    ]


def pipeline() -> list[Panel]:
    ends = (("succeeded", BLUE), ("failed", VERMILION), ("timed_out", ORANGE), ("aborted", PURPLE))
    rows = ("read", "added", "cleaned", "quarantined")
    return [
        graph(
            "Pipeline executions",
            [(f"{_increase(f'aws_states_executions_{end}_total')} or vector(0)", end) for end, _ in ends],
            "short",
            "By outcome, as counted by Step Functions.",
            ends,
            STACKED_BARS,
        ),
        graph(
            "Step runs",
            [(_increase("readmission_step_runs_total", "outcome, service"), "{{outcome}}: {{service}}")],
            "short",
            "Each attempt counts. Ingest and clean run once per batch.",
            OUTCOME_COLOURS,
            STACKED_BARS,
        ),
        ranking(
            "Mean duration of a step",
            (_mean("readmission_step_duration_seconds", "service"), "{{service}}"),
            "s",
            "In the selected time range. For ingest and clean: per batch.",
        ),
        graph(
            "Rows",
            [(_increase(f"readmission_rows_{name}_total"), name) for name in rows],
            "short",
            "Added: new in the raw table. Quarantined: violate the data contract.",
            list(zip(rows, (SKY, BLUE, GREEN, VERMILION), strict=True)),
            style=BARS,
        ),
        figure(
            "Rows in quarantine",
            "readmission_rows_quarantined:ratio_increase1d",
            "percentunit",
            "Share of the last day's rows. Above MaxInvalidShare (2 %) the pipeline stops.",
            0.01,
            0.02,
        ),
        figure(
            "Rows cleaned",
            _increase("readmission_rows_cleaned_total", window="$__range"),
            "short",
            "In the selected time range.",
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
            "Areas under the ROC curve of the version in production, on the test rows. Higher is better.",
            (("auc_early", BLUE), ("auc_any", ORANGE), ("auc_macro_ovr", GREEN)),
        ),
        graph(
            "Calibration and loss",
            [(score.format("log_loss|brier_early|early_.*"), legend)],
            "none",
            "On the test rows. Lower is better, except for the calibration slope, which is best at 1.",
            (("log_loss", BLUE), ("brier_early", ORANGE), ("early_calibration_slope", GREEN), ("early_ece", PURPLE)),
        ),
        graph(
            "Promotion decisions",
            [(_increase("readmission_promotion_decisions_total", "decision"), "{{decision}}")],
            "short",
            "make history shows the reasons.",
            (
                *(("promoted", BLUE), ("refused", ORANGE), ("rolled_back", VERMILION)),
                *(("shadowed", GREEN), ("canaried", PURPLE), ("withdrawn", YELLOW)),
            ),
            STACKED_BARS,
        ),
        ranking(
            "Mean training time",
            (_mean("readmission_training_duration_seconds", "model"), "{{model}}"),
            "s",
            "In the selected time range: fitting, evaluation and logging.",
        ),
        figure(
            "Age of the model",
            "readmission_model_age_seconds",
            "s",
            "Time since the version in production was promoted.",
            30 * 86400,
        ),
        figure(
            "Failed model reloads",
            _increase('readmission_model_reloads_total{outcome="failed"}', window="$__range"),
            "short",
            "Failed checks of the registry, in the selected time range.",
            1,
            10,
        ),
    ]


def monitor() -> list[Panel]:
    quality = "max by (basis) (readmission_monitored_quality{{metric='{}'}})"
    drift = "max by (of) (readmission_monitored_drift)"
    bases = (("realised", BLUE), ("estimated", ORANGE))
    return [
        graph(
            "AUC of early readmission, of the newest rows",
            [(quality.format("auc_early"), "{{basis}}")],
            "none",
            "Realised by their labels, or estimated from the forecasts alone. Higher is better.",
            bases,
        ),
        graph(
            "Calibration error, of the newest rows",
            [(quality.format("calibration_error_early"), "{{basis}}")],
            "none",
            "What is estimated is what chance makes of calibrated forecasts; if the realised error is well above it,"
            " the forecasts are no longer calibrated.",
            bases,
        ),
        graph(
            "Drift",
            [(drift, "{{of}}")],
            "none",
            "Population stability index against the rows that the version was trained on: the largest of all inputs,"
            " and that of the forecasts. From 0.2 on, something has changed.",
            (("inputs", BLUE), ("forecasts", ORANGE)),
        ),
        figure(
            "Alerts of the monitor",
            "max(readmission_monitor_alerts)",
            "short",
            "About the newest rows. make monitor, or GET /monitor, says which and what to do.",
            1,
        ),
        figure(
            "Precision in the top decile",
            quality.format("top_decile_precision"),
            "percentunit",
            "Share of early readmissions among the tenth of the newest rows with the highest forecasts.",
        ),
    ]


def cost() -> list[Panel]:
    cold = _increase('readmission_cold_start_total{service="predict"}', window="$__range")
    requests = _increase('readmission_requests_total{service="predict"}', window="$__range")
    lambdas = (("invocations", BLUE), ("errors", VERMILION), ("throttles", ORANGE))
    return [
        figure("Cost per 1,000 predictions", _cost("$__range"), "currencyUSD", COST_DESCRIPTION),
        figure(
            "Requests with a cold start",
            f"{cold} / ({requests} > 0)",
            "percentunit",
            "Share of requests to the function predict, in the selected time range.",
            0.05,
        ),
        graph(
            "Cold starts",
            [(_increase("readmission_cold_start_total", "service"), "{{service}}")],
            "short",
            "New execution environments.",
            _palette(("predict", "history", "outcomes", "metrics", "train", "clean", "ingest", "plan")),
            STACKED_BARS,
        ),
        graph(
            "Cost per 1,000 predictions over time",
            [(_cost("$__rate_interval"), "cost")],
            "currencyUSD",
            COST_DESCRIPTION,
        ),
        graph(
            "Lambda",
            [(f"{_increase(f'aws_lambda_{name}_total')} or vector(0)", name) for name, _ in lambdas],
            "short",
            "All functions, as counted by AWS.",
            lambdas,
        ),
    ]


ROWS = (
    ("Traffic, errors, latency", traffic),
    ("Predictions by version and class", predictions),
    ("Pipeline and data quality", pipeline),
    ("Model quality and promotions", model),
    ("Monitor: drift and quality of the newest forecasts", monitor),
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
    """The dashboard in Grafana's JSON format."""
    board = (
        dashboard.Dashboard("Readmission forecast")
        .uid("readmission")
        .description("The API, its predictions, the pipeline, the models and the cost.")
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
