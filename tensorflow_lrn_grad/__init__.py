"""Local Response Normalization and its gradients for TensorFlow.

    import tensorflow_lrn_grad as tlg

    y = tlg.lrn(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)

The public API is the names in `__all__`, and `tensorflow_lrn_grad.keras`.
"""

from tensorflow_lrn_grad._load import build_info
from tensorflow_lrn_grad._version import __version__
from tensorflow_lrn_grad.gradients import register_lrn_gradient
from tensorflow_lrn_grad.ops import lrn, lrn_grad
from tensorflow_lrn_grad.stock import accelerate, is_accelerated

__all__ = [
    "__version__",
    "accelerate",
    "build_info",
    "is_accelerated",
    "lrn",
    "lrn_grad",
    "register_lrn_gradient",
]
