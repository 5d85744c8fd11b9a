"""Scripts that make the bundled models from public data; they do not import the server."""
