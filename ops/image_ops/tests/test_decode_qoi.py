"""decode_qoi and decode_qoi_batch against the specification, and on bad files."""

import os
import sys
import unittest

import image_ops
import numpy as np
import tensorflow as tf

sys.path.insert(0, os.path.dirname(__file__))
import qoi_reference as qoi  # pylint: disable=g-import-not-at-top

INVALID = tf.errors.InvalidArgumentError


def _file(chunks, width=2, height=1, channels=4, colorspace=0):
  return qoi.header(width, height, channels, colorspace) + chunks + qoi.END


class DecodeQoiTest(unittest.TestCase):

  def test_all_pictures_with_all_channels(self):
    for name, rgba in qoi.pictures().items():
      for stored in (3, 4):
        image = rgba[..., :stored]
        file = qoi.encode(image)
        opaque = np.full(rgba.shape[:2] + (1,), 255, np.uint8)
        full = image if stored == 4 else np.concatenate([image, opaque], -1)
        for channels, expected in ((0, image), (3, full[..., :3]), (4, full)):
          with self.subTest(name, stored=stored, channels=channels):
            decoded = image_ops.decode_qoi(file, channels=channels)
            np.testing.assert_array_equal(decoded.numpy(), expected)

  def test_chunks_by_hand(self):
    # From the specification: opaque black before the first pixel; a difference
    # wraps around; an index that was never set is transparent black.
    cases = {
        "diff wraps": (b"\x40" + b"\x7f", [[254, 254, 254, 255], [255, 255, 255, 255]]),
        "luma": (b"\xa1\x88" + b"\xc0", [[1, 1, 1, 255]] * 2),
        "unset index": (b"\x05\xc0", [[0, 0, 0, 0]] * 2),
        "run first": (b"\xc1", [[0, 0, 0, 255]] * 2),
        "rgb keeps alpha": (b"\xff\1\2\3\4" + b"\xfe\5\6\7", [[1, 2, 3, 4], [5, 6, 7, 4]]),
        "index of a run": (b"\xc0" + bytes([53]), [[0, 0, 0, 255]] * 2),
    }
    for name, (chunks, pixels) in cases.items():
      with self.subTest(name):
        np.testing.assert_array_equal(image_ops.decode_qoi(_file(chunks)).numpy(), [pixels])

  def test_bad_files(self):
    good = qoi.encode(qoi.pictures()["noise"])
    cases = {
        "": r"truncated: 0 bytes, fewer than a header and an end marker have \(22\)",
        "21 bytes": (good[:21], "truncated: 21 bytes"),
        "magic": (b"PNG!" + good[4:], 'does not begin with the magic bytes "qoif"'),
        "no width": (_file(b"\xc1", width=0), "size is 0x1: there is no pixel in it"),
        "no height": (_file(b"\xc1", height=0), "size is 2x0: there is no pixel in it"),
        "channels": (_file(b"\xc1", channels=2), "2 channels, where 3 and 4 are allowed"),
        "colorspace": (_file(b"\xc1", colorspace=2), "colorspace 2, where 0 and 1 are"),
        "too many pixels": (_file(b"\xc1", width=2**32 - 1, height=2**32 - 1),
                            r"18446744065119617025 pixels: more than max_pixels"),
        "more than the data can hold": (
            _file(b"\xfd\xfd", width=25, height=5),
            "size is 25x5, and 2 bytes of data can hold at most 124 pixels"),
        "truncated": (good[:-30], "does not end with the end marker"),
        "cut out": (good[:-40] + qoi.END, r"the data ends after \d+ of 561 pixels"),
        "cut in a chunk": (_file(b"\xc0\xfe\1\2"), "the last chunk runs into the end marker"),
        "trailing chunk": (_file(b"\xc1\xc0"), "trailing data: 1 byte between"),
        "trailing bytes": (good + b"xx", "or with trailing data"),
        "long run": (_file(b"\xc2"), "a run of 3 pixels at byte 14, where only 2 are left"),
    }
    for name, case in cases.items():
      file, reason = case if isinstance(case, tuple) else (b"", case)
      with self.subTest(name):
        with self.assertRaisesRegex(INVALID, "bad QOI image: .*" + reason):
          image_ops.decode_qoi(file)

  def test_a_bomb_allocates_nothing(self):
    # 22 bytes that claim 400 million pixels, 1.6 GB.
    bomb = _file(b"", width=20000, height=20000)
    with self.assertRaisesRegex(INVALID, "can hold at most 0 pixels"):
      image_ops.decode_qoi(bomb)

  def test_max_pixels(self):
    file = _file(b"\xfd", width=62)
    self.assertEqual(image_ops.decode_qoi(file, max_pixels=62).shape, [1, 62, 4])
    with self.assertRaisesRegex(INVALID, "62x1, 62 pixels: more than max_pixels = 61"):
      image_ops.decode_qoi(file, max_pixels=61)

  def test_every_byte_flipped_never_crashes(self):
    good = qoi.encode(qoi.pictures()["palette"])
    decoded = 0
    for at in range(0, len(good), 3):
      bad = bytearray(good)
      bad[at] ^= 1 << at % 8
      try:
        image_ops.decode_qoi(bytes(bad))
        decoded += 1
      except INVALID as error:
        self.assertIn("bad QOI image", str(error))
    self.assertGreater(decoded, 0)  # other pixels are no broken file

  def test_bad_arguments(self):
    with self.assertRaisesRegex(INVALID, "channels must be 0, 3 or 4, got 2"):
      image_ops.decode_qoi(b"", channels=2)
    with self.assertRaisesRegex(INVALID, "contents must be a scalar"):
      image_ops.decode_qoi([b"a", b"b"])

  def test_shape_inference(self):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(file):
      image = image_ops.decode_qoi(file, channels=3)
      self.assertEqual(image.shape.as_list(), [None, None, 3])
      self.assertEqual(image_ops.decode_qoi(file).shape.as_list(), [None, None, None])
      return image
    picture = qoi.pictures()["gradient"]
    np.testing.assert_array_equal(decode(qoi.encode(picture)).numpy(), picture[..., :3])
    with tf.Graph().as_default():
      with self.assertRaisesRegex(ValueError, "must be rank 0"):
        image_ops.decode_qoi(tf.zeros([2], tf.string))
      with self.assertRaisesRegex(ValueError, "channels must be 0, 3 or 4, got 1"):
        image_ops.decode_qoi("", channels=1)

  def test_in_tf_data(self):
    pictures = list(qoi.pictures().values())
    files = [qoi.encode(picture) for picture in pictures]
    dataset = tf.data.Dataset.from_tensor_slices(files).map(
        image_ops.decode_qoi, num_parallel_calls=2)
    for image, picture in zip(dataset, pictures, strict=True):
      np.testing.assert_array_equal(image.numpy(), picture)


