"""The repositories that stand beside TensorFlow in BUILD files of ops.

Abseil, Eigen and protobuf are compiled into TensorFlow's framework library, and
an op must use those and no others: two copies of one of them in a process are
the classic crash. So each label of theirs is TensorFlow itself.
"""

_TENSORFLOW = "@org_tensorflow//:framework"

# Repository -> package -> targets.
_NEIGHBOURS = {
    "com_google_absl": {
        "absl/algorithm": ["container"],
        "absl/base": ["base", "config", "core_headers", "prefetch"],
        "absl/container": [
            "btree",
            "fixed_array",
            "flat_hash_map",
            "flat_hash_set",
            "inlined_vector",
            "node_hash_map",
            "node_hash_set",
        ],
        "absl/log": ["check", "log"],
        "absl/memory": ["memory"],
        "absl/meta": ["type_traits"],
        "absl/numeric": ["bits", "int128"],
        "absl/status": ["status", "statusor"],
        "absl/strings": ["cord", "str_format", "string_view", "strings"],
        "absl/synchronization": ["synchronization"],
        "absl/time": ["time"],
        "absl/types": ["optional", "span", "variant"],
        "absl/utility": ["utility"],
    },
    "com_google_protobuf": {"": ["protobuf", "protobuf_headers", "protobuf_lite"]},
    "eigen_archive": {"": ["eigen3"]},
    # What `configure.py` of an op's own repository makes from an installed wheel.
    "local_config_tf": {"": ["libtensorflow_framework", "tf_header_lib"]},
}

def _neighbour_impl(ctx):
    for package, targets in ctx.attr.packages.items():
        build = ["package(default_visibility = [\"//visibility:public\"])"]
        for target in targets:
            build.append("alias(name = \"%s\", actual = \"%s\")" % (target, _TENSORFLOW))
        ctx.file(package + "/BUILD" if package else "BUILD", "\n".join(build) + "\n")
    ctx.file("WORKSPACE", "")

_neighbour = repository_rule(
    implementation = _neighbour_impl,
    attrs = {"packages": attr.string_list_dict(mandatory = True)},
)

def tensorflow_neighbours():
    for name, packages in _NEIGHBOURS.items():
        _neighbour(name = name, packages = packages)
