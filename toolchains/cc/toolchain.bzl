"""The C++ toolchain: GCC of the builder root, every tool and flag named.

Nothing is detected. The tools have names without a version in /usr/bin; which
GCC stands behind them is said by workspace.lock and by nothing else.
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load(
    "@bazel_tools//tools/cpp:cc_toolchain_config_lib.bzl",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
)

_TOOLS = {
    "ar": "/usr/bin/ar",
    "compat-ld": "/usr/bin/ld",
    "cpp": "/usr/bin/cpp",
    "dwp": "/usr/bin/dwp",
    "gcc": "/usr/bin/gcc",
    "gcov": "/usr/bin/gcov",
    "ld": "/usr/bin/ld",
    "nm": "/usr/bin/nm",
    "objcopy": "/usr/bin/objcopy",
    "objdump": "/usr/bin/objdump",
    "strip": "/usr/bin/strip",
}

_COMPILE = [
    ACTION_NAMES.c_compile,
    ACTION_NAMES.cpp_compile,
    ACTION_NAMES.assemble,
    ACTION_NAMES.preprocess_assemble,
    ACTION_NAMES.linkstamp_compile,
]

_CPP_COMPILE = [
    ACTION_NAMES.cpp_compile,
    ACTION_NAMES.linkstamp_compile,
]

_LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

# What every C and C++ file is compiled with.
_COMPILE_FLAGS = [
    # Code that fits any processor of the platform, whatever the builder has:
    # never -march=native, which dies elsewhere with "illegal instruction".
    "-march=x86-64",
    "-mtune=generic",
    "-O2",
    # No assert() in what is shipped, as in TensorFlow's own build.
    "-DNDEBUG",
    # No debug sections: they hold paths, and nobody debugs an op in a cluster.
    "-g0",
    # A function that nothing calls can be left out by the linker.
    "-ffunction-sections",
    "-fdata-sections",
    # Debuggers and profilers can walk the stack of a running worker.
    "-fno-omit-frame-pointer",
    # A stack that was overrun ends the process instead of running on.
    "-fstack-protector-strong",
    # What is not exported by name is local to the library: an op must not
    # offer its copy of an absl or protobuf template to TensorFlow.
    "-fvisibility=hidden",
    "-Wall",
    # TensorFlow's headers compare signed and unsigned in macros and inlines.
    "-Wno-sign-compare",
]

# What would carry the place or the time of the build into the file.
_REPRODUCIBLE_FLAGS = [
    # __FILE__ and assertion texts: no path of the builder.
    "-ffile-prefix-map=/proc/self/cwd=.",
    # A repository's folder has one name, whether Bazel reads WORKSPACE or modules.
    "-ffile-prefix-map=external/org_tensorflow~/=external/org_tensorflow/",
    "-no-canonical-prefixes",
    "-fno-canonical-system-headers",
    "-Wno-builtin-macro-redefined",
    "-D__DATE__=\"redacted\"",
    "-D__TIME__=\"redacted\"",
    "-D__TIMESTAMP__=\"redacted\"",
]

# What TensorFlow itself was compiled with, as far as it is part of its ABI;
# `tf.sysconfig.get_compile_flags()` says the same.
_TENSORFLOW_ABI_FLAGS = [
    "-std=c++17",
    # std::string in its new form: the old one is another symbol.
    "-D_GLIBCXX_USE_CXX11_ABI=1",
    # How Eigen aligns a tensor's memory.
    "-DEIGEN_MAX_ALIGN_BYTES=64",
]

_LINK_FLAGS = [
    "-no-canonical-prefixes",
    # The standard library comes from the image, and is checked against it.
    "-lstdc++",
    "-lm",
    # The digest names a file; an identity of the linker's is not needed.
    "-Wl,--build-id=none",
    "-Wl,--hash-style=gnu",
    # A symbol that nobody provides is an error here, not on the worker.
    "-Wl,-z,defs",
    # All symbols are bound and the table sealed when the library is loaded.
    "-Wl,-z,relro,-z,now",
    "-Wl,-z,noexecstack",
    # RUNPATH, not RPATH: LD_LIBRARY_PATH stays checkable.
    "-Wl,--enable-new-dtags",
    "-Wl,--gc-sections",
    "-Wl,--as-needed",
    "-Wl,-O1",
]

def _flags(name, actions, flags):
    return feature(
        name = name,
        enabled = True,
        flag_sets = [flag_set(actions = actions, flag_groups = [flag_group(flags = flags)])],
    )

def _lockstep_cc_toolchain_config_impl(ctx):
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        toolchain_identifier = "lockstep-gcc",
        host_system_name = "linux",
        target_system_name = "linux",
        target_cpu = "k8",
        target_libc = "glibc",
        compiler = "gcc",
        abi_version = "gcc",
        abi_libc_version = "glibc",
        # Prefixes: the folders under them carry GCC's version.
        cxx_builtin_include_directories = ["/usr/lib/gcc", "/usr/include"],
        tool_paths = [tool_path(name = name, path = path) for name, path in _TOOLS.items()],
        features = [
            feature(name = "supports_pic", enabled = True),
            feature(name = "opt"),
            # In the place of Bazel's own feature of this name, which would add
            # a RUNPATH into its output folder.
            feature(name = "runtime_library_search_directories"),
            _flags("lockstep_compile", _COMPILE, _COMPILE_FLAGS),
            _flags("lockstep_abi", _CPP_COMPILE, _TENSORFLOW_ABI_FLAGS),
            _flags("lockstep_reproducible", _COMPILE, _REPRODUCIBLE_FLAGS),
            _flags("lockstep_link", _LINK, _LINK_FLAGS),
        ],
    )

lockstep_cc_toolchain_config = rule(
    implementation = _lockstep_cc_toolchain_config_impl,
    attrs = {},
    provides = [CcToolchainConfigInfo],
)
