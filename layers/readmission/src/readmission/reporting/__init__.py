"""Plots and model cards of training runs. Needs numpy and matplotlib, and neither pandas, scikit-learn nor MLflow."""
