"""Train a PyTorch regression, export it, and write docs/how-to/from-pytorch: `python -m training.penguins.train`."""

import csv
import importlib.util
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training import common
from training.guide import bound, difference, without_traces, write_guide

SEED = 7
HELD_OUT = 67
RECORDED = 40
STEPS = 600  # picked by the cross-validation below; no held-out penguin was looked at
FOLDS = 5
TOLERANCE = 0.01
SPECIES, SEXES = ("Adelie", "Chinstrap", "Gentoo"), ("female", "male")
MEASURES = ("bill_length", "bill_depth", "flipper_length")
INPUTS = (*MEASURES, "species", "sex")

Columns: TypeAlias = dict[str, Tensor]

MANIFEST = """
description = "How heavy a penguin of the Palmer Archipelago is, by its measures, species and sex"
licence = "MIT (model); CC0 (data: Palmer penguins, by K. B. Gorman and others)"
inputs = [
  { name = "bill_length", units = "mm", min = 30, max = 62 },
  { name = "bill_depth", units = "mm", min = 12, max = 23 },
  { name = "flipper_length", units = "mm", min = 170, max = 235 },
  { name = "species", categories = ["Adelie", "Chinstrap", "Gentoo"] },
  { name = "sex", categories = ["female", "male"] },
]
output = { name = "body_mass", units = "g" }
"""

CARD = """
# penguins

How heavy a penguin is, in grams, by three measures, its species and its sex: the example of
[Serve a model of PyTorch](../from-pytorch.md).

A network of two hidden layers, trained on {trained} of {penguins} penguins, which weigh from 2.7 to 6.3 kg. Root mean
square error:

| on | this model | mean of the same species and sex |
|---|---|---|
| the {tested} penguins that it never saw | **{held_out[0]:.0f} g** | {held_out[1]:.0f} g |
| the other {trained}, in cross-validation with {folds} folds | {crossed[0]:.0f} g | {crossed[1]:.0f} g |

So few penguins do not prove the network better than the table of means; a table would have served.

`recorded.json` holds {recorded} of the held-out penguins with the masses that PyTorch itself gave, and the true ones.
The ONNX file gives them within {apart} g.

For showing how a model comes to be served. It knows adult penguins of three species on three islands, in 2007 to 2009.

Data: Palmer penguins, by Kristen B. Gorman and the Palmer Station Long Term Ecological Research programme (*PLoS ONE*
9(3): e90081, 2014), [CC0](https://creativecommons.org/publicdomain/zero/1.0/), from the Python package
`palmerpenguins`. The {dropped} penguins with a gap in these columns are left out. The model is under this project's
licence. `scripts/train penguins` makes it again.
"""


class Penguins(nn.Module):
    """From three measures in mm and two categories to grams; the scales are part of the graph."""

    def __init__(self, measures: Tensor, mass: Tensor) -> None:
        """Take the scales from what it will be trained on."""
        super().__init__()
        self.register_buffer("centre", measures.mean(0))
        self.register_buffer("spread", measures.std(0))
        self.register_buffer("mass", torch.stack([mass.mean(), mass.std()]))
        inputs = len(MEASURES) + len(SPECIES) + len(SEXES)
        self.layers = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(
        self, bill_length: Tensor, bill_depth: Tensor, flipper_length: Tensor, species: Tensor, sex: Tensor
    ) -> Tensor:
        """Five columns of a batch to its masses."""
        measures = torch.stack([bill_length, bill_depth, flipper_length], 1)
        one_hot = [functional.one_hot(species, len(SPECIES)), functional.one_hot(sex, len(SEXES))]
        inputs = torch.cat([(measures - self.centre) / self.spread, *one_hot], 1)
        return self.layers(inputs).squeeze(1) * self.mass[1] + self.mass[0]


def load_penguins() -> tuple[Columns, Tensor, int]:
    """Return the columns and the masses of the penguins without gaps, and how many have one."""
    package = importlib.util.find_spec("palmerpenguins")
    if package is None or package.origin is None:
        raise SystemExit("palmerpenguins is needed: scripts/train installs it")
    with (Path(package.origin).parent / "data" / "penguins.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = [row for row in rows if row["sex"] in SEXES and row["bill_length_mm"] != "NA"]
    columns = {name: torch.tensor([float(row[f"{name}_mm"]) for row in whole]) for name in MEASURES}
    columns["species"] = torch.tensor([SPECIES.index(row["species"]) for row in whole])
    columns["sex"] = torch.tensor([SEXES.index(row["sex"]) for row in whole])
    return columns, torch.tensor([float(row["body_mass_g"]) for row in whole]), len(rows) - len(whole)


def chosen(columns: Columns, rows: Tensor) -> Columns:
    """Return some rows of all columns."""
    return {name: column[rows] for name, column in columns.items()}


def train(columns: Columns, mass: Tensor) -> Penguins:
    """Fit the network, all penguins at each step."""
    model = Penguins(torch.stack([columns[name] for name in MEASURES], 1), mass)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.3)
    for _ in range(STEPS):
        optimiser.zero_grad()
        functional.mse_loss(model(**columns) / model.mass[1], mass / model.mass[1]).backward()
        optimiser.step()
    return model.eval()


