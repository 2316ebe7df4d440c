// CPU kernels of DecodeQoi and DecodeQoiBatch.
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "image_ops/kernels/qoi.h"
#include "tensorflow/core/framework/op_kernel.h"
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
using ::tensorflow::tstring;

// About how many cycles a pixel takes; it says how small a shard is worth while.
constexpr int64_t kCyclesPerPixel = 8;

std::string_view View(const tstring& s) { return {s.data(), s.size()}; }

absl::Status Bad(std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("bad QOI image: ", problem));
}

absl::Status Bad(int64_t index, std::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("bad QOI image at contents[", index, "]: ", problem));
}

// The attributes that both ops have.
class QoiKernel : public OpKernel {
 public:
  explicit QoiKernel(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("channels", &channels_));
    OP_REQUIRES(ctx, channels_ == 0 || channels_ == 3 || channels_ == 4,
                absl::InvalidArgumentError(absl::StrCat(
                    "channels must be 0, 3 or 4, got ", channels_)));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("max_pixels", &max_pixels_));
  }

 protected:
  int Channels(const qoi::Header& header) const {
    return channels_ == 0 ? header.channels : channels_;
  }
  uint64_t max_pixels() const { return max_pixels_; }

 private:
  int channels_ = 0;
  int64_t max_pixels_ = 0;
};

class DecodeQoiOp : public QoiKernel {
 public:
  using QoiKernel::QoiKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& contents = ctx->input(0);
    OP_REQUIRES(ctx, contents.dims() == 0,
                absl::InvalidArgumentError(
                    absl::StrCat("contents must be a scalar, got shape ",
                                 contents.shape().DebugString())));
    const std::string_view file = View(contents.scalar<tstring>()());
    qoi::Header header;
    qoi::Problem problem = qoi::ReadHeader(file, max_pixels(), &header);
    OP_REQUIRES(ctx, problem.empty(), Bad(problem));

    const int channels = Channels(header);
    TensorShape shape;
    OP_REQUIRES_OK(ctx, TensorShape::BuildTensorShape(
                            {header.height, header.width, channels}, &shape));
    Tensor* image = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape, &image));
    problem = qoi::Decode(file, header, channels, image->flat<uint8_t>().data());
    OP_REQUIRES(ctx, problem.empty(), Bad(problem));
  }
};

class DecodeQoiBatchOp : public QoiKernel {
 public:
  using QoiKernel::QoiKernel;

  void Compute(OpKernelContext* ctx) override {
    const Tensor& contents = ctx->input(0);
    OP_REQUIRES(ctx, contents.dims() == 1 && contents.NumElements() > 0,
                absl::InvalidArgumentError(absl::StrCat(
                    "contents must be a vector of at least one image, got shape ",
                    contents.shape().DebugString())));
    const auto files = contents.vec<tstring>();
    std::vector<qoi::Header> headers(files.size());
    OP_REQUIRES_OK(ctx, ReadHeaders(files, &headers));

    const qoi::Header& first = headers[0];
    const int channels = Channels(first);
    TensorShape shape;
    OP_REQUIRES_OK(ctx,
                   TensorShape::BuildTensorShape(
                       {files.size(), first.height, first.width, channels}, &shape));
    Tensor* images = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape, &images));
    OP_REQUIRES_OK(ctx, DecodeAll(ctx, files, headers, channels, images));
  }

 private:
  using Files = tensorflow::TTypes<tstring>::ConstVec;

  absl::Status ReadHeaders(const Files& files, std::vector<qoi::Header>* headers) const {
    for (int64_t i = 0; i < files.size(); ++i) {
      qoi::Header& header = (*headers)[i];
      const qoi::Problem problem = qoi::ReadHeader(View(files(i)), max_pixels(), &header);
      if (!problem.empty()) return Bad(i, problem);
      TF_RETURN_IF_ERROR(CheckSame(i, header, headers->front()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckSame(int64_t i, const qoi::Header& header,
                         const qoi::Header& first) const {
    if (header.width == first.width && header.height == first.height &&
        Channels(header) == Channels(first)) {
      return absl::OkStatus();
    }
    const auto words = [this](const qoi::Header& h) {
      return absl::StrCat(h.width, "x", h.height, "x", Channels(h));
    };
    return absl::InvalidArgumentError(absl::StrCat(
        "the images of a batch must have one size: contents[0] is ", words(first),
        ", contents[", i, "] is ", words(header), " (width x height x channels)"));
  }

  // Decodes each image into its slice. The error of the lowest index is given,
  // whichever thread found its own first.
  static absl::Status DecodeAll(OpKernelContext* ctx, const Files& files,
                                const std::vector<qoi::Header>& headers,
                                int channels, Tensor* images) {
    const int64_t stride = headers[0].pixels() * channels;
    uint8_t* const out = images->flat<uint8_t>().data();
    absl::Mutex mu;
    int64_t first_bad = files.size();
    qoi::Problem first_problem;
    const auto decode = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        qoi::Problem problem =
            qoi::Decode(View(files(i)), headers[i], channels, out + i * stride);
        if (problem.empty()) continue;
        absl::MutexLock lock(&mu);
        if (i < first_bad) {
          first_bad = i;
          first_problem = std::move(problem);
        }
        return;  // those after it in this shard cannot be the first
      }
    };
    const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(threads.num_threads, threads.workers, files.size(),
                      kCyclesPerPixel * headers[0].pixels(), decode);
    return first_problem.empty() ? absl::OkStatus() : Bad(first_bad, first_problem);
  }
};

REGISTER_KERNEL_BUILDER(Name("DecodeQoi").Device(DEVICE_CPU), DecodeQoiOp);
REGISTER_KERNEL_BUILDER(Name("DecodeQoiBatch").Device(DEVICE_CPU), DecodeQoiBatchOp);

}  // namespace
}  // namespace image_ops
