"""The proof kit: put any deployment under load, check its answers, grade it, show it."""
