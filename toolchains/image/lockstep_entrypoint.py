#!/usr/bin/python3 -ISB
"""Starts every process of the image, and checks it.

As `lockstep-entrypoint COMMAND ...` it says which build this is, refuses to start
what would train on something else, and replaces itself with the command. As
`lockstep-check` it reads every file of the image and reports.

TensorFlow compares nothing across a cluster: an op with other kernel code under
the same signature trains on, to other weights. So identity is compared here,
before training begins.

Exit codes: 78 refused (a check failed), 64 wrong usage, 126 and 127 as a shell's
when the command cannot be run or found.

Only what is built into Python is imported at every start: the image has no byte
code, and `json` alone costs more than all the checks.
"""

import os
import sys

REFUSED = 78
USAGE = 64

HELP = """\
This image runs one task of a TensorFlow cluster: chief, worker, parameter server
or evaluator, by command and environment.

  docker run IMAGE python3 /work/train.py     run a command
  docker run IMAGE lockstep-check [--json]    read every file and report

LOCKSTEP_WORKSPACE_ID  what the cluster expects; another image does not start
LOCKSTEP_SCRIPTS       digest of /work/SHA256SUMS; other training scripts do not start
LOCKSTEP_CHECK         `quick` (default), or `whole`: read every file at the start
TF_CONFIG              checked by TensorFlow's own rules
LOCKSTEP_IDENTITY      set for the command: the line that was printed
"""

IDENTITY = "usr/local/share/lockstep/identity"

# The training scripts, and the listing of them that was rendered beside them.
SCRIPTS, LISTING = "work", "work/SHA256SUMS"

# How else to reach one's own code.
ELSEWHERE = {"PYTHONPATH": "; a script's folder is searched anyhow, others by sys.path.append"}

# Set, they change what a process loads without a trace in the image.
FOREIGN = ("LD_AUDIT", "LD_PRELOAD", "PYTHONHOME", "PYTHONUSERBASE",
           "TF_PLUGGABLE_DEVICE_LIBRARY_PATH")

TASK_TYPES = ("chief", "worker", "evaluator", "ps")

# Of a wholly other image thousands of files differ: so many are told of.
MOST = 20

# Kubernetes shows what a container left here with the reason why it ended.
LAST_WORDS = "dev/termination-log"


class Finding:
  """One thing that is wrong: what, and what to do."""

  def __init__(self, what, hint):
    self.what = what
    self.hint = hint

  def __str__(self):
    return f"error: {self.what}\nhint: {self.hint}"


class Identity:
  """What the image says of itself, by the key of each line."""

  def __init__(self, text):
    self.fields = {}
    self.manifests = []  # [path, sha256]
    self.environment = []  # [name, value]
    for line in text.splitlines():
      key, *values = line.split("\t")
      if key == "manifest":
        path, digest = values
        self.manifests.append([path, digest])
      elif key == "env":
        name, value = values
        self.environment.append([name, value])
      else:
        self.fields[key], = values
    missing = {"workspace-id", "tensorflow", "revision", "site"} - set(self.fields)
    if missing or not self.manifests:
      raise ValueError(f"no {min(missing, default='manifest')} in it")

  def line(self, role):
    fields = self.fields
    return (f"lockstep: workspace {fields['workspace-id']}, "
            f"tensorflow {fields['tensorflow']} ({fields['revision']}), "
            f"role {role}, host {os.uname().nodename}")


def sha256(path):
  """SHA-256 of the file at `path`, in hex."""
  import _hashlib  # OpenSSL's: several times as fast as Python's own
  with open(path, "rb", buffering=0) as file:
    if os.fstat(file.fileno()).st_size < 1 << 20:
      return _hashlib.openssl_sha256(file.read()).hexdigest()
    import mmap  # in one piece and without a copy: other threads go on meanwhile
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
      return _hashlib.openssl_sha256(content).hexdigest()


def damaged(path, why):
  return Finding(
      f"/{path} is not what the image was made with: {why}",
      "start the image by its digest, with nothing mounted over it")


class Background:
  """A function that runs beside the rest; `threading` would take longer to import."""

  def __init__(self, function, *arguments):
    import _thread
    self.result = self.error = None
    self.running = _thread.allocate_lock()
    self.running.acquire()
    _thread.start_new_thread(self.run, (function, arguments))

  def run(self, function, arguments):
    try:
      self.result = function(*arguments)
    except OSError as error:
      self.error = error
    finally:
      self.running.release()  # whatever it was: somebody waits

  def wait(self):
    self.running.acquire()
    if self.error:
      raise self.error
    return self.result


