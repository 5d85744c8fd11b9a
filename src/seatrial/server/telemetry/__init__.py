"""Metrics and logs: implements `core.observe.Observer`."""
