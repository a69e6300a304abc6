"""Training: fits a model family, evaluates it and logs it to MLflow."""
