"""A parameter-server job in small: two embedding tables, each on a server of its own.

Pictures are decoded on the workers (`image_ops`), bags of ids are looked up and the tables
updated on the parameter servers (`embedding_ops`). Keras has no ParameterServerStrategy any
more, so the loop is written out.
"""

import os
import time

import task
import numpy as np
import tensorflow as tf

import embedding_ops
from samples import BOUND, ROUND, ROWS, STEPS, WIDTH, features, samples

BATCH = 32
CHECKPOINT = "/out/checkpoint"


class Model(tf.Module):
  """Two tables, and a weight a colour."""

  def __init__(self):
    super().__init__()
    start = np.random.default_rng(1).normal(size=(2, ROWS, WIDTH)) * 0.01
    self.tables = [tf.Variable(start[at].astype(np.float32)) for at in range(2)]
    self.adagrad = embedding_ops.RowAdagrad(self.tables, 0.5, epsilon=1e-6)
    self.color = tf.Variable(tf.zeros([3]))
    self.steps = tf.Variable(0, dtype=tf.int64)

  def loss(self, color, ids, label):
    bags = [embedding_ops.embedding_bag(table, ids[:, at])
            for at, table in enumerate(self.tables)]
    found = tf.reduce_sum(bags[0] + bags[1], 1) + tf.linalg.matvec(color, self.color)
    return tf.reduce_mean((found - label) ** 2)

  def train(self, color, ids, label):
    with tf.GradientTape() as tape:
      loss = self.loss(color, ids, label)
    *tables, weight = tape.gradient(loss, [*self.tables, self.color])
    self.adagrad.apply(tables)
    self.color.assign_sub(0.1 * weight)
    self.steps.assign_add(1)
    return loss


def dataset():
  """Built on the chief, run on each worker, which counts its own steps."""
  files, ids, label = samples(2, 512)
  data = tf.data.Dataset.from_tensor_slices((files, ids, label)).repeat()
  data = data.shuffle(512, seed=3).batch(BATCH)
  data = data.map(lambda files, ids, label: (features(files), ids, label))
  return data.enumerate(start=1)


def chief(resolver):
  strategy = tf.distribute.ParameterServerStrategy(resolver)
  coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
  with strategy.scope():
    model = Model()
  task.say("up")
  servers = len(task.CONFIG["cluster"]["ps"])
  places = {table.device for table in [*model.tables, *model.adagrad.accumulators]}
  if len(places) != min(2, servers) or not all("/job:ps/" in place for place in places):
    task.fail(f"the tables are not on the parameter servers: {sorted(places)}")
  batches = iter(coordinator.create_per_worker_dataset(dataset))

  @tf.function
  def step(batches):
    number, (color, ids, label) = next(batches)
    loss = model.train(color, ids, label)
    if number % ROUND == 0:
      tf.print("@ step", number, "loss", loss, output_stream="file:///dev/stdout")
    return loss

  start = time.monotonic()
  for done in range(ROUND, STEPS + 1, ROUND):
    losses = [coordinator.schedule(step, args=(batches,)) for _ in range(ROUND)]
    coordinator.join()
    loss = float(np.mean([loss.fetch() for loss in losses]))
    task.say("step", done, "of", STEPS, "loss", f"{loss:.4f}")
  task.say("result seconds", f"{time.monotonic() - start:.2f}")
  task.say("result loss", f"{loss:.4f}")
  tf.train.Checkpoint(model=model).write(CHECKPOINT)
  if int(model.steps.numpy()) != STEPS:
    task.fail(f"{int(model.steps.numpy())} steps of {STEPS} were counted")
  if not loss < BOUND:
    task.fail(f"the loss is {loss:.4f}: expected less than {BOUND}")


def evaluator():
  """Waits for what the chief saves, and judges it on samples that nobody has trained on."""
  task.say("up")
  while not os.path.exists(CHECKPOINT + ".index"):
    time.sleep(0.05)
  model = Model()
  tf.train.Checkpoint(model=model).read(CHECKPOINT).assert_existing_objects_matched()
  files, ids, label = samples(4, 256)
  loss = float(model.loss(features(files), ids, label))
  task.say("result loss", f"{loss:.4f}")
  if not loss < 2 * BOUND:
    task.fail(f"the loss is {loss:.4f} on other samples: expected less than {2 * BOUND}")


def main():
  resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
  if task.ROLE == "chief":
    chief(resolver)
  elif task.ROLE == "evaluator":
    evaluator()
  else:
    server = tf.distribute.Server(  # pylint: disable=unused-variable
        resolver.cluster_spec(), job_name=task.ROLE, task_index=task.INDEX, protocol="grpc")
    task.say("up")
    task.serve()


task.run(main)
