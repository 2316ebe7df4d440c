// CPU kernel of @CamelName@.
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"

namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

template <typename T>
class @CamelName@Op : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& x = ctx->input(0);
    Tensor* y = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, x.shape(), &y));
    y->flat<T>() = x.flat<T>().square();
  }
};

#define REGISTER(T)                                                             \
  REGISTER_KERNEL_BUILDER(                                                      \
      Name("@CamelName@").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
      @CamelName@Op<T>);
REGISTER(float)
REGISTER(double)
#undef REGISTER

}  // namespace
