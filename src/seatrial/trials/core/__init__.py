"""What all trials share: the target, what is asked of it, the machine, errors."""
