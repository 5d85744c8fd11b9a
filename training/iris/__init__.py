"""Makes the model of docs/how-to/from-scikit-learn.md."""
