"""The Keras 3 layer `LocalResponseNormalization`.

    from tensorflow_lrn_grad.keras import LocalResponseNormalization

Only this module of the package imports Keras.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tensorflow_lrn_grad._load import build_info
from tensorflow_lrn_grad.ops import check_attributes, lrn, sizes
from tensorflow_lrn_grad.stock import gpu_error

_DATA_FORMATS = ("channels_last", "channels_first")


def _supports_xla() -> bool:
    """Whether the library has XLA kernels for the device Keras would compile for."""
    return build_info()["xla"] and not gpu_error()


@keras.saving.register_keras_serializable(package="tensorflow_lrn_grad")
class LocalResponseNormalization(keras.layers.Layer):
    """Local Response Normalization across channels, as a layer.

    For C channels and the windows W(j) = {k : 0 <= k < C, |k - j| <= depth_radius}:

        norm[j]   = bias + alpha * sum(input[k] ** 2 for k in W(j))
        output[j] = input[j] * norm[j] ** -beta

    From Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
    convolutional neural networks" (2012), section 3.3; see `tensorflow_lrn_grad.lrn`.
    The layer has no weights, and computes in the compute type of its dtype policy.
    Importing this module registers it: do so before loading a saved Keras model.

    Input and output: a tensor `[batch, ..., channels]`, or `[batch, channels, ...]`
      with `data_format="channels_first"`, of two or more dimensions.

    Args:
      depth_radius: Half-width of the window of channels; 0 or more.
      bias: Any finite number.
      alpha: Any finite number.
      beta: Any finite number.
      data_format: "channels_last" or "channels_first", which transposes to
        channels last and back. None takes `keras.config.image_data_format()` when
        the layer is created.
      **kwargs: The arguments of every Keras layer: `name`, `dtype`, `trainable`.

    Raises:
      RuntimeError: the Keras backend is not TensorFlow.
      ValueError: an argument has none of the values above, the input is not one
        tensor or has fewer than two dimensions, or, with "channels_first", its
        number of dimensions is unknown while a graph is being built.
      TypeError: `depth_radius` is not a whole number, `bias`, `alpha` or `beta` is
        not a number, or the input is sparse, ragged or not of a floating type.
    """

    def __init__(
        self,
        depth_radius: int = 5,
        bias: float = 1.0,
        alpha: float = 1.0,
        beta: float = 0.5,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                "LocalResponseNormalization needs Keras's TensorFlow backend, but "
                f"Keras runs on {keras.backend.backend()}: set the environment "
                "variable KERAS_BACKEND=tensorflow before Keras is imported"
            )
        super().__init__(**kwargs)
        if data_format is None:
            data_format = keras.config.image_data_format()
        if data_format not in _DATA_FORMATS:
            raise ValueError(
                f"data_format must be one of {', '.join(_DATA_FORMATS)}, but is "
                f"{data_format!r}"
            )
        # Without an op, which would initialize TensorFlow: after that, devices and
        # distribution strategies can no longer be configured.
        check_attributes(depth_radius, bias, alpha, beta)
        self.depth_radius = int(depth_radius)
        self.bias = float(bias)
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.data_format = data_format
        self.supports_masking = True
        # If this is False, Keras treats jit_compile="auto" as False.
        self.supports_jit = _supports_xla()
        # Keras cannot build a layer for an input of unknown rank. There is nothing to
        # build, except in a subclass that overrides build().
        self.built = type(self).build is keras.layers.Layer.build

    def _lrn(self, x: tf.Tensor) -> tf.Tensor:
        return lrn(x, self.depth_radius, self.bias, self.alpha, self.beta)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        self._check(inputs)
        rank = inputs.shape.rank
        if self.data_format == "channels_last" or rank == 2:
            return self._over_last(inputs)
        if rank is None:
            raise ValueError(
                f"{self.name} has data_format='channels_first', and needs an input "
                "whose number of dimensions is known"
            )
        last = tf.transpose(inputs, [0, *range(2, rank), 1])
        return tf.transpose(self._over_last(last), [0, rank - 1, *range(1, rank - 1)])

    def _over_last(self, x: tf.Tensor) -> tf.Tensor:
        """LRN over the last dimension; the op itself takes four."""
        if x.shape.rank == 4:
            return self._lrn(x)
        shape = sizes(x)
        rows = tf.reshape(x, [1, 1, tf.reduce_prod(shape[:-1]), shape[-1]])
        return tf.ensure_shape(tf.reshape(self._lrn(rows), shape), x.shape)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def _check(self, inputs: Any) -> None:
        """Raises unless the input is a dense tensor of two or more dimensions. Keras's
        own InputSpec would refuse tensors of unknown rank."""
        if not hasattr(inputs, "shape"):
            raise ValueError(
                f"{self.name} takes one tensor, but got a {type(inputs).__name__}"
            )
        for kind, eager in (("sparse", tf.SparseTensor), ("ragged", tf.RaggedTensor)):
            if isinstance(inputs, eager) or getattr(inputs, kind, False):
                raise TypeError(f"{self.name} needs a dense input, but it is {kind}")
        rank = tf.TensorShape(inputs.shape).rank
        if rank is not None and rank < 2:
            raise ValueError(
                f"{self.name} needs an input of two or more dimensions (batch and "
                f"channels), but its shape is {tuple(inputs.shape)}"
            )

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        self._check(inputs)
        dtype = inputs.dtype
        if self.autocast and keras.backend.is_float_dtype(dtype):
            dtype = self.compute_dtype
        if not keras.backend.is_float_dtype(dtype):
            raise TypeError(
                f"{self.name} needs an input of a floating type, but it is of type "
                f"{dtype}"
            )
        return keras.KerasTensor(inputs.shape, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
            "data_format": self.data_format,
        }
