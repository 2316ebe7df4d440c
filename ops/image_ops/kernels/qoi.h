// The QOI image format (https://qoiformat.org/qoi-specification.pdf), read and
// written. Knows nothing of TensorFlow, so that it can be fuzzed alone.
#ifndef IMAGE_OPS_KERNELS_QOI_H_
#define IMAGE_OPS_KERNELS_QOI_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace image_ops::qoi {

// What the 14 bytes before the pixels say ("File header").
struct Header {
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t channels = 0;    // 3 (RGB) or 4 (RGBA)
  uint32_t colorspace = 0;  // 0 (sRGB, linear alpha) or 1 (all linear); informative

  // No overflow: both are 32 bits wide.
  uint64_t pixels() const { return uint64_t{width} * height; }
};

// The answer of a function here: empty when all is well, else the reason, in
// words that finish the sentence "bad QOI image: ...".
using Problem = std::string;

// Reads the header of `file` and checks everything that is known without
// decoding: the fields, that there are at most `max_pixels`, and that a file of
// this length can hold so many. So whoever allocates width * height * 4 bytes
// after this never allocates more than 248 times the length of the file.
Problem ReadHeader(std::string_view file, uint64_t max_pixels, Header* header);

// Decodes `file`, whose header `ReadHeader` has accepted, into `pixels`: rows
// from the top, `channels` (3 or 4) bytes a pixel, header.pixels() * channels
// bytes in all. With 3 an alpha channel is dropped, with 4 a missing one is
// opaque. The file must end exactly after its last pixel and the end marker.
Problem Decode(std::string_view file, const Header& header, int channels,
               uint8_t* pixels);

// Encodes an image of header.channels bytes a pixel as the specification says.
std::string Encode(const uint8_t* pixels, const Header& header);

}  // namespace image_ops::qoi

#endif  // IMAGE_OPS_KERNELS_QOI_H_
