"""Bytes to requests, results to bytes: no HTTP framework, no I/O."""
