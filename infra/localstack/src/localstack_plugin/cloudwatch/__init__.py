"""CloudWatch's metrics: a store, embedded metrics in functions' output, and the metrics that AWS services publish."""
