// The signatures of the ops: inputs, outputs, attributes, shapes, documentation.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace embedding_ops {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

// The shape of the variable behind input `i`, as far as the handle knows it.
absl::Status VariableShape(InferenceContext* c, int i, int rank, ShapeHandle* shape) {
  ShapeHandle scalar;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 0, &scalar));
  const auto* known = c->input_handle_shapes_and_types(i);
  const bool none = known == nullptr || known->empty();
  return c->WithRank(none ? c->UnknownShape() : (*known)[0].shape, rank, shape);
}

absl::Status RowAdagradShape(InferenceContext* c) {
  ShapeHandle table, accumulator, grad, indices, scalar;
  TF_RETURN_IF_ERROR(VariableShape(c, 0, 2, &table));
  TF_RETURN_IF_ERROR(VariableShape(c, 1, 1, &accumulator));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 0, &scalar));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(3), 0, &scalar));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(4), 2, &grad));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(5), 1, &indices));
  DimensionHandle unused;
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(table, 0), c->Dim(accumulator, 0), &unused));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(table, 1), c->Dim(grad, 1), &unused));
  return c->Merge(c->Dim(indices, 0), c->Dim(grad, 0), &unused);
}

absl::Status EmbeddingBagShape(InferenceContext* c) {
  ShapeHandle table, indices, row_splits;
  TF_RETURN_IF_ERROR(VariableShape(c, 0, 2, &table));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &indices));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 1, &row_splits));
  DimensionHandle bags;
  TF_RETURN_IF_ERROR(c->Subtract(c->Dim(row_splits, 0), 1, &bags));
  c->set_output(0, c->Matrix(bags, c->Dim(table, 1)));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("RowAdagrad")
    .Input("table: resource")
    .Input("accumulator: resource")
    .Input("learning_rate: A")
    .Input("epsilon: A")
    .Input("grad: T")
    .Input("indices: Tindices")
    .Attr("T: {half, float, double}")
    .Attr("A: {float, double}")
    .Attr("Tindices: {int32, int64}")
    .SetShapeFn(RowAdagradShape)
    .Doc(R"doc(
Updates rows of an embedding table by Adagrad with one accumulator a row.

The rows of `grad` that have the same index are summed first, in their order.
Then for each distinct index `i` with summed gradient `g`:

    accumulator[i] += mean(g * g)
    table[i] -= learning_rate * g / (sqrt(accumulator[i]) + epsilon)

so the state is one number a row instead of one a weight. All arithmetic is done
in type `A`. The result is the same bits for any number of threads. The update
happens where the variables are, on the parameter server for a table that lies
there, and excludes every other access to the two. Nothing is written when an
input is refused.

table: A variable of type `T` with shape `[rows, width]`.
accumulator: A variable of type `A` with shape `[rows]`, on the same device.
learning_rate: 0-D.
epsilon: 0-D. Added to the root of the accumulator.
grad: 2-D with shape `[n, width]`.
indices: 1-D with shape `[n]`. The row of the table that each row of `grad` is for.
)doc");

REGISTER_OP("EmbeddingBag")
    .Input("table: resource")
    .Input("indices: Tindices")
    .Input("row_splits: int64")
    .Attr("combiner: {'sum', 'mean', 'sqrtn'} = 'mean'")
    .Attr("T: {half, float, double}")
    .Attr("Tindices: {int32, int64}")
    .Output("bags: T")
    .SetShapeFn(EmbeddingBagShape)
    .Doc(R"doc(
Looks up rows of an embedding table and combines them bag by bag.

Reads the table where it lies, on the parameter server for a table there, so
that one row a bag is sent and not one row an index. Half precision is summed in
single precision. An empty bag gives zeros.

table: A variable of type `T` with shape `[rows, width]`.
indices: 1-D. The rows of the table, bag after bag.
row_splits: 1-D with shape `[bags + 1]`, as in a RaggedTensor: bag `b` has
  `indices[row_splits[b] : row_splits[b + 1]]`.
combiner: `sum`; `mean`, the sum over the number of rows; or `sqrtn`, the sum
  over the root of that number.
bags: 2-D with shape `[bags, width]`.
)doc");

}  // namespace embedding_ops
