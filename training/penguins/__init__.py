"""Makes the model of docs/how-to/from-pytorch.md."""
