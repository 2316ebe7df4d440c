"""A cluster on the loopback interface, each task started as in production.

`smoke_cluster.py ENTRYPOINT` starts a worker and a parameter server, which have done
nothing but import TensorFlow, and a chief, which has each op run on both. The chief looks
an op up by what its library registers: a package need not be known here.

An op ran on a task when its outputs are there, or when it was the task that refused the
inputs, which are made up from the op's signature: then it was found, and its kernel asked.
"""

import glob
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile

SECONDS = 300
TASKS = ("worker", "ps")

SERVER = """
import tensorflow as tf
task = tf.distribute.cluster_resolver.TFConfigClusterResolver()
server = tf.distribute.Server(
    task.cluster_spec(), job_name=task.task_type, task_index=task.task_id)
server.join()
"""


def cluster():
  """Addresses that nobody has now."""
  kept = [socket.socket() for _ in ("chief", *TASKS)]
  for one in kept:
    one.bind(("127.0.0.1", 0))
  addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in kept]
  for one in kept:
    one.close()
  return {job: [address] for job, address in zip(("chief", *TASKS), addresses)}


def start(entrypoint, spec, job, command):
  config = json.dumps({"cluster": spec, "task": {"type": job, "index": 0}})
  return subprocess.Popen(
      [entrypoint, sys.executable, "-c", *command], env=dict(os.environ, TF_CONFIG=config))


def main(entrypoint):
  spec = cluster()
  servers = [start(entrypoint, spec, job, [SERVER]) for job in TASKS]
  chief = start(entrypoint, spec, "chief", [sys.orig_argv[-2], "chief"])
  try:
    return chief.wait(SECONDS)
  except subprocess.TimeoutExpired:
    print(f"error: the chief has not ended after {SECONDS} s")
    return 1
  finally:
    for process in (chief, *servers):
      process.kill()
      process.wait()


def libraries():
  import lockstep_loader
  site = os.path.dirname(os.path.abspath(lockstep_loader.__file__))
  return sorted(glob.glob(os.path.join(site, "tensorflow-plugins", "lib*.so")))


def check_paths(library):
  """The wrapper has the ops, whoever asked for the library by another path before."""
  import lockstep_loader
  import tensorflow as tf
  name = os.path.basename(library)
  with tempfile.TemporaryDirectory() as folder:
    other = os.path.join(folder, name)
    os.symlink(library, other)
    module = tf.load_op_library(other)
    found = [key for key in vars(module) if not key.startswith("_")]
    print(f"{name} by another path: {len(found)} names")
    return lockstep_loader.load(name[len("lib"):-len(".so")])


def registered(library):
  from tensorflow.core.framework import op_def_pb2
  from tensorflow.python.client import pywrap_tf_session
  handle = pywrap_tf_session.TF_LoadLibrary(library)
  return op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetOpList(handle)).op


def kernel_types(op):
  """The types that the first kernel on the CPU takes, by attribute."""
  from tensorflow.python.framework import kernels
  for kernel in kernels.get_registered_kernels_for_op(op.name).kernel:
    if kernel.device_type == "CPU":
      return {c.name: c.allowed_values.list.type[0] for c in kernel.constraint}
  raise SystemExit(f"error: {op.name} has no kernel on the CPU")


def types(op):
  """A type for each attribute that is one."""
  chosen = kernel_types(op)
  for attr in op.attr:
    if attr.type == "type" and attr.name not in chosen:
      allowed = attr.allowed_values.list.type
      default = attr.default_value.type
      chosen[attr.name] = default or (allowed[0] if allowed else 1)  # 1 is DT_FLOAT
  return chosen


def value(kind):
  import tensorflow as tf
  dtype = tf.as_dtype(kind)
  return tf.constant("x") if dtype == tf.string else tf.cast(1, dtype)


RESOURCE = 20  # DT_RESOURCE


