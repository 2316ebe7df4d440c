"""The macros that BUILD files of TensorFlow ops load."""

# What an op exports: nothing. TensorFlow finds its ops and kernels because
# their constructors run when the library is loaded.
_SYMBOLS = "@org_tensorflow//tensorflow:op_symbols.lds"

def tf_custom_op_library(
        name,
        srcs,
        gpu_srcs = [],
        deps = [],
        linkopts = [],
        copts = [],
        tags = [],
        **kwargs):
    """One loadable library of ops and kernels, as in TensorFlow's source tree.

    Args:
      name: the file, `libNAME.so` or a path that ends so.
      srcs: sources and private headers, whose REGISTER_* macros are all kept.
      gpu_srcs: sources for nvcc; there is no CUDA here, so there must be none.
      deps: libraries that are linked into the file; TensorFlow is always there.
      linkopts: further flags for the linker.
      copts: further flags for the compiler.
      tags: further tags.
      **kwargs: the other attributes of cc_binary.
    """
    if gpu_srcs:
        fail("%s has gpu_srcs, and this platform has no CUDA: remove them" % name)
    native.cc_binary(
        name = name,
        srcs = srcs,
        additional_linker_inputs = [_SYMBOLS],
        copts = copts,
        linkopts = linkopts + ["-Wl,--version-script=$(location %s)" % _SYMBOLS],
        linkshared = True,
        # `cargo xtask build-ops` ships every library that carries this tag.
        tags = tags + ["lockstep_op"],
        deps = deps + [
            "@org_tensorflow//:headers",
            "@org_tensorflow//:libtensorflow_framework",
        ],
        **kwargs
    )
