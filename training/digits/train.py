"""Train the `digits` model and write its folder: `python -m training.digits.train`.

With --check it trains without a held-out slice of the training images, prints how it does on that slice, and stops:
the way to try other settings. The test images are for the figures on the card alone.
"""

import argparse
import math
import time
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training import common
from training.digits.card import Figures, draw_confusion, write_card
from training.digits.data import load_mnist
from training.graph import Graph

SEED = 7
HELD_OUT = 5000
EPOCHS = 40
BATCH = 128
PEAK_RATE = 4e-3
WEIGHT_DECAY = 0.02
DROPOUT = 0.2
AVERAGING = 0.999
CHANNELS = (16, 48, 64)
HIDDEN = 64
GOLDEN_CASES = 100
TOLERANCE = 1e-4


def block(inputs: int, outputs: int, kernel: int, padding: int) -> list[nn.Module]:
    """Build convolution, pooling, normalisation and ReLU.

    The normalisation has no scale of its own, so it never flips a sign: it may come after the pooling, on a quarter of
    the values, and still folds into the convolution.
    """
    norm = nn.BatchNorm2d(outputs)
    norm.weight.requires_grad = False
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
    return [convolution, nn.MaxPool2d(2), norm, nn.ReLU()]


def network() -> nn.Sequential:
    """Build the network, from (n, 1, 28, 28) to ten logits."""
    first, second, third = CHANNELS
    layers = block(1, first, 5, 0) + block(first, second, 3, 1) + block(second, third, 3, 1)
    layers += [nn.Flatten(), nn.Dropout(DROPOUT), nn.Linear(third * 9, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10)]
    model = nn.Sequential(*layers)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def uniform(count: int, reach: float) -> Tensor:
    """Draw numbers from -reach to reach."""
    return (torch.rand(count) * 2 - 1) * reach


def augment(images: Tensor) -> Tensor:
    """Turn, shear, scale, move and bend each image a little."""
    count = len(images)
    turn, shear = uniform(count, math.radians(12)), uniform(count, 0.15)
    wide, high = torch.exp(uniform(count, 0.13)), torch.exp(uniform(count, 0.13))
    cosine, sine = turn.cos(), turn.sin()
    across = torch.stack([cosine * wide, (shear * cosine - sine) * high, uniform(count, 1 / 7)], 1)
    down = torch.stack([sine * wide, (shear * sine + cosine) * high, uniform(count, 1 / 7)], 1)
    grid = functional.affine_grid(torch.stack([across, down], 1), [count, 1, 28, 28], align_corners=False)
    coarse = torch.randn(count, 2, 5, 5) * 0.055
    bends = functional.interpolate(coarse, size=(28, 28), mode="bicubic", align_corners=True)
    return functional.grid_sample(images, grid + bends.permute(0, 2, 3, 1), align_corners=False)


