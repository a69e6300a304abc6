"""The inference API. Needs FastAPI, and neither boto3, numpy, scikit-learn nor MLflow."""
