"""Packages of moto that LocalStack imports only for a name in one of their modules.

Step Functions imports `moto.batch.utils` for the statuses of a Batch job. Its package would import moto's models of
Batch and EC2, which takes more than a second of processor time and 100 MB.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec

PACKAGES = ("moto.batch",)


def install() -> None:
    """Their modules can be imported as before, but the packages' own names come from `models` when they are used."""
    for name in PACKAGES:
        if name not in sys.modules:
            _make_lazy(name)


def _make_lazy(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    # Registered without being executed.
    package = module_from_spec(spec)

    def of_models(attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(import_module(f"{name}.models"), attribute)

    package.__getattr__ = of_models  # type: ignore[method-assign]
    sys.modules[name] = package
