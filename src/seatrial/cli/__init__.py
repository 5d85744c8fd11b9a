"""The doors: parse arguments, call one function, print."""
