"""A load test's results: a Markdown table, CSV, a chart, and a page with both."""

import argparse
import base64
import csv
import io
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from html import escape
from importlib.metadata import version
from pathlib import Path

from matplotlib.figure import Figure

from tests.benchmarks.report import markdown
from tests.load import mix
from tests.load.capacity import Climb, Held, Objective, spread

# Without CPU time left, Locust sends fewer requests than it should, and its figures do not add up.
_ADDS_UP = 0.9
_HEADINGS = (
    *("climb", "users", "requests/s", "p50 ms", "p95 ms", "p99 ms", "failures"),
    *(f"{kind} p95 ms" for kind in mix.SHARES),
    *("slowest ms while settling", "Locust's CPU", "met"),
)


def about(url: str, objective: Objective, asked: argparse.Namespace) -> dict[str, str]:
    return {
        "API": url,
        "machine": f"{os.cpu_count()} processors, shared with Locust; {platform.platform()}",
        "versions": f"Python {platform.python_version()}, Locust {version('locust')}",
        "objective": f"p95 ≤ {objective.p95_ms:g} ms of all kinds together, at most {objective.failures} failures",
        "mix": f"{', '.join(f'{share} % {kind}' for kind, share in mix.SHARES.items())};"
        f" a batch has {mix.BATCH_ROWS} rows, what is refused gets status 422",
        "users": f"think for {asked.think:g} s on average between answer and request",
        "measured": f"{asked.hold:g} s, after {asked.settle:g} s or more of settling, for cold starts",
        "command": " ".join(["python -m tests.load", *sys.argv[1:]]),
    }


def write(folder: Path, climbs: Sequence[Climb], about: Mapping[str, str], objective: Objective, think: float) -> str:
    """Writes load.md, load.csv, load.png and load.html to the folder; returns the first."""
    text = table(climbs, about, objective, think)
    picture = png(climbs, objective)
    (folder / "load.md").write_text(f"{text}\n")
    (folder / "load.csv").write_text(csv_of(climbs, objective))
    (folder / "load.png").write_bytes(picture)
    (folder / "load.html").write_text(html(text, picture))
    return f"{text}\n\nload.md, load.csv, load.png, load.html and locust.html are in {folder}"


def table(climbs: Sequence[Climb], about: Mapping[str, str], objective: Objective, think: float) -> str:
    lines = [*(f"- {name}: {value}" for name, value in about.items()), "", *knees(climbs, think), ""]
    cells: list[Sequence[str]] = [_HEADINGS]
    for number, one in enumerate(climbs, start=1):
        cells += [_row(number, held, objective) for held in one.held]
    return "\n".join([*lines, *markdown(cells)])


def knees(climbs: Sequence[Climb], think: float) -> list[str]:
    """The results, and whether Little's law agrees: users = rate x (answer time + think time)."""
    found = spread(climbs)
    lines = [
        f"Sustained within the objective: **{found.middle:.1f} requests a second** "
        f"(median of {len(climbs)}; {found.least:.1f} to {found.most:.1f})."
    ]
    for number, one in enumerate(climbs, start=1):
        if one.knee is None:
            lines.append(f"Climb {number}: no number of users met the objective.")
            continue
        accounted = one.knee.rate * (one.knee.mean / 1000 + think)
        lines.append(
            f"Climb {number}: {one.knee.users} users, {one.knee.rate:.1f}/s, p50 {one.knee.p50:.0f}, "
            f"p95 {one.knee.p95:.0f}, p99 {one.knee.p99:.0f} ms; Little's law accounts for {accounted:.1f} users"
            + (", so Locust did not keep up" if accounted < _ADDS_UP * one.knee.users else "")
            + ("; the objective was never missed: try more users" if one.unbroken else "")
            + "."
        )
    return lines


def csv_of(climbs: Sequence[Climb], objective: Objective) -> str:
    text = io.StringIO(newline="")
    known = [field.name for field in fields(Held) if field.name != "p95_by_kind"]
    names = ["climb", *known, *(f"p95_{kind}" for kind in mix.SHARES), "meets"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for number, one in enumerate(climbs, start=1):
        for held in one.held:
            line = asdict(held)
            by_kind = {f"p95_{kind}": took for kind, took in line.pop("p95_by_kind").items()}
            writer.writerow({"climb": number, **line, **by_kind, "meets": held.meets(objective)})
    return text.getvalue()


def png(climbs: Sequence[Climb], objective: Objective) -> bytes:
    """Throughput, p50, p95 and p99 over users; confirmations are hollow."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    rates, times = figure.subplots(2, 1, sharex=True)
    for one in climbs:
        climbing = [held for held in one.held if not held.confirms]
        users = [held.users for held in climbing]
        rates.plot(users, [held.rate for held in climbing], "o-", color="tab:blue", alpha=0.6)
        for name, color in (("p50", "tab:green"), ("p95", "tab:orange"), ("p99", "tab:red")):
            label = name if one is climbs[0] else None
            times.plot(users, [getattr(held, name) for held in climbing], "o-", color=color, alpha=0.6, label=label)
        confirming = [held for held in one.held if held.confirms]
        rates.plot([h.users for h in confirming], [h.rate for h in confirming], "o", mfc="none", color="tab:blue")
        times.plot([h.users for h in confirming], [h.p95 for h in confirming], "o", mfc="none", color="tab:orange")
    times.axhline(objective.p95_ms, color="grey", linestyle="--", label="objective")
    rates.set_ylabel("requests a second")
    times.set(xlabel="users", ylabel="ms", yscale="log")
    times.legend()
    for axes in (rates, times):
        axes.grid(alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def html(text: str, picture: bytes) -> str:
    """A self-contained page."""
    image = base64.b64encode(picture).decode()
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Load test</title>'
        "<style>body{font:15px system-ui;margin:2rem auto;max-width:70rem}pre{overflow:auto}img{max-width:100%}</style>"
        f'<h1>Load test</h1><img alt="Throughput and latency over users" src="data:image/png;base64,{image}">'
        f"<pre>{escape(text)}</pre></html>\n"
    )


def _row(number: int, held: Held, objective: Objective) -> Sequence[str]:
    return (
        f"{number}, confirming" if held.confirms else str(number),
        str(held.users),
        f"{held.rate:.1f}",
        *(f"{value:.0f}" for value in (held.p50, held.p95, held.p99)),
        str(held.failures),
        *(f"{held.p95_by_kind[kind]:.0f}" if kind in held.p95_by_kind else "" for kind in mix.SHARES),
        f"{held.settling_slowest:.0f}",
        f"{held.processor:.0%}",
        "yes" if held.meets(objective) else "NO",
    )
