"""TensorFlow ops for embedding tables, made for parameter servers.

Both ops run where the table is. `embedding_bag` sends one row a bag to the
worker, not one row an index; `RowAdagrad` sends the gradient's rows back, and
the arithmetic is done beside the table, with one number of state a row.
"""

import lockstep_loader
import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops

__all__ = ["RowAdagrad", "embedding_bag", "row_adagrad"]

_ops = lockstep_loader.load("embedding_ops")


def embedding_bag(table, ids, combiner="mean", name=None):
  """Looks up the rows of each bag of ids and combines them.

  Differentiable with respect to the table; the gradient is a tf.IndexedSlices.

  Args:
    table: a tf.Variable `[rows, width]` of float16, float32 or float64.
    ids: int32 or int64, a tf.RaggedTensor `[bags, (n)]` or a tensor `[bags, n]`.
    combiner: `"sum"`, `"mean"`, or `"sqrtn"` (the sum over the root of the number).
    name: a name for the operation.

  Returns:
    A tensor `[bags, width]` of the table's type; an empty bag gives zeros.

  Raises:
    tf.errors.InvalidArgumentError: an id is not a row of the table.
  """
  with tf.name_scope(name or "embedding_bag"):
    if not isinstance(ids, tf.RaggedTensor):
      ids = tf.RaggedTensor.from_tensor(ids)
    # Tells tf.GradientTape, which watches variables and not their handles.
    resource_variable_ops.variable_accessed(table)
    return _ops.embedding_bag(
        table.handle, ids.values, tf.cast(ids.row_splits, tf.int64),
        combiner=combiner, T=table.dtype)


@tf.RegisterGradient("EmbeddingBag")
def _embedding_bag_grad(op, grad):
  """Each row gets its bag's gradient, divided as the bag's sum was."""
  table, indices, row_splits = op.inputs
  combiner = op.get_attr("combiner")
  combiner = combiner.decode() if isinstance(combiner, bytes) else combiner
  lengths = row_splits[1:] - row_splits[:-1]
  if combiner != "sum":
    divisor = tf.cast(lengths, grad.dtype)
    divisor = tf.sqrt(divisor) if combiner == "sqrtn" else divisor
    grad = tf.math.divide_no_nan(grad, divisor[:, tf.newaxis])
  values = tf.repeat(grad, lengths, axis=0)
  shape = tf.raw_ops.VariableShape(input=table, out_type=indices.dtype)
  return tf.IndexedSlices(values, indices, shape), None, None


def row_adagrad(table, accumulator, learning_rate, epsilon, grad, indices, name=None):
  """Updates rows of `table` in place, where it lies.

  For each distinct index `i`, with the sum `g` of its rows of `grad`:

      accumulator[i] += mean(g * g)
      table[i] -= learning_rate * g / (sqrt(accumulator[i]) + epsilon)

  Args:
    table: a tf.Variable `[rows, width]` of float16, float32 or float64.
    accumulator: a tf.Variable `[rows]` on the same device, float64 for a float64
      table and else float32.
    learning_rate: a scalar.
    epsilon: a scalar.
    grad: `[n, width]`, of the table's type.
    indices: int32 or int64 `[n]`.
    name: a name for the operation.

  Returns:
    The operation.

  Raises:
    tf.errors.InvalidArgumentError: an index is not a row of the table, or a
      shape does not fit; then nothing was written.
  """
  state = accumulator.dtype
  return _ops.row_adagrad(
      table.handle, accumulator.handle, _scalar(learning_rate, state),
      _scalar(epsilon, state), grad, indices, name=name)


def _scalar(value, dtype):
  """`value` in type `dtype`; a Python number never passes through float32."""
  if tf.is_tensor(value) or isinstance(value, tf.Variable):
    return tf.cast(value, dtype)
  return tf.convert_to_tensor(value, dtype)


class RowAdagrad(tf.Module):
  """Adagrad with one accumulator a row, for tables that are looked up sparsely.

      optimizer = embedding_ops.RowAdagrad([table], learning_rate=0.1)
      with tf.GradientTape() as tape:
        loss = ...
      optimizer.apply(tape.gradient(loss, optimizer.tables))

  Make it where the tables were made: under the scope of their strategy, if they
  have one. Each accumulator is put on its table's device.
  """

  def __init__(self, tables, learning_rate=0.01, epsilon=1e-8,
               initial_accumulator=0.0, name=None):
    super().__init__(name=name)
    self.tables = list(tables)
    self.learning_rate = learning_rate
    self.epsilon = epsilon
    self.accumulators = [self._accumulator(table, initial_accumulator)
                         for table in self.tables]

  def _accumulator(self, table, initial):
    dtype = tf.float64 if table.dtype == tf.float64 else tf.float32
    with tf.distribute.get_strategy().extended.colocate_vars_with(table):
      with tf.device(table.device):
        return tf.Variable(tf.fill([table.shape[0]], tf.cast(initial, dtype)),
                           trainable=False, name="row_adagrad")

  def apply(self, gradients):
    """Updates the tables; `gradients` has one for each, None for no change."""
    for table, accumulator, grad in zip(
        self.tables, self.accumulators, gradients, strict=True):
      if grad is None:
        continue
      if not isinstance(grad, tf.IndexedSlices):
        grad = tf.IndexedSlices(grad, tf.range(tf.shape(grad)[0]))
      row_adagrad(table, accumulator, self.learning_rate, self.epsilon,
                  tf.reshape(grad.values, [-1, table.shape[1]]),
                  tf.reshape(grad.indices, [-1]))
