"""Train an XGBoost classifier, convert it, and write docs/how-to/from-xgboost: `python -m training.tumours.train`."""

import numpy as np
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

from training import common
from training.guide import bound, difference, write_guide

SEED = 7
HELD_OUT = 142
RECORDED = 40
FEATURES = 10
TOLERANCE = 1e-5
SETTINGS = {"n_estimators": 80, "max_depth": 3, "learning_rate": 0.15, "subsample": 0.8}

MANIFEST = '''
description = "Whether a tumour is malignant or benign, by ten means over the cell nuclei of a sample"
licence = "MIT (model); CC BY 4.0 (data: Breast Cancer Wisconsin (Diagnostic), by W. Wolberg and others)"

[[inputs]]
name = "means"
description = """
radius, texture, perimeter, area, smoothness, compactness, concavity, concave points, symmetry, fractal dimension"""
min = 0
max = 5000

[output]
name = "probabilities"
classes = ["malignant", "benign"]
'''

CARD = """
# tumours

Whether a breast tumour is malignant or benign, by ten means over the cell nuclei in a picture of a fine needle
aspirate: the example of [Serve a model of XGBoost](../from-xgboost.md).

{trees} boosted trees of depth {depth}, trained on {trained} samples. Of the other {tested}, which it never saw,
it names **{right}** rightly ({accuracy:.1%}): {missed} of {malignant} malignant ones are called benign, {alarms} of
{benign} benign ones malignant. To call all of them benign would be right for {baseline:.1%}.

`recorded.json` holds {recorded} of the held-out samples with the probabilities that XGBoost itself gave, and the true
diagnosis. The ONNX file gives them within {apart}.

For showing how a model comes to be served, **not for diagnosis**: a few hundred samples of one hospital, and a
threshold that nobody chose for patients.

Data: the first ten columns of Breast Cancer Wisconsin (Diagnostic), by William Wolberg, Olvi Mangasarian, Nick Street
and W. Street (1993), as it comes with scikit-learn; the UCI Machine Learning Repository gives it under
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). The model is under this project's licence.
`scripts/train tumours` makes it again.
"""


def convert(classifier: XGBClassifier) -> bytes:
    """Convert to ONNX: `means` (batch, 10) to `label` (batch) and `probabilities` (batch, 2)."""
    means = FloatTensorType([None, FEATURES])
    model = convert_xgboost(classifier, name="tumours", initial_types=[("means", means)], target_opset=15)
    return bytes(model.SerializeToString())


def main() -> None:
    """Train, convert, compare and write."""
    data = load_breast_cancer()
    samples = data.data[:, :FEATURES].astype(np.float32)
    trained, tested, answers, truth = train_test_split(
        samples, data.target, test_size=HELD_OUT, random_state=SEED, stratify=data.target
    )
    classifier = XGBClassifier(**SETTINGS, random_state=SEED, n_jobs=1).fit(trained, answers)
    probabilities, called = classifier.predict_proba(tested), classifier.predict(tested)
    model = convert(classifier)
    apart = difference(model, "probabilities", {"means": tested}, probabilities)
    right = int((called == truth).sum())
    diagnoses = [str(data.target_names[label]) for label in truth]
    cases = [
        {"input": {"means": common.shortest(sample)}, "output": common.shortest(row), "label": diagnosis}
        for sample, row, diagnosis in zip(tested[:RECORDED], probabilities, diagnoses, strict=False)
    ]
    figures = {
        "trees": SETTINGS["n_estimators"],
        "depth": SETTINGS["max_depth"],
        "trained": len(trained),
        "tested": len(tested),
        "recorded": len(cases),
        "right": right,
        "accuracy": right / len(tested),
        "malignant": int((truth == 0).sum()),
        "benign": int((truth == 1).sum()),
        "missed": int(((truth == 0) & (called == 1)).sum()),
        "alarms": int(((truth == 1) & (called == 0)).sum()),
        "baseline": float((truth == 1).mean()),
        "apart": bound(apart),
    }
    write_guide("from-xgboost", model, MANIFEST, cases, TOLERANCE, CARD.format(**figures))
    print(f"  {right} of {len(tested)} right; at most {apart:.1e} from XGBoost")
    if apart > TOLERANCE:
        raise SystemExit("the converted model is not the trained one")


if __name__ == "__main__":
    main()
