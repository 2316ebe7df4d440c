// CPU kernel of RowAdagrad.
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
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
using ::tensorflow::TensorShape;
using ::tensorflow::Var;

enum Input { kTable, kAccumulator, kLearningRate, kEpsilon, kGrad, kIndices };

// About how many cycles an element of a row takes.
constexpr int64_t kCyclesPerElement = 4;

absl::Status CheckShape(const Tensor& tensor, const char* name, const char* rule,
                        const TensorShape& expected) {
  if (tensor.shape() == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " must have shape ", rule, " = ", expected.DebugString(),
                   ", got ", tensor.shape().DebugString()));
}

// A row of the table, and a position in the gradient that is for it.
struct Part {
  int64_t row;
  int64_t position;
};

// All parts, sorted by row and, within a row, by position; and where each
// distinct row begins in them.
class Groups {
 public:
  template <typename Indices>
  Groups(const Indices& indices, int64_t rows) : parts_(indices.size()) {
    for (int64_t i = 0; i < indices.size(); ++i) parts_[i] = {indices(i), i};
    Sort(rows);
    for (int64_t i = 0; i < indices.size(); ++i) {
      if (i == 0 || parts_[i].row != parts_[i - 1].row) begins_.push_back(i);
    }
    begins_.push_back(indices.size());
  }

  int64_t size() const { return begins_.size() - 1; }
  absl::Span<const Part> operator[](int64_t group) const {
    return absl::MakeSpan(parts_).subspan(begins_[group],
                                          begins_[group + 1] - begins_[group]);
  }

 private:
  // By eleven bits of the row at a time, the lowest first: a stable sort in as
  // many passes as the table's size needs, three for four billion rows.
  void Sort(int64_t rows) {
    constexpr int kBits = 11;
    std::vector<Part> sorted(parts_.size());
    for (int shift = 0; shift < 63 && (rows - 1) >> shift > 0; shift += kBits) {
      const auto digit = [shift](const Part& part) {
        return part.row >> shift & ((1 << kBits) - 1);
      };
      std::array<int64_t, (1 << kBits) + 1> begin = {};
      for (const Part& part : parts_) ++begin[digit(part) + 1];
      std::partial_sum(begin.begin(), begin.end(), begin.begin());
      for (const Part& part : parts_) sorted[begin[digit(part)]++] = part;
      parts_.swap(sorted);
    }
  }

  std::vector<Part> parts_;
  std::vector<int64_t> begins_;
};

