#include "image_ops/kernels/qoi.h"

#include <algorithm>
#include <cstring>

namespace image_ops::qoi {
namespace {

constexpr size_t kHeaderBytes = 14;
constexpr size_t kEndBytes = 8;
constexpr std::string_view kMagic = "qoif";
constexpr std::string_view kEnd = std::string_view("\0\0\0\0\0\0\0\1", kEndBytes);

// The chunks ("Encoding"): a two-bit tag, or all eight bits for the last two.
constexpr uint8_t kIndex = 0x00;
constexpr uint8_t kDiff = 0x40;
constexpr uint8_t kLuma = 0x80;
constexpr uint8_t kRun = 0xc0;
constexpr uint8_t kRgb = 0xfe;
constexpr uint8_t kRgba = 0xff;
constexpr uint8_t kTagMask = 0xc0;

// The run lengths 63 and 64 would collide with kRgb and kRgba.
constexpr uint64_t kLongestRun = 62;

struct Pixel {
  uint8_t r = 0, g = 0, b = 0, a = 255;

  bool operator==(const Pixel& o) const {
    return r == o.r && g == o.g && b == o.b && a == o.a;
  }
  size_t slot() const { return (r * 3 + g * 5 + b * 7 + a * 11) % 64; }
};

// The index starts as transparent black, the previous pixel as opaque black.
constexpr Pixel kTransparent = {0, 0, 0, 0};

uint32_t ReadBigEndian(const char* p) {
  const auto byte = [p](int i) { return uint32_t{static_cast<uint8_t>(p[i])}; };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

void AppendBigEndian(uint32_t v, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(v >> shift & 0xff));
  }
}

std::string Quantity(uint64_t n, const char* noun) {
  return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

std::string Size(const Header& header) {
  return std::to_string(header.width) + "x" + std::to_string(header.height);
}

template <int kChannels>
void Store(const Pixel& px, uint8_t* out) {
  out[0] = px.r;
  out[1] = px.g;
  out[2] = px.b;
  if constexpr (kChannels == 4) out[3] = px.a;
}

// The bytes that follow each chunk's first one.
template <int kChannels>
Problem DecodeChunks(std::string_view file, const Header& header, uint8_t* out) {
  const auto* const begin = reinterpret_cast<const uint8_t*>(file.data());
  const uint8_t* p = begin + kHeaderBytes;
  // A chunk is at most five bytes and begins before `end`, where the eight
  // bytes of the end marker follow: no read goes past the file.
  const uint8_t* const end = begin + file.size() - kEndBytes;
  const uint64_t total = header.pixels();
  uint8_t* const last = out + total * kChannels;
  const auto done = [&] { return total - (last - out) / kChannels; };

  Pixel index[64];
  std::fill(std::begin(index), std::end(index), kTransparent);
  Pixel px;
  while (out != last) {
    if (p >= end) {
      return "truncated: the data ends after " + std::to_string(done()) + " of " +
             Quantity(total, "pixel");
    }
    const uint8_t tag = *p++;
    if (tag == kRgb || tag == kRgba) {
      px.r = p[0];
      px.g = p[1];
      px.b = p[2];
      if (tag == kRgba) px.a = p[3];
      p += tag == kRgba ? 4 : 3;
    } else if ((tag & kTagMask) == kIndex) {
      px = index[tag];
    } else if ((tag & kTagMask) == kDiff) {
      px.r += (tag >> 4 & 3) - 2;
      px.g += (tag >> 2 & 3) - 2;
      px.b += (tag & 3) - 2;
    } else if ((tag & kTagMask) == kLuma) {
      const int green = (tag & 0x3f) - 32;
      const uint8_t rest = *p++;
      px.r += green - 8 + (rest >> 4);
      px.g += green;
      px.b += green - 8 + (rest & 0x0f);
    } else {
      const uint64_t run = (tag & 0x3f) + 1;
      const uint64_t left = (last - out) / kChannels;
      if (run > left) {
        return "a run of " + Quantity(run, "pixel") + " at byte " +
               std::to_string(p - 1 - begin) + ", where only " +
               std::to_string(left) + (left == 1 ? " is" : " are") + " left";
      }
      for (uint64_t i = 0; i < run; ++i, out += kChannels) Store<kChannels>(px, out);
      index[px.slot()] = px;
      continue;
    }
    index[px.slot()] = px;
    Store<kChannels>(px, out);
    out += kChannels;
  }
  if (p > end) {
    return "truncated: the last chunk runs into the end marker";
  }
  if (p < end) {
    return "trailing data: " + Quantity(end - p, "byte") +
           " between the last pixel and the end marker";
  }
  return "";
}

// Whether `d` can be written as an unsigned number with `bias` in `bits` bits.
bool Fits(int d, int bias, int bits) { return d + bias >= 0 && d + bias < 1 << bits; }

// The chunk for a pixel that is neither a repetition nor in the index.
void AppendDifference(const Pixel& px, const Pixel& prev, std::string* out) {
  const auto push = [out](int v) { out->push_back(static_cast<char>(v)); };
  if (px.a != prev.a) {
    for (int v : {int{kRgba}, int{px.r}, int{px.g}, int{px.b}, int{px.a}}) push(v);
    return;
  }
  const int r = static_cast<int8_t>(px.r - prev.r);
  const int g = static_cast<int8_t>(px.g - prev.g);
  const int b = static_cast<int8_t>(px.b - prev.b);
  const int rg = static_cast<int8_t>(r - g);
  const int bg = static_cast<int8_t>(b - g);
  if (Fits(r, 2, 2) && Fits(g, 2, 2) && Fits(b, 2, 2)) {
    push(kDiff | (r + 2) << 4 | (g + 2) << 2 | (b + 2));
  } else if (Fits(g, 32, 6) && Fits(rg, 8, 4) && Fits(bg, 8, 4)) {
    push(kLuma | (g + 32));
    push((rg + 8) << 4 | (bg + 8));
  } else {
    for (int v : {int{kRgb}, int{px.r}, int{px.g}, int{px.b}}) push(v);
  }
}

}  // namespace

Problem ReadHeader(std::string_view file, uint64_t max_pixels, Header* header) {
  if (file.size() < kHeaderBytes + kEndBytes) {
    return "truncated: " + Quantity(file.size(), "byte") +
           ", fewer than a header and an end marker have (22)";
  }
  if (file.substr(0, kMagic.size()) != kMagic) {
    return "it does not begin with the magic bytes \"qoif\"";
  }
  header->width = ReadBigEndian(file.data() + 4);
  header->height = ReadBigEndian(file.data() + 8);
  header->channels = static_cast<uint8_t>(file[12]);
  header->colorspace = static_cast<uint8_t>(file[13]);
  if (header->width == 0 || header->height == 0) {
    return "its size is " + Size(*header) + ": there is no pixel in it";
  }
  if (header->channels != 3 && header->channels != 4) {
    return "its header says " + Quantity(header->channels, "channel") +
           ", where 3 and 4 are allowed";
  }
  if (header->colorspace > 1) {
    return "its header says colorspace " + std::to_string(header->colorspace) +
           ", where 0 and 1 are allowed";
  }
  const uint64_t pixels = header->pixels();
  if (pixels > max_pixels) {
    return "its size is " + Size(*header) + ", " + Quantity(pixels, "pixel") +
           ": more than max_pixels = " + std::to_string(max_pixels);
  }
  const uint64_t chunk_bytes = file.size() - kHeaderBytes - kEndBytes;
  if (pixels > chunk_bytes * kLongestRun) {
    return "truncated: its size is " + Size(*header) + ", and " +
           Quantity(chunk_bytes, "byte") + " of data can hold at most " +
           Quantity(chunk_bytes * kLongestRun, "pixel");
  }
  if (file.substr(file.size() - kEndBytes) != kEnd) {
    return "it does not end with the end marker (seven zero bytes and a one): "
           "truncated, or with trailing data";
  }
  return "";
}

Problem Decode(std::string_view file, const Header& header, int channels,
               uint8_t* pixels) {
  return channels == 4 ? DecodeChunks<4>(file, header, pixels)
                       : DecodeChunks<3>(file, header, pixels);
}

std::string Encode(const uint8_t* pixels, const Header& header) {
  std::string out(kMagic);
  AppendBigEndian(header.width, &out);
  AppendBigEndian(header.height, &out);
  out.push_back(static_cast<char>(header.channels));
  out.push_back(static_cast<char>(header.colorspace));

  Pixel index[64];
  std::fill(std::begin(index), std::end(index), kTransparent);
  Pixel prev;
  uint64_t run = 0;
  const auto flush_run = [&] {
    if (run > 0) out.push_back(static_cast<char>(kRun | (run - 1)));
    run = 0;
  };
  for (uint64_t i = 0; i < header.pixels(); ++i, pixels += header.channels) {
    const Pixel px = {pixels[0], pixels[1], pixels[2],
                      header.channels == 4 ? pixels[3] : uint8_t{255}};
    if (px == prev) {
      if (++run == kLongestRun) flush_run();
      continue;
    }
    flush_run();
    if (index[px.slot()] == px) {
      out.push_back(static_cast<char>(kIndex | px.slot()));
    } else {
      AppendDifference(px, prev, &out);
    }
    index[px.slot()] = px;
    prev = px;
  }
  flush_run();
  out.append(kEnd);
  return out;
}

}  // namespace image_ops::qoi
