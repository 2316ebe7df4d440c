"""embedding_bag against stock TensorFlow: values, gradients, bad input."""

import unittest

import embedding_ops
import numpy as np
import tensorflow as tf

INVALID = tf.errors.InvalidArgumentError
BAGS = [[1, 2, 2], [], [0], [6, 5, 4, 3, 2, 1, 0, 6], []]


def _table(dtype=tf.float32, rows=7, width=5):
  rng = np.random.default_rng(0)
  return tf.Variable(rng.normal(size=(rows, width)), dtype=dtype)


def _stock(table, ids, combiner):
  """The same by gather and ragged reductions."""
  rows = tf.RaggedTensor.from_row_splits(tf.gather(table, ids.values), ids.row_splits)
  total = tf.reduce_sum(rows, axis=1)
  lengths = tf.maximum(tf.cast(ids.row_lengths(), total.dtype), 1)[:, tf.newaxis]
  return total / {"sum": 1, "mean": lengths, "sqrtn": tf.sqrt(lengths)}[combiner]


class EmbeddingBagTest(unittest.TestCase):

  def test_equals_stock_tensorflow(self):
    for dtype, tolerance in ((tf.float16, 2e-3), (tf.float32, 1e-6), (tf.float64, 1e-14)):
      for index_dtype in (tf.int32, tf.int64):
        for combiner in ("sum", "mean", "sqrtn"):
          with self.subTest(dtype=dtype, index=index_dtype, combiner=combiner):
            table, ids = _table(dtype), tf.ragged.constant(BAGS, index_dtype)
            bags = embedding_ops.embedding_bag(table, ids, combiner)
            self.assertEqual(bags.dtype, dtype)
            np.testing.assert_allclose(
                bags, _stock(table, ids, combiner), rtol=tolerance, atol=tolerance)

  def test_gradient_equals_stock_tensorflow(self):
    weights = tf.random.stateless_normal([len(BAGS), 5], [1, 2], dtype=tf.float64)
    ids = tf.ragged.constant(BAGS)
    for combiner in ("sum", "mean", "sqrtn"):
      table = _table(tf.float64)
      gradients = []
      for lookup in (embedding_ops.embedding_bag, _stock):
        for wrap in (lambda f: f, tf.function):
          def loss_gradient(lookup=lookup):
            with tf.GradientTape() as tape:
              loss = tf.reduce_sum(lookup(table, ids, combiner) ** 3 * weights)
            return tape.gradient(loss, table)
          gradient = wrap(loss_gradient)()
          self.assertIsInstance(gradient, tf.IndexedSlices)
          gradients.append(tf.convert_to_tensor(gradient).numpy())
      for gradient in gradients[1:]:
        np.testing.assert_allclose(gradient, gradients[0], rtol=1e-12, atol=1e-12)

  def test_gradient_equals_differences(self):
    ids = tf.ragged.constant(BAGS)
    for combiner in ("sum", "mean", "sqrtn"):
      table = _table(tf.float64)
      start = table.numpy()

      def loss(combiner=combiner, table=table):
        return tf.reduce_sum(tf.sin(embedding_ops.embedding_bag(table, ids, combiner)))
      with tf.GradientTape() as tape:
        value = loss()
      gradient = tf.convert_to_tensor(tape.gradient(value, table)).numpy()
      for at in np.ndindex(*start.shape):
        step = np.zeros_like(start)
        step[at] = 1e-6
        table.assign(start + step)
        above = float(loss())
        table.assign(start - step)
        difference = (above - float(loss())) / 2e-6
        self.assertAlmostEqual(gradient[at], difference, places=8)

  def test_the_bags_gradient_is_differentiable(self):
    ids = tf.ragged.constant(BAGS)
    table, scale = _table(tf.float64), tf.Variable(2.0, dtype=tf.float64)
    with tf.GradientTape() as outer:
      with tf.GradientTape() as inner:
        loss = tf.reduce_sum(embedding_ops.embedding_bag(table, ids) * scale ** 2)
      values = inner.gradient(loss, table).values
      total = tf.reduce_sum(values)
    # d/ds of s^2 * (5 non-empty elements a row, 3 bags that are not empty)
    self.assertAlmostEqual(float(outer.gradient(total, scale)), 4.0 * 5 * 3)

  def test_dense_ids(self):
    table = _table()
    bags = embedding_ops.embedding_bag(table, [[0, 1], [2, 2]], "sum")
    np.testing.assert_allclose(
        bags, [table[0] + table[1], 2 * table[2]], rtol=1e-6)

  def test_bad_input(self):
    table = _table()
    for ids, text in (
        (tf.ragged.constant([[0], [7]]), r"indices\[1\] = 7 is not in \[0, 7\), the rows"),
        (tf.ragged.constant([[-1]]), r"indices\[0\] = -1 is not in"),
    ):
      with self.assertRaisesRegex(INVALID, text):
        embedding_ops.embedding_bag(table, ids)
    for splits, text in (
        ([0, 3, 2], r"must not fall: row_splits\[1\] = 3, row_splits\[2\] = 2"),
        ([1, 2], "must begin with 0 and end with the number of indices, 2; got 1 and 2"),
        ([0, 1], "got 0 and 1"),
        ([], "it is empty"),
    ):
      ids = tf.RaggedTensor.from_row_splits(
          [0, 1], tf.constant(splits, tf.int64), validate=False)
      with self.subTest(splits), self.assertRaisesRegex(INVALID, text):
        embedding_ops.embedding_bag(table, ids)

  def test_shape_inference(self):
    @tf.function(input_signature=[tf.RaggedTensorSpec([9, None], tf.int32)])
    def look_up(ids):
      bags = embedding_ops.embedding_bag(table, ids)
      self.assertEqual(bags.shape.as_list(), [9, 5])
      return bags
    table = _table()
    look_up.get_concrete_function()
    with tf.Graph().as_default():
      vector = tf.compat.v1.get_variable("v", [4], use_resource=True)
      with self.assertRaisesRegex(ValueError, "must be rank 2"):
        embedding_ops.embedding_bag(vector, [[0]])


if __name__ == "__main__":
  unittest.main()
