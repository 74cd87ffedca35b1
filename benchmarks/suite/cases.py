"""What is measured: groups of cases that are timed in turns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator

from oracle import Params

# How many tensors an op reads, and how many it writes.
TENSORS = {
    "LRN": (1, 1),
    "LRNGrad": (3, 1),
    "LRNGradFromInput": (2, 1),
    "LRNGradGrad": (4, 3),
    "LRNGradGradFromInput": (3, 2),
}
SIZES = {"half": 2, "bfloat16": 2, "float32": 4, "float64": 8}

ALEXNET = Params(2, 2.0, 1e-4, 0.75)
GOOGLENET = Params(2, 1.0, 2e-5, 0.75)


@dataclasses.dataclass(frozen=True)
class Case:
    """An op, its arguments, and the contender that runs it (see contenders.py)."""

    contender: str
    op: str
    shape: tuple[int, int, int, int]
    params: Params
    dtype: str = "float32"
    pooled: bool = False  # dy is mostly zeros, as if max pooling followed

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The least that has to be moved."""
        return self.elements * SIZES[self.dtype] * sum(TENSORS[self.op])


@dataclasses.dataclass(frozen=True)
class Group:
    """Cases that are timed in turns, with `threads` threads, or all if None, and our
    kernels for the instruction set `target`, or the best if None."""

    section: str
    name: str
    cases: tuple[Case, ...]
    threads: int | None = None
    target: str | None = None
    rounds: int = 1  # a factor on the number of rounds


@dataclasses.dataclass(frozen=True)
class Layer:
    name: str
    shape: tuple[int, int, int, int]
    params: Params


# The contenders that are this project's.
OURS = ("ours", "ours XLA", "ours function", "over dy", "beside dy")

NETWORKS = (
    Layer("AlexNet 1", (32, 55, 55, 96), ALEXNET),
    Layer("AlexNet 2", (32, 27, 27, 256), ALEXNET),
    Layer("GoogLeNet 1", (32, 56, 56, 64), GOOGLENET),
    Layer("GoogLeNet 2", (32, 56, 56, 192), GOOGLENET),
)
# TensorFlow's default parameters; then a beta that is not a multiple of a quarter.
RADIUS_5 = (
    Layer("radius 5, 192 channels", (32, 28, 28, 192), Params()),
    Layer("radius 5, 1024 channels", (8, 28, 28, 1024), Params()),
)
BETA = Layer("AlexNet 2, beta 0.6", (32, 27, 27, 256), Params(2, 2.0, 1e-4, 0.6))
RADIUS_64 = Layer("radius 64", (16, 28, 28, 512), Params(64, 1.0, 1e-4, 0.75))
LAYERS = (*NETWORKS, *RADIUS_5, BETA, RADIUS_64)

TARGETS = ("avx512", "avx2", "baseline")
FIRST_ORDER = ("LRN", "LRNGrad")
SECOND_ORDER = ("LRNGradGrad", "LRNGradGradFromInput")
OTHERS = ("stock", "stock XLA", "PyTorch", "oneDNN")
MEMORY = ("add", "loop")
RADII = (0, 1, 2, 3, 5, 8, 9, 16, 32, 64, 128, 256, 512)
CHANNELS = (1, 3, 8, 16, 24, 96)
SMALL = (1, 1, 1, 64)


def of_layer(contender: str, op: str, layer: Layer, dtype: str = "float32") -> Case:
    return Case(contender, op, layer.shape, layer.params, dtype)


def beside_loop(op: str, layer: Layer, dtypes: Iterable[str]) -> tuple[Case, ...]:
    """For each type, ours and a loop that moves the same bytes."""
    return tuple(
        of_layer(contender, op, layer, dtype)
        for dtype in dtypes
        for contender in ("ours", "loop")
    )


def layers() -> Iterator[Group]:
    """All contenders, on layers of well-known networks and on others, in float32."""
    for layer in LAYERS:
        for op in FIRST_ORDER:
            for threads, contenders in (
                (None, ("ours", *MEMORY, *OTHERS)),
                (1, ("ours", *MEMORY, "stock")),
            ):
                cases = tuple(of_layer(c, op, layer) for c in contenders)
                yield Group("layers", layer.name, cases, threads)


def no_y() -> Iterator[Group]:
    """The gradient that tlg.lrn registers: it computes y instead of reading it, which
    TensorFlow's op cannot do."""
    for layer in LAYERS:
        contenders = ("ours", *MEMORY, "stock")
        cases = tuple(of_layer(c, "LRNGradFromInput", layer) for c in contenders)
        yield Group("no y", layer.name, cases)


def pooled() -> Iterator[Group]:
    """If max pooling follows, most of dy is zero; TensorFlow's op skips zeros."""
    for layer in (NETWORKS[0], NETWORKS[1], NETWORKS[3]):
        cases = tuple(
            Case(contender, "LRNGrad", layer.shape, layer.params, pooled=True)
            for contender in ("ours", "add", "stock", "stock XLA")
        )
        yield Group("pooled", layer.name, cases)


