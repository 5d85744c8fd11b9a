"""Load: plans, the users of a closed loop (Locust, always in a process of its own), and arrivals of an open one."""
