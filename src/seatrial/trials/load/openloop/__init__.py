"""The open loop: requests come when they come, however slow the answers are."""
