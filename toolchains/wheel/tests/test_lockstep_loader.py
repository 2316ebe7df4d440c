"""lockstep_loader: what it finds, and what it says when there is nothing to find.

Runs beside an installed ops wheel that has `image_ops`. Each case is a process
of its own, since what TensorFlow has loaded it never forgets.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

import lockstep_loader

HERE = os.path.dirname(os.path.abspath(lockstep_loader.__file__))
LIBRARY = os.path.join(HERE, "tensorflow-plugins", "libimage_ops.so")


class LoaderTest(unittest.TestCase):

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    # Not named site-packages: TensorFlow does not look into it by itself.
    self.other = os.path.join(folder.name, "other")
    self.plugins = os.path.join(self.other, "tensorflow-plugins")
    os.makedirs(self.plugins)
    shutil.copy(lockstep_loader.__file__, self.other)

  def run_python(self, code, path=()):
    flags = [f"-{flag}" for flag, on in (
        ("S", sys.flags.no_site), ("s", sys.flags.no_user_site),
        ("B", sys.flags.dont_write_bytecode)) if on]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([*path, *sys.path[1:]]))
    done = subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(code)], env=environment,
        capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr

  def assert_loads(self, code, path=()):
    status, output = self.run_python(code, path)
    self.assertEqual(status, 0, output)

  def assert_refuses(self, pattern, path):
    status, output = self.run_python("import lockstep_loader as l; l.load('image_ops')", path)
    self.assertNotEqual(status, 0, output)
    self.assertRegex(output, pattern)
    self.assertRegex(output, "\nhint: ")

  def test_the_installed_library(self):
    self.assert_loads("""
        import lockstep_loader
        ops = lockstep_loader.load("image_ops")
        assert ops is lockstep_loader.load("image_ops")
        assert callable(ops.decode_qoi) and callable(ops.DecodeQoi)
        """)

  def test_another_path_to_the_installed_library(self):
    # TensorFlow alone would answer with a module that has no op.
    os.symlink(LIBRARY, os.path.join(self.plugins, "libimage_ops.so"))
    self.assert_loads(f"""
        import lockstep_loader, tensorflow as tf
        assert lockstep_loader.__file__.startswith({self.other!r})
        link = {os.path.join(self.plugins, "libimage_ops.so")!r}
        assert not hasattr(tf.load_op_library(link), "decode_qoi")
        assert callable(lockstep_loader.load("image_ops").decode_qoi)
        """, [self.other])

  def test_no_library(self):
    self.assert_refuses(
        r"ImportError: op package `image_ops`: .*/libimage_ops.so does not exist",
        [self.other])

  def test_a_second_copy(self):
    shutil.copy(LIBRARY, self.plugins)
    self.assert_refuses(
        "ImportError: op package `image_ops`: .* gives no ops, since TensorFlow loaded",
        [self.other])

  def test_a_library_that_cannot_be_loaded(self):
    with open(os.path.join(self.plugins, "libimage_ops.so"), "wb") as file:
      file.write(b"no library")
    self.assert_refuses(
        r"ImportError: op package `image_ops`: .* cannot be loaded into TensorFlow \d",
        [self.other])


if __name__ == "__main__":
  unittest.main()
