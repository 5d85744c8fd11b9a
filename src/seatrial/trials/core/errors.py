"""What stops a trial.

TrialError
+-- CouldNotRun     the target cannot be reached, or the generator did not start: exit code 4
+-- WrongFile       a plan, target or SLO file cannot be used: exit code 2
"""


class TrialError(Exception):
    """The root; its text is for the person at the terminal and says what to do."""


class CouldNotRun(TrialError):
    """Nothing was measured, for a reason outside the target's behaviour under load."""


class WrongFile(TrialError):
    """A file of the caller's cannot be used. The text has a line `file:line: what was expected; what came` a fault."""
