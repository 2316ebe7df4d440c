"""Reads rendered files with the schemas that their projects publish.

Arguments: files of Kubernetes objects. The package `kubernetes-validate` carries the JSON
schemas of Kubernetes' own objects; `kubeflow-trainer-api` has JobSet's, as pydantic models;
`kubeflow-training` TFJob's, as classes that say the type of each key.
"""

import re
import sys

import kubernetes.client
import kubernetes_validate
import yaml
from kubeflow import training
from kubeflow_trainer_api.models.jobset_v1alpha2_job_set import JobsetV1alpha2JobSet

# What the classes' types are in YAML.
PLAIN = {"str": str, "bool": bool, "int": int, "float": (int, float), "object": object}


def known(document, model):
  """Keys that the model does not have are left out by it, so they are looked for."""
  read = model.from_dict(document).to_dict()
  unknown(document, read, "")


def unknown(document, read, path):
  if isinstance(document, dict):
    for key, value in document.items():
      if key not in read:
        raise ValueError(f"{path}.{key} is unknown")
      unknown(value, read[key], f"{path}.{key}")
  elif isinstance(document, list):
    for index, (one, other) in enumerate(zip(document, read, strict=True)):
      unknown(one, other, f"{path}[{index}]")


def typed(value, kind, path):
  """The value as the class `kind`, which refuses what lacks a required key."""
  if parts := re.fullmatch(r"dict\(str, (.+)\)", kind):
    return {key: typed(one, parts[1], f"{path}.{key}") for key, one in value.items()}
  if parts := re.fullmatch(r"list\[(.+)\]", kind):
    return [typed(one, parts[1], f"{path}[{index}]") for index, one in enumerate(value)]
  if kind in PLAIN:
    if not isinstance(value, PLAIN[kind]) or kind == "int" and isinstance(value, bool):
      raise ValueError(f"{path} is {value!r}, expected {kind}")
    return value
  model = getattr(training, kind, None) or getattr(kubernetes.client, kind)
  names = {key: name for name, key in model.attribute_map.items()}
  if strange := [key for key in value if key not in names]:
    raise ValueError(f"{path}.{strange[0]} is unknown to {kind}")
  return model(**{
      names[key]: typed(one, model.openapi_types[names[key]], f"{path}.{key}")
      for key, one in value.items()})


def as_job(template):
  return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"},
          "spec": {"template": template}}


def objects(document):
  """Objects of Kubernetes itself that stand for the document."""
  kind = document["kind"]
  if kind == "JobSet":
    known(document, JobsetV1alpha2JobSet)
    for job in document["spec"]["replicatedJobs"]:
      yield as_job(job["template"]["spec"]["template"])
  elif kind == "TFJob":
    typed(document, "KubeflowOrgV1TFJob", "TFJob")
    for replica in document["spec"]["tfReplicaSpecs"].values():
      pod = dict(replica["template"]["spec"], restartPolicy="Never")
      yield as_job({"metadata": replica["template"]["metadata"], "spec": pod})
  else:
    yield document


def main():
  read = 0
  for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
      for document in yaml.safe_load_all(file):
        for value in objects(document):
          kubernetes_validate.validate(value, kubernetes_validate.latest_version(), strict=True)
          read += 1
  print(read)


if __name__ == "__main__":
  main()
