"""Gives an op package's Python code the module of its ops.

`import tensorflow` loads every library in `<site-packages>/tensorflow-plugins`,
so in each process that imports TensorFlow the ops are there before anybody asks
for them. What is left to do is to get the generated Python functions, and there
is a trap: TensorFlow remembers a library by the text of its path. Asked for the
same file under another text (a link, a `..`, another way into site-packages), it
answers, without an error, with a module that has no ops. So each text under
which TensorFlow itself may have found the file is tried.
"""

import inspect
import os
import site
import sys
import sysconfig

import tensorflow as tf

__all__ = ["load"]

_PLUGINS = "tensorflow-plugins"


def load(name):
  """Returns the module with the functions of all ops of package `name`.

  Args:
    name: the op package; its library is `tensorflow-plugins/lib<name>.so` in the
      folder where this file lies.

  Raises:
    ImportError: the library is missing, was not built for this TensorFlow, or
      was loaded earlier from another place.
  """
  here = os.path.dirname(os.path.abspath(__file__))
  library = os.path.join(here, _PLUGINS, f"lib{name}.so")
  if not os.path.exists(library):
    raise ImportError(
        f"op package `{name}`: {library} does not exist\n"
        "hint: the ops wheel holds it; install the wheel whole, with "
        "`pip install --force-reinstall`, and never copy the package's Python "
        "files alone")
  for path in _texts(library):
    module = _load(name, path)
    if _functions(module):
      return module
  raise ImportError(
      f"op package `{name}`: {library} gives no ops, since TensorFlow loaded the "
      "same library earlier under another path\n"
      "hint: keep one copy of the library, in `tensorflow-plugins`, and leave "
      "its loading to `import tensorflow`: no `tf.load_op_library` of a link or "
      "a copy")


def _texts(library):
  """The paths under which TensorFlow may know `library`, the likeliest first."""
  # The folders that tensorflow/__init__.py looks through, from their sources.
  folders = [os.path.dirname(os.path.dirname(library))]
  folders += [path for path in sys.path if "site-packages" in path]
  folders += site.getsitepackages()
  if site.ENABLE_USER_SITE and site.USER_SITE is not None:
    folders.append(site.USER_SITE)
  for scheme in sysconfig.get_scheme_names():
    folders += [sysconfig.get_path(kind, scheme) for kind in ("purelib", "platlib")]
  texts = [os.path.join(folder, _PLUGINS, os.path.basename(library))
           for folder in dict.fromkeys(folders)]
  return [text for text in texts
          if os.path.exists(text) and os.path.samefile(text, library)]


def _load(name, path):
  try:
    return tf.load_op_library(path)
  except (tf.errors.OpError, RuntimeError) as error:
    raise ImportError(
        f"op package `{name}`: {path} cannot be loaded into TensorFlow "
        f"{tf.__version__} ({tf.version.GIT_VERSION}): {error}\n"
        "hint: the ops wheel and TensorFlow must come from one workspace.lock; "
        "install the TensorFlow that the wheel was built for") from error


def _functions(module):
  """The functions of ops; a module has others too, which it imports."""
  return [name for name, value in vars(module).items()
          if inspect.isfunction(value) and value.__module__ == module.__name__]
