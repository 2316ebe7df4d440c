#!/usr/bin/env python3
"""Holds this Python's site-packages against the bundle that they were installed from.

`lockstep-check [--json]`, in a shell in which `activate` was sourced. It is the image's
own check, of files that lie elsewhere. What pip adds (byte code, INSTALLER, scripts) is
nobody's: only a file in a folder from which TensorFlow loads libraries is told of.
"""

import os
import sys
import sysconfig

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import lockstep_entrypoint as lockstep  # pylint: disable=g-import-not-at-top

SITE = sysconfig.get_path("purelib")


class Files(lockstep.Files):
  """The manifest's paths begin in site-packages."""

  def read(self, path, digest):
    rows = [line.split("\t") for line in super().read(path, digest)]
    return ["\t".join([*row, f"{self.site}/{name}"]) for *row, name in rows]

  def strangers(self, folder, known):
    if folder != self.site:
      super().strangers(folder, known)
      return
    for loaded in ("tensorflow-plugins", "tensorflow/core/kernels"):
      super().strangers(f"{folder}/{loaded}", known)


def main():
  lockstep.Files = Files
  with open(os.path.join(HERE, "identity"), encoding="utf-8") as file:
    identity = lockstep.Identity(file.read())
  identity.fields["site"] = SITE[1:]
  identity.manifests = [[os.path.join(HERE, path)[1:], digest]
                        for path, digest in identity.manifests]
  identity.environment = [["LD_LIBRARY_PATH", f"{SITE}/tensorflow"], ["PYTHONPATH", SITE]]
  return lockstep.check(sys.argv[1:], "/", identity, dict(os.environ))


if __name__ == "__main__":
  sys.exit(main())
