"""TensorFlow ops for the input pipeline of image models.

`decode_qoi` and `decode_qoi_batch` read the QOI format, for which TensorFlow has
no decoder; `crop_flip_normalize` does in one pass over the pixels what takes
`tf.image` several tensors. All of them are ops: they run in `tf.data`, in a
`tf.function` and eagerly, in each process that imports TensorFlow.
"""

import lockstep_loader
import tensorflow as tf

__all__ = ["crop_flip_normalize", "decode_qoi", "decode_qoi_batch",
           "random_crop_flip_normalize"]

_ops = lockstep_loader.load("image_ops")

decode_qoi = _ops.decode_qoi
decode_qoi_batch = _ops.decode_qoi_batch

# Pixels are bytes: there is nothing to differentiate with respect to.
for _op in ("DecodeQoi", "DecodeQoiBatch", "CropFlipNormalize"):
  tf.no_gradient(_op)


def crop_flip_normalize(images, offsets, flips, mean, stddev, size,
                        dtype=tf.float32, name=None):
  """Crops, flips and normalises a batch of images in one pass.

  Equal, bit for bit, to `tf.cast((tf.cast(crop, tf.float32) - mean) / stddev,
  dtype)`.

  Args:
    images: uint8 `[batch, height, width, channels]`.
    offsets: int32 `[batch, 2]`, the top row and left column of each crop.
    flips: bool `[batch]`, which crops are mirrored left to right.
    mean: float32 `[channels]`, on the scale of the images (0 to 255).
    stddev: float32 `[channels]`, none of them zero.
    size: two integers, the height and width of a crop.
    dtype: `tf.float32` or `tf.float16`.
    name: a name for the operation.

  Returns:
    `dtype` `[batch, *size, channels]`.

  Raises:
    tf.errors.InvalidArgumentError: a crop does not lie inside its image, a
      shape does not fit, or a `stddev` cannot divide.
  """
  height, width = size
  return _ops.crop_flip_normalize(
      images=images, offsets=offsets, flips=flips, mean=mean, stddev=stddev,
      crop_height=height, crop_width=width, T=dtype, name=name)


def random_crop_flip_normalize(images, seed, mean, stddev, size,
                               dtype=tf.float32, name=None):
  """`crop_flip_normalize` of a random place in each image, flipped or not.

  Args:
    images: uint8 `[batch, height, width, channels]`.
    seed: two integers; the same seed gives the same crops, on every machine.
    mean: as for `crop_flip_normalize`.
    stddev: as for `crop_flip_normalize`.
    size: as for `crop_flip_normalize`.
    dtype: as for `crop_flip_normalize`.
    name: a name for the operation.

  Returns:
    `dtype` `[batch, *size, channels]`.
  """
  with tf.name_scope(name or "random_crop_flip_normalize"):
    images = tf.convert_to_tensor(images, tf.uint8)
    shape = tf.shape(images)
    room = shape[1:3] - tf.convert_to_tensor(size, tf.int32)
    with tf.control_dependencies([tf.debugging.assert_non_negative(
        room, "the crop is larger than the images")]):
      seeds = tf.random.split(seed, 3)
    offsets = tf.stack([
        tf.random.stateless_uniform(
            shape[:1], seeds[axis], minval=0, maxval=room[axis] + 1, dtype=tf.int32)
        for axis in (0, 1)], axis=-1)
    flips = tf.random.stateless_uniform(shape[:1], seeds[2]) < 0.5
    return crop_flip_normalize(images, offsets, flips, mean, stddev, size, dtype)
