// Resource variables as these kernels use them: looked up, checked, locked.
#ifndef EMBEDDING_OPS_KERNELS_VARIABLE_H_
#define EMBEDDING_OPS_KERNELS_VARIABLE_H_

#include <cstring>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/tensor.h"

namespace embedding_ops {

using VariablePtr = tensorflow::core::RefCountPtr<tensorflow::Var>;

inline absl::Status LookupVariable(tensorflow::OpKernelContext* ctx, int input,
                                   const char* name, VariablePtr* variable) {
  const absl::Status status = tensorflow::LookupResource(
      ctx, tensorflow::HandleFromInput(ctx, input), variable);
  if (!absl::IsNotFound(status)) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("the variable ", name, " is not initialized: ", status.message()));
}

// Checks what the handle's type does not promise. The variable must be locked.
inline absl::Status CheckVariable(tensorflow::Var* variable, const char* name,
                                  tensorflow::DataType dtype, int rank) {
  const tensorflow::Tensor& value = *variable->tensor();
  if (!variable->is_initialized || !value.IsInitialized()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the variable ", name, " is not initialized"));
  }
  if (value.dtype() != dtype || value.dims() != rank) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the variable ", name, " must be ", DataTypeString(dtype), " of rank ", rank,
        ", got ", DataTypeString(value.dtype()), " of shape ",
        value.shape().DebugString()));
  }
  return absl::OkStatus();
}

// Makes the variable's buffer one that nobody else reads, and keeps it so: from
// now on a dense read copies under the lock. This is TensorFlow's own contract
// for sparse updates (EnsureSparseVariableAccess in training_op_helpers.h),
// which cannot be called here: it takes and releases the lock itself and ends
// the process on a variable of another type. The variable must be locked for
// writing, and its type must be one that memcpy can copy.
inline absl::Status OwnBuffer(tensorflow::OpKernelContext* ctx,
                              tensorflow::Var* variable) {
  tensorflow::Tensor* value = variable->tensor();
  if (!variable->copy_on_read_mode.load() && !value->RefCountIsOne()) {
    tensorflow::Tensor copy;
    TF_RETURN_IF_ERROR(ctx->allocate_temp(value->dtype(), value->shape(), &copy));
    if (value->TotalBytes() > 0) {
      std::memcpy(copy.data(), value->data(), value->TotalBytes());
    }
    *value = copy;
  }
  variable->copy_on_read_mode.store(true);
  return absl::OkStatus();
}

// The first of `indices` outside [0, rows) is an error.
template <typename Indices>
absl::Status CheckIndices(const Indices& indices, int64_t rows) {
  for (int64_t i = 0; i < indices.size(); ++i) {
    if (indices(i) < 0 || indices(i) >= rows) {
      return absl::InvalidArgumentError(
          absl::StrCat("indices[", i, "] = ", indices(i), " is not in [0, ", rows,
                       "), the rows of the table"));
    }
  }
  return absl::OkStatus();
}

}  // namespace embedding_ops

#endif  // EMBEDDING_OPS_KERNELS_VARIABLE_H_
