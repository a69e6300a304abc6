"""Infrastructure: the platform on one machine, LocalStack, Prometheus and Grafana."""
