"""The ops on a worker that has done nothing but import TensorFlow."""

import os
import subprocess
import sys
import unittest

import image_ops
import numpy as np
import tensorflow as tf

sys.path.insert(0, os.path.dirname(__file__))
import qoi_reference as qoi  # pylint: disable=g-import-not-at-top

# Port 0 lets the system choose; the server says what it got. An address and not
# "localhost": a small root has no /etc/hosts, and TensorFlow would wait forever.
SERVER = """
import tensorflow as tf
server = tf.distribute.Server({"worker": ["127.0.0.1:0"]}, job_name="worker", task_index=0)
print(server.target, flush=True)
server.join()
"""


class RemoteTest(unittest.TestCase):

  def test_a_bare_server_has_the_ops(self):
    with subprocess.Popen([sys.executable, *_flags(), "-c", SERVER],
                          stdout=subprocess.PIPE, text=True) as server:
      try:
        target = server.stdout.readline().strip().replace("localhost", "127.0.0.1")
        self.assertRegex(target, "^grpc://127.0.0.1:")
        picture = qoi.pictures()["gradient"]
        with tf.Graph().as_default(), tf.device("/job:worker/task:0"):
          image = image_ops.decode_qoi(qoi.encode(picture))
          config = tf.compat.v1.ConfigProto(operation_timeout_in_ms=60_000)
          with tf.compat.v1.Session(target, config=config) as session:
            np.testing.assert_array_equal(session.run(image), picture)
      finally:
        server.kill()


def _flags():
  """The flags of this Python: the server shall see the same site-packages."""
  return [f"-{flag}" for flag, on in (
      ("S", sys.flags.no_site), ("s", sys.flags.no_user_site),
      ("I", sys.flags.isolated), ("B", sys.flags.dont_write_bytecode)) if on]


if __name__ == "__main__":
  unittest.main()
