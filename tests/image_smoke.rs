//! The smoke test: an image whose op is broken never gets its name.

use std::path::Path;

use xtask::build::op;
use xtask::build::source;
use xtask::build::stamp::Stamps;
use xtask::command::{self, Env, cmd};
use xtask::error::Kind;
use xtask::image::identity::Identity;
use xtask::image::layer::Layer;
use xtask::image::smoke::Smoke;
use xtask::image::stack::Parts;
use xtask::image::tools::Tools;
use xtask::image::{command as image, run};
use xtask::ledger::Ledger;
use xtask::lock::Lock;
use xtask::store::Store;
use xtask::workspace::Workspace;

use crate::image::native;
use crate::machine;

/// Writes the wheel `argv[1]` into the folder `argv[2]` with an op under another name, and a
/// RECORD that agrees: nothing but running the op can tell.
const BREAK: &str = r#"
import base64, hashlib, os, sys, zipfile
old, folder = sys.argv[1:]
with zipfile.ZipFile(old) as wheel, \
    zipfile.ZipFile(os.path.join(folder, os.path.basename(old)), "w") as new:
  rows = []
  for name in wheel.namelist():
    content = wheel.read(name)
    if name.endswith("/RECORD"):
      own = name
      continue
    if name.endswith("libembedding_ops.so"):
      assert b"RowAdagrad" in content
      content = content.replace(b"RowAdagrad", b"RowAdagrab")
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    rows.append(f"{name},sha256={digest},{len(content)}\n")
    new.writestr(name, content)
  new.writestr(own, "".join(rows) + own + ",,\n")
"#;

#[test]
fn an_image_with_a_broken_op_does_not_get_its_name() {
    let workspace = Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    let Ok(wheel) = image::ops_wheel(&workspace) else {
        assert!(std::env::var_os("CI").is_none(), "no ops wheel: `cargo xtask ci` makes it");
        machine::skip("no ops wheel in dist/: `cargo xtask build-ops` makes it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (sh, dist) = (command::shell().unwrap(), folder.path().join("dist"));
    let broken = folder.path();
    command::read(cmd!(sh, "python3 -c {BREAK} {wheel} {broken}"), &Env::host(&[])).unwrap();
    let broken = broken.join(wheel.file_name().unwrap());

    let lock = Lock::load(&workspace.lock()).unwrap();
    let store = Store::from_env(|name| std::env::var_os(name)).unwrap();
    let sources = source::collect(&workspace, &Stamps::default(), &mut Stamps::default()).unwrap();
    let identity = Identity::of(&lock, &sources);
    let program = image::program(&workspace).unwrap();
    let packages = op::discover(&workspace.ops()).unwrap();
    let logs = workspace.scratch().join("log");
    let tools = Tools { lock: &lock, store: &store, engine: &native, logs };
    let parts = Parts::open(&tools, &broken, program).unwrap();
    let smoke = Smoke { workspace: &workspace, tools: &tools, packages: &packages };
    let outputs = Ledger::read(&workspace).unwrap().rows;
    let test = |layers: &[Layer<'_>], top: &Path| smoke.test(layers, top);
    let written = run::write(&identity, &parts, &tools, &dist, &outputs, Some(test));
    let Err(error) = written else { panic!("a broken image was written") };
    assert_eq!(error.kind(), Kind::Tool, "{error}");
    let start = "the image fails its smoke test `embedding_ops`";
    assert!(error.message().starts_with(start), "{error}");
    let left: Vec<_> = dist.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [""; 0], "a folder for a failed image");
}
