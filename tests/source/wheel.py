"""wheel.py OUT VERSION FILE...: packs a wheel as most tools do: with the time of now."""

import base64
import hashlib
import sys
import zipfile

out, version, files = sys.argv[1], sys.argv[2], sys.argv[3:]
info = "tensorflow_cpu-%s.dist-info" % version
members = {
    info + "/METADATA": b"Metadata-Version: 2.1\nName: tensorflow-cpu\nVersion: %s\n" % version.encode(),
    info + "/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
    "tensorflow/__init__.py": b"",
    "tensorflow/python/ops/gen_math_ops.py": b'_apply_op_helper("MatMul", 1)\n',
}
for file in files:
    if "/framework/include/" in file:
        name = "tensorflow/include/" + file.split("/framework/include/", 1)[1]
    elif file.endswith("libtensorflow_framework.so.2"):
        name = "tensorflow/libtensorflow_framework.so.2"
    elif file.endswith(".so"):
        name = "tensorflow/python/client/" + file.rsplit("/", 1)[1]
    else:
        name = "tensorflow/extra/" + file.rsplit("/", 1)[1]
    with open(file, "rb") as source:
        members[name] = source.read()
digest = lambda b: base64.urlsafe_b64encode(hashlib.sha256(b).digest()).rstrip(b"=").decode()
record = ["%s,sha256=%s,%d\n" % (name, digest(b), len(b)) for name, b in members.items()]
members[info + "/RECORD"] = "".join(record + [info + "/RECORD,,\n"]).encode()
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
    for name, content in members.items():
        archive.writestr(name, content)
