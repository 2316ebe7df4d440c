"""How much faster the ops are than stock TensorFlow: one JSON object of ratios.

Each ratio is the median, over pairs of runs made one after the other, of stock
time over ours; above 1 the op is faster. Stock is the fastest way we know.
"""

import json
import os
import statistics
import sys
import time

import image_ops
import numpy as np
import tensorflow as tf

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tests"))
import qoi_reference as qoi  # pylint: disable=g-import-not-at-top

MEAN = tf.constant([123.68, 116.78, 103.94])
STDDEV = tf.constant([58.4, 57.12, 57.38])
BATCH, SIDE, CROP = 64, 256, 224


def ratio(stock, ours, pairs=15):
  """Median of stock time over our time, run alternately."""
  def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
  for run in (stock, ours):
    run()
    run()
  return round(statistics.median(seconds(stock) / seconds(ours) for _ in range(pairs)), 2)


def batch():
  rng = np.random.default_rng(0)
  images = tf.constant(rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8))
  offsets = tf.constant(rng.integers(0, SIDE - CROP + 1, (BATCH, 2)), tf.int32)
  return images, offsets, tf.constant(rng.integers(0, 2, BATCH).astype(bool))


def stock_crop(dtype):
  """Crop and flip by one gather for the rows and one for the columns."""
  images, offsets, flips = batch()

  @tf.function
  def run():
    rows = offsets[:, :1] + tf.range(CROP)
    columns = tf.where(flips[:, tf.newaxis], tf.range(CROP)[::-1], tf.range(CROP))
    columns += offsets[:, 1:]
    crops = tf.gather(images, rows, axis=1, batch_dims=1)
    crops = tf.gather(crops, columns, axis=2, batch_dims=1)
    return tf.cast((tf.cast(crops, tf.float32) - MEAN) / STDDEV, dtype)
  return run


def stock_image_by_image(dtype):
  """The same by tf.image, image by image."""
  images, offsets, flips = batch()

  def one(element):
    image, offset, flip = element
    crop = tf.image.crop_to_bounding_box(image, offset[0], offset[1], CROP, CROP)
    crop = tf.cond(flip, lambda: tf.image.flip_left_right(crop), lambda: crop)
    return tf.cast((tf.cast(crop, tf.float32) - MEAN) / STDDEV, dtype)

  @tf.function
  def run():
    return tf.map_fn(one, (images, offsets, flips), fn_output_signature=dtype,
                     parallel_iterations=16)
  return run


def our_crop(dtype):
  images, offsets, flips = batch()

  @tf.function
  def run():
    return image_ops.crop_flip_normalize(
        images, offsets, flips, MEAN, STDDEV, (CROP, CROP), dtype)
  return run


def photo():
  """Something like a photograph: smooth, with a little noise."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
  planes = [np.sin(3 * x + 2 * y + phase) * 90 + 128 for phase in range(3)]
  return (np.stack(planes, -1) + rng.normal(0, 2, (SIDE, SIDE, 3))).astype(np.uint8)


def main():
  one = photo()
  # Tensors of their own: what a function makes itself is folded into a constant.
  files = tf.constant([qoi.encode(one)] * 16)
  pngs = tf.repeat(tf.io.encode_png(one), 16)
  decode_batch = tf.function(lambda: image_ops.decode_qoi_batch(files))

  def map_fn(decode, contents):
    return tf.function(lambda: tf.map_fn(
        decode, contents, fn_output_signature=tf.uint8, parallel_iterations=16))
  result = {}
  for name, dtype in (("float32", tf.float32), ("float16", tf.float16)):
    ours = our_crop(dtype)
    for stock in (stock_crop(dtype), stock_image_by_image(dtype)):
      np.testing.assert_array_equal(stock(), ours())
    result[f"crop_flip_normalize {name} / gathers"] = ratio(stock_crop(dtype), ours)
    result[f"crop_flip_normalize {name} / tf.image in map_fn"] = ratio(
        stock_image_by_image(dtype), ours)
  result["decode_qoi_batch / decode_qoi in map_fn"] = ratio(
      map_fn(image_ops.decode_qoi, files), decode_batch)
  result["decode_qoi_batch / decode_png of the same pictures in map_fn"] = ratio(
      map_fn(tf.io.decode_png, pngs), decode_batch)
  print(json.dumps(result))


if __name__ == "__main__":
  main()
