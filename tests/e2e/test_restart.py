"""A new LocalStack. Behind the files that look at executions and logs, which it forgets."""

from tests.e2e.conftest import Application, Trained
from tests.e2e.exposition import ours, scrape


def test_no_figure_is_lost_when_the_platform_stops_and_starts(application: Application, trained: Trained) -> None:
    before = ours(scrape(application))
    application.platform.run("down")
    application.platform.run("up")
    after = ours(scrape(application))
    assert before and {key: after.get(key) for key, value in before.items() if after.get(key, 0) < value} == {}
    assert application.predict().status == 200
