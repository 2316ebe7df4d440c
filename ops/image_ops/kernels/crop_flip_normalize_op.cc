// CPU kernel of CropFlipNormalize.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/register_types.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace image_ops {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

constexpr int64_t kByteValues = 256;
// About how many cycles an output element takes.
constexpr int64_t kCyclesPerElement = 2;

absl::Status CheckShape(const Tensor& tensor, const char* name, const char* rule,
                        const TensorShape& expected) {
  if (tensor.shape() == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " must have shape ", rule, " = ", expected.DebugString(),
                   ", got ", tensor.shape().DebugString()));
}

template <typename T>
class CropFlipNormalizeOp : public OpKernel {
 public:
  explicit CropFlipNormalizeOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("crop_height", &crop_height_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("crop_width", &crop_width_));
  }

  void Compute(OpKernelContext* ctx) override {
    const Tensor& images = ctx->input(0);
    OP_REQUIRES(ctx, images.dims() == 4,
                absl::InvalidArgumentError(absl::StrCat(
                    "images must have shape [batch, height, width, channels], got ",
                    images.shape().DebugString())));
    OP_REQUIRES_OK(ctx, CheckInputs(ctx));
    const int64_t batch = images.dim_size(0);
    const int64_t channels = images.dim_size(3);
    TensorShape shape;
    OP_REQUIRES_OK(ctx, TensorShape::BuildTensorShape(
                            {batch, crop_height_, crop_width_, channels}, &shape));
    Tensor* crops = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape, &crops));
    if (crops->NumElements() == 0) return;

    const std::vector<T> table = Table(ctx->input(3), ctx->input(4));
    const int64_t row_elements = crop_width_ * channels;
    const auto rows = [&](int64_t begin, int64_t end) {
      CropRows(ctx, table.data(), begin, end, crops);
    };
    const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(threads.num_threads, threads.workers, batch * crop_height_,
                      kCyclesPerElement * row_elements, rows);
  }

 private:
  // Everything is checked before anything is allocated.
  absl::Status CheckInputs(OpKernelContext* ctx) const {
    const Tensor& images = ctx->input(0);
    const int64_t batch = images.dim_size(0);
    const int64_t channels = images.dim_size(3);
    TF_RETURN_IF_ERROR(CheckShape(ctx->input(1), "offsets", "[batch, 2]", {batch, 2}));
    TF_RETURN_IF_ERROR(CheckShape(ctx->input(2), "flips", "[batch]", {batch}));
    TF_RETURN_IF_ERROR(CheckShape(ctx->input(3), "mean", "[channels]", {channels}));
    TF_RETURN_IF_ERROR(CheckShape(ctx->input(4), "stddev", "[channels]", {channels}));
    const auto stddev = ctx->input(4).vec<float>();
    for (int64_t c = 0; c < channels; ++c) {
      if (stddev(c) == 0 || !std::isfinite(stddev(c))) {
        return absl::InvalidArgumentError(
            absl::StrCat("stddev[", c, "] is ", stddev(c), ": it divides each pixel"));
      }
    }
    return CheckOffsets(ctx->input(1), images.dim_size(1), images.dim_size(2));
  }

  absl::Status CheckOffsets(const Tensor& tensor, int64_t height, int64_t width) const {
    const auto offsets = tensor.matrix<int32_t>();
    for (int64_t i = 0; i < offsets.dimension(0); ++i) {
      const int64_t top = offsets(i, 0), left = offsets(i, 1);
      if (top < 0 || left < 0 || top > height - crop_height_ ||
          left > width - crop_width_) {
        return absl::InvalidArgumentError(absl::StrCat(
            "a crop of ", crop_height_, "x", crop_width_, " at offsets[", i, "] = [",
            top, ", ", left, "] does not lie inside an image of ", height, "x", width,
            " (height x width)"));
      }
    }
    return absl::OkStatus();
  }

  // A byte has 256 values, so each answer there is, is computed once and as the
  // documentation says: `table[value * channels + channel]`.
  static std::vector<T> Table(const Tensor& mean, const Tensor& stddev) {
    const auto m = mean.vec<float>();
    const auto s = stddev.vec<float>();
    std::vector<T> table;
    table.reserve(kByteValues * m.size());
    for (int64_t value = 0; value < kByteValues; ++value) {
      for (int64_t c = 0; c < m.size(); ++c) {
        table.push_back(static_cast<T>((static_cast<float>(value) - m(c)) / s(c)));
      }
    }
    return table;
  }

  // Writes the rows [begin, end) of all crops, counted through the batch.
  void CropRows(OpKernelContext* ctx, const T* table, int64_t begin, int64_t end,
                Tensor* crops) const {
    const auto images = ctx->input(0).tensor<uint8_t, 4>();
    const auto offsets = ctx->input(1).matrix<int32_t>();
    const auto flips = ctx->input(2).vec<bool>();
    const int64_t channels = images.dimension(3);
    T* out = crops->flat<T>().data() + begin * crop_width_ * channels;
    for (int64_t row = begin; row < end; ++row, out += crop_width_ * channels) {
      const int64_t image = row / crop_height_;
      const int64_t y = offsets(image, 0) + row % crop_height_;
      const uint8_t* in = &images(image, y, offsets(image, 1), 0);
      switch (channels) {
        case 3:
          CropRow<3>(in, flips(image), channels, table, out);
          break;
        case 4:
          CropRow<4>(in, flips(image), channels, table, out);
          break;
        default:
          CropRow<0>(in, flips(image), channels, table, out);
      }
    }
  }

  // `kChannels` is `channels` where the compiler should unroll, else 0.
  template <int kChannels>
  void CropRow(const uint8_t* in, bool flip, int64_t any_channels, const T* table,
               T* out) const {
    const int64_t channels = kChannels > 0 ? kChannels : any_channels;
    const int64_t step = flip ? -channels : channels;
    if (flip) in += (crop_width_ - 1) * channels;
    for (int64_t x = 0; x < crop_width_; ++x, in += step, out += channels) {
      for (int64_t c = 0; c < channels; ++c) out[c] = table[in[c] * channels + c];
    }
  }

  int64_t crop_height_ = 0;
  int64_t crop_width_ = 0;
};

#define REGISTER(T)                                                       \
  REGISTER_KERNEL_BUILDER(                                                \
      Name("CropFlipNormalize").Device(DEVICE_CPU).TypeConstraint<T>("T"), \
      CropFlipNormalizeOp<T>);
REGISTER(float);
REGISTER(Eigen::half);
#undef REGISTER

}  // namespace
}  // namespace image_ops
