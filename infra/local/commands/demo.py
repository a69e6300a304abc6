"""`make demo`: platform, application, pipeline, prediction."""

import time

from infra.local import user
from infra.local.commands import dataset, deploy, pipeline, predict
from infra.local.lifecycle import up
from infra.local.settings import Settings


def demo(settings: Settings, name: str | None) -> None:
    """Trains on the data set `name`, by default the UCI archive. Raises LocalError as soon as a step fails."""
    began = time.monotonic()
    # First of all, because the rest takes minutes.
    name = name or dataset.default()
    dataset.check(name)
    stack = up.deploy(settings)
    source = dataset.source(settings, stack, name)
    who = user.name()
    output = pipeline.run(settings, stack, {"source": source} | ({"by": who} if who else {}))
    pipeline.show_models(settings, output)
    print()
    predict.show(settings, stack, predict.SAMPLE)
    print(f"\nThe demo took {time.monotonic() - began:.0f} s.\n\n{deploy.next_commands(settings, stack)}")
