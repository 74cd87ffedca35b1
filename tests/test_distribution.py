"""Training on several devices or in several processes gives the same losses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "train_multiworker.py"

# Sums over a batch are taken in another order, and every step builds on the last.
ROUNDING = 1e-4

MIRRORED = """
    import keras
    import numpy as np
    import tensorflow as tf
    from tensorflow_lrn_grad.keras import LocalResponseNormalization

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 6, 6, 3)).astype(np.float32)
    y = rng.normal(size=(64, 4)).astype(np.float32)

    def losses(strategy):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = keras.Sequential([
                keras.Input((6, 6, 3)),
                keras.layers.Conv2D(8, 3, activation="relu"),
                LocalResponseNormalization(2, beta=0.75),
                keras.layers.Flatten(),
                keras.layers.Dense(4),
            ])
            model.compile(keras.optimizers.SGD(0.05), "mse")
        history = model.fit(x, y, batch_size=16, epochs=4, shuffle=False, verbose=0)
        return history.history["loss"]

    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert two.num_replicas_in_sync == 2
    print(*losses(two))
    print(*losses(tf.distribute.get_strategy()))
    """


def test_mirrored_strategy(child: Callable) -> None:
    result = child(MIRRORED)
    assert result.returncode == 0, result.stderr
    two, one = (
        [float(word) for word in line.split()] for line in result.stdout.splitlines()
    )
    assert one[-1] < 0.9 * one[0]
    np.testing.assert_allclose(two, one, rtol=ROUNDING)


def test_multi_worker_strategy(child: Callable) -> None:
    losses = {}
    for workers in (1, 2):
        result = child(
            "import runpy, sys; sys.argv.pop(0)\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')",
            EXAMPLE,
            "--workers",
            workers,
        )
        assert result.returncode == 0, result.stderr
        found = re.findall(
            rf"^{workers} worker\(s\), epoch \d+: loss (\S+), .* (\S+)$",
            result.stdout,
            re.MULTILINE,
        )
        assert len(found) == 3, result.stdout
        losses[workers] = np.array(found, np.float64)
    assert losses[1][-1, 0] < 0.5 * losses[1][0, 0]
    np.testing.assert_allclose(losses[2], losses[1], rtol=ROUNDING)
