"""The `geoclimate` model: North American temperature, from two Met Office runs."""
