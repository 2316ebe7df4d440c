"""A synchronous job in small: every worker holds all weights, and all must hold the same.

The gradients go round a ring, so they are added up in one order: the weights come out equal,
bit for bit, on all workers and in every run. Keras' `fit` fails under this strategy, so the
loop is written out.
"""

import hashlib
import time

import task
import numpy as np
import tensorflow as tf

import embedding_ops
from samples import BOUND, ROUND, ROWS, STEPS, WIDTH, features, samples

BATCH = 48


class Model(tf.Module):
  """A table, and a weight a colour; made in the strategy's scope."""

  def __init__(self):
    super().__init__()
    start = np.random.default_rng(1).normal(size=(2 * ROWS, WIDTH)) * 0.01
    self.table = tf.Variable(start.astype(np.float32))
    self.state = tf.Variable(tf.zeros([2 * ROWS]), trainable=False)
    self.color = tf.Variable(tf.zeros([3]))

  def loss(self, color, ids, label):
    ids = tf.reshape(ids + [[[0], [ROWS]]], [tf.shape(ids)[0], -1])
    bags = embedding_ops.embedding_bag(self.table, ids)
    found = 2.0 * tf.reduce_sum(bags, 1) + tf.linalg.matvec(color, self.color)
    return tf.reduce_sum((found - label) ** 2) / BATCH

  def train(self, color, ids, label):
    with tf.GradientTape() as tape:
      loss = self.loss(color, ids, label)
    table, color = tape.gradient(loss, [self.table, self.color])
    table, color = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, [tf.convert_to_tensor(table), color])
    embedding_ops.row_adagrad(
        self.table, self.state, 0.5, 1e-6, table, tf.range(2 * ROWS))
    self.color.assign_sub(0.1 * color)
    return loss


def dataset(context):
  files, ids, label = samples(2, 10 * BATCH)
  count, own = context.num_input_pipelines, context.input_pipeline_id
  data = tf.data.Dataset.from_tensor_slices((files, ids, label)).repeat()
  data = data.shard(count, own).batch(BATCH // count)
  return data.map(lambda files, ids, label: (features(files), ids, label))


def main():
  options = tf.distribute.experimental.CommunicationOptions(
      implementation=tf.distribute.experimental.CommunicationImplementation.RING,
      timeout_seconds=60.0)
  strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
  with strategy.scope():
    model = Model()
  task.say("up")
  batches = iter(strategy.distribute_datasets_from_function(dataset))

  @tf.function
  def step(*batch):
    loss = strategy.run(model.train, args=batch)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)

  start = time.monotonic()
  for done in range(1, STEPS + 1):
    loss = float(step(*next(batches)))
    if done % ROUND == 0:
      task.say("step", done, "of", STEPS, "loss", f"{loss:.4f}")
  task.say("result seconds", f"{time.monotonic() - start:.2f}")
  weights = [strategy.experimental_local_results(variable)[0].numpy()
             for variable in (model.table, model.color)]
  digest = hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest()
  task.say("result weights", digest)
  task.say("result loss", f"{loss:.4f}")
  # Nobody leaves before all are here: the others would take it for a failure.
  strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(1.0)), axis=None)
  if not loss < BOUND:
    task.fail(f"the loss is {loss:.4f}: expected less than {BOUND}")


task.run(main)