class Files:
  """The image's files against its manifests."""

  def __init__(self, root, identity):
    self.root = root
    self.findings = []
    self.checked = 0
    self.bytes = 0
    self.site = identity.fields["site"]
    self.manifests = [self.read(*manifest) for manifest in identity.manifests]

  def read(self, path, digest):
    """The lines of one manifest, which must be what the identity names."""
    place = os.path.join(self.root, path)
    try:
      found = sha256(place)
      if found == digest:
        with open(place, encoding="utf-8") as file:
          return file.read().splitlines()
      self.findings.append(damaged(path, f"expected {digest}, found {found}"))
    except OSError as error:
      self.findings.append(damaged(path, error.strerror))
    return []

  def quick(self):
    """Sizes of all files; bytes of the ops and of TensorFlow's framework library."""
    framework = f"{self.site}/tensorflow/libtensorflow_framework.so.2"
    hashing = Background(sha256, os.path.join(self.root, framework))
    *below, ops = self.manifests
    lstat, prefix, expected = os.lstat, self.root.rstrip("/") + "/", None
    for lines in below:
      for line in lines:
        _, size, digest, path = line.split("\t")
        if path == framework:
          expected = digest
          continue
        try:
          found = lstat(prefix + path).st_size
        except OSError as error:
          self.findings.append(damaged(path, error.strerror))
          continue
        if found != int(size):
          self.findings.append(damaged(path, f"expected {size} bytes, found {found}"))
    rows = {row[3]: row for row in (line.split("\t") for line in ops)}
    for row in rows.values():
      self.row(*row)
    for folder in ("tensorflow-plugins", "tensorflow/core/kernels"):
      self.strangers(f"{self.site}/{folder}", rows)
    try:
      self.compare(framework, expected, hashing.wait())
    except OSError as error:
      self.findings.append(damaged(framework, error.strerror))

  def whole(self):
    """Bytes of all files, targets of all links, and no file besides in site-packages."""
    rows = [line.split("\t") for lines in self.manifests for line in lines]
    for row in rows:
      self.row(*row)
    self.strangers(self.site, {row[3] for row in rows})

  def elsewhere(self, home):
    """No library in the other folders where TensorFlow looks: the image has none there."""
    for folder in searched(home):
      if folder != f"/{self.site}":
        self.strangers(f"{folder[1:]}/tensorflow-plugins", ())

  def row(self, mode, size, expected, path):
    place = os.path.join(self.root, path)
    try:
      if mode == "link":
        found = os.readlink(place)
      elif os.path.islink(place) or not os.path.isfile(place):
        found = "no file"
      elif os.path.getsize(place) != int(size):
        expected, found = f"{size} bytes", os.path.getsize(place)
      else:
        found = sha256(place)
        self.bytes += int(size)
    except OSError as error:
      self.findings.append(damaged(path, error.strerror))
      return
    self.compare(path, expected, found)

  def compare(self, path, expected, found):
    self.checked += 1
    if expected != found:
      self.findings.append(damaged(path, f"expected {expected}, found {found}"))

  def strangers(self, folder, known):
    """Files below `folder` that are not known: Python or TensorFlow would load them."""
    try:
      entries = list(os.scandir(os.path.join(self.root, folder)))
    except OSError:
      return  # its missing files are findings already
    for entry in sorted(entries, key=lambda entry: entry.name):
      path = f"{folder}/{entry.name}"
      if entry.is_dir(follow_symlinks=False):
        self.strangers(path, known)
      elif path not in known:
        self.findings.append(Finding(
            f"/{path} is not in the image's manifests",
            "mount nothing into site-packages and install nothing there: pin it in "
            "workspace.toml"))


def searched(home):
  """Folders whose `tensorflow-plugins` `import tensorflow` loads: each scheme of `sysconfig`,
  which would take longer to import, and what Debian's `site` knows besides."""
  python, own = "python%d.%d" % sys.version_info[:2], f"{home}/.local"
  return [f"{sys.prefix}/lib/python", f"{sys.prefix}/lib/python3/dist-packages",
          f"{sys.prefix}/lib/{python}/dist-packages",
          f"{sys.prefix}/lib/{python}/site-packages",
          f"{sys.prefix}/local/lib/{python}/dist-packages", f"{sys.prefix}/Lib/site-packages",
          f"{own}/lib/python/site-packages", f"{own}/lib/{python}/site-packages",
          f"{own}/Python/site-packages"]


def check_workspace(identity, environ):
  """The cluster's files carry the workspace id that every task must have."""
  expected = environ.get("LOCKSTEP_WORKSPACE_ID", "")
  found = identity.fields["workspace-id"]
  if not expected or expected == found:
    return []
  return [Finding(
      f"LOCKSTEP_WORKSPACE_ID: the cluster expects workspace {expected}, this image "
      f"is of {found}",
      "give every task the same image, by its digest, or make the cluster's files "
      "from this image")]


