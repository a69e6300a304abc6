class InvalidMetric(Exception):
    """CloudWatch would reject the request; the message says why."""
