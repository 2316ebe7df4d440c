"""row_adagrad against NumPy, on bad input, and under concurrent updates."""

import threading
import unittest

import embedding_ops
import numpy as np
import tensorflow as tf

INVALID = tf.errors.InvalidArgumentError
TYPES = ((tf.float16, tf.float32, 2e-3), (tf.float32, tf.float32, 1e-6),
         (tf.float64, tf.float64, 1e-14))


def _reference(table, accumulator, learning_rate, epsilon, grad, indices):
  """The documentation of the op, in NumPy and double precision."""
  table, accumulator = table.astype(np.float64), accumulator.astype(np.float64)
  for row in np.unique(indices):
    g = grad.astype(np.float64)[indices == row].sum(axis=0)
    accumulator[row] += np.mean(g * g)
    table[row] -= learning_rate * g / (np.sqrt(accumulator[row]) + epsilon)
  return table, accumulator


def _case(rows, width, n, dtype=tf.float32, seed=0):
  rng = np.random.default_rng(seed)
  state = tf.float64 if dtype == tf.float64 else tf.float32
  table = tf.Variable(rng.normal(size=(rows, width)), dtype=dtype)
  accumulator = tf.Variable(rng.uniform(size=rows), dtype=state)
  grad = rng.normal(size=(n, width)).astype(dtype.as_numpy_dtype)
  return table, accumulator, grad, rng.integers(0, rows, n)


