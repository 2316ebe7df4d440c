"""The TensorFlow op @CamelName@."""

import lockstep_loader
import tensorflow as tf

__all__ = ["@NAME@"]

_ops = lockstep_loader.load("@NAME@")


def @NAME@(x, name=None):
  """Squares each element of `x`, to begin with.

  Args:
    x: float32 or float64, of any shape.
    name: a name for the operation.

  Returns:
    A tensor like `x`.
  """
  return _ops.@CamelName@(x=tf.convert_to_tensor(x), name=name)


@tf.RegisterGradient("@CamelName@")
def _gradient(op, grad):
  return 2 * op.inputs[0] * grad