def inputs(op, ranks):
  """A scalar for each input; where a resource is wanted a variable of the next of `ranks`."""
  import tensorflow as tf
  chosen, given, variables = types(op), {}, []
  for arg in op.input_arg:
    kind = arg.type or chosen.get(arg.type_attr, 1)
    if kind == RESOURCE:
      element = tf.as_dtype(chosen.get("T", 1))
      variables.append(tf.Variable(tf.ones([1] * ranks[len(variables)], element)))
      one = variables[-1].handle
    else:
      one = value(kind)
    given[arg.name] = [one] if arg.number_attr or arg.type_list_attr else one
  return given, variables


def attributes(op):
  """Those that have no default and follow from no input."""
  made_up = {"int": 1, "float": 1.0, "bool": False, "string": "x", "shape": [],
             "list(int)": [1], "list(float)": [1.0], "list(string)": ["x"],
             "list(shape)": [[]], "list(bool)": [False], "list(type)": [1]}
  chosen, given = types(op), {}
  follow = {name for arg in op.input_arg
            for name in (arg.type_attr, arg.number_attr, arg.type_list_attr)}
  for attr in op.attr:
    if attr.name in follow or attr.HasField("default_value"):
      continue
    if attr.type == "type":
      given[attr.name] = chosen[attr.name]
    elif attr.type == "string" and attr.allowed_values.list.s:
      given[attr.name] = attr.allowed_values.list.s[0]
    else:
      given[attr.name] = made_up[attr.type]
  return given


def unknown(one):
  """The same value, of a shape that is known only when it runs: it is for the op to refuse."""
  import tensorflow as tf
  if isinstance(one, list):
    return [unknown(item) for item in one]
  return one if one.dtype == tf.resource else tf.compat.v1.placeholder_with_default(one, None)


def reason(message):
  """The line that a kernel wrote, in a message that tells a stack too."""
  lines = [line.strip() for line in message.splitlines()]
  told = [one for one, after in zip(lines, lines[1:]) if after.startswith("[[{{node")]
  return told[0] if told else lines[0]


def run(raw, op, job):
  """How `op` fares on the task of `job`; ends the program when it is not there."""
  resources = sum(arg.type == RESOURCE for arg in op.input_arg)
  told = ""
  for ranks in itertools.product(range(5), repeat=resources):
    try:
      return run_with(raw, op, f"/job:{job}/replica:0/task:0", ranks)
    except ValueError as error:  # the op's shape function, here: variables have shapes
      told = error
  raise SystemExit(f"error: {op.name} cannot be asked with variables of any rank: {told}")


def run_with(raw, op, task, ranks):
  import tensorflow as tf
  with tf.device(task):
    given, _kept = inputs(op, ranks)

    @tf.function
    def step():
      made = raw(**{name: unknown(one) for name, one in given.items()}, **attributes(op))
      return [one for one in tf.nest.flatten(made) if isinstance(one, tf.Tensor)]

    try:
      places = {one.backing_device for one in step()}
    except tf.errors.OpError as error:
      told = str(error)
      refused = isinstance(error, (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError))
      if refused and task in told and "not registered" not in told:
        return f"asked; it refuses these inputs: {reason(error.message)}"
      raise SystemExit(f"error: {op.name} on {task}: {told}") from error
  if not all(place.startswith(task) for place in places):
    raise SystemExit(f"error: {op.name}: asked to run on {task}, ran on {places}")
  return "ran"


def chief():
  import tensorflow as tf
  task = tf.distribute.cluster_resolver.TFConfigClusterResolver()
  tf.distribute.ParameterServerStrategy(task)  # makes this process the chief
  found = libraries()
  if not found:
    print("error: there is no library in tensorflow-plugins")
    return 1
  for library, job in itertools.product(found, TASKS):
    module = check_paths(library)
    for op in registered(library):
      print(f"{op.name} on {job}: {run(getattr(module, op.name), op, job)}", flush=True)
  return 0


if __name__ == "__main__":
  sys.exit(chief() if sys.argv[1] == "chief" else main(sys.argv[1]))
