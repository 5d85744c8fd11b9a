"""What the scripts behind the how-to pages share: checking a converted model, and writing the folder of its guide.

The recorded outputs are those of the framework that trained the model, not of ONNX Runtime: reproducing them checks the
conversion as well as the serving. They are in the form of golden answers.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from training import common

GUIDES = common.ROOT / "docs" / "how-to"
LARGEST = 200_000
"""Bytes of a model file that may be committed beside a page."""


def difference(model: bytes, output: str, feed: common.Feed, expected: npt.ArrayLike) -> float:
    """Return how far, at most, ONNX Runtime's answers are from the framework's: in one batch and row by row."""
    session = common.open_model(model)
    rows = len(next(iter(feed.values())))
    together = session.run([output], dict(feed))[0]
    alone = [
        session.run([output], {key: value[row : row + 1] for key, value in feed.items()})[0] for row in range(rows)
    ]
    answers = np.stack([together, np.concatenate(alone)]).astype(np.float64)
    return float(np.abs(answers - np.asarray(expected, dtype=np.float64)).max())


def bound(value: float) -> str:
    """Return a figure of one digit that a small positive value does not exceed, such as 2e-07."""
    power = math.floor(math.log10(value))
    return f"{math.ceil(value / 10**power) * 10.0**power:.0e}"


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove what PyTorch's exporter notes at each node: stack traces, with the paths of the machine it ran on."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def write_guide(
    guide: str,
    model: bytes,
    manifest: str,
    cases: Sequence[Mapping[str, Any]],
    tolerance: float,
    card: str,
) -> None:
    """Write model.onnx, manifest.toml, recorded.json and card.md into the folder of a how-to page."""
    onnx.checker.check_model(model, full_check=True)
    tomllib.loads(manifest)
    if len(model) > LARGEST:
        msg = f"the model has {len(model):,} bytes, more than {LARGEST:,}"
        raise SystemExit(msg)
    folder = GUIDES / guide
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "manifest.toml").write_text(manifest.strip() + "\n", encoding="utf-8")
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    head = f'{{"schema":"seatrial/golden/v1","tolerance":{tolerance:g},"cases":[\n'
    (folder / "recorded.json").write_text(head + lines + "\n]}\n", encoding="utf-8")
    (folder / "card.md").write_text(card.strip() + "\n", encoding="utf-8")
    print(f"{guide}: wrote {len(model):,} bytes, sha256:{hashlib.sha256(model).hexdigest()}")
