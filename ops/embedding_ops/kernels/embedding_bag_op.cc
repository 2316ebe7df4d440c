// CPU kernel of EmbeddingBag.
#include <cmath>
#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "embedding_ops/kernels/variable.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/platform/mutex.h"
#include "tensorflow/core/util/work_sharder.h"

namespace embedding_ops {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

enum Input { kTable, kIndices, kRowSplits };

// About how many cycles an element of a row takes.
constexpr int64_t kCyclesPerElement = 2;

template <typename Splits>
absl::Status CheckRowSplits(const Splits& splits, int64_t indices) {
  const int64_t last = splits.size() - 1;
  if (last < 0 || splits(0) != 0 || splits(last) != indices) {
    return absl::InvalidArgumentError(
        absl::StrCat("row_splits must begin with 0 and end with the number of indices, ",
                     indices, last < 0 ? "; it is empty" : absl::StrCat(
                         "; got ", splits(0), " and ", splits(last))));
  }
  for (int64_t bag = 0; bag < last; ++bag) {
    if (splits(bag) > splits(bag + 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("row_splits must not fall: row_splits[", bag, "] = ", splits(bag),
                       ", row_splits[", bag + 1, "] = ", splits(bag + 1)));
    }
  }
  return absl::OkStatus();
}

template <typename T, typename Tindices>
class EmbeddingBagOp : public OpKernel {
 public:
  explicit EmbeddingBagOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string combiner;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("combiner", &combiner));
    combiner_ = combiner == "sum" ? kSum : combiner == "mean" ? kMean : kSqrtN;
  }

  void Compute(OpKernelContext* ctx) override {
    VariablePtr variable;
    OP_REQUIRES_OK(ctx, LookupVariable(ctx, kTable, "table", &variable));
    // Held to the end: a sparse update writes in place.
    tensorflow::tf_shared_lock lock(*variable->mu());
    OP_REQUIRES_OK(ctx, CheckVariable(variable.get(), "table",
                                      tensorflow::DataTypeToEnum<T>::value, 2));
    const Tensor& table = *variable->tensor();
    const Tensor& indices = ctx->input(kIndices);
    const Tensor& splits = ctx->input(kRowSplits);
    OP_REQUIRES(ctx, indices.dims() == 1 && splits.dims() == 1,
                absl::InvalidArgumentError(absl::StrCat(
                    "indices and row_splits must be vectors, got shapes ",
                    indices.shape().DebugString(), " and ",
                    splits.shape().DebugString())));
    OP_REQUIRES_OK(ctx, CheckRowSplits(splits.vec<int64_t>(), indices.dim_size(0)));
    OP_REQUIRES_OK(ctx, CheckIndices(indices.vec<Tindices>(), table.dim_size(0)));

    const int64_t bags = splits.dim_size(0) - 1;
    Tensor* output = nullptr;
    OP_REQUIRES_OK(ctx,
                   ctx->allocate_output(0, {bags, table.dim_size(1)}, &output));
    if (output->NumElements() == 0) return;
    const auto combine = [&](int64_t begin, int64_t end) {
      CombineBags(table, indices, splits, begin, end, output);
    };
    const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
    const int64_t rows_per_bag = indices.dim_size(0) / bags + 1;
    tensorflow::Shard(threads.num_threads, threads.workers, bags,
                      kCyclesPerElement * rows_per_bag * table.dim_size(1), combine);
  }

 private:
  enum Combiner { kSum, kMean, kSqrtN };

  // Sums are kept in single precision at least.
  using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

  void CombineBags(const Tensor& table, const Tensor& indices, const Tensor& splits,
                   int64_t begin, int64_t end, Tensor* output) const {
    using Row = Eigen::Array<T, Eigen::Dynamic, 1>;
    const auto split = splits.vec<int64_t>();
    const auto index = indices.vec<Tindices>();
    const int64_t width = table.dim_size(1);
    Eigen::Array<Sum, Eigen::Dynamic, 1> sum(width);
    for (int64_t bag = begin; bag < end; ++bag) {
      sum.setZero();
      for (int64_t i = split(bag); i < split(bag + 1); ++i) {
        const T* const row = table.flat<T>().data() + index(i) * width;
        sum += Eigen::Map<const Row>(row, width).template cast<Sum>();
      }
      Eigen::Map<Row>(output->flat<T>().data() + bag * width, width) =
          (sum / Divisor(split(bag + 1) - split(bag))).template cast<T>();
    }
  }

  Sum Divisor(int64_t rows) const {
    if (combiner_ == kSum || rows == 0) return 1;
    return combiner_ == kMean ? static_cast<Sum>(rows)
                              : std::sqrt(static_cast<Sum>(rows));
  }

  Combiner combiner_ = kSum;
};

#define REGISTER(T, Tindices)                                        \
  REGISTER_KERNEL_BUILDER(Name("EmbeddingBag")                       \
                              .Device(DEVICE_CPU)                    \
                              .TypeConstraint<T>("T")                \
                              .TypeConstraint<Tindices>("Tindices"), \
                          EmbeddingBagOp<T, Tindices>);
#define REGISTER_INDICES(T) REGISTER(T, int32_t) REGISTER(T, int64_t)
REGISTER_INDICES(Eigen::half)
REGISTER_INDICES(float)
REGISTER_INDICES(double)
#undef REGISTER_INDICES
#undef REGISTER

}  // namespace
}  // namespace embedding_ops
