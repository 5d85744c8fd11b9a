"""Seatrial: a model server that lets no model into production until it has proven itself under load."""

__version__ = "0.1.0"
