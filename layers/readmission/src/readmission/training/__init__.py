"""Training, export and promotion. Only this package needs scikit-learn, pandas and MLflow."""
