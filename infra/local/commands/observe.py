"""`make observe`: the platform with Prometheus."""

from infra.local.commands import debian
from infra.local.errors import LocalError
from infra.local.lifecycle import up
from infra.local.settings import Settings


def observe(settings: Settings) -> None:
    """Raises LocalError if Prometheus is switched off or cannot be installed."""
    if settings.prometheus == "off":
        raise LocalError(
            "PROMETHEUS is set to `off`. Stop the platform (make down), then unset it or set it to the program's path."
        )
    if not settings.prometheus:
        debian.ensure("prometheus")
    up.start(settings)
    print(
        f"\nMetrics and alerts: {settings.prometheus_url}/alerts\nDashboard: make grafana (see infra/grafana/README.md)"
    )
