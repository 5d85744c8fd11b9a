"""The bundled models: a folder each, with `model.onnx`, `manifest.json`, `golden.json` and `card.md`."""

from pathlib import Path

ROOT = Path(__file__).parent


def folders() -> tuple[Path, ...]:
    """The folder of each bundled model, in the order of their names."""
    return tuple(sorted(path.parent for path in ROOT.glob("*/manifest.json")))
