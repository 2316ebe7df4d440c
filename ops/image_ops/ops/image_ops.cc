// The signatures of the ops: inputs, outputs, attributes, shapes, documentation.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace image_ops {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

// The last dimension of a decoded image, unknown when the file decides.
absl::Status ChannelsDim(InferenceContext* c, DimensionHandle* dim) {
  int64_t channels;
  TF_RETURN_IF_ERROR(c->GetAttr("channels", &channels));
  if (channels != 0 && channels != 3 && channels != 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("channels must be 0, 3 or 4, got ", channels));
  }
  *dim = channels == 0 ? c->UnknownDim() : c->MakeDim(channels);
  return absl::OkStatus();
}

absl::Status DecodeQoiShape(InferenceContext* c) {
  ShapeHandle scalar;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &scalar));
  DimensionHandle channels;
  TF_RETURN_IF_ERROR(ChannelsDim(c, &channels));
  c->set_output(0, c->MakeShape({c->UnknownDim(), c->UnknownDim(), channels}));
  return absl::OkStatus();
}

absl::Status DecodeQoiBatchShape(InferenceContext* c) {
  ShapeHandle vector;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 1, &vector));
  DimensionHandle channels;
  TF_RETURN_IF_ERROR(ChannelsDim(c, &channels));
  c->set_output(0, c->MakeShape({c->Dim(vector, 0), c->UnknownDim(),
                                 c->UnknownDim(), channels}));
  return absl::OkStatus();
}

absl::Status CropFlipNormalizeShape(InferenceContext* c) {
  ShapeHandle images, offsets, flips, mean, stddev;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &images));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &offsets));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 1, &flips));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(3), 1, &mean));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(4), 1, &stddev));

  DimensionHandle batch = c->Dim(images, 0);
  TF_RETURN_IF_ERROR(c->Merge(batch, c->Dim(offsets, 0), &batch));
  TF_RETURN_IF_ERROR(c->Merge(batch, c->Dim(flips, 0), &batch));
  DimensionHandle channels = c->Dim(images, 3);
  TF_RETURN_IF_ERROR(c->Merge(channels, c->Dim(mean, 0), &channels));
  TF_RETURN_IF_ERROR(c->Merge(channels, c->Dim(stddev, 0), &channels));
  DimensionHandle two;
  TF_RETURN_IF_ERROR(c->WithValue(c->Dim(offsets, 1), 2, &two));

  int64_t height, width;
  TF_RETURN_IF_ERROR(c->GetAttr("crop_height", &height));
  TF_RETURN_IF_ERROR(c->GetAttr("crop_width", &width));
  c->set_output(0, c->MakeShape({batch, height, width, channels}));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("DecodeQoi")
    .Input("contents: string")
    .Attr("channels: int = 0")
    .Attr("max_pixels: int >= 1 = 400000000")
    .Output("image: uint8")
    .SetShapeFn(DecodeQoiShape)
    .Doc(R"doc(
Decodes a QOI image to a uint8 tensor.

A file that breaks the QOI specification is refused with InvalidArgument and the
reason. No memory is allocated for pixels that a file of this length cannot hold.

contents: 0-D. The bytes of the file.
channels: Colour channels of the output: 3 (RGB, an alpha channel is dropped),
  4 (RGBA, a missing alpha channel is opaque), or 0 for what the file has.
max_pixels: An image with more pixels than this is refused before it is decoded.
image: 3-D with shape `[height, width, channels]`.
)doc");

REGISTER_OP("DecodeQoiBatch")
    .Input("contents: string")
    .Attr("channels: int = 0")
    .Attr("max_pixels: int >= 1 = 400000000")
    .Output("images: uint8")
    .SetShapeFn(DecodeQoiBatchShape)
    .Doc(R"doc(
Decodes QOI images of one size to one uint8 tensor, on all of TensorFlow's threads.

Each image is decoded straight into its place in the batch. When several are
bad, the error is that of the first.

contents: 1-D, not empty. The bytes of the files; all have the same width and
  height, and with `channels = 0` the same channels.
channels: As for `DecodeQoi`.
max_pixels: As for `DecodeQoi`, for each image.
images: 4-D with shape `[batch, height, width, channels]`.
)doc");

REGISTER_OP("CropFlipNormalize")
    .Input("images: uint8")
    .Input("offsets: int32")
    .Input("flips: bool")
    .Input("mean: float")
    .Input("stddev: float")
    .Attr("crop_height: int >= 1")
    .Attr("crop_width: int >= 1")
    .Attr("T: {float, half} = DT_FLOAT")
    .Output("crops: T")
    .SetShapeFn(CropFlipNormalizeShape)
    .Doc(R"doc(
Crops each image of a batch, flips it if asked, and normalises it, in one pass.

Equal, bit for bit, to `cast((cast(crop, float) - mean) / stddev, T)`, without
the tensors in between.

images: 4-D with shape `[batch, height, width, channels]`.
offsets: 2-D with shape `[batch, 2]`. The top row and the left column of each crop.
flips: 1-D with shape `[batch]`. Which crops are mirrored left to right.
mean: 1-D with shape `[channels]`, on the scale of the images (0 to 255).
stddev: 1-D with shape `[channels]`, none of them zero.
crop_height: Rows of a crop.
crop_width: Columns of a crop.
crops: 4-D with shape `[batch, crop_height, crop_width, channels]`.
)doc");

}  // namespace image_ops
