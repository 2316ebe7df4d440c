"""The entrypoint against a small root; with TensorFlow at hand, against its own rules too."""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import site
import sys
import sysconfig
import tempfile
import unittest

PLACE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                     "lockstep_entrypoint.py")
SPEC = importlib.util.spec_from_file_location("lockstep_entrypoint", PLACE)
entrypoint = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(entrypoint)

SITE = "usr/lib/site"
FILES = {
    "base": {"usr/bin/python3": b"python"},
    "tensorflow": {
        f"{SITE}/tensorflow/libtensorflow_framework.so.2": b"framework",
        f"{SITE}/tensorflow/big.so": b"big",
    },
    "ops": {f"{SITE}/tensorflow-plugins/libops.so": b"ops"},
}


class Root(tempfile.TemporaryDirectory):
  """An image's root with an identity."""

  def __init__(self):
    super().__init__()
    rows = [f"env\tPYTHONPATH\t/{SITE}"]
    for layer, files in FILES.items():
      lines = []
      for path, content in files.items():
        self.write(path, content)
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f"644\t{len(content)}\t{digest}\t{path}\n")
      if layer == "base":
        os.symlink("usr/bin", os.path.join(self.name, "bin"))
        lines.append("link\t7\tusr/bin\tbin\n")
      text = "".join(lines).encode()
      path = f"usr/local/share/lockstep/manifest/{layer}"
      self.write(path, text)
      rows.append(f"manifest\t{path}\t{hashlib.sha256(text).hexdigest()}")
    rows += ["workspace-id\tw", "tensorflow\t1", "revision\tr", f"site\t{SITE}"]
    self.write(entrypoint.IDENTITY, "\n".join(rows).encode())

  def write(self, path, content):
    put(self.name, path, content)


def put(root, path, content):
  place = os.path.join(root, path)
  os.makedirs(os.path.dirname(place), exist_ok=True)
  with open(place, "wb") as file:
    file.write(content)


class FilesTest(unittest.TestCase):

  def findings(self, damage, whole, environ=()):
    with Root() as name:
      damage(name)
      identity = entrypoint.load(name)
      _, _, findings = entrypoint.inspect(name, identity, dict(environ), whole)
      return [finding.what.split(":")[0] for finding in findings]

  def put(self, path, content):
    def damage(root):
      os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
      with open(os.path.join(root, path), "wb") as file:
        file.write(content)
    return damage

  def test_a_whole_image_has_no_findings(self):
    for whole in (False, True):
      self.assertEqual(self.findings(lambda root: None, whole), [])

  def test_a_quick_check_sees_the_ops_the_framework_and_every_size(self):
    ops, site = f"{SITE}/tensorflow-plugins/libops.so", f"{SITE}/tensorflow"
    framework, big = f"{site}/libtensorflow_framework.so.2", f"{site}/big.so"
    for path, content, seen in [
        (ops, b"opz", True), (framework, b"framewerk", True), (big, b"bigger", True),
        (big, b"bag", False), ("usr/local/share/lockstep/manifest/base", b"", True),
        ("usr/local/share/lockstep/manifest/base", b"no text: \xff", True)]:
      said = self.findings(self.put(path, content), whole=False)
      self.assertEqual(any(line.startswith(f"/{path} is not") for line in said), seen, path)
      said = self.findings(self.put(path, content), whole=True)
      self.assertTrue(any(line.startswith(f"/{path} is not") for line in said), path)

  def test_a_library_that_was_cut_off_is_told_by_its_size(self):
    with Root() as name:
      self.put(f"{SITE}/tensorflow-plugins/libops.so", b"op")(name)
      _, _, (finding,) = entrypoint.inspect(name, entrypoint.load(name), {}, False)
      self.assertTrue(finding.what.endswith("expected 3 bytes, found 2"), finding.what)

  def test_a_file_that_is_gone_or_a_link_elsewhere_is_seen(self):
    def gone(root):
      os.remove(os.path.join(root, SITE, "tensorflow/big.so"))
      os.remove(os.path.join(root, SITE, "tensorflow/libtensorflow_framework.so.2"))
    self.assertEqual(len(self.findings(gone, whole=False)), 2)
    def link(root):
      os.remove(os.path.join(root, "bin"))
      os.symlink("usr/bim", os.path.join(root, "bin"))
    self.assertEqual(self.findings(link, whole=True),
                     ["/bin is not what the image was made with"])

  def test_a_library_that_nobody_knows_is_seen(self):
    said = self.findings(self.put(f"{SITE}/tensorflow-plugins/copy.so", b"ops"), whole=False)
    self.assertEqual(said, [f"/{SITE}/tensorflow-plugins/copy.so is not in the image's manifests"])
    said = self.findings(self.put(f"{SITE}/evil.pth", b""), whole=True)
    self.assertEqual(said, [f"/{SITE}/evil.pth is not in the image's manifests"])

  def test_a_library_in_any_folder_that_tensorflow_loads_is_seen(self):
    plugins = [f"{folder[1:]}/tensorflow-plugins" for folder in entrypoint.searched("/home/u")]
    for folder in [*plugins, f"{SITE}/tensorflow/core/kernels"]:
      for whole in (False, True):
        said = self.findings(self.put(f"{folder}/x.so", b""), whole, {"HOME": "/home/u"})
        self.assertEqual(said, [f"/{folder}/x.so is not in the image's manifests"])

  def test_all_folders_that_tensorflow_looks_into_are_known(self):
    if sys.prefix != "/usr" or not hasattr(site, "getsitepackages"):
      self.skipTest("not the image's Python")
    folders = {*site.getsitepackages(), site.getusersitepackages()}
    for scheme in sysconfig.get_scheme_names():
      folders |= {sysconfig.get_path(name, scheme) for name in ("purelib", "platlib")}
    self.assertEqual(folders - set(entrypoint.searched(os.path.expanduser("~"))), set())

  def test_a_failure_beside_the_rest_is_waited_for(self):
    def fails():
      raise ValueError
    with contextlib.redirect_stderr(io.StringIO()):
      beside = entrypoint.Background(fails)
      self.assertTrue(beside.running.acquire(timeout=60))
    self.assertIsNone(beside.result)


