"""The macros that BUILD files of TensorFlow ops load.

They have the names and arguments of TensorFlow's own tensorflow.bzl, and do
here what is left to do when TensorFlow itself is built already.
"""

# What an op exports: nothing. TensorFlow finds its ops and kernels because
# their constructors run when the library is loaded.
_SYMBOLS = "@org_tensorflow//tensorflow:op_symbols.lds"

_TENSORFLOW = "@org_tensorflow//:framework"

def tf_custom_op_library(
        name,
        srcs = [],
        gpu_srcs = [],
        deps = [],
        linkopts = [],
        copts = [],
        tags = [],
        **kwargs):
    """One loadable library of ops and kernels.

    Args:
      name: the file, `libNAME.so`, or a path that ends so.
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
        deps = deps + [_TENSORFLOW],
        **kwargs
    )

def tf_kernel_library(
        name,
        prefix = None,
        srcs = [],
        gpu_srcs = [],
        hdrs = [],
        deps = [],
        copts = [],
        alwayslink = True,
        **kwargs):
    """Kernels that tf_custom_op_library links in, all of them.

    Args:
      name: the library.
      prefix: adds PREFIX*.cc and PREFIX*.h, without tests and GPU sources.
      srcs: sources.
      gpu_srcs: sources for nvcc; there must be none.
      hdrs: headers.
      deps: libraries; TensorFlow is always there.
      copts: further flags for the compiler.
      alwayslink: keeps kernels that only their own constructors mention.
      **kwargs: the other attributes of cc_library.
    """
    if gpu_srcs:
        fail("%s has gpu_srcs, and this platform has no CUDA: remove them" % name)
    if prefix:
        apart = [prefix + "*test*", prefix + "*.cu.*", prefix + "*_gpu.*"]
        srcs = srcs + native.glob([prefix + "*.cc"], exclude = apart)
        hdrs = hdrs + native.glob([prefix + "*.h"], exclude = apart)
    native.cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        alwayslink = alwayslink,
        copts = tf_copts() + copts,
        deps = deps + [_TENSORFLOW],
        **kwargs
    )

def tf_gen_op_libs(op_lib_names, deps = [], is_external = True):
    """For each NAME, the op definitions in ops/NAME.cc as `NAME_op_lib`.

    Args:
      op_lib_names: the names.
      deps: libraries; TensorFlow is always there.
      is_external: has no meaning here.
    """
    for name in op_lib_names:
        native.cc_library(
            name = name + "_op_lib",
            srcs = ["ops/%s.cc" % name],
            alwayslink = True,
            deps = deps + [_TENSORFLOW],
        )

# Flags: the toolchain has TensorFlow's already (toolchains/cc).

def tf_copts(android_optimization_level_override = "-O2", is_external = False, allow_exceptions = False):
    return []

def tf_opts_nortti_if_android():
    return []

def tf_opts_nortti_if_mobile():
    return []

def tf_custom_op_library_additional_deps():
    return [_TENSORFLOW]

def tf_binary_additional_srcs(fullversion = False):
    return []

def clean_dep(target):
    """A label of TensorFlow's own tree, seen from anywhere."""
    return target if target.startswith("@") else "@org_tensorflow" + target

# Conditions: this is Linux on x86-64, in the open, with a CPU and nothing else.

def if_android(a, otherwise = []):
    return otherwise

def if_cuda(if_true, if_false = []):
    return if_false

def if_cuda_or_rocm(if_true, if_false = []):
    return if_false

def if_google(google_value, oss_value = []):
    return oss_value

def if_ios(a, otherwise = []):
    return otherwise

def if_linux_x86_64(a, otherwise = []):
    return a

def if_mkl(if_true, if_false = []):
    return if_false

def if_mobile(a, otherwise = []):
    return otherwise

def if_not_mobile(a):
    return a

def if_not_windows(a):
    return a

def if_oss(oss_value, google_value = []):
    return oss_value

def if_rocm(if_true, if_false = []):
    return if_false

def if_windows(a, otherwise = []):
    return otherwise

# Python: the files beside the BUILD file go into the ops wheel, the functions
# of the ops are made when the library is loaded, and `cargo xtask` runs tests/
# against the wheel. So these targets have nothing to build.

def tf_custom_op_py_library(name, **kwargs):
    native.filegroup(name = name)

def tf_gen_op_wrapper_py(name, **kwargs):
    native.filegroup(name = name)

def tf_py_test(name, **kwargs):
    native.filegroup(name = name)
