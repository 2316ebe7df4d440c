"""QOI by its specification, in plain Python: what the op is compared with."""

import struct

import numpy as np

END = bytes(7) + b"\x01"


def header(width, height, channels, colorspace=0):
  return b"qoif" + struct.pack(">IIBB", width, height, channels, colorspace)


def _slot(pixel):
  r, g, b, a = pixel
  return (r * 3 + g * 5 + b * 7 + a * 11) % 64


def _signed(difference):
  return (difference + 128) % 256 - 128


def encode(image, colorspace=0):
  """The file of a uint8 array `[height, width, 3 or 4]`."""
  height, width, channels = image.shape
  out = bytearray(header(width, height, channels, colorspace))
  index = [(0, 0, 0, 0)] * 64
  previous, run = (0, 0, 0, 255), 0
  for values in image.reshape(-1, channels).tolist():
    pixel = tuple(values) if channels == 4 else (*values, 255)
    if pixel == previous:
      run += 1
      if run == 62:
        out.append(0xc0 | run - 1)
        run = 0
      continue
    if run:
      out.append(0xc0 | run - 1)
      run = 0
    out += _chunk(pixel, previous, index)
    index[_slot(pixel)] = pixel
    previous = pixel
  if run:
    out.append(0xc0 | run - 1)
  return bytes(out) + END


def _chunk(pixel, previous, index):
  """A pixel that is not the previous one, in the shortest form."""
  if index[_slot(pixel)] == pixel:
    return bytes([_slot(pixel)])
  if pixel[3] != previous[3]:
    return bytes([0xff, *pixel])
  r, g, b = (_signed(new - old) for new, old in zip(pixel[:3], previous[:3]))
  if all(-2 <= d <= 1 for d in (r, g, b)):
    return bytes([0x40 | r + 2 << 4 | g + 2 << 2 | b + 2])
  if -32 <= g <= 31 and all(-8 <= _signed(d - g) <= 7 for d in (r, b)):
    return bytes([0x80 | g + 32, _signed(r - g) + 8 << 4 | _signed(b - g) + 8])
  return bytes([0xfe, *pixel[:3]])


def pictures(seed=0):
  """Images that between them need every kind of chunk, by name."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[0:48, 0:64]
  gradient = np.stack([x, y, x + y, 255 - x], axis=-1)
  steps = rng.integers(-9, 10, (20, 30, 4)).cumsum(axis=1)
  palette = rng.integers(0, 256, (12, 4))[rng.integers(0, 12, (40, 40))]
  images = {
      "black": np.zeros((3, 100, 4)) + [0, 0, 0, 255],
      "transparent": np.zeros((5, 7, 4)),
      "one pixel": np.full((1, 1, 4), 200),
      "noise": rng.integers(0, 256, (33, 17, 4)),
      "gradient": gradient,
      "small steps": steps,
      "palette": palette,
      "long run": np.full((64, 64, 4), 77),
      "opaque": np.concatenate([gradient[..., :3], np.full((48, 64, 1), 255)], -1),
  }
  return {name: image.astype(np.uint8) for name, image in images.items()}
