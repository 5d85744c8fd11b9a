"""Scripts that make the models of the zoo and of the how-to pages from public data; they do not import the server."""
