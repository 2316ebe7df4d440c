//! The cluster on a real Docker: `cluster smoke`, and `cluster verify` of tasks that run.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::cluster::render;
use xtask::command::{self, Env, cmd};
use xtask::lock::Lock;
use xtask::root::runtime::dist_packages;

use crate::cluster_smoke::{checkout, smoke};
use crate::machine;

/// The same on a real Docker, which has nothing of it afterwards, even when the command is
/// killed.
#[test]
fn docker_runs_the_same_job_and_keeps_nothing() {
    let Some(case) = crate::image::Case::with(&[("dockerd", "docker.io")]) else { return };
    let place = |name: &str| case.folder.path().join(name);
    let host = format!("unix://{}", place("docker.sock").display());
    // In a network of its own: on the host's, another dockerd's firewall would stand between
    // the containers.
    let daemon = duct::cmd!(
        "unshare",
        "--net",
        "dockerd",
        "--host",
        &host,
        "--data-root",
        place("data"),
        "--exec-root",
        place("run"),
        "--pidfile",
        place("pid"),
        "--bridge=none",
        "--iptables=false"
    );
    let _docker = machine::Server::start(daemon, &place("log"));
    let (sh, env) = (command::shell().unwrap(), Env::host(&[]).with("DOCKER_HOST", &host));
    machine::wait("dockerd", || command::read(cmd!(sh, "docker version"), &env).is_ok());
    let report = smoke("mw", "docker", &host);
    assert_eq!(report["tasks"].as_array().unwrap().len(), 3);
    verify_names_the_task_with_another_file(&case, &env);
    let left = |what: &str| {
        let list: &[&str] = match what {
            "containers" => &["ps", "-aq"],
            "running" => &["ps", "-q"],
            _ => &["network", "ls", "-q", "--filter", "name=lockstep"],
        };
        command::read(cmd!(sh, "docker {list...}"), &env).unwrap().lines().count()
    };
    assert_eq!((left("containers"), left("networks")), (0, 0));
    let started = duct::cmd!(
        env!("CARGO_BIN_EXE_xtask"),
        "cluster",
        "smoke",
        "--engine",
        "docker",
        "--strategy",
        "mw"
    )
    .dir(checkout().root())
    .env("DOCKER_HOST", &host)
    .stdout_null()
    .stderr_null()
    .unchecked()
    .start()
    .unwrap();
    machine::wait("all containers", || left("running") == 3);
    kill(Pid::from_raw(started.pids()[0].cast_signed()), Signal::SIGKILL).unwrap();
    started.wait().unwrap();
    machine::wait("the end of all", || left("containers") + left("networks") == 0);
}

/// Two tasks of the image run; then somebody writes into a library of one of them.
fn verify_names_the_task_with_another_file(case: &crate::image::Case, env: &Env) {
    let sh = &case.sh;
    let docker = |words: &[String]| {
        command::read(cmd!(sh, "docker {words...}"), env).unwrap_or_else(|error| panic!("{error}"))
    };
    let cluster = xtask::cluster::load(&checkout()).unwrap();
    let scripts = render::command::scripts(&checkout(), &cluster).unwrap();
    let folder = case.folder.path().join("scripts");
    scripts.write(&folder).unwrap();
    let plan = render::command::plan(&checkout()).unwrap();
    let lock = Lock::load(&checkout().lock()).unwrap();
    let image = xtask::image::run::named(&lock, &plan.image.short());
    let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for index in 0..2 {
        let mut run = words(format!(
            "run --detach --name train-worker-{index} --network none \
             --volume {}:/work:ro --env LOCKSTEP_WORKSPACE_ID={} --env LOCKSTEP_SCRIPTS={} \
             --label dev.lockstep.cluster=train --label dev.lockstep.role=worker \
             --label dev.lockstep.index={index} {image} python3 -c",
            folder.display(),
            plan.workspace_id,
            scripts.digest().unwrap()
        ));
        run.push("import time; time.sleep(3600)".to_owned());
        docker(&run);
    }
    let library =
        format!("/{}/tensorflow-plugins/libembedding_ops.so", dist_packages(&lock.python));
    let program = format!("open('{library}', 'r+b').write(b'?')");
    let mut change = words("exec --user 0 train-worker-1 python3 -c".to_owned());
    let xtask = env!("CARGO_BIN_EXE_xtask");
    let verify = || {
        let step = cmd!(sh, "{xtask} cluster verify --docker --check").env_clear();
        let output = step.envs(env.pairs()).ignore_status().quiet().output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{output:?}"); // not all tasks of [cluster] run
        String::from_utf8(output.stdout).unwrap()
    };
    let said = verify();
    assert!(said.starts_with("ok    train-worker-0\nok    train-worker-1\n"), "{said}");
    assert!(said.contains("wrong worker 2: no such task is there\n"), "{said}");
    change.push(program);
    docker(&change);
    let said = verify();
    let wrong = format!("wrong train-worker-1: {library} is not what the image was made with: ");
    assert!(said.starts_with(&format!("ok    train-worker-0\n{wrong}")), "{said}");
    assert_eq!(said.matches("train-worker-1").count(), 1, "{said}");
    docker(&words("rm --force train-worker-0 train-worker-1".to_owned()));
}