def types() -> Iterator[Group]:
    """Each type, and a loop that moves the same bytes."""
    for layer in (NETWORKS[0], NETWORKS[3], RADIUS_5[1]):
        for op in FIRST_ORDER:
            stock = tuple(of_layer("stock", op, layer, t) for t in ("half", "float32"))
            yield Group("types", layer.name, beside_loop(op, layer, SIZES) + stock)


def targets() -> Iterator[Group]:
    """Each instruction set and type, and a loop that moves the same bytes."""
    for layer in (NETWORKS[0], RADIUS_5[1]):
        for op in FIRST_ORDER:
            for target in TARGETS:
                cases = beside_loop(op, layer, SIZES)
                yield Group("targets", of_target(layer, target), cases, target=target)


def of_target(layer: Layer, target: str) -> str:
    """The name of a layer's group for an instruction set."""
    return f"{layer.name}, {target}"


def second() -> Iterator[Group]:
    """The second gradients, and a loop that moves the same bytes."""
    for layer in (NETWORKS[0], NETWORKS[1], NETWORKS[3]):
        types = SIZES if layer is NETWORKS[0] else ("float32",)
        for op in SECOND_ORDER:
            yield Group("second", layer.name, beside_loop(op, layer, types))


def radius() -> Iterator[Group]:
    """The same tensors with windows from one channel to all."""
    shape, params = RADIUS_64.shape, RADIUS_64.params
    for op in FIRST_ORDER:
        cases = [Case("add", op, shape, params)]
        for depth_radius in RADII:
            p = dataclasses.replace(params, depth_radius=depth_radius)
            cases.append(Case("ours", op, shape, p))
            if depth_radius in (0, 2, 5, 16, 64, 512):
                cases.append(Case("stock", op, shape, p))
        yield Group("radius", "512 channels", tuple(cases))


def channels() -> Iterator[Group]:
    """The same number of elements, in rows of 1 to 96 channels."""
    elements = math.prod(NETWORKS[0].shape)
    for op in FIRST_ORDER:
        cases = []
        for count in CHANNELS:
            shape = (1, 1, elements // count, count)
            cases += [Case(c, op, shape, ALEXNET) for c in ("ours", "stock")]
        cases.append(Case("add", op, shape, ALEXNET))
        yield Group("channels", "few channels", tuple(cases))


def sizes() -> Iterator[Group]:
    """From one row, where the call dominates, to tensors that fill the caches."""
    for threads in (None, 1):
        for op in FIRST_ORDER:
            cases = tuple(
                Case(contender, op, (1, 1, rows, SMALL[3]), ALEXNET)
                for rows in (1, *(4**k for k in range(1, 9)))
                for contender in ("ours", "stock", "add")
            )
            yield Group("sizes", "64 channels", cases, threads)


def small() -> Iterator[Group]:
    """What an eager call costs."""
    for op in FIRST_ORDER:
        cases = tuple(Case(c, op, SMALL, ALEXNET) for c in ("ours", "stock"))
        yield Group("small", "one row of 64", cases, rounds=5)


def in_place() -> Iterator[Group]:
    """A function that no longer needs dy, and one that also returns it."""
    for layer in NETWORKS:
        contenders = ("dy alone", "over dy", "beside dy", "stock over dy")
        cases = tuple(of_layer(c, "LRNGrad", layer) for c in contenders)
        yield Group("in place", layer.name, cases)


def xla() -> Iterator[Group]:
    """A function with our op, compiled by XLA or not, and one with TensorFlow's op."""
    for layer in NETWORKS:
        for op in FIRST_ORDER:
            contenders = ("ours XLA", "ours function", "stock XLA")
            cases = tuple(of_layer(c, op, layer) for c in contenders)
            yield Group("XLA", layer.name, cases)


SECTIONS = {
    "layers": layers,
    "no y": no_y,
    "pooled": pooled,
    "types": types,
    "targets": targets,
    "second": second,
    "radius": radius,
    "channels": channels,
    "sizes": sizes,
    "small": small,
    "in place": in_place,
    "XLA": xla,
}


def groups(sections: list[str], scale: int = 1) -> list[Group]:
    """The groups of the sections. `scale` divides the batch, for a quick look."""
    found = [group for section in sections for group in SECTIONS[section]()]
    return [
        dataclasses.replace(g, cases=tuple(_smaller(c, scale) for c in g.cases))
        for g in found
    ]


def _smaller(case: Case, scale: int) -> Case:
    batch, height, width, channels = case.shape
    if batch > 1:
        batch = max(1, batch // scale)
    elif width > 1:
        width = max(1, width // scale)
    return dataclasses.replace(case, shape=(batch, height, width, channels))
