// Feeds the QOI decoder with broken images, the same ones for the same seed.
//
//   g++ -std=c++17 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
//     -Iops ops/image_ops/fuzz/qoi_fuzz.cc ops/image_ops/kernels/qoi.cc -o qoi_fuzz
//   ./qoi_fuzz ITERATIONS [SEED]
//
// The sanitizers watch every byte that is read or written: files and pixels are
// heap blocks of exactly their size. What they cannot see is checked here. At the
// end comes what happened to how many images; the first violation ends the
// program with exit code 1 and the file in hexadecimal.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "image_ops/kernels/qoi.h"

namespace {

using image_ops::qoi::Decode;
using image_ops::qoi::Encode;
using image_ops::qoi::Header;
using image_ops::qoi::Problem;
using image_ops::qoi::ReadHeader;

constexpr uint64_t kMaxPixels = 1 << 16;

// SplitMix64: small, and the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  // In [0, n); n is small, the bias is nothing here.
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool Chance(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

// A heap block of exactly `size` bytes.
struct Block {
  explicit Block(size_t n) : size(n), bytes(new uint8_t[n]) {}
  explicit Block(const std::string& s) : Block(s.size()) {
    std::memcpy(bytes.get(), s.data(), s.size());
  }
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.get()), size};
  }
  size_t size;
  std::unique_ptr<uint8_t[]> bytes;
};

[[noreturn]] void Violated(const char* rule, const std::string& file) {
  std::printf("violated: %s\n", rule);
  for (const unsigned char c : file) std::printf("%02x", c);
  std::printf("\n");
  std::exit(1);
}

// Pixels whose neighbours are alike as often as they are not, so that every
// kind of chunk is written.
Block RandomPixels(const Header& header, Random* random) {
  Block pixels(header.pixels() * header.channels);
  for (size_t i = 0; i < pixels.size; ++i) {
    const size_t before = i < header.channels ? i : i - header.channels;
    const bool alpha = i % header.channels == 3;
    const uint8_t same = i < header.channels ? 255 : pixels.bytes[before];
    switch (alpha && !random->Chance(16) ? 0 : random->Below(4)) {
      case 0: pixels.bytes[i] = same; break;
      case 1: pixels.bytes[i] = same + random->Below(4) - 2; break;
      case 2: pixels.bytes[i] = same + random->Below(32) - 16; break;
      default: pixels.bytes[i] = random->Chance(2) ? random->Next() : random->Below(3);
    }
  }
  return pixels;
}

Header RandomHeader(Random* random) {
  Header header;
  header.width = 1 + random->Below(random->Chance(8) ? 200 : 12);
  header.height = 1 + random->Below(random->Chance(8) ? 200 : 12);
  header.channels = 3 + random->Below(2);
  header.colorspace = random->Below(2);
  return header;
}

// A valid image must come back as it was.
std::string ValidFile(Random* random) {
  const Header header = RandomHeader(random);
  const Block pixels = RandomPixels(header, random);
  const std::string file = Encode(pixels.bytes.get(), header);
  const Block copy(file);
  Header read;
  if (!ReadHeader(copy.view(), kMaxPixels, &read).empty()) {
    Violated("the header of an encoded image is accepted", file);
  }
  if (read.width != header.width || read.height != header.height ||
      read.channels != header.channels || read.colorspace != header.colorspace) {
    Violated("the header of an encoded image is what was written", file);
  }
  Block back(pixels.size);
  if (!Decode(copy.view(), read, header.channels, back.bytes.get()).empty()) {
    Violated("an encoded image is accepted", file);
  }
  if (back.view() != pixels.view()) Violated("an encoded image comes back", file);
  return file;
}

void Mutate(std::string* file, Random* random) {
  // Chunks more often than the header, where nearly everything is refused.
  const size_t first = file->size() > 23 && !random->Chance(8) ? 14 : 0;
  const size_t at = first + random->Below(file->size() - first);
  switch (random->Below(7)) {
    case 0: (*file)[at] ^= 1 << random->Below(8); break;
    case 1: (*file)[at] = random->Next(); break;
    case 2: (*file)[at] = static_cast<char>(0xc0 | random->Below(64)); break;
    case 3: file->insert(at, 1 + random->Below(5), static_cast<char>(random->Next())); break;
    case 4: file->erase(at, 1 + random->Below(5)); break;
    case 5: file->insert(at, *file, at, random->Below(40)); break;
    default: file->resize(at); break;
  }
  if (file->empty()) file->push_back('q');
}

// The end marker is put right again, so that the chunks are what is wrong.
void Repair(std::string* file) {
  if (file->size() < 22) return;
  std::memcpy(&(*file)[file->size() - 8], "\0\0\0\0\0\0\0\1", 8);
}

// A reason up to its first number: what to count it by.
std::string Kind(const Problem& problem) {
  return problem.substr(0, problem.find_first_of("0123456789"));
}

// Decodes `file` in every way and checks the answers against each other.
std::string Try(const std::string& file) {
  const Block copy(file);
  Header header;
  const Problem bad_header = ReadHeader(copy.view(), kMaxPixels, &header);
  if (!bad_header.empty()) return "header: " + Kind(bad_header);
  if (header.pixels() == 0 || header.pixels() > kMaxPixels ||
      header.pixels() > 62 * (file.size() - 22)) {
    Violated("an accepted header bounds the memory", file);
  }
  Block rgba(header.pixels() * 4), rgb(header.pixels() * 3);
  const Problem problem = Decode(copy.view(), header, 4, rgba.bytes.get());
  if (problem != Decode(copy.view(), header, 3, rgb.bytes.get())) {
    Violated("the answer does not depend on the channels", file);
  }
  if (!problem.empty()) return "pixels: " + Kind(problem);
  for (uint64_t i = 0; i < header.pixels(); ++i) {
    if (std::memcmp(&rgba.bytes[i * 4], &rgb.bytes[i * 3], 3) != 0) {
      Violated("the colours do not depend on the channels", file);
    }
  }
  header.channels = 4;
  const Block again(Encode(rgba.bytes.get(), header));
  Block back(rgba.size);
  if (!Decode(again.view(), header, 4, back.bytes.get()).empty() ||
      back.view() != rgba.view()) {
    Violated("what was decoded can be encoded and decoded", file);
  }
  return "accepted";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s ITERATIONS [SEED]\n", argv[0]);
    return 2;
  }
  const uint64_t iterations = std::strtoull(argv[1], nullptr, 10);
  Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  std::map<std::string, uint64_t> counts;
  std::string file;
  for (uint64_t i = 0; i < iterations; ++i) {
    if (i % 32 == 0) file = ValidFile(&random);
    std::string mutated = file;
    for (uint64_t n = 1 + random.Below(4); n > 0; --n) Mutate(&mutated, &random);
    if (!random.Chance(4)) Repair(&mutated);
    ++counts[Try(mutated)];
  }
  for (const auto& [what, count] : counts) {
    std::printf("%9llu %s\n", static_cast<unsigned long long>(count), what.c_str());
  }
  return 0;
}
