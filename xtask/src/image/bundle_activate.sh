# To be sourced, in each shell that starts a task: `. lockstep-bundle/activate`, after a
# virtual environment's own `activate`. It sets what the image sets: processes find the
# TensorFlow and the ops that were installed from this bundle, and nobody else's.

lockstep_python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
lockstep_site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
if [ "$lockstep_python" != "@PYTHON@" ]; then
  echo "error: python3 is $lockstep_python: this bundle is for @PYTHON@" >&2
  echo "hint: put a Python @PYTHON@ first in PATH: python@PYTHON@ -m venv FOLDER" >&2
  false
elif [ ! -d "$lockstep_site/tensorflow" ]; then
  echo "error: there is no TensorFlow in $lockstep_site" >&2
  echo "hint: python3 -m pip install --require-hashes --no-deps -r requirements.txt" >&2
  false
else
  export PYTHONPATH="$lockstep_site" LD_LIBRARY_PATH="$lockstep_site/tensorflow"
  export PYTHONNOUSERSITE=1
fi
