//! `[image] compression = "zstd"`: a registry, skopeo and Podman take the layers as they are.

use std::fs;
use std::path::Path;

use xtask::build::source;
use xtask::build::stamp::Stamps;
use xtask::cluster::smoke::unpacked;
use xtask::command::cmd;
use xtask::image::command::{ops_wheel, program};
use xtask::image::diff::Records;
use xtask::image::identity::{self, Identity};
use xtask::image::layer::Layer;
use xtask::image::layout::Draft;
use xtask::image::oci::{self, Image};
use xtask::image::push::push;
use xtask::image::run::Written;
use xtask::image::stack::Parts;
use xtask::image::tools::Tools;
use xtask::image::{archive, zstd};
use xtask::lock::{Compression, Lock};
use xtask::store::Store;
use xtask::verify::bundle::Bundle;
use xtask::verify::expected::Expected;

use crate::image::{Case, native};
use crate::registry::Service;

/// The image of the lowest and the top layer: kilobytes and some megabytes tell as much as all.
fn written(tools: &Tools<'_>, layers: &[&Layer<'_>], dist: &Path) -> Written {
    let draft = Draft::begin(dist, "image").unwrap();
    let layer = |layer: &&Layer<'_>| oci::Layer {
        name: layer.name().to_owned(),
        about: String::new(),
        blob: zstd::layer(&draft, tools, layer, Records::Check).unwrap(),
        compression: Compression::Zstd,
    };
    let image = Image {
        platform: tools.lock.platform.clone(),
        epoch: tools.lock.epoch,
        start: identity::start(tools.lock),
        labels: Default::default(),
        layers: layers.iter().map(layer).collect(),
    };
    let documents = image.documents("zstd").unwrap();
    draft.documents(&documents).unwrap();
    let place = draft.publish().unwrap();
    Written { image, documents, place }
}

/// Lets this thread, and what it starts, have one processor.
fn on_one_processor() {
    let this = nix::unistd::Pid::from_raw(0);
    let all = nix::sched::sched_getaffinity(this).unwrap();
    let first = (0..nix::sched::CpuSet::count()).find(|at| all.is_set(*at).unwrap()).unwrap();
    let mut one = nix::sched::CpuSet::new();
    one.set(first).unwrap();
    nix::sched::sched_setaffinity(this, &one).unwrap();
}

#[test]
fn zstd_layers_are_pushed_and_come_back_and_podman_and_docker_load_the_image() {
    let programs =
        [("skopeo", "skopeo"), ("docker-registry", "docker-registry"), ("podman", "podman")];
    let Some(case) = Case::with(&programs) else { return };
    let (sh, place, here) = (&case.sh, case.folder.path(), case.workspace());
    let mut lock = Lock::load(&here.lock()).unwrap();
    lock.image.compression = Compression::Zstd;
    let store = Store::from_env(|name| std::env::var_os(name)).unwrap();
    let sources = source::collect(&here, &Stamps::default(), &mut Stamps::default()).unwrap();
    let (identity, wheel) = (Identity::of(&lock, &sources), ops_wheel(&here).unwrap());
    let tools = Tools { lock: &lock, store: &store, engine: &native, logs: place.join("log") };
    let parts = Parts::open(&tools, &wheel, program(&here).unwrap()).unwrap();
    let layers = parts.layers(&identity).unwrap();
    let layers = [&layers[0], &layers[3]];

    let image = written(&tools, &layers, &place.join("dist"));
    let again = std::thread::scope(|scope| {
        let alone = || {
            on_one_processor();
            let draft = Draft::begin(&place.join("alone"), "image").unwrap();
            layers.map(|layer| zstd::make(&draft, &tools, layer, Records::Check).unwrap())
        };
        scope.spawn(alone).join().unwrap()
    });
    assert_eq!(image.image.layers.iter().map(|one| one.blob).collect::<Vec<_>>(), again);

    let service = Service::start(place, "");
    let name = push(&service.ops(), &image, "zstd", None).unwrap().name;
    let (from, back) = (format!("docker://{name}"), place.join("back"));
    let to = format!("oci:{}:back", back.display());
    case.run(cmd!(sh, "skopeo --insecure-policy copy --src-tls-verify=false {from} {to}"));
    let expected = Expected {
        layers: image.image.layers.iter().map(|one| ("zstd", one.blob.diff_id)).collect(),
        manifest: image.documents.manifest.digest,
        config: image.documents.config.clone(),
    };
    let pulled = Bundle::of_registry(service.at(&name)).unwrap();
    let tar = place.join("image.tar");
    archive::write(&image, "localhost/zstd:1", &tar).unwrap();
    let read = unpacked::Image::at(image.place.clone()).unwrap();
    assert_eq!(read.layers, image.image.layers);
    let smoke = place.join("smoke.tar");
    read.docker(lock.epoch).write("localhost/zstd:1", &smoke).unwrap();
    assert!(fs::read(&smoke).unwrap() == fs::read(&tar).unwrap(), "docker is given another image");
    for bundle in [pulled, Bundle::of_folder(&back).unwrap(), Bundle::of_tar(&tar).unwrap()] {
        let findings = xtask::verify::image::verify(&bundle, &expected).unwrap();
        assert!(findings.is_empty(), "{}: {}", bundle.name(), findings[0]);
    }

    let (root, run) = (place.join("podman"), place.join("podman-run"));
    let podman = ["--root", root.to_str().unwrap(), "--runroot", run.to_str().unwrap()];
    let id = case.run(cmd!(sh, "podman {podman...} pull -q --tls-verify=false {name}"));
    let config = image.documents.config.digest;
    assert_eq!(id.trim(), config.to_string());
    let id = id.trim();
    case.run(cmd!(sh, "podman {podman...} rmi -f {id}"));
    case.run(cmd!(sh, "podman {podman...} load -q -i {tar}"));
    let ids = ["--no-trunc", "--format", "{{.ID}}"];
    let loaded = case.run(cmd!(sh, "podman {podman...} images {ids...}"));
    assert_eq!(loaded.trim(), format!("sha256:{config}"));
}
