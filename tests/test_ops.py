"""What the ops declare: attributes, defaults, types, and kernels for them."""

from __future__ import annotations

import inspect
import re

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

import tensorflow_lrn_grad as tlg

OPS = {
    "TFLRN>LRN": tlg.lrn,
    "TFLRN>LRNGrad": tlg.lrn_grad,
    "TFLRN>LRNGradFromInput": tlg.lrn_grad,
}
STOCK = {
    "TFLRN>LRN": "LRN",
    "TFLRN>LRNGrad": "LRNGrad",
    "TFLRN>LRNGradFromInput": "LRNGrad",
}
ATTRIBUTES = {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}
TYPES = {tf.half, tf.bfloat16, tf.float32, tf.float64}


def attributes(op: str) -> dict:
    return {attr.name: attr for attr in op_def_registry.get(op).attr}


@pytest.mark.parametrize("op", OPS)
def test_defaults(op: str) -> None:
    """They are TensorFlow's, both in the op and in the function that calls it."""
    declared = attributes(op)
    parameters = inspect.signature(OPS[op]).parameters
    stock = attributes(STOCK[op])
    for name, default in ATTRIBUTES.items():
        field = "i" if name == "depth_radius" else "f"
        assert getattr(declared[name].default_value, field) == default
        assert getattr(stock[name].default_value, field) == default
        assert parameters[name].default == default
    assert set(declared) == {*ATTRIBUTES, "T"}


@pytest.mark.parametrize("op", OPS)
def test_inputs_have_the_stock_op_s_names(op: str) -> None:
    ours = [arg.name for arg in op_def_registry.get(op).input_arg]
    stock = [arg.name for arg in op_def_registry.get(STOCK[op]).input_arg]
    without_output = op == "TFLRN>LRNGradFromInput"
    assert ours == (stock[:-1] if without_output else stock)
    assert list(inspect.signature(OPS[op]).parameters)[: len(ours)] == ours


@pytest.mark.parametrize(
    "op", [*OPS, "TFLRN>LRNGradGrad", "TFLRN>LRNGradGradFromInput"]
)
def test_advertised_types_have_kernels(op: str) -> None:
    """Exactly those types, on every device that the library was built for."""
    allowed = attributes(op)["T"].allowed_values.list.type
    assert set(map(tf.as_dtype, allowed)) == TYPES
    by_device: dict[str, set] = {}
    for kernel in kernels.get_registered_kernels_for_op(op).kernel:
        for constraint in kernel.constraint:
            types = map(tf.as_dtype, constraint.allowed_values.list.type)
            by_device.setdefault(kernel.device_type, set()).update(types)
    assert by_device["CPU"] == TYPES
    on_gpu = TYPES if tlg.build_info()["cuda_archs"] else set()
    assert by_device.get("GPU", set()) == on_gpu


@pytest.mark.parametrize("op", OPS)
def test_autograph_leaves_the_functions_alone(op: str) -> None:
    """AutoGraph marks what it has converted with an asterisk."""
    function = OPS[op]
    inputs = [tf.ones([1, 1, 1, 3])] * len(op_def_registry.get(op).input_arg)
    with pytest.raises(ValueError, match="depth_radius") as caught:
        tf.function(lambda *t: function(*t, depth_radius=-1))(*inputs)
    lines = str(caught.value).splitlines()
    assert any(line.endswith(" in None  *") for line in lines)
    assert not any(line.endswith(f" in {function.__name__}  *") for line in lines)


def test_public_names() -> None:
    functions = {"lrn", "lrn_grad", "register_lrn_gradient", "build_info"}
    functions |= {"accelerate", "is_accelerated"}
    assert sorted(tlg.__all__) == sorted({*functions, "__version__"})
    assert all(getattr(tlg, name).__doc__ for name in functions)
    assert re.match(r"\d+\.\d+", tlg.__version__)


def test_build_info() -> None:
    info = tlg.build_info()
    major, minor, *_ = tf.__version__.split(".")
    assert info["tensorflow"].startswith(f"{major}.{minor}.")
    assert info["cpu_target"] in info["cpu_targets"]
    archs = info["cuda_archs"]
    assert archs is None or (archs and all(re.fullmatch(r"\d+[af]?", a) for a in archs))
