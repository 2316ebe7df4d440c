// Prints what op libraries register: `surface OP.so...`.
//
// One line of JSON for each library, in the order given:
//   {"library": PATH, "ops": {"op": [OpDef...]}, "kernels": {"kernel": [KernelDef...]}}
// with TensorFlow's own OpDef (op_def.proto) and KernelDef (kernel_def.proto) in
// protobuf's JSON form, field names as in the .proto, sorted. A library that
// cannot be loaded ends the list with
//   {"library": PATH, "error": TEXT, "duplicate": OP}
// and exit code 1; OP is the op whose name is taken already, or empty. The
// libraries are loaded one after the other into one process, as TensorFlow will.
// With TensorFlow's libtensorflow_cc before them (0.4 s), an op name that
// TensorFlow has is found too.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "google/protobuf/json/json.h"
#include "tensorflow/core/framework/kernel_def.pb.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_def.pb.h"

namespace tensorflow {
// As in op_kernel.h, which takes Eigen and seconds to compile.
KernelList GetAllRegisteredKernels();
}  // namespace tensorflow

namespace {

using Bytes = std::string;

// How often each kernel is registered: some are, more than once.
std::map<Bytes, int> Kernels() {
  std::map<Bytes, int> kernels;
  const tensorflow::KernelList all = tensorflow::GetAllRegisteredKernels();
  for (const auto& kernel : all.kernel()) {
    ++kernels[kernel.SerializeAsString()];
  }
  return kernels;
}

// The kernels that are there now and were not `before`.
tensorflow::KernelList Since(const std::map<Bytes, int>& before) {
  tensorflow::KernelList added;
  for (const auto& [bytes, count] : Kernels()) {
    const auto old = before.find(bytes);
    for (int i = old == before.end() ? 0 : old->second; i < count; ++i) {
      added.add_kernel()->ParseFromString(bytes);
    }
  }
  std::stable_sort(added.mutable_kernel()->begin(), added.mutable_kernel()->end(),
                   [](const auto& a, const auto& b) { return a.op() < b.op(); });
  return added;
}

// Loads `path` as TensorFlow's own LoadDynamicLibrary does, except that an op
// that is there already is an error: TensorFlow would keep the old one and say
// nothing.
absl::Status Load(const char* path, tensorflow::OpList* ops, std::string* duplicate) {
  tensorflow::OpRegistry* const registry = tensorflow::OpRegistry::Global();
  TF_RETURN_IF_ERROR(registry->ProcessRegistrations());
  TF_RETURN_IF_ERROR(registry->SetWatcher(
      [=](const absl::Status& status, const tensorflow::OpDef& op) {
        if (status.ok()) *ops->add_op() = op;
        if (absl::IsAlreadyExists(status)) *duplicate = op.name();
        return status;
      }));
  registry->DeferRegistrations();
  const bool loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL) != nullptr;
  absl::Status status = loaded ? registry->ProcessRegistrations()
                               : absl::NotFoundError(dlerror());
  status.Update(registry->SetWatcher(nullptr));
  std::sort(ops->mutable_op()->begin(), ops->mutable_op()->end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
  return status;
}

std::string Json(const google::protobuf::Message& message) {
  google::protobuf::json::PrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const absl::Status status =
      google::protobuf::json::MessageToJsonString(message, &json, options);
  if (!status.ok()) {
    std::fprintf(stderr, "surface: no JSON: %s\n", status.ToString().c_str());
    std::exit(2);
  }
  return json;
}

// A JSON string literal (RFC 8259, section 7) of any bytes.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const unsigned char c : text) {
    char escaped[7];
    if (c == '"' || c == '\\' || c < 0x20 || c == 0x7f) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      quoted += escaped;
    } else {
      quoted += static_cast<char>(c);
    }
  }
  return quoted + "\"";
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string library = Quoted(argv[i]);
    const std::map<Bytes, int> before = Kernels();
    tensorflow::OpList ops;
    std::string duplicate;
    const absl::Status status = Load(argv[i], &ops, &duplicate);
    if (!status.ok()) {
      std::printf("{\"library\":%s,\"error\":%s,\"duplicate\":%s}\n", library.c_str(),
                  Quoted(std::string(status.message())).c_str(),
                  Quoted(duplicate).c_str());
      return 1;
    }
    std::printf("{\"library\":%s,\"ops\":%s,\"kernels\":%s}\n", library.c_str(),
                Json(ops).c_str(), Json(Since(before)).c_str());
  }
  return 0;
}
