"""Labels of TensorFlow's source tree that all stand for one library here."""

def framework_alias(names):
    for name in names:
        native.alias(
            name = name,
            actual = "@org_tensorflow//:framework",
        )
