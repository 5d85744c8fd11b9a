"""From records to numbers: histograms, corrections, sample floors, steady state, ratios and their intervals."""
