"""The HTTP API: forecasts, model description, promotion history and metrics.

Forecasts need FastAPI, but not boto3, NumPy, scikit-learn or MLflow.
"""
