"""From a decoded input to an answer: signatures, loaded models, execution. Knows no HTTP and no storage."""