class ScriptsTest(unittest.TestCase):

  def findings(self, damage=None):
    with Root() as name:
      text = hashlib.sha256(b"pass").hexdigest() + "  train.py\n"
      for path, content in [("train.py", b"pass"), ("SHA256SUMS", text.encode()),
                            ("..data/train.py", b"pass")]:
        put(name, f"work/{path}", content)
      if damage:
        damage(os.path.join(name, "work"))
      environ = {"LOCKSTEP_SCRIPTS": hashlib.sha256(text.encode()).hexdigest()}
      findings = entrypoint.check_scripts(name, environ)
      self.assertEqual(entrypoint.check_scripts(name, {}), [])
      return [finding.what.split(" is not")[0] for finding in findings]

  def write(self, name, content):
    def damage(folder):
      with open(os.path.join(folder, name), "wb") as file:
        file.write(content)
    return damage

  def test_scripts_that_are_the_cluster_s_start(self):
    self.assertEqual(self.findings(), [])

  def test_a_script_that_differs_is_named(self):
    self.assertEqual(self.findings(self.write("train.py", b"pazz")), ["/work/train.py"])
    self.assertEqual(
        self.findings(lambda folder: os.remove(os.path.join(folder, "train.py"))),
        ["/work/train.py"])

  def test_a_module_that_nobody_rendered_is_named(self):
    self.assertEqual(self.findings(self.write("numpy.py", b"")), ["/work/numpy.py"])

  def test_another_listing_or_none_is_refused(self):
    self.assertEqual(self.findings(self.write("SHA256SUMS", b"")), ["/work/SHA256SUMS"])
    self.assertEqual(
        self.findings(lambda folder: os.remove(os.path.join(folder, "SHA256SUMS"))),
        ["/work/SHA256SUMS"])


