"""How content is named everywhere: by its SHA-256."""

import hashlib


def digest_of(content: bytes) -> str:
    """`sha256:<hex>` of some content."""
    return "sha256:" + hashlib.sha256(content).hexdigest()