def export(model: Penguins, columns: Columns) -> bytes:
    """Export to ONNX: five inputs (batch) to `body_mass` (batch), weights inside the file."""
    program = torch.onnx.export(
        model,
        kwargs=columns,
        input_names=list(INPUTS),
        output_names=["body_mass"],
        dynamic_shapes={name: {0: "batch"} for name in INPUTS},
        dynamo=True,
        external_data=False,
        opset_version=18,
        verbose=False,
    )
    if program is None:
        raise SystemExit("PyTorch exported nothing")
    return bytes(without_traces(program.model_proto).SerializeToString(deterministic=True))


def group_means(columns: Columns, mass: Tensor, asked: Columns) -> Tensor:
    """Return the yardstick: the mean mass of the trained penguins of the same species and sex."""
    groups, wanted = (part["species"] * len(SEXES) + part["sex"] for part in (columns, asked))
    return torch.stack([mass[groups == group].mean() for group in wanted])


def root_mean_squares(errors: list[tuple[Tensor, Tensor]]) -> list[float]:
    """Return the size of the network's errors, and of the yardstick's."""
    return [float(torch.cat(kind).square().mean().sqrt()) for kind in zip(*errors, strict=True)]


def errors_on(
    model: Penguins, trained: Columns, trained_mass: Tensor, asked: Columns, mass: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the errors of the network and of the yardstick."""
    with torch.no_grad():
        return model(**asked) - mass, group_means(trained, trained_mass, asked) - mass


def cross_validate(columns: Columns, mass: Tensor) -> list[float]:
    """Return both errors where each fold is asked of what the others taught."""
    errors = []
    for fold in torch.arange(len(mass)).chunk(FOLDS):
        others = torch.ones(len(mass), dtype=torch.bool)
        others[fold] = False
        trained = chosen(columns, others)
        errors.append(errors_on(train(trained, mass[others]), trained, mass[others], chosen(columns, fold), mass[fold]))
    return root_mean_squares(errors)


def recorded(columns: Columns, answers: Tensor, mass: Tensor) -> list[dict[str, object]]:
    """Return penguins as callers send them, with PyTorch's answers and the true masses."""
    cases = []
    for row in range(len(mass)):
        given: dict[str, object] = {name: common.shortest(columns[name][row].item()) for name in MEASURES}
        given |= {"species": SPECIES[int(columns["species"][row])], "sex": SEXES[int(columns["sex"][row])]}
        cases.append({"input": given, "output": [common.shortest(answers[row].item())], "label": mass[row].item()})
    return cases


def main() -> None:
    """Train, export, compare and write."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    columns, mass, dropped = load_penguins()
    order = torch.randperm(len(mass))
    test, rest = order[:HELD_OUT], order[HELD_OUT:]
    tested, trained = chosen(columns, test), chosen(columns, rest)
    network = train(trained, mass[rest])
    with torch.no_grad():
        answers = network(**tested)
    model = export(network, trained)
    feed = {name: np.asarray(column) for name, column in tested.items()}
    apart = difference(model, "body_mass", feed, answers)
    cases = recorded(tested, answers, mass[test])[:RECORDED]
    held_out = root_mean_squares([errors_on(network, trained, mass[rest], tested, mass[test])])
    counts = {"penguins": len(mass), "trained": len(rest), "tested": len(test), "dropped": dropped, "folds": FOLDS}
    crossed = cross_validate(trained, mass[rest])
    card = CARD.format(**counts, recorded=len(cases), held_out=held_out, crossed=crossed, apart=bound(apart))
    write_guide("from-pytorch", model, MANIFEST, cases, TOLERANCE, card)
    print(f"  error {held_out[0]:.0f} g, of the means {held_out[1]:.0f} g; at most {apart:.1e} g from PyTorch")
    if apart > TOLERANCE:
        raise SystemExit("the exported model is not the trained one")


if __name__ == "__main__":
    main()
