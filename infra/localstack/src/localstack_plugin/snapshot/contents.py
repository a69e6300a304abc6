"""The stores of LocalStack's services as bytes, and back into the services of a new LocalStack.

LocalStack's own services keep their state in bundles of stores, those that it takes over from moto in backends; both by
account and region. The objects themselves stay, and only what they hold is written and read, because other objects of
the service refer to them.
"""

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from localstack.services.plugins import SERVICE_PLUGINS
from localstack.services.stores import LOCAL_ATTR_PREFIX, AccountRegionBundle, BaseStore
from localstack.state import AssetDirectory, StateContainer, StateVisitor
from localstack.state.pickle import Pickler
from moto.core.base_backend import BackendDict

from localstack_plugin.snapshot import volatile

SERVICES: Final = (
    "iam",
    "kms",
    "s3",
    "sqs",
    "logs",
    "secretsmanager",
    "lambda",
    "stepfunctions",
    "events",
    "apigateway",
    "cloudwatch",
    # The last one, so that a stack is there only once all its resources are.
    "cloudformation",
)

type Container = AccountRegionBundle[Any] | BackendDict[Any]
type Place = tuple[str, int, str, str]
"""Where a store or a backend is: its service, the number of its container, its account and its region."""


class _Containers(StateVisitor):  # type: ignore[misc]
    def __init__(self) -> None:
        self.found: list[Container] = []

    def visit(self, state_container: StateContainer) -> None:
        if not isinstance(state_container, AssetDirectory):
            self.found.append(state_container)


def containers() -> dict[str, list[Container]]:
    """What holds the state of each service, which this starts."""
    found = {}
    for name in SERVICES:
        visitor = _Containers()
        SERVICE_PLUGINS.require(name).accept_state_visitor(visitor)
        found[name] = visitor.found
    return found


def dump() -> bytes:
    """Without what `volatile` leaves out. Raises what pickling raises, for example if a service changes meanwhile."""
    everything = containers()
    places = dict(_places(everything))
    document = {
        "states": {place: _state(place, owner) for place, owner in places.items()},
        "shared": {place: dict(shared) for place, shared in _shared(everything)},
    }
    file = io.BytesIO()
    _Pickler(file, {id(owner): place for place, owner in places.items()}).dump(document)
    return file.getvalue()


def load(data: bytes) -> None:
    """Replaces what the services hold by what `dump` wrote. Raises what unpickling raises."""
    everything = containers()

    def owner(place: Place) -> Any:
        service, number, account, region = place
        return everything[service][number][account][region]

    document = _Unpickler(io.BytesIO(data), owner).load()
    for place in document["states"]:
        _empty(place, owner(place))
    for place, shared in _shared(everything):
        shared.update(document["shared"].get(place, {}))
    for place, state in document["states"].items():
        owner(place).__dict__.update(state)


class _Pickler(Pickler):  # type: ignore[misc]
    """Writes a reference in place of each store and backend."""

    def __init__(self, file: io.BytesIO, places: Mapping[int, Place]) -> None:
        super().__init__(file)
        self.dispatch.update(volatile.REDUCERS)
        self._places = places

    def persistent_id(self, obj: object) -> Place | None:
        return self._places.get(id(obj))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, owner: Callable[[Place], Any]) -> None:
        super().__init__(file)
        self._owner = owner

    def persistent_load(self, pid: Place) -> Any:
        return self._owner(pid)


def _places(everything: Mapping[str, list[Container]]) -> Iterator[tuple[Place, object]]:
    for service, found in everything.items():
        for number, container in enumerate(found):
            for account, regions in list(container.items()):
                for region, owner in list(regions.items()):
                    yield (service, number, account, region), owner


def _state(place: Place, owner: object) -> dict[str, Any]:
    held = {name: value for name, value in vars(owner).items() if name not in volatile.ATTRIBUTES.get(place[0], ())}
    if isinstance(owner, BaseStore):
        return {name: value for name, value in held.items() if name.startswith(LOCAL_ATTR_PREFIX)}
    return held


def _empty(place: Place, owner: object) -> None:
    for name in _state(place, owner):
        if isinstance(owner, BaseStore):  # a backend has the same names in any case
            delattr(owner, name)


def _shared(everything: Mapping[str, list[Container]]) -> Iterator[tuple[tuple[str, int, str | None], dict[str, Any]]]:
    """What the stores of an account share, and those of all accounts."""
    for service, found in everything.items():
        for number, container in enumerate(found):
            if isinstance(container, AccountRegionBundle):
                yield (service, number, None), container._universal
                for account, regions in container.items():
                    yield (service, number, account), regions._global
