"""Exports CloudWatch metrics to Prometheus: true counters from daily sums, without stored state."""