def check_scripts(root, environ):
  """The cluster's files carry the digest of the listing of every task's training scripts."""
  expected = environ.get("LOCKSTEP_SCRIPTS", "")
  if not expected:
    return []
  def other(path, why):
    return Finding(
        f"/{path} is not the training script of the other tasks: {why}",
        "put what `cargo xtask cluster render` wrote beside this task's file onto its node")
  findings, known = [], {os.path.basename(LISTING)}
  try:
    found = sha256(os.path.join(root, LISTING))
    if found != expected:
      return [other(LISTING, f"the cluster expects {expected}, found {found}")]
    with open(os.path.join(root, LISTING), encoding="utf-8") as file:
      rows = [line.split("  ", 1) for line in file.read().splitlines()]
    names = os.listdir(os.path.join(root, SCRIPTS))
  except OSError as error:
    return [other(LISTING, error.strerror)]
  for expected, name in rows:
    known.add(name)
    try:
      found = sha256(os.path.join(root, SCRIPTS, name))
    except OSError as error:
      found = error.strerror
    if found != expected:
      findings.append(other(f"{SCRIPTS}/{name}", f"expected {expected}, found {found}"))
  # Kubernetes keeps its own files in a mounted ConfigMap, all of them hidden.
  strangers = [name for name in names if name not in known and not name.startswith(".")]
  return findings + [other(f"{SCRIPTS}/{name}", "it is not in the listing")
                     for name in sorted(strangers)]


def check_paths(identity, environ):
  """What leads a process to other code than the image's."""
  findings = []
  for name, value in identity.environment:
    found = environ.get(name, value)
    if found != value:
      findings.append(Finding(
          f"{name} is `{found}`: the image's is `{value}`",
          f"take {name} out of the node's environment: the image finds TensorFlow "
          f"and the ops without it{ELSEWHERE.get(name, '')}"))
  for name in FOREIGN:
    if environ.get(name):
      findings.append(Finding(
          f"{name} is `{environ[name]}`: in the image it is not set",
          f"unset {name}: it puts other code into every process"))
  return findings


def check_config(text):
  """TF_CONFIG by the rules of TFConfigClusterResolver and _validate_cluster_spec.

  Returns:
    The role for people, and findings.
  """
  if not text:
    return "none", []
  try:
    role, wrong = cluster(parsed(text))
  except (RecursionError, ValueError) as error:
    role, wrong = "none", [f"it is no JSON: {error}"]
  hint = ('for example {"cluster": {"worker": ["HOST:PORT"], "ps": ["HOST:PORT"]}, '
          '"task": {"type": "worker", "index": 0}}')
  return role, [Finding(f"TF_CONFIG: {why}", hint) for why in wrong]


class Scanning:
  """How `json.loads` reads, for the scanner in C that it is made of."""

  strict = True
  object_hook = object_pairs_hook = None
  parse_float, parse_int, parse_constant = float, int, float


def parsed(text):
  """`json.loads(text)`; what is right is read without the 50 ms of importing `json`."""
  import _json
  bare = text.strip(" \t\n\r")
  try:
    value, end = _json.make_scanner(Scanning)(bare, 0)
    if end == len(bare):
      return value
  except (StopIteration, SystemError):  # the latter from what needs `json` to say why
    pass
  import json
  return json.loads(text)


def cluster(config):
  """The role, and what is wrong with the cluster of a parsed TF_CONFIG."""
  if not isinstance(config, dict):
    return "none", ["expected an object"]
  jobs, task = config.get("cluster", {}), config.get("task", {})
  if not isinstance(jobs, dict) or not isinstance(task, dict):
    return "none", ["`cluster` and `task` must be objects"]
  kind, index = task.get("type"), task.get("index")
  if not isinstance(kind, (str, type(None))):
    return "none", ["the task's type must be text"]
  known = ", ".join(TASK_TYPES)
  counts, wrong = {}, []
  for job, tasks in jobs.items():
    if job not in TASK_TYPES:
      wrong.append(f"disallowed task type `{job}` in `cluster`: TensorFlow knows {known}")
    if isinstance(tasks, dict) and all(number.isdecimal() for number in tasks):
      tasks = list(tasks.values())
    if not isinstance(tasks, list):
      wrong.append(f"the tasks of `{job}` must be a list, or an object by index")
      continue
    counts[job] = len(tasks)
    wrong += [f"`{address}` of `{job}` is no HOST:PORT"
              for address in tasks if not is_address(address)]
  if kind is not None and kind not in TASK_TYPES:
    wrong.append(f"unrecognized task type `{kind}`: TensorFlow knows {known}")
  elif kind not in (None, "evaluator") and jobs and kind not in jobs:
    wrong.append(f"the task's type `{kind}` is not in `cluster`")
  for job in ("chief", "evaluator"):
    if counts.get(job, 0) > 1:
      wrong.append(f"there must be at most one `{job}`, found {counts[job]}")
  if counts.get("ps") and not counts.get("worker"):
    wrong.append("there must be at least one worker")
  if index is not None and not is_number(index):
    wrong.append(f"the task's index `{index}` is no number")
  elif kind in counts and index is None:
    wrong.append("the task has a type and no index")
  elif kind in counts and int(index) >= counts[kind]:
    wrong.append(f"the task's index {index} exceeds the maximum id of `{kind}`, "
                 f"{counts[kind] - 1}")
  return "none" if kind is None else f"{kind} {index}", wrong


