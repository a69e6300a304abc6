"""The Grafana dashboard, generated from code."""
