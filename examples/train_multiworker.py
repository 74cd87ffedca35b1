"""Trains a small network with LRN layers on several workers at once.

Every worker has the whole model and a part of each batch, and the gradients are
summed across workers: `tf.distribute.MultiWorkerMirroredStrategy`. The losses equal
those of one process with whole batches, up to rounding. A batch of 64 is divided
evenly, so the number of workers must be a divisor of 64.

On one machine:

    python examples/train_multiworker.py --workers 2

On several, start it once on each, with the same addresses and that machine's index:

    export TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
                       "task": {"type": "worker", "index": 0}}'
    python examples/train_multiworker.py
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time

BATCH_SIZE = 64  # of all workers together


def train(epochs: int) -> None:
    """What each worker does. The first one prints the losses."""
    # Not at the top: the process that starts the workers needs none of this.
    import keras
    import numpy as np
    import tensorflow as tf
    from sklearn.datasets import load_digits

    from tensorflow_lrn_grad.keras import LocalResponseNormalization

    # Before anything else, so that the workers find each other.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    workers = strategy.num_replicas_in_sync
    keras.utils.set_random_seed(0)  # The same initial weights everywhere.

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)

    def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        """This worker's part of each batch: every n-th example."""
        return (
            tf.data.Dataset.from_tensor_slices((images, labels.astype(np.int32)))
            .shard(context.num_input_pipelines, context.input_pipeline_id)
            .batch(context.get_per_replica_batch_size(BATCH_SIZE), drop_remainder=True)
        )

    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(16, 3, activation="relu"),
                LocalResponseNormalization(depth_radius=2, beta=0.75),
                keras.layers.Conv2D(32, 3, activation="relu"),
                LocalResponseNormalization(depth_radius=2, beta=0.75),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        optimizer = keras.optimizers.SGD(learning_rate=0.1, momentum=0.9)
        optimizer.build(model.trainable_variables)
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="sum"
        )

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        def on_worker(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                # The optimizer sums over the workers.
                loss = cross_entropy(y, model(x, training=True)) / BATCH_SIZE
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(
                zip(gradients, model.trainable_variables, strict=True)
            )
            return loss

        loss = strategy.run(on_worker, args=(x, y))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)

    is_first = strategy.cluster_resolver.task_id in (0, None)
    for epoch in range(epochs):
        dataset = strategy.distribute_datasets_from_function(batches)
        losses = [float(step(x, y)) for x, y in dataset]
        if is_first:
            print(
                f"{workers} worker(s), epoch {epoch + 1}: "
                f"loss {np.mean(losses):.7f}, the first batch's {losses[0]:.7f}",
                flush=True,
            )


def run_workers(count: int) -> int:
    """Starts `count` workers on this machine; returns the first failure's status."""
    with contextlib.ExitStack() as stack:
        # All bound at once, so that the ports differ.
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    processes = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        # All workers would claim the memory of the same GPU.
        environment = {**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"}
        processes.append(subprocess.Popen([sys.executable, *sys.argv], env=environment))
    try:
        # When one fails, stop the others: they would wait for it.
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes):
                break
            time.sleep(0.1)
        return next((status for p in processes if (status := p.poll())), 0)
    finally:
        for process in processes:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        help="processes to start here; ignored if TF_CONFIG is set (default: 2)",
    )
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be 1 or more")
    if options.workers < 1:
        parser.error("--workers must be 1 or more")
    if BATCH_SIZE % options.workers:
        parser.error(f"--workers must be a divisor of the batch size, {BATCH_SIZE}")
    if "TF_CONFIG" not in os.environ:
        return run_workers(options.workers)
    train(options.epochs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
