"""Train a scikit-learn model, convert it, and write docs/how-to/from-scikit-learn: `python -m training.iris.train`."""

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from training import common
from training.guide import bound, difference, write_guide

SEED = 7
HELD_OUT = 50
TOLERANCE = 1e-5
OPSETS = {"": 18, "ai.onnx.ml": 3}

MANIFEST = """
description = "Which of three species of iris a flower is, by its four lengths"
licence = "MIT (model); CC BY 4.0 (data: Iris, by R. A. Fisher)"

[[inputs]]
name = "lengths"
units = "cm"
description = "sepal length, sepal width, petal length, petal width"
min = 0
max = 10

[output]
name = "probabilities"
classes = ["setosa", "versicolor", "virginica"]
"""

CARD = """
# iris

Which of three species a flower is (*Iris setosa*, *versicolor* or *virginica*), by the lengths and widths of its sepals
and petals: the example of [Serve a model of scikit-learn](../from-scikit-learn.md).

A `StandardScaler` and a `LogisticRegression`, trained on {trained} flowers. Of the other {tested}, which it never
saw, it names **{right}** rightly ({accuracy:.1%}); to name always the same species would be right for a third. The
flowers are few: another split moves that by some.

`recorded.json` holds the {tested} held-out flowers with the probabilities that scikit-learn itself gave, and the true
species. The ONNX file gives them within {apart}.

For showing how a model comes to be served. It knows three species and has no answer for another flower.

Data: Iris, by R. A. Fisher (1936), as it comes with scikit-learn; the UCI Machine Learning Repository gives it under
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). The model is under this project's licence.
`scripts/train iris` makes it again.
"""


def convert(pipeline: Pipeline) -> bytes:
    """Convert to ONNX: `lengths` (batch, 4) to `label` (batch) and `probabilities` (batch, 3)."""
    lengths = FloatTensorType([None, 4])
    options = {"zipmap": False}  # a tensor of probabilities, not a list of dictionaries
    model = to_onnx(pipeline, initial_types=[("lengths", lengths)], options=options, target_opset=OPSETS, name="iris")
    return bytes(model.SerializeToString())


def main() -> None:
    """Train, convert, compare and write."""
    data = load_iris()
    trained, tested, answers, truth = train_test_split(
        data.data, data.target, test_size=HELD_OUT, random_state=SEED, stratify=data.target
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=10)).fit(trained, answers)
    probabilities = pipeline.predict_proba(tested)
    model = convert(pipeline)
    apart = difference(model, "probabilities", {"lengths": tested.astype(np.float32)}, probabilities)
    right = int((pipeline.predict(tested) == truth).sum())
    cases = [
        {"input": {"lengths": flower.tolist()}, "output": common.shortest(row), "label": str(data.target_names[label])}
        for flower, row, label in zip(tested, probabilities, truth, strict=True)
    ]
    figures = {"trained": len(trained), "tested": len(tested), "right": right, "accuracy": right / len(tested)}
    write_guide("from-scikit-learn", model, MANIFEST, cases, TOLERANCE, CARD.format(**figures, apart=bound(apart)))
    print(f"  {right} of {len(tested)} right; at most {apart:.1e} from scikit-learn")
    if apart > TOLERANCE:
        raise SystemExit("the converted model is not the trained one")


if __name__ == "__main__":
    main()
