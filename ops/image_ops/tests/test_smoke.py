import unittest

import image_ops
import tensorflow as tf


class SmokeTest(unittest.TestCase):

  def test_bad_magic(self):
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "magic"):
      image_ops.decode_qoi(b"x" * 30)


if __name__ == "__main__":
  unittest.main()
