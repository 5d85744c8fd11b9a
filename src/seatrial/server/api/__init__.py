"""HTTP: the prediction lane, the routes, the one shape of errors."""
