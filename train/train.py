"""The job of `[cluster]`: an embedding on the parameter servers, updated by `embedding_ops`.

An example to replace. Every task runs this one file; its role is in TF_CONFIG. Keras has no
ParameterServerStrategy any more, so the loop is written out.
"""

import numpy as np
import tensorflow as tf

import embedding_ops

STEPS, ROWS, WIDTH, BAG, BATCH = 50, 64, 8, 4, 32


def samples():
  """Bags of ids, and the sum of what each id is worth."""
  random = np.random.default_rng(2)
  ids = random.integers(0, ROWS, size=(512, BAG)).astype(np.int32)
  worth = np.random.default_rng(0).normal(size=ROWS)
  labels = worth[ids].sum(1).astype(np.float32)
  return tf.data.Dataset.from_tensor_slices((ids, labels)).repeat().batch(BATCH)


def coordinate(resolver):
  """The chief: makes the variables, has the workers compute, says how far it is."""
  strategy = tf.distribute.ParameterServerStrategy(resolver)
  coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
  with strategy.scope():
    table = tf.Variable(tf.zeros([ROWS, WIDTH]))
    adagrad = embedding_ops.RowAdagrad([table], 0.5, epsilon=1e-6)
  batches = iter(coordinator.create_per_worker_dataset(samples))

  @tf.function
  def step(batches):
    ids, labels = next(batches)
    with tf.GradientTape() as tape:
      bags = embedding_ops.embedding_bag(table, ids)
      loss = tf.reduce_mean((tf.reduce_sum(bags, 1) * BAG - labels) ** 2)
    adagrad.apply(tape.gradient(loss, [table]))
    return loss

  for done in range(STEPS):
    loss = coordinator.schedule(step, args=(batches,))
    coordinator.join()
    if done % 10 == 9:
      print(f"step {done + 1} of {STEPS}: loss {float(loss.fetch()):.4f}", flush=True)


def main():
  resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
  role = resolver.task_type
  if role in ("worker", "ps"):
    server = tf.distribute.Server(
        resolver.cluster_spec(), job_name=role, task_index=resolver.task_id, protocol="grpc")
    server.join()  # until whoever started the job stops it
  elif role == "chief":
    coordinate(resolver)
  else:
    print(f"{role}: nothing is saved in this example", flush=True)


main()
