"""The SLO file, and how it grades."""