class RowAdagradTest(unittest.TestCase):

  def test_equals_numpy(self):
    for dtype, state, tolerance in TYPES:
      for index_dtype in (np.int32, np.int64):
        for rows, width, n in ((5, 1, 40), (50, 3, 20), (200, 64, 1000), (5000, 2, 3000), (7, 4, 0)):
          with self.subTest(dtype=dtype, index=index_dtype, rows=rows, n=n):
            table, accumulator, grad, indices = _case(rows, width, n, dtype)
            expected = _reference(table.numpy(), accumulator.numpy(), 0.1, 1e-3, grad, indices)
            embedding_ops.row_adagrad(
                table, accumulator, 0.1, 1e-3, grad, indices.astype(index_dtype))
            self.assertEqual(accumulator.dtype, state)
            for variable, value in zip((table, accumulator), expected):
              np.testing.assert_allclose(
                  variable.numpy(), value, rtol=tolerance, atol=tolerance)

  def test_duplicates_are_summed_first(self):
    table = tf.Variable([[1.0, 1.0], [2.0, 2.0]])
    accumulator = tf.Variable([0.0, 0.0])
    grad = [[1.0, 2.0], [5.0, 5.0], [2.0, 2.0]]
    embedding_ops.row_adagrad(table, accumulator, 1.0, 0.0, grad, [0, 1, 0])
    # Row 0: g = (3, 4), mean(g * g) = 12.5. Not 2.5 + 4, one after the other.
    np.testing.assert_allclose(accumulator.numpy(), [12.5, 25.0])
    np.testing.assert_allclose(
        table.numpy(), [[1 - 3 / 12.5**0.5, 1 - 4 / 12.5**0.5], [1.0, 1.0]], rtol=1e-6)

  def test_the_same_bits_each_time(self):
    def run():
      table, accumulator, grad, indices = _case(300, 33, 20000)
      embedding_ops.row_adagrad(table, accumulator, 0.1, 1e-8, grad, indices)
      return table.numpy().tobytes(), accumulator.numpy().tobytes()
    first = run()
    for _ in range(5):
      self.assertEqual(run(), first)

  def test_the_same_bits_wherever_a_row_lies(self):
    # A table that is cut for two parameter servers learns what a whole one does.
    table, accumulator, grad, indices = _case(40, 7, 500)
    top = tf.Variable(table[:13]), tf.Variable(accumulator[:13])
    bottom = tf.Variable(table[13:]), tf.Variable(accumulator[13:])
    embedding_ops.row_adagrad(table, accumulator, 0.1, 1e-8, grad, indices)
    low = indices < 13
    embedding_ops.row_adagrad(*top, 0.1, 1e-8, grad[low], indices[low])
    embedding_ops.row_adagrad(*bottom, 0.1, 1e-8, grad[~low], indices[~low] - 13)
    for whole, a, b in zip((table, accumulator), top, bottom):
      self.assertEqual(whole.numpy().tobytes(), tf.concat([a, b], 0).numpy().tobytes())

  def test_bad_input_writes_nothing(self):
    def args(**changes):
      table, accumulator, grad, indices = _case(4, 3, 2)
      good = {"table": table, "accumulator": accumulator, "learning_rate": 0.1,
              "epsilon": 0.0, "grad": grad, "indices": np.array([0, 3])}
      return good | changes
    cases = [
        ({"indices": np.array([0, 4])}, r"indices\[1\] = 4 is not in \[0, 4\), the rows"),
        ({"indices": np.array([-1, 0])}, r"indices\[0\] = -1 is not in \[0, 4\)"),
        ({"indices": np.array([0])}, r"grad must have shape \[n, width\] = \[1,3\], got \[2,3\]"),
        ({"indices": np.array([[0, 1]])}, r"indices must be a vector, got shape \[1,2\]"),
        ({"grad": np.zeros((2, 2), np.float32)}, r"= \[2,3\], got \[2,2\]"),
        ({"learning_rate": [0.1]}, r"learning_rate must have shape \[\] = \[\], got \[1\]"),
        ({"epsilon": [0.1, 0.2]}, "epsilon must have shape"),
        ({"accumulator": tf.Variable(tf.zeros([5]))},
         r"accumulator must have shape \[rows\] = \[4\], got \[5\]"),
        ({"accumulator": tf.Variable(tf.zeros([4, 1]))},
         r"accumulator must be float of rank 1, got float of shape \[4,1\]"),
    ]
    for changes, text in cases:
      case = args(**changes)
      before = case["table"].numpy(), case["accumulator"].numpy()
      with self.subTest(text), self.assertRaisesRegex(INVALID, text):
        embedding_ops.row_adagrad(**case)
      np.testing.assert_array_equal(case["table"].numpy(), before[0])
      np.testing.assert_array_equal(case["accumulator"].numpy(), before[1])

  def test_variables_of_another_type(self):
    # The types of the inputs choose the kernel; the variables must have them.
    table, accumulator, grad, indices = _case(4, 3, 2, tf.float64)
    single = tf.Variable(tf.zeros([4, 3]))
    with self.assertRaisesRegex(INVALID, "table must be double of rank 2, got float"):
      embedding_ops.row_adagrad(single, accumulator, 0.1, 0.0, grad, indices)
    with self.assertRaisesRegex(INVALID, "must be two variables, got one"):
      embedding_ops.row_adagrad(table, table, 0.1, 0.0, grad, indices)

  def test_uninitialized(self):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      table = tf.compat.v1.get_variable("t", [2, 2], use_resource=True)
      accumulator = tf.compat.v1.get_variable("a", [2], use_resource=True)
      update = embedding_ops.row_adagrad(
          table, accumulator, 0.1, 0.0, tf.zeros([1, 2]), [0])
      with self.assertRaisesRegex(tf.errors.FailedPreconditionError, "the variable table is not initialized"):
        session.run(update)

  def test_shape_inference(self):
    with tf.Graph().as_default():
      table = tf.compat.v1.get_variable("t", [4, 3], use_resource=True)
      accumulator = tf.compat.v1.get_variable("a", [4], use_resource=True)
      short = tf.compat.v1.get_variable("s", [5], use_resource=True)
      grad, indices = tf.zeros([2, 3]), [0, 1]
      embedding_ops.row_adagrad(table, accumulator, 0.1, 0.0, grad, indices)
      for args, text in (
          ((table, short, 0.1, 0.0, grad, indices), "4 and 5"),
          ((table, accumulator, [0.1], 0.0, grad, indices), "must be rank 0"),
          ((table, accumulator, 0.1, 0.0, tf.zeros([2, 4]), indices), "3 and 4"),
          ((table, accumulator, 0.1, 0.0, grad, [0]), "1 and 2"),
          ((accumulator, table, 0.1, 0.0, grad, indices), "must be rank 2"),
      ):
        with self.subTest(text), self.assertRaisesRegex(ValueError, text):
          embedding_ops.row_adagrad(*args)

  def test_a_value_that_was_read_stays_as_it_was(self):
    table, accumulator, grad, indices = _case(4, 3, 2)
    read = table.read_value()
    before = read.numpy().copy()
    embedding_ops.row_adagrad(table, accumulator, 0.1, 0.0, grad, indices)
    np.testing.assert_array_equal(read.numpy(), before)
    self.assertFalse(np.array_equal(table.numpy(), before))

  def test_concurrent_updates_are_all_counted(self):
    # A step of constant size, so that a lost or torn update is seen: with the
    # accumulator's start far above what is added, each update subtracts 1.
    table = tf.Variable(tf.zeros([3, 20000], tf.float64))
    accumulator = tf.Variable(tf.fill([3], tf.constant(1e30, tf.float64)))
    grad, indices = tf.ones([3, 20000], tf.float64), tf.constant([0, 1, 2])

    @tf.function
    def steps():
      for _ in tf.range(500):
        embedding_ops.row_adagrad(table, accumulator, 1e15, 0.0, grad, indices)
    steps.get_concrete_function()
    together = threading.Barrier(4)
    threads = [threading.Thread(target=lambda: (together.wait(), steps()))
               for _ in range(4)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    np.testing.assert_allclose(table.numpy(), np.full((3, 20000), -2000.0), rtol=1e-9)


class OptimizerTest(unittest.TestCase):

  def test_training(self):
    table = tf.Variable(tf.ones([6, 4]))
    unused = tf.Variable(tf.ones([6, 4]))
    optimizer = embedding_ops.RowAdagrad([table, unused], 0.5, initial_accumulator=0.1)
    ids = tf.ragged.constant([[1, 2, 2], [5]])

    @tf.function
    def step():
      with tf.GradientTape() as tape:
        loss = tf.reduce_sum(embedding_ops.embedding_bag(table, ids) ** 2)
      optimizer.apply(tape.gradient(loss, optimizer.tables))
      return loss
    losses = [float(step()) for _ in range(20)]
    self.assertLess(losses[-1], 0.05 * losses[0])
    np.testing.assert_array_equal(table.numpy()[[0, 3, 4]], np.ones((3, 4)))
    np.testing.assert_array_equal(unused.numpy(), np.ones((6, 4)))
    np.testing.assert_allclose(optimizer.accumulators[0].numpy()[0], 0.1)

  def test_a_dense_gradient_updates_all_rows(self):
    table = tf.Variable(tf.ones([3, 2]))
    optimizer = embedding_ops.RowAdagrad([table], 1.0, epsilon=0.0)
    optimizer.apply([tf.constant([[1.0, 1.0]] * 3)])
    np.testing.assert_allclose(table.numpy(), np.zeros((3, 2)), atol=1e-6)

  def test_the_accumulators_are_checkpointed(self):
    table = tf.Variable(tf.ones([3, 2]))
    optimizer = embedding_ops.RowAdagrad([table], initial_accumulator=0.5)
    self.assertEqual([v.shape.as_list() for v in optimizer.variables], [[3], [3, 2]])


if __name__ == "__main__":
  unittest.main()
