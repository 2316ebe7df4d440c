"""How much faster the ops are than stock TensorFlow: one JSON object of ratios.

Each ratio is the median, over pairs of runs made one after the other, of stock
time over ours; above 1 the op is faster. Stock is the fastest way we know.
"""

import json
import statistics
import time

import embedding_ops
import numpy as np
import tensorflow as tf

ROWS, N = 100_000, 8192


def ratio(stock, ours, pairs=15):
  """Median of stock time over our time, run alternately."""
  def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
  for run in (stock, ours):
    run()
    run()
  return round(statistics.median(seconds(stock) / seconds(ours) for _ in range(pairs)), 2)


def variables(width):
  rng = np.random.default_rng(0)
  table = tf.Variable(rng.normal(size=(ROWS, width)).astype(np.float32))
  return table, tf.Variable(tf.fill([ROWS], 0.1))


def gradient(width):
  """Ids as users have them: a few often, most seldom."""
  rng = np.random.default_rng(1)
  ids = np.minimum(rng.zipf(1.3, N) - 1, ROWS - 1).astype(np.int64)
  return tf.constant(rng.normal(size=(N, width)).astype(np.float32)), tf.constant(ids)


def stock_update(width):
  """The same rule by unique, segment sum, gather and scatter."""
  table, accumulator = variables(width)
  grad, ids = gradient(width)

  @tf.function
  def run():
    rows, group = tf.unique(ids)
    total = tf.math.unsorted_segment_sum(grad, group, tf.size(rows))
    accumulator.scatter_add(tf.IndexedSlices(tf.reduce_mean(total * total, 1), rows))
    step = 0.1 / (tf.sqrt(tf.gather(accumulator, rows)) + 1e-8)
    table.scatter_sub(tf.IndexedSlices(step[:, tf.newaxis] * total, rows))
  return run, table


def our_update(width):
  table, accumulator = variables(width)
  grad, ids = gradient(width)

  @tf.function
  def run():
    embedding_ops.row_adagrad(table, accumulator, 0.1, 1e-8, grad, ids)
  return run, table


def bags(width, size):
  table, _ = variables(width)
  _, ids = gradient(width)
  ragged = tf.RaggedTensor.from_uniform_row_length(ids, size)
  sparse = ragged.to_sparse()
  stock = tf.function(lambda: tf.nn.embedding_lookup_sparse(
      table, sparse, None, combiner="mean"))
  ours = tf.function(lambda: embedding_ops.embedding_bag(table, ragged))
  np.testing.assert_allclose(stock(), ours(), rtol=1e-4, atol=1e-5)
  return stock, ours


def main():
  result = {}
  for width in (16, 64, 256):
    (stock, theirs), (ours, table) = stock_update(width), our_update(width)
    stock()
    ours()
    np.testing.assert_allclose(theirs.numpy(), table.numpy(), rtol=1e-4, atol=1e-5)
    result[f"row_adagrad width {width} / unique, segment_sum, scatter"] = ratio(stock, ours)
  for width in (16, 64):
    result[f"embedding_bag width {width} / embedding_lookup_sparse"] = ratio(*bags(width, 16))
  print(json.dumps(result))


if __name__ == "__main__":
  main()
