"""How good the forecasts are, as new encounters arrive: the monitor of versions, deliveries and logged forecasts."""
