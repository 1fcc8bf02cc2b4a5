#!/usr/bin/python3
"""Exports the networks that the benchmarks use, with random weights, as ONNX files.

    bench/export_models.py FOLDER [NAME …]      (default: those of bench/models.txt)

Needs python3-torchvision. Each file is NAME.onnx, from a fixed seed: what counts here is the shape of the computation.
Statistics of batch normalisation come from one pass over random images and every layer's gain is about one, so that
activations stay O(1) and the distance between two libraries' outputs means something. A file that exists is left alone."""
import argparse
import math
import pathlib
import sys
import warnings

try:
    import torch
    import torchvision
except ImportError as missing:
    sys.exit(f"export_models.py needs Debian's python3-torch and python3-torchvision: {missing}")
from torch import nn

IMAGE = (1, 3, 224, 224)


class Attention(nn.Module):
    """Self-attention as its formula: softmax(q kᵀ / √d) v, all heads at once."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def split(self, x):
        batch, steps, width = x.shape
        return x.view(batch, steps, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x):
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
        mixed = torch.matmul(torch.softmax(scores, -1), value).transpose(1, 2)
        return self.out(mixed.reshape(x.shape))


def feed_forward(width, inner):
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


class PostNormBlock(nn.Module):
    """A layer of BERT: normalised after each sum."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.attention, self.feed = Attention(width, heads), feed_forward(width, inner)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(2))

    def forward(self, x):
        x = self.norms[0](x + self.attention(x))
        return self.norms[1](x + self.feed(x))


class PreNormBlock(nn.Module):
    """A layer of a vision transformer: normalised before each branch."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.attention, self.feed = Attention(width, heads), feed_forward(width, inner)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(2))

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.feed(self.norms[1](x))


class SentenceEncoder(nn.Module):
    """MiniLM's shape: token ids to one vector, the mean over the tokens."""

    def __init__(self, words=30522, width=384, layers=6, heads=12, inner=1536, steps=512):
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(steps, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.blocks = nn.Sequential(*(PostNormBlock(width, heads, inner) for _ in range(layers)))

    def forward(self, ids):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        return self.blocks(self.norm(x)).mean(1)


class VisionTransformer(nn.Module):
    """ViT-B/16: patches of 16×16, a class token, twelve layers, a head on the class token."""

    def __init__(self, width=768, layers=12, heads=12, inner=3072, classes=1000):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 197, width) * 0.5)
        self.blocks = nn.Sequential(*(PreNormBlock(width, heads, inner) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class Recurrent(nn.Module):
    """A stack of LSTM or GRU layers, from zero states; only the sequence is an output."""

    def __init__(self, kind, inputs=256, hidden=256, layers=2):
        super().__init__()
        self.steps = kind(inputs, hidden, layers)

    def forward(self, x):
        return self.steps(x)[0]


def classifier(name):
    return lambda: getattr(torchvision.models, name)(weights=None), lambda: torch.randn(IMAGE)


def recurrent(kind):
    return lambda: Recurrent(kind), lambda: torch.randn(100, 1, 256)


MODELS = {
    "resnet18": classifier("resnet18"),
    "resnet50": classifier("resnet50"),
    "mobilenet_v2": classifier("mobilenet_v2"),
    "mobilenet_v3_small": classifier("mobilenet_v3_small"),
    "mobilenet_v3_large": classifier("mobilenet_v3_large"),
    "efficientnet_b0": classifier("efficientnet_b0"),
    "squeezenet1_1": classifier("squeezenet1_1"),
    "shufflenet_v2": classifier("shufflenet_v2_x1_0"),
    "densenet121": classifier("densenet121"),
    "regnet_y_400mf": classifier("regnet_y_400mf"),
    "vit_b_16": (VisionTransformer, lambda: torch.randn(IMAGE)),
    "minilm": (SentenceEncoder, lambda: torch.randint(0, 30522, (1, 128))),
    "lstm": recurrent(nn.LSTM),
    "gru": recurrent(nn.GRU),
}


def fill_weights(model):
    """He's initialisation for what a rectifier follows, unit gain for the rest; scales near one, some bias."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features ** -0.5)
        elif isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(module.weight, 0.8, 1.2)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            nn.init.normal_(module.bias, 0, 0.1)


def measure_statistics(model, example):
    """Sets what each batch normalisation divides by to what a few random images need, layer by layer. The mean stays 0: taking
    it away makes deep random networks chaotic, unlike trained ones, and then even two exact libraries would differ."""
    def measure(norm, inputs):
        norm.running_mean.zero_()
        norm.running_var.copy_(inputs[0].pow(2).mean((0, 2, 3)))

    hooks = [m.register_forward_pre_hook(measure) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if hooks:
        model(torch.cat([torch.randn_like(example) for _ in range(4)]))
    for hook in hooks:
        hook.remove()


def export(name, path, opset):
    torch.manual_seed(1)
    make, make_example = MODELS.get(name) or classifier(name)
    model, example = make().eval(), make_example()
    with torch.no_grad():
        fill_weights(model)
        measure_statistics(model, example)
        out = model(example)
        assert torch.isfinite(out).all() and 1e-2 < out.std() < 1e2, f"{name}: outputs of size {out.std()}"
        part = path.with_suffix(".part")
        torch.onnx.export(model, example, str(part), opset_version=opset, do_constant_folding=True, input_names=["x"],
                          output_names=["y"])
        part.rename(path)


def main():
    parser = argparse.ArgumentParser(description="exports the benchmarks' networks as ONNX")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {' '.join(MODELS)}, or any of torchvision's classifiers")
    parser.add_argument("--opset", type=int, default=13)
    options = parser.parse_args()
    unknown = set(options.names) - set(MODELS) - set(torchvision.models.list_models(torchvision.models))
    if unknown:
        parser.error(f"no such model: {' '.join(sorted(unknown))}")
    warnings.filterwarnings("ignore")  # the tracer's, on shapes that are constants here
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or MODELS:
        path = options.folder / f"{name}.onnx"
        if not path.exists():
            export(name, path, options.opset)
        print(path, flush=True)


if __name__ == "__main__":
    main()
