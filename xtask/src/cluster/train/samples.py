"""What the smoke test learns from: pictures in the QOI format, and bags of ids."""

import os

import numpy as np
import tensorflow as tf

import image_ops

STEPS, ROUND = int(os.environ.get("STEPS", "200")), 20
ROWS, WIDTH, BAG, SIDE = 64, 8, 4, 8
BOUND = 0.05  # the loss starts near 1


def qoi(picture):
  """One RGB picture, uint8, in the QOI format: a header and a literal a pixel."""
  height, width, _ = picture.shape
  header = b"qoif" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\3\0"
  pixels = b"".join(b"\xfe" + bytes(pixel) for pixel in picture.reshape(-1, 3))
  return header + pixels + b"\0" * 7 + b"\1"


def samples(seed, count):
  """Encoded pictures, two bags of ids each, and what is to be learnt of them."""
  random = np.random.default_rng(seed)
  hidden = np.random.default_rng(0).normal(size=(2, ROWS))
  pictures = random.integers(0, 256, size=(count, 1, 1, 3)) + np.zeros((1, SIDE, SIDE, 1), int)
  ids = random.integers(0, ROWS, size=(count, 2, BAG))
  color = pictures[:, 0, 0] / 128.0 - 1.0
  label = (hidden[0][ids[:, 0]].mean(1) + hidden[1][ids[:, 1]].mean(1)
           + color @ np.array([0.5, -0.3, 0.2]))
  return ([qoi(picture.astype(np.uint8)) for picture in pictures], ids.astype(np.int32),
          label.astype(np.float32))


def features(files):
  """Mean colour of each picture; decoding is the op's, on whatever task this runs."""
  pictures = image_ops.decode_qoi_batch(files, channels=3)
  zeros = tf.zeros([tf.shape(files)[0], 2], tf.int32)
  pictures = image_ops.crop_flip_normalize(
      pictures, zeros, tf.zeros([tf.shape(files)[0]], tf.bool), [128.0] * 3, [128.0] * 3,
      (SIDE, SIDE))
  return tf.reduce_mean(pictures, [1, 2])
