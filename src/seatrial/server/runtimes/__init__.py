"""What runs models: each module implements `inference.runtime.Runtime`."""
