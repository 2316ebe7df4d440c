// The signature of the op: inputs, outputs, attributes, shapes, documentation.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"

REGISTER_OP("@CamelName@")
    .Input("x: T")
    .Output("y: T")
    .Attr("T: {float, double}")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape)
    .Doc(R"doc(
Squares each element, to begin with.

x: A tensor of any shape.
y: `x * x`.
)doc");
