"""Plots and model cards. Its Lambda layer has numpy and matplotlib, but not pandas, scikit-learn or MLflow."""
