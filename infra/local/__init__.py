"""The platform on one machine: Postgres, MLflow and LocalStack supervised, without containers."""
