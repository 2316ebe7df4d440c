"""The names that newer BUILD files load from here."""

load(
    "@org_tensorflow//tensorflow:tensorflow.bzl",
    _tf_custom_op_library = "tf_custom_op_library",
    _tf_custom_op_py_library = "tf_custom_op_py_library",
    _tf_gen_op_wrapper_py = "tf_gen_op_wrapper_py",
    _tf_kernel_library = "tf_kernel_library",
    _tf_py_test = "tf_py_test",
)

tf_custom_op_library = _tf_custom_op_library
tf_custom_op_py_library = _tf_custom_op_py_library
tf_custom_op_py_strict_library = _tf_custom_op_py_library
tf_gen_op_wrapper_py = _tf_gen_op_wrapper_py
tf_kernel_library = _tf_kernel_library
tf_py_strict_test = _tf_py_test
tf_py_test = _tf_py_test
