"""The ops on a cluster: a worker and two parameter servers behind real gRPC."""

import socket
import subprocess
import sys
import unittest

import embedding_ops
import numpy as np
import tensorflow as tf

IDS = [[1, 2, 2], [5]]
SECOND_SERVER = "/job:ps/replica:0/task:1/device:CPU:0"


class ParameterServerTest(unittest.TestCase):

  def test_the_update_runs_where_the_table_is(self):
    servers, spec = _cluster()
    target = f"grpc://{spec.task_address('worker', 0)}"
    with tf.Graph().as_default():
      with tf.device("/job:ps/task:1"):
        table = tf.compat.v1.get_variable("table", [6, 4], use_resource=True)
        accumulator = tf.compat.v1.get_variable("accumulator", [6], use_resource=True)
      with tf.device("/job:worker/task:0"):
        grad = tf.random.uniform([4, 4])
      update = embedding_ops.row_adagrad(table, accumulator, 0.1, 0.0, grad, [1, 2, 2, 5])
      options = tf.compat.v1.RunOptions(output_partition_graphs=True)
      metadata = tf.compat.v1.RunMetadata()
      config = tf.compat.v1.ConfigProto(operation_timeout_in_ms=60_000)
      with tf.compat.v1.Session(target, config=config) as session:
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(update, options=options, run_metadata=metadata)
    devices = {node.op: node.device for graph in metadata.partition_graphs
               for node in graph.node}
    self.assertEqual(devices["RowAdagrad"], SECOND_SERVER)
    self.assertEqual(devices["RandomUniform"], "/job:worker/replica:0/task:0/device:CPU:0")

  def test_training_on_a_cluster_gives_the_same_bits(self):
    # In a process of its own: a coordinator takes over the whole of TensorFlow.
    chief = subprocess.run(
        [sys.executable, *_flags(), __file__, "chief"], capture_output=True, text=True,
        check=False, timeout=300)
    self.assertEqual(chief.returncode, 0, chief.stderr[-4000:])
    remote = chief.stdout.splitlines()[-1]
    table = tf.Variable(_start())
    optimizer = embedding_ops.RowAdagrad([table], 0.5)
    step = _step(table, optimizer)
    for _ in range(10):
      step()
    self.assertEqual(remote, table.numpy().tobytes().hex())
    self.assertNotEqual(remote, _start().tobytes().hex())


def _flags():
  """The flags of this Python: the chief shall see the same site-packages."""
  return [f"-{flag}" for flag, on in (
      ("S", sys.flags.no_site), ("s", sys.flags.no_user_site),
      ("I", sys.flags.isolated), ("B", sys.flags.dont_write_bytecode)) if on]


def _cluster():
  """A worker and two parameter servers of this process, and how to reach them.

  By address: a small root has no /etc/hosts that says what "localhost" is.
  """
  sockets = [socket.socket() for _ in range(3)]
  for one in sockets:
    one.bind(("127.0.0.1", 0))
  addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
  for one in sockets:
    one.close()
  spec = tf.train.ClusterSpec({"worker": addresses[:1], "ps": addresses[1:]})
  servers = [
      tf.distribute.Server(spec, job_name=job, task_index=task, protocol="grpc")
      for job, task in (("worker", 0), ("ps", 0), ("ps", 1))]
  return servers, spec


def _chief():
  """Trains with a coordinator and prints the table, in hexadecimal."""
  servers, spec = _cluster()
  del servers  # they serve until the process ends
  strategy = tf.distribute.ParameterServerStrategy(
      tf.distribute.cluster_resolver.SimpleClusterResolver(spec, rpc_layer="grpc"))
  coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
  with strategy.scope():
    tf.Variable(0.0)  # so that the table is on the second server
    table = tf.Variable(_start())
    optimizer = embedding_ops.RowAdagrad([table], 0.5)
  with tf.device("/job:worker/task:0"):
    bags = embedding_ops.embedding_bag(table, tf.ragged.constant(IDS))
  for place in (table, optimizer.accumulators[0], bags):
    assert place.device == SECOND_SERVER, place.device
  step = _step(table, optimizer)
  for _ in range(10):
    coordinator.schedule(step)
  coordinator.join()
  print(table.numpy().tobytes().hex())


def _start():
  return np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def _step(table, optimizer):
  @tf.function
  def step():
    with tf.GradientTape() as tape:
      bags = embedding_ops.embedding_bag(table, tf.ragged.constant(IDS))
      loss = tf.reduce_sum(bags ** 2)
    optimizer.apply(tape.gradient(loss, optimizer.tables))
    return loss
  return step


if __name__ == "__main__":
  if sys.argv[1:] == ["chief"]:
    _chief()
  else:
    unittest.main()
