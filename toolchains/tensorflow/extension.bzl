"""The repositories beside TensorFlow, for a Bazel that reads modules."""

load(":neighbours.bzl", "tensorflow_neighbours")

def _neighbours_impl(_ctx):
    tensorflow_neighbours()

neighbours = module_extension(implementation = _neighbours_impl)
