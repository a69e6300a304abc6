"""CloudWatch's metrics as Prometheus's: true counters, read from CloudWatch's sums of days, without a state to keep."""
