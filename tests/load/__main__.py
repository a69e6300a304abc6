"""`make load-test`: how many requests a second the deployed API answers within its objective.

Needs a process of its own: Locust replaces the standard library's sockets and locks by gevent's.
"""

# First: what has imported the standard library's ssl before it is replaced, keeps half of each.
import locust  # noqa: F401

# isort: split
import argparse
import os
import sys
from pathlib import Path

from infra.local import settings
from infra.local.errors import LocalError
from tests.arguments import positive
from tests.load import report, target
from tests.load.capacity import Climb, Held, Objective, climb, spread
from tests.load.driver import Driver

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_UI_PORT = "8089"


def main() -> int:
    asked = _arguments()
    known = target.find(asked.url)
    # The locustfile, which may be another process's, reads them from there.
    os.environ |= {"API_KEY": known.key, "API_CA": known.ca_file or "", "THINK": str(asked.think)}
    if asked.ui:
        locust = str(Path(sys.executable).with_name("locust"))
        page = ["--web-host", "127.0.0.1", "--web-port", _UI_PORT]
        os.execv(locust, [locust, "-f", str(LOCUSTFILE), "--host", known.url, *page])
    folder = asked.out or settings.load().directory / "load"
    folder.mkdir(parents=True, exist_ok=True)
    return _measure(asked, known, folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--url", help="another API than the platform's; its key is API_KEY's")
    parser.add_argument("--ui", action="store_true", help=f"Locust's page on http://127.0.0.1:{_UI_PORT} instead")
    parser.add_argument("--p95-ms", type=float, default=100.0, help="what 95 %% of the answers may take")
    parser.add_argument("--max-failures", type=int, default=0, help="how many may fail while users are held")
    parser.add_argument("--step", type=positive, default=10, help="how many users come at once")
    parser.add_argument("--max-users", type=positive, default=200)
    parser.add_argument("--settle", type=float, default=4.0, help="seconds before it is measured, more while it starts")
    parser.add_argument("--hold", type=float, default=15.0, help="seconds for which it is measured")
    parser.add_argument("--think", type=float, default=1.0, help="seconds between a user's requests, on average")
    parser.add_argument("--repeats", type=positive, default=3, help="how many times all is done")
    parser.add_argument("--out", type=Path, help="the folder of the results (LOCAL_DIR/load)")
    parser.add_argument("--at-least", type=float, help="fail when the knee's median is below so many requests a second")
    return parser.parse_args()


def _measure(asked: argparse.Namespace, known: target.Target, folder: Path) -> int:
    objective = Objective(asked.p95_ms, asked.max_failures)
    climbs: list[Climb] = []
    with Driver(known.url, asked.settle, asked.hold, asked.p95_ms, _tell) as driver:
        for number in range(asked.repeats):
            print(f"load        climb {number + 1} of {asked.repeats}", file=sys.stderr, flush=True)
            climbs.append(climb(driver.hold, objective, asked.step, asked.max_users))
        page = driver.html()
    (folder / "locust.html").write_text(page)
    about = report.about(known.url, objective, asked)
    print(report.write(folder, climbs, about, objective, asked.think))
    return int(asked.at_least is not None and spread(climbs).middle < asked.at_least)


def _tell(held: Held) -> None:
    line = f"{held.users:>4} users  {held.rate:6.1f}/s  p95 {held.p95:6.0f} ms  {held.failures} failed"
    print(f"            {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(str(error))
