"""What runs inside Locust. Importing Locust patches the process: nothing outside this package imports it."""