class StartTest(unittest.TestCase):

  def main(self, arguments, environ):
    with Root() as name, contextlib.redirect_stderr(io.StringIO()) as said, \
        contextlib.redirect_stdout(io.StringIO()) as printed:
      code = entrypoint.main(arguments, environ, name)
      return code, said.getvalue(), printed.getvalue()

  def test_another_workspace_another_path_and_a_preload_are_refused_by_name(self):
    for environ, what in [({"LOCKSTEP_WORKSPACE_ID": "x"}, "the cluster expects workspace x"),
                          ({"PYTHONPATH": "/x"}, "PYTHONPATH is `/x`"),
                          ({"LD_PRELOAD": "/x.so"}, "LD_PRELOAD is `/x.so`"),
                          ({"TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/x"},
                           "TF_PLUGGABLE_DEVICE_LIBRARY_PATH is `/x`"),
                          ({"TF_CONFIG": "{"}, "TF_CONFIG: it is no JSON")]:
      code, said, _ = self.main(["lockstep-entrypoint", "true"], environ)
      self.assertEqual(code, entrypoint.REFUSED)
      self.assertIn(what, said)
      self.assertIn("\nhint: ", said)

  def test_an_identity_that_is_gone_or_cut_off_is_refused(self):
    with Root() as name:
      place = os.path.join(name, entrypoint.IDENTITY)
      with open(place, encoding="utf-8") as file:
        text = file.read()
      put(name, entrypoint.LAST_WORDS, b"")
      for cut in (len("env"), text.index("workspace-id\t") - 1, text.index("\tr"), 0, None):
        put(name, entrypoint.IDENTITY, text[:cut].encode())
        if cut is None:
          os.remove(place)
        with contextlib.redirect_stderr(io.StringIO()) as said, \
            self.assertRaises(SystemExit) as ended:
          entrypoint.main(["lockstep-entrypoint", "true"], {}, name)
        self.assertEqual(ended.exception.code, entrypoint.REFUSED)
        self.assertIn("/identity is not what the image was made with: ", said.getvalue())
      with open(os.path.join(name, entrypoint.LAST_WORDS), encoding="utf-8") as file:
        self.assertIn("\nhint: ", file.read())

  def test_a_command_that_is_not_there_is_127_after_the_identity(self):
    environ = {"LOCKSTEP_WORKSPACE_ID": "w", "PYTHONPATH": f"/{SITE}", "PATH": "/usr/bin"}
    code, said, _ = self.main(["lockstep-entrypoint", "/no/such"], environ)
    self.assertEqual(code, 127)
    line, _, said = said.partition("\n")
    self.assertEqual(line, "lockstep: workspace w, tensorflow 1 (r), role none, host "
                     + os.uname().nodename)
    self.assertEqual((environ["LOCKSTEP_IDENTITY"], said[:6]), (line, "error:"))

  def test_a_refusal_is_short_and_left_for_kubernetes(self):
    with Root() as name, contextlib.redirect_stderr(io.StringIO()) as said:
      for place in map(f"{name}/{SITE}/tensorflow-plugins/{{}}.so".format, range(30)):
        with open(place, "wb"):
          pass
      for listens in (False, True):
        if listens:
          os.mkdir(os.path.join(name, "dev"))
          with open(os.path.join(name, entrypoint.LAST_WORDS), "wb"):
            pass
        code = entrypoint.main(["lockstep-entrypoint", "true"], {}, name)
        self.assertEqual(code, entrypoint.REFUSED)
      with open(os.path.join(name, entrypoint.LAST_WORDS), encoding="utf-8") as file:
        left = file.read()
    self.assertEqual(said.getvalue(), left * 2)
    self.assertIn("0.so is not in the image's manifests\nhint: ", left)
    self.assertEqual((left.count("\nerror: "), left.count("\nhint: ")), (21, 20))
    self.assertTrue(left.endswith("\nerror: and 10 more: lockstep-check tells all\n"))

  def test_a_refusal_of_half_a_character_is_left_too(self):
    with Root() as name, contextlib.redirect_stderr(io.StringIO()):
      put(name, entrypoint.LAST_WORDS, b"")
      environ = {"TF_CONFIG": '{"task": {"type": "\\ud800"}}'}
      code = entrypoint.main(["lockstep-entrypoint", "true"], environ, name)
      with open(os.path.join(name, entrypoint.LAST_WORDS), encoding="utf-8") as file:
        self.assertIn("error: TF_CONFIG: unrecognized task type `\\ud800`", file.read())
    self.assertEqual(code, entrypoint.REFUSED)

  def test_the_report_is_text_or_json(self):
    for arguments in (["lockstep-check"], ["lockstep-entrypoint", "lockstep-check"]):
      code, _, printed = self.main(arguments, {})
      self.assertEqual((code, printed.splitlines()[-1]),
                       (0, "5 files, 21 bytes: all as the image was made"))
    code, _, printed = self.main(["lockstep-check", "--json"], {"PYTHONPATH": "/x"})
    report = json.loads(printed)
    self.assertEqual((code, report["ok"], len(report["findings"])), (78, False, 1))
    config = {"TF_CONFIG": '{"task": {"type": "\\ud800"}}'}
    self.assertIn("type `\\ud800`", self.main(["lockstep-check"], config)[2])
    self.assertEqual(self.main(["lockstep-check", "--jsno"], {})[0], entrypoint.USAGE)