// `T` is the table's type, `A` that of the accumulator and of all arithmetic.
template <typename T, typename A, typename Tindices>
class RowAdagradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    VariablePtr table, accumulator;
    OP_REQUIRES_OK(ctx, LookupVariable(ctx, kTable, "table", &table));
    OP_REQUIRES_OK(ctx,
                   LookupVariable(ctx, kAccumulator, "accumulator", &accumulator));
    OP_REQUIRES(ctx, table.get() != accumulator.get(),
                absl::InvalidArgumentError(
                    "table and accumulator must be two variables, got one"));
    // By address, as all of TensorFlow's training ops do, so that no two of
    // them wait for each other.
    const bool ordered = table->mu() < accumulator->mu();
    tensorflow::mutex_lock first(*(ordered ? table : accumulator)->mu());
    tensorflow::mutex_lock second(*(ordered ? accumulator : table)->mu());
    OP_REQUIRES_OK(ctx, CheckInputs(ctx, table.get(), accumulator.get()));
    OP_REQUIRES_OK(ctx, OwnBuffer(ctx, table.get()));
    OP_REQUIRES_OK(ctx, OwnBuffer(ctx, accumulator.get()));
    Update(ctx, table->tensor(), accumulator->tensor());
  }

 private:
  using Row = Eigen::Array<A, Eigen::Dynamic, 1>;

  static absl::Status CheckInputs(OpKernelContext* ctx, Var* table, Var* accumulator) {
    TF_RETURN_IF_ERROR(
        CheckVariable(table, "table", tensorflow::DataTypeToEnum<T>::value, 2));
    TF_RETURN_IF_ERROR(CheckVariable(accumulator, "accumulator",
                                     tensorflow::DataTypeToEnum<A>::value, 1));
    const int64_t rows = table->tensor()->dim_size(0);
    const int64_t width = table->tensor()->dim_size(1);
    TF_RETURN_IF_ERROR(
        CheckShape(*accumulator->tensor(), "accumulator", "[rows]", {rows}));
    TF_RETURN_IF_ERROR(CheckShape(ctx->input(kLearningRate), "learning_rate", "[]", {}));
    TF_RETURN_IF_ERROR(CheckShape(ctx->input(kEpsilon), "epsilon", "[]", {}));
    const Tensor& indices = ctx->input(kIndices);
    if (indices.dims() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "indices must be a vector, got shape ", indices.shape().DebugString()));
    }
    TF_RETURN_IF_ERROR(CheckShape(ctx->input(kGrad), "grad", "[n, width]",
                                  {indices.dim_size(0), width}));
    return CheckIndices(indices.vec<Tindices>(), rows);
  }

  // Each distinct row is one thread's alone, and its sums go by position: the
  // result does not depend on how the rows are shared out.
  static void Update(OpKernelContext* ctx, Tensor* table, Tensor* accumulator) {
    const Groups groups(ctx->input(kIndices).vec<Tindices>(), table->dim_size(0));
    const int64_t width = table->dim_size(1);
    if (groups.size() == 0 || width == 0) return;
    const auto update = [&](int64_t begin, int64_t end) {
      Row sum(width);
      for (int64_t group = begin; group < end; ++group) {
        Sum(ctx->input(kGrad), groups[group], &sum);
        const int64_t row = groups[group].front().row;
        Step(ctx, sum, table->flat<T>().data() + row * width,
             &accumulator->vec<A>()(row));
      }
    };
    const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
    const int64_t rows_per_group = ctx->input(kGrad).dim_size(0) / groups.size() + 1;
    tensorflow::Shard(threads.num_threads, threads.workers, groups.size(),
                      kCyclesPerElement * width * rows_per_group, update);
  }

  static void Sum(const Tensor& grad, absl::Span<const Part> parts, Row* sum) {
    const T* const data = grad.flat<T>().data();
    const auto row = [&](const Part& part) {
      return Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>(
                 data + part.position * sum->size(), sum->size())
          .template cast<A>();
    };
    *sum = row(parts.front());
    for (const Part& part : parts.subspan(1)) *sum += row(part);
  }

  // `sum` is a buffer of its own, aligned the same for each row: so is the order
  // in which its mean is taken.
  static void Step(OpKernelContext* ctx, const Row& sum, T* weights, A* accumulated) {
    const A learning_rate = ctx->input(kLearningRate).scalar<A>()();
    const A epsilon = ctx->input(kEpsilon).scalar<A>()();
    *accumulated += sum.square().mean();
    const A step = learning_rate / (std::sqrt(*accumulated) + epsilon);
    Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>> row(weights, sum.size());
    row = (row.template cast<A>() - step * sum).template cast<T>();
  }
};

#define REGISTER(T, A, Tindices)                                  \
  REGISTER_KERNEL_BUILDER(Name("RowAdagrad")                      \
                              .Device(DEVICE_CPU)                 \
                              .TypeConstraint<T>("T")             \
                              .TypeConstraint<A>("A")             \
                              .TypeConstraint<Tindices>("Tindices"), \
                          RowAdagradOp<T, A, Tindices>);
#define REGISTER_INDICES(T, A) REGISTER(T, A, int32_t) REGISTER(T, A, int64_t)
REGISTER_INDICES(Eigen::half, float)
REGISTER_INDICES(float, float)
REGISTER_INDICES(double, double)
#undef REGISTER_INDICES
#undef REGISTER

}  // namespace
}  // namespace embedding_ops
