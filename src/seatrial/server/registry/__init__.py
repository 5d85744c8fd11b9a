"""What models there are, and in which stage: pure, no storage, no HTTP."""
