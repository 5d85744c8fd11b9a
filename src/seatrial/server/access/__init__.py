"""Who is calling, and what they may do: pure, no network, no storage."""
