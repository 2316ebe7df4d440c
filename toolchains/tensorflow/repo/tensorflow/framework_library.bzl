"""Links TensorFlow's framework library as an op finds it in an image."""

# An op lies in <site-packages>/tensorflow-plugins, the library beside it in
# <site-packages>/tensorflow.
_RUNPATH = "-Wl,-rpath,$ORIGIN/../tensorflow"

def _framework_library_impl(ctx):
    # A cc_import would add a RUNPATH into Bazel's own output folder. Given as
    # a file, the linker records the library's own name, and nothing else.
    library = ctx.file.library
    linker_input = cc_common.create_linker_input(
        owner = ctx.label,
        user_link_flags = depset([library.path, _RUNPATH]),
        additional_inputs = depset([library]),
    )
    return [
        DefaultInfo(files = depset([library])),
        CcInfo(linking_context = cc_common.create_linking_context(
            linker_inputs = depset([linker_input]),
        )),
    ]

framework_library = rule(
    implementation = _framework_library_impl,
    attrs = {
        "library": attr.label(
            allow_single_file = True,
            mandatory = True,
            doc = "libtensorflow_framework, under the name that it has in the wheel",
        ),
    },
)
