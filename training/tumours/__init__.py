"""Makes the model of docs/how-to/from-xgboost.md."""
