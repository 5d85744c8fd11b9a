"""The `digits` model: handwritten digits, from MNIST."""