def train(images: Tensor, labels: Tensor) -> nn.Sequential:
    """Train on one-cycle learning rates and return the running average of the weights."""
    model = network()
    averaging = get_ema_multi_avg_fn(AVERAGING)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=EPOCHS * steps, pct_start=0.15)
    start = time.monotonic()
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(labels))[: steps * BATCH].reshape(steps, BATCH):
            inputs = augment(images[batch]).contiguous(memory_format=torch.channels_last)
            loss = functional.cross_entropy(model(inputs), labels[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
            total += loss.item()
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {total / steps:.4f}, {time.monotonic() - start:.0f} s", flush=True)
    return cast("nn.Sequential", average.module).eval()


@dataclass(frozen=True)
class Layer:
    """The weights of a convolution (four axes) or a dense layer (two axes)."""

    weight: common.FloatArray
    bias: common.FloatArray
    padding: int = 0


def fold(model: nn.Sequential) -> list[Layer]:
    """Return the layers of a trained network with each normalisation folded into its convolution."""
    layers = []
    modules = list(model)
    for index, module in enumerate(modules):
        if isinstance(module, nn.Linear):
            layers.append(Layer(module.weight.detach().numpy(), module.bias.detach().numpy()))
        elif isinstance(module, nn.Conv2d):
            norm: Any = modules[index + 2]
            scale = torch.rsqrt(norm.running_var + norm.eps)
            weight = (module.weight * scale[:, None, None, None]).detach().contiguous().numpy()
            bias = (norm.bias - norm.running_mean * scale).detach().numpy()
            layers.append(Layer(weight, bias, int(module.padding[0])))
    return layers


def plain_layers() -> list[Layer]:
    """Return the yardstick for CPU time: an untrained CNN of three 3x3 convolutions (16, 32, 64) and a dense layer."""
    random = np.random.default_rng(SEED)
    shapes = [(16, 1, 3, 3), (32, 16, 3, 3), (64, 32, 3, 3), (10, 576)]
    weights = [random.normal(0, 1 / math.sqrt(math.prod(shape[1:])), shape).astype(np.float32) for shape in shapes]
    return [Layer(weight, np.zeros(len(weight), np.float32), int(weight.ndim == 4)) for weight in weights]


def add_layer(graph: Graph, layer: Layer, before: str, *, last: bool) -> str:
    """Add one layer and return the name of its output."""
    weights = graph.constant(layer.weight), graph.constant(layer.bias)
    if layer.weight.ndim == 2:
        dense = graph.add("Gemm", before, *weights, transB=1)
        return dense if last else graph.add("Relu", dense)
    kernel, pads = list(layer.weight.shape[2:]), [layer.padding] * 4
    active = graph.add("Relu", graph.add("Conv", before, *weights, kernel_shape=kernel, pads=pads))
    return graph.add("MaxPool", active, kernel_shape=[2, 2], strides=[2, 2])


def build_model(layers: list[Layer]) -> bytes:
    """Write a network as one flat ONNX graph, from `image` (batch, 784) to `probabilities` (batch, 10)."""
    graph = Graph()
    name = graph.add("Reshape", "image", graph.constant([-1, 1, 28, 28], np.int64))
    for index, layer in enumerate(layers):
        if layer.weight.ndim == 2 and layers[index - 1].weight.ndim == 4:
            name = graph.add("Flatten", name)
        name = add_layer(graph, layer, name, last=layer is layers[-1])
    graph.add("Softmax", name, name="probabilities", axis=1)
    image = {"image": (TensorProto.FLOAT, ("batch", 784))}
    return graph.finish("digits", image, {"probabilities": (TensorProto.FLOAT, ("batch", 10))})


def times_per_image(model: bytes, batch: int) -> tuple[float, float]:
    """Return microseconds per image of the model and of the plain CNN, run in turn."""
    feed = {"image": load_mnist("test")[0][:batch]}
    sessions = [common.open_model(model), common.open_model(build_model(plain_layers()))]
    calls = {str(index): lambda session=session: session.run(None, feed) for index, session in enumerate(sessions)}
    times = common.interleaved_times(calls, rounds=4000 // (1 + batch // 8))
    mine, plain = (round(float(np.median(taken)) / 1000 / batch, 1) for taken in times.values())
    return mine, plain


def evaluate(model: bytes) -> Figures:
    """Measure the ONNX file itself: on the test images, and on the clock."""
    images, labels = load_mnist("test")
    answers = common.run_in_batches(common.open_model(model), {"image": images}).argmax(axis=1)
    confusion = np.zeros((10, 10), dtype=np.int64)
    np.add.at(confusion, (labels, answers), 1)
    return Figures(confusion, len(model), times_per_image(model, 1), times_per_image(model, 64))


def golden_cases(model: bytes) -> list[dict[str, Any]]:
    """Return the first test images with the model's probabilities."""
    images, labels = load_mnist("test")
    answers = common.run_in_batches(common.open_model(model), {"image": images[:GOLDEN_CASES]})
    return [
        {"input": {"image": common.shortest(image)}, "output": common.shortest(answer), "label": int(label)}
        for image, answer, label in zip(images, answers, labels, strict=False)
    ]


def manifest(figures: Figures) -> dict[str, Any]:
    """Return what the manifest says of the model."""
    image = {"name": "image", "dtype": "float32", "shape": [784], "units": "ink, 0 (none) to 1 (full)"}
    text = "28 x 28 pixels, row by row from the top left; a light digit on a dark ground, centred"
    return {
        "task": "classification",
        "description": "Reads one handwritten digit, 0 to 9, from a 28 x 28 picture",
        "licence": "MIT (model); CC BY-SA 3.0 (MNIST, by Yann LeCun and Corinna Cortes)",
        "inputs": [{**image, "description": text, "min": 0, "max": 1}],
        "output": {"name": "probabilities", "classes": list(range(10))},
        "metrics": {"accuracy": figures.accuracy, "test_images": figures.images},
    }


def main() -> None:
    """Train, evaluate and write the model, or only check the settings on held-out training images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="measure on held-out training images and write nothing")
    check = parser.parse_args().check
    torch.manual_seed(SEED)
    pixels, digits = load_mnist("train")
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(SEED))
    images, labels = torch.from_numpy(pixels).reshape(-1, 1, 28, 28)[order], torch.from_numpy(digits)[order]
    used = slice(HELD_OUT if check else 0, None)
    model = build_model(fold(train(images[used], labels[used])))
    if check:
        held_out = {"image": images[:HELD_OUT].reshape(-1, 784).numpy()}
        answers = common.run_in_batches(common.open_model(model), held_out)
        print(f"held-out images wrong: {int((answers.argmax(1) != labels[:HELD_OUT].numpy()).sum())} of {HELD_OUT}")
        return
    figures = evaluate(model)
    draw_confusion(figures, common.ZOO / "digits" / "confusion.png")
    common.write_model("digits", model, manifest(figures), golden_cases(model), TOLERANCE, write_card(figures))
    print(f"  accuracy {figures.accuracy}, CPU time {figures.ratio:.2f} times the plain CNN's")


if __name__ == "__main__":
    main()
