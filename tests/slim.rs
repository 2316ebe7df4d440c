//! `[image] slim = true`: the image without what only compiles, tests or debugs code.

use std::path::Path;

use xtask::build::stamp::Stamps;
use xtask::build::{op, source};
use xtask::image::command::{ops_wheel, program};
use xtask::image::diff::Records;
use xtask::image::identity::Identity;
use xtask::image::layer::Layer;
use xtask::image::layout::Draft;
use xtask::image::smoke::Smoke;
use xtask::image::stack::Parts;
use xtask::image::tools::Tools;
use xtask::lock::Lock;
use xtask::store::Store;
use xtask::workspace::Workspace;

use crate::image::native;
use crate::machine;

#[test]
fn a_slim_image_passes_the_smoke_test_at_two_thirds_of_the_size() {
    let workspace = Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    let Ok(wheel) = ops_wheel(&workspace) else {
        assert!(std::env::var_os("CI").is_none(), "no ops wheel: `cargo xtask ci` makes it");
        machine::skip("no ops wheel in dist/: `cargo xtask build-ops` makes it");
        return;
    };
    let lock = Lock::load(&workspace.lock()).unwrap();
    let mut slim = lock.clone();
    slim.image.slim = true;
    let store = Store::from_env(|name| std::env::var_os(name)).unwrap();
    let sources = source::collect(&workspace, &Stamps::default(), &mut Stamps::default()).unwrap();
    let logs = workspace.scratch().join("log");
    let [whole, tools] = [&lock, &slim].map(|lock| Tools {
        lock,
        store: &store,
        engine: &native,
        logs: logs.clone(),
    });
    let open = |tools| Parts::open(tools, &wheel, program(&workspace).unwrap()).unwrap();
    let (parts, slim_parts) = (open(&whole), open(&tools));
    let whole = parts.layers(&Identity::of(&lock, &sources)).unwrap();
    let small = slim_parts.layers(&Identity::of(&slim, &sources)).unwrap();
    let bytes = |layers: &[Layer<'_>]| layers.iter().map(Layer::bytes).sum::<u64>();
    println!("{} of {} bytes", bytes(&small), bytes(&whole));
    assert!(bytes(&small) * 3 < bytes(&whole) * 2);

    let packages = op::discover(&workspace.ops()).unwrap();
    let smoke = Smoke { workspace: &workspace, tools: &tools, packages: &packages };
    let dist = tempfile::tempdir().unwrap();
    let draft = Draft::begin(dist.path(), "image").unwrap();
    let top = draft.layer(&store, &small[3], Records::Check).unwrap();
    smoke.test(&small, &draft.blob(&top)).unwrap();
}