CLUSTER = {"chief": ["c:1"], "worker": ["w:1", "w:2"], "ps": {"0": "p:1"}}
CONFIGS = [  # whether it is right, and the configuration
    (True, {}),
    (True, {"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}),
    (True, {"cluster": CLUSTER, "task": {"type": "worker", "index": "1"}}),
    (True, {"cluster": CLUSTER, "task": {"type": "ps", "index": 0}}),
    (True, {"cluster": CLUSTER, "task": {"type": "evaluator", "index": 0}}),
    (False, {"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}),
    (False, {"cluster": CLUSTER, "task": {"type": "worker"}}),
    (False, {"cluster": CLUSTER, "task": {"type": "worker", "index": "one"}}),
    (False, {"cluster": CLUSTER, "task": {"type": "master", "index": 0}}),
    (False, {"cluster": {"worker": ["w:1"]}, "task": {"type": "ps", "index": 0}}),
    (False, {"cluster": {"master": ["m:1"], "worker": ["w:1"]}}),
    (False, {"cluster": {"chief": ["a:1", "b:1"], "worker": ["w:1"]}}),
    (False, {"cluster": {"evaluator": ["a:1", "b:1"], "worker": ["w:1"]}}),
    (False, {"cluster": {"worker": "w:1"}}),
]


class ConfigTest(unittest.TestCase):

  def test_what_is_right_and_what_is_wrong(self):
    for right, config in CONFIGS:
      _, wrong = entrypoint.check_config(json.dumps(config))
      self.assertEqual(not wrong, right, config)

  def test_text_that_is_no_configuration(self):
    for text in ("{", "x", "[]", '"a"', '{"cluster": []}', '{"a": 1} x', "[1,", "[" * 9999,
                 '{"task": {"type": ["worker"], "index": 0}}', '{"task": {"type": {}}}'):
      self.assertTrue(entrypoint.check_config(text)[1], text)
    self.assertEqual(entrypoint.check_config(' {"task": {}}\n'), ("none", []))

  def test_addresses_have_a_port(self):
    for address in ("w", "w:", ":1", "w:x", "w:65536", 7, None):
      config = json.dumps({"cluster": {"worker": [address]}})
      self.assertTrue(entrypoint.check_config(config)[1], address)
    self.assertFalse(entrypoint.check_config('{"cluster": {"worker": ["[::1]:80"]}}')[1])

  def test_tensorflow_agrees(self):
    try:
      from tensorflow.python.distribute import multi_worker_util
      from tensorflow.python.distribute.cluster_resolver import tfconfig_cluster_resolver
    except ImportError:
      self.skipTest("no TensorFlow here")
    for right, config in CONFIGS:
      os.environ["TF_CONFIG"] = json.dumps(config)
      resolver = tfconfig_cluster_resolver.TFConfigClusterResolver()
      try:
        multi_worker_util._validate_cluster_spec(
            resolver.cluster_spec(), resolver.task_type, resolver.task_id)
        found = True
      except (TypeError, ValueError):
        found = False
      self.assertEqual(found, right, config)


if __name__ == "__main__":
  unittest.main()
