"""What is kept, and where: implements the ports of `registry` and `access`."""