class DecodeQoiBatchTest(unittest.TestCase):

  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(1)
    self.images = rng.integers(0, 256, (37, 24, 16, 4), np.uint8)
    self.files = [qoi.encode(image) for image in self.images]

  def test_batch(self):
    np.testing.assert_array_equal(image_ops.decode_qoi_batch(self.files), self.images)
    np.testing.assert_array_equal(
        image_ops.decode_qoi_batch(self.files, channels=3), self.images[..., :3])
    np.testing.assert_array_equal(
        image_ops.decode_qoi_batch(self.files[:1]), self.images[:1])

  def test_the_first_bad_image_is_named(self):
    for bad in ([36], [5, 6, 30], [0, 36]):
      files = list(self.files)
      for at in bad:
        files[at] = files[at][:-9] + qoi.END
      for _ in range(5):  # whichever thread is faster
        with self.assertRaisesRegex(INVALID, rf"at contents\[{bad[0]}\]: "):
          image_ops.decode_qoi_batch(files)

  def test_one_size(self):
    other = qoi.encode(np.zeros((16, 24, 4), np.uint8))
    with self.assertRaisesRegex(
        INVALID, r"contents\[0\] is 16x24x4, contents\[1\] is 24x16x4"):
      image_ops.decode_qoi_batch([self.files[0], other])
    rgb = qoi.encode(self.images[0][..., :3])
    with self.assertRaisesRegex(INVALID, r"contents\[1\] is 16x24x3"):
      image_ops.decode_qoi_batch([self.files[0], rgb])
    self.assertEqual(
        image_ops.decode_qoi_batch([self.files[0], rgb], channels=3).shape, [2, 24, 16, 3])

  def test_empty(self):
    with self.assertRaisesRegex(INVALID, "a vector of at least one image"):
      image_ops.decode_qoi_batch(tf.zeros([0], tf.string))

  def test_shape_inference(self):
    with tf.Graph().as_default():
      files = tf.compat.v1.placeholder(tf.string, [9])
      images = image_ops.decode_qoi_batch(files, channels=4)
      self.assertEqual(images.shape.as_list(), [9, None, None, 4])
      with self.assertRaisesRegex(ValueError, "must be rank 1"):
        image_ops.decode_qoi_batch("")


if __name__ == "__main__":
  unittest.main()
