"""What stops a trial, beside a file that cannot be used (`grading.toml.WrongFile`, exit code 2)."""


class CouldNotRun(Exception):
    """Nothing was measured, for a reason outside the target's behaviour under load: exit code 4."""
