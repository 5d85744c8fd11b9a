"""How much somebody may do: pure arithmetic over a clock that is handed in, and what keeps the counts."""
