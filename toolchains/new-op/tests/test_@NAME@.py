"""@NAME@: its values, its gradient, its shape, in eager mode and in a graph."""

import unittest

import @NAME@
import numpy as np
import tensorflow as tf


class @CamelName@Test(unittest.TestCase):

  def test_values(self):
    for dtype in (np.float32, np.float64):
      x = np.arange(-3, 3, dtype=dtype).reshape(2, 3)
      y = @NAME@.@NAME@(x)
      self.assertEqual(y.dtype, dtype)
      np.testing.assert_array_equal(y.numpy(), x * x)

  def test_gradient(self):
    theory, measured = tf.test.compute_gradient(
        @NAME@.@NAME@, [np.linspace(-1, 1, 6).reshape(2, 3)])
    np.testing.assert_allclose(theory, measured, atol=1e-6)

  def test_graph(self):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    def run(x):
      y = @NAME@.@NAME@(x)
      self.assertEqual(y.shape.as_list(), [None, 3])
      return y
    np.testing.assert_array_equal(run(tf.fill([2, 3], 3.0)), np.full((2, 3), 9.0))

  def test_another_type(self):
    with self.assertRaises((TypeError, tf.errors.OpError)):
      @NAME@.@NAME@(["text"])


if __name__ == "__main__":
  unittest.main()
