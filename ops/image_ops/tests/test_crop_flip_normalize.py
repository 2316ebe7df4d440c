"""crop_flip_normalize against NumPy and against stock TensorFlow, bit for bit."""

import unittest

import image_ops
import numpy as np
import tensorflow as tf

INVALID = tf.errors.InvalidArgumentError
MEAN = np.array([123.68, 116.78, 103.94, 7.5, 200.1], np.float32)
STDDEV = np.array([58.4, 57.12, 57.38, -3.0, 1e-3], np.float32)


def _case(batch, height, width, channels, size, seed=0):
  rng = np.random.default_rng(seed)
  images = rng.integers(0, 256, (batch, height, width, channels), np.uint8)
  offsets = np.stack([rng.integers(0, height - size[0] + 1, batch),
                      rng.integers(0, width - size[1] + 1, batch)], -1)
  flips = rng.integers(0, 2, batch).astype(bool)
  return (images, offsets.astype(np.int32), flips, MEAN[:channels], STDDEV[:channels])


def _reference(images, offsets, flips, mean, stddev, size, dtype):
  crops = []
  for image, (top, left), flip in zip(images, offsets, flips):
    crop = image[top:top + size[0], left:left + size[1]]
    crops.append(crop[:, ::-1] if flip else crop)
  normal = (np.stack(crops).astype(np.float32) - mean) / stddev
  return normal.astype(dtype)


class CropFlipNormalizeTest(unittest.TestCase):

  def test_equals_numpy(self):
    for channels in (1, 2, 3, 4, 5):
      for size in ((1, 1), (7, 5), (20, 30)):
        for dtype in (np.float32, np.float16):
          with self.subTest(channels=channels, size=size, dtype=dtype):
            case = _case(9, 20, 30, channels, size)
            crops = image_ops.crop_flip_normalize(*case, size, dtype)
            with np.errstate(over="ignore"):
              expected = _reference(*case, size, dtype)
            np.testing.assert_array_equal(crops.numpy(), expected)

  def test_equals_stock_tensorflow(self):
    size = (8, 9)
    images, offsets, flips, mean, stddev = _case(6, 16, 18, 3, size)
    stock = []
    for image, (top, left), flip in zip(images, offsets, flips):
      crop = tf.image.crop_to_bounding_box(image, top, left, *size)
      stock.append(tf.image.flip_left_right(crop) if flip else crop)
    stock = (tf.cast(tf.stack(stock), tf.float32) - mean) / stddev
    crops = image_ops.crop_flip_normalize(images, offsets, flips, mean, stddev, size)
    self.assertTrue(bool(tf.reduce_all(crops == stock)))

  def test_many_rows_over_many_threads(self):
    case = _case(64, 96, 96, 3, (80, 72), seed=3)
    crops = image_ops.crop_flip_normalize(*case, (80, 72))
    np.testing.assert_array_equal(crops.numpy(), _reference(*case, (80, 72), np.float32))

  def test_empty_batch(self):
    case = (np.zeros((0, 4, 4, 3), np.uint8), np.zeros((0, 2), np.int32),
            np.zeros(0, bool), MEAN[:3], STDDEV[:3])
    self.assertEqual(image_ops.crop_flip_normalize(*case, (2, 2)).shape, [0, 2, 2, 3])

  def test_a_crop_outside_its_image(self):
    for offset in ([-1, 0], [0, -1], [5, 0], [0, 6], [2**31 - 1, 0]):
      case = list(_case(3, 8, 10, 3, (4, 5)))
      case[1][2] = offset
      text = rf"a crop of 4x5 at offsets\[2\] = \[{offset[0]}, {offset[1]}\] does not lie inside"
      with self.subTest(offset), self.assertRaisesRegex(INVALID, text):
        image_ops.crop_flip_normalize(*case, (4, 5))

  def test_a_stddev_that_cannot_divide(self):
    for value, shown in ((0.0, "0"), (np.nan, "nan"), (np.inf, "inf")):
      case = list(_case(1, 8, 8, 3, (4, 4)))
      case[4] = np.array([1, value, 1], np.float32)
      with self.assertRaisesRegex(INVALID, rf"stddev\[1\] is {shown}: it divides each pixel"):
        image_ops.crop_flip_normalize(*case, (4, 4))

  def test_shapes_that_do_not_fit(self):
    bad = {
        0: (np.zeros((8, 8, 3), np.uint8), r"images must have shape \[batch, height"),
        1: (np.zeros((3, 2), np.int32), r"offsets must have shape \[batch, 2\] = \[2,2\], got \[3,2\]"),
        2: (np.zeros(1, bool), r"flips must have shape \[batch\] = \[2\], got \[1\]"),
        3: (MEAN[:1], r"mean must have shape \[channels\] = \[3\], got \[1\]"),
        4: (STDDEV[:4], r"stddev must have shape \[channels\] = \[3\], got \[4\]"),
    }
    for at, (value, text) in bad.items():
      case = list(_case(2, 8, 8, 3, (4, 4)))
      case[at] = value
      with self.subTest(at), self.assertRaisesRegex(INVALID, text):
        image_ops.crop_flip_normalize(*case, (4, 4))

  def test_shape_inference(self):
    with tf.Graph().as_default():
      images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, None])
      offsets = tf.compat.v1.placeholder(tf.int32, [12, None])
      flips = tf.compat.v1.placeholder(tf.bool, [None])
      mean = tf.compat.v1.placeholder(tf.float32, [None])
      stddev = tf.compat.v1.placeholder(tf.float32, [3])
      args = (images, offsets, flips, mean, stddev)
      crops = image_ops.crop_flip_normalize(*args, (5, 6), tf.float16)
      self.assertEqual(crops.shape.as_list(), [12, 5, 6, 3])
      self.assertEqual(crops.dtype, tf.float16)
      with self.assertRaisesRegex(ValueError, "must be rank 4"):
        image_ops.crop_flip_normalize(tf.zeros([2, 2], tf.uint8), *args[1:], (1, 1))
      with self.assertRaisesRegex(ValueError, "12 and 13"):
        image_ops.crop_flip_normalize(*args[:2], tf.zeros([13], tf.bool), *args[3:], (1, 1))
      with self.assertRaisesRegex(ValueError, "passed 0 less than minimum 1"):
        image_ops.crop_flip_normalize(*args, (0, 6))

  def test_random_crops(self):
    images = _case(16, 12, 14, 3, (5, 6))[0]

    @tf.function
    def crop(seed):
      return image_ops.random_crop_flip_normalize(
          images, seed, MEAN[:3], STDDEV[:3], (5, 6))
    first, again, other = crop([1, 2]), crop([1, 2]), crop([1, 3])
    np.testing.assert_array_equal(first, again)
    self.assertFalse(np.array_equal(first, other))
    self.assertEqual(first.shape, [16, 5, 6, 3])
    with self.assertRaisesRegex(INVALID, "the crop is larger than the images"):
      image_ops.random_crop_flip_normalize(images, [1, 2], MEAN[:3], STDDEV[:3], (13, 6))


if __name__ == "__main__":
  unittest.main()
