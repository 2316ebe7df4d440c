"""What the smoke test's scripts share: how a task talks to whoever started it.

A line that begins with `@ ` is for the launcher: `@ up`, `@ step 20 of 200 loss 0.5`,
`@ result loss 0.01`, `@ done`, `@ peak BYTES`. Everything else is only kept in the log.
"""

import json
import os
import resource
import signal
import sys
import threading

CONFIG = json.loads(os.environ["TF_CONFIG"])
ROLE, INDEX = CONFIG["task"]["type"], int(CONFIG["task"]["index"])

# Before TensorFlow starts its threads, so that no other one takes the signal.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def say(*words):
  """Tells the launcher; one write, so that no other thread's words come between."""
  sys.stdout.write(" ".join(("@", *map(str, words))) + "\n")
  sys.stdout.flush()


def leave(code=0):
  """Ends this process at once: TensorFlow's servers never do."""
  say("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
  os._exit(code)


def fail(why):
  print(f"error: {why}", flush=True)
  leave(1)


def _until_told():
  signal.sigwait([signal.SIGTERM])
  leave()


threading.Thread(target=_until_told, daemon=True).start()


def serve():
  """Does nothing more: TensorFlow's threads serve, and the launcher says when to leave."""
  while True:
    signal.pause()


def run(main):
  """Runs a task's work; its error is the task's.

  Who is done waits for the others: a worker that leaves in the middle of the last exchange
  keeps the others waiting.
  """
  try:
    main()
  except BaseException:  # pylint: disable=broad-exception-caught
    import traceback
    traceback.print_exc()
    leave(1)
  say("done")
  serve()