def is_address(address):
  if not isinstance(address, str):
    return False
  host, _, port = address.rpartition(":")
  return bool(host) and port.isdecimal() and int(port) < 65536


def is_number(index):
  if isinstance(index, str):
    return index.isdecimal()
  return isinstance(index, int) and not isinstance(index, bool) and index >= 0


def inspect(root, identity, environ, whole):
  """The role, the files that were checked, and all findings."""
  role, wrong = check_config(environ.get("TF_CONFIG", ""))
  files = Files(root, identity)
  if whole:
    files.whole()
  else:
    files.quick()
  files.elsewhere(environ.get("HOME", ""))
  findings = (check_workspace(identity, environ) + check_scripts(root, environ)
              + check_paths(identity, environ))
  return role, files, findings + wrong + files.findings


def check(arguments, root, identity, environ):
  """`lockstep-check [--json]`."""
  unknown = [word for word in arguments if word != "--json"]
  if unknown:
    print(f"error: lockstep-check: unknown argument `{unknown[0]}`\n"
          "hint: lockstep-check [--json]", file=sys.stderr)
    return USAGE
  role, files, findings = inspect(root, identity, environ, whole=True)
  if arguments:
    import json
    report = dict(
        identity.fields, role=role, ok=not findings, files=files.checked,
        bytes=files.bytes,
        findings=[{"what": finding.what, "hint": finding.hint} for finding in findings])
    print(json.dumps(report, indent=2, sort_keys=True))
  else:
    outcome = f"{len(findings)} wrong" if findings else "all as the image was made"
    said = "\n".join([identity.line(role), *map(str, findings),
                      f"{files.checked} files, {files.bytes} bytes: {outcome}"])
    print(said.encode("utf-8", "backslashreplace").decode())  # a task's type may be anything
  return REFUSED if findings else 0


def told(findings):
  """The first findings, and how many more there are."""
  more = len(findings) - MOST
  rest = [f"error: and {more} more: lockstep-check tells all"] if more > 0 else []
  return findings[:MOST] + rest


def leave(root, said):
  """Tells Kubernetes, where it listens."""
  try:
    with open(os.path.join(root, LAST_WORDS), "r+", encoding="utf-8",
              errors="backslashreplace") as file:  # as standard error does
      print(*said, sep="\n", file=file)
  except OSError:
    pass  # nobody listens


def start(command, root, identity, environ):
  """Checks, then becomes `command`."""
  extent = environ.get("LOCKSTEP_CHECK", "quick")
  if extent not in ("quick", "whole"):
    print(f"error: LOCKSTEP_CHECK is `{extent}`: expected `quick` or `whole`",
          file=sys.stderr)
    return USAGE
  role, _, findings = inspect(root, identity, environ, extent == "whole")
  environ["LOCKSTEP_IDENTITY"] = identity.line(role)
  said = [identity.line(role), *told(findings)]
  print(*said, sep="\n", file=sys.stderr, flush=True)
  if findings:
    leave(root, said)
    return REFUSED
  for name, value in identity.environment:
    environ.setdefault(name, value)
  try:
    os.execvpe(command[0], command, environ)
  except OSError as error:
    print(f"error: cannot run `{command[0]}`: {error.strerror}", file=sys.stderr)
    return 127 if isinstance(error, FileNotFoundError) else 126


def main(arguments, environ, root="/"):
  name, *arguments = arguments
  if os.path.basename(name) != "lockstep-check":
    if not arguments or arguments[0] in ("help", "--help", "-h"):
      print(HELP, end="")
      return 0
    if arguments[0] != "lockstep-check":
      return start(arguments, root, load(root), environ)
    arguments = arguments[1:]
  return check(arguments, root, load(root), environ)


def load(root):
  """What the image says of itself; a process ends that cannot know it."""
  try:
    with open(os.path.join(root, IDENTITY), encoding="utf-8") as file:
      return Identity(file.read())
  except (OSError, ValueError) as error:
    said = [damaged(IDENTITY, error)]
    print(*said, file=sys.stderr)
    leave(root, said)
    sys.exit(REFUSED)


if __name__ == "__main__":
  sys.exit(main(sys.argv, dict(os.environ)))
