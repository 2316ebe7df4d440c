//! The image in a registry: Debian's `docker-registry`, on loopback.

use std::fs;
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use xtask::build::source;
use xtask::build::stamp::Stamps;
use xtask::command::{self, Env, cmd};
use xtask::digest::Sha256;
use xtask::error::Kind;
use xtask::fetch::Options;
use xtask::fetch::registry::{INDEX, MANIFESTS, Manifest, Purpose, Registry};
use xtask::image::command::{ops_wheel, program};
use xtask::image::identity::Identity;
use xtask::image::layer::Layer;
use xtask::image::oci::{self, Blob, Image, Start};
use xtask::image::push::{How, push};
use xtask::image::run::{self, Written};
use xtask::image::stack::Parts;
use xtask::image::tools::Tools;
use xtask::lock::{Compression, Lock};
use xtask::reference::Reference;
use xtask::store::Store;
use xtask::verify::bundle::Bundle;
use xtask::verify::expected::Expected;
use xtask::workspace::Workspace;

use crate::image::{Case, native, xtask};
use crate::machine::{self, Server, wait};

const PROGRAMS: [(&str, &str); 2] = [("skopeo", "skopeo"), ("docker-registry", "docker-registry")];

/// A registry server.
pub struct Service {
    address: String,
    _server: Server,
}

impl Service {
    /// Starts it with its data below `place`; `more` goes into its configuration.
    pub fn start(place: &Path, more: &str) -> Service {
        // Between the choice of a port and its use another test may get it.
        (0..5).find_map(|_| Self::try_start(place, more)).unwrap_or_else(|| {
            panic!("{}", fs::read_to_string(place.join("registry.log")).unwrap())
        })
    }

    fn try_start(place: &Path, more: &str) -> Option<Service> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let (config, data, log) =
            (place.join("config.yml"), place.join("data"), place.join("registry.log"));
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n{more}",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let program = duct::cmd!("docker-registry", "serve", &config);
        let server = Server::start(program, &log);
        let listens = || fs::read_to_string(&log).unwrap().contains("listening on ");
        wait("the registry", || listens() || server.ended());
        listens().then_some(Service { address, _server: server })
    }

    /// Its repository `team/ops`.
    pub fn ops(&self) -> Registry {
        self.at(&format!("{}/team/ops", self.address))
    }

    pub fn at(&self, name: &str) -> Registry {
        let reference = name.parse().unwrap();
        Registry::open(&reference, Purpose::Push, false, &Options::from_env(false)).unwrap()
    }
}

fn blobs(layout: &Path) -> Vec<String> {
    let bundle = Bundle::of_folder(layout).unwrap();
    bundle.names().filter(|name| name.starts_with("blobs/")).map(str::to_owned).collect()
}

/// Pushed, pushed again, signed, pulled back, verified, damaged, verified.
#[test]
fn what_is_pushed_is_there_once_and_comes_back_as_it_was() {
    let Some(case) = Case::with(&PROGRAMS) else { return };
    let (sh, xtask, place) = (&case.sh, xtask(), case.folder.path());
    let service = Service::start(place, "");
    let name = format!("{}/team/ops", service.address);
    let exact = format!("{name}@{}", case.digest);
    let said = case.run(cmd!(sh, "{xtask} --offline image --no-smoke --push {name}:1"));
    assert_eq!(said, format!("{exact}\n"));

    let path = cosign(place);
    let again = cmd!(sh, "{xtask} --offline image --no-smoke --json --push {name}:1 --sign=my.key");
    let said = command::read(again, &case.env.clone().with("PATH", path)).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["pushed"]["name"], exact);
    assert_eq!(said["pushed"]["bytes"], 0, "{said}");
    let how = said["pushed"]["blobs"].as_array().unwrap();
    assert!(how.len() == 5 && how.iter().all(|blob| blob["how"] == "there"), "{said}");
    assert_eq!(
        fs::read_to_string(place.join("signed")).unwrap(),
        format!("sign --key my.key {exact}\n")
    );

    let back = place.join("back");
    let (from, to) = (format!("docker://{exact}"), format!("oci:{}", back.display()));
    case.run(cmd!(sh, "skopeo --insecure-policy copy --src-tls-verify=false {from} {to}"));
    let pulled: Vec<String> = blobs(&back);
    assert!(pulled.iter().all(|name| blobs(&case.layout).contains(name)), "{pulled:?}");
    assert!(pulled.contains(&format!("blobs/{}", case.digest.replace(':', "/"))));

    for from in [&from, &format!("docker://{name}:1")] {
        let said = case.run(cmd!(sh, "{xtask} verify {from}"));
        assert!(said.ends_with("as workspace.lock and the committed ledger say\n"), "{said}");
    }
    damage(&case, &place.join("data"));
    let error = command::read(cmd!(sh, "{xtask} verify {from}"), &case.env).unwrap_err();
    // Which it is hangs on the byte: no gzip stream any more, or another one.
    let codes = [9, 10].map(|code| format!("failed with exit code {code}:"));
    assert!(codes.iter().any(|code| error.message().contains(code)), "{error}");
    let (digest, _) = case.layers().pop().unwrap();
    assert!(error.message().contains(&digest.replace(':', "/")), "{error}");
}

/// A stand-in for cosign, which writes down how it was called; returns the `PATH` that has it.
fn cosign(place: &Path) -> String {
    let folder = place.join("bin");
    fs::create_dir(&folder).unwrap();
    let log = place.join("signed");
    let text = format!("#!/bin/sh\necho signing\necho \"$@\" >> {}\n", log.display());
    let program = folder.join("cosign");
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// Changes a byte of the top layer in the registry's own folder.
fn damage(case: &Case, data: &Path) {
    let (digest, _) = case.layers().pop().unwrap();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let blob = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let blob = data.join(blob);
    let mut bytes = fs::read(&blob).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&blob, bytes).unwrap();
}

/// The image of `dist/` with another top layer, as after an edit of an op, and with what is
/// said about it.
fn edited(case: &Case, place: &Path) -> Written {
    let folder = place.join("oci/blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    let mut layers = Vec::new();
    for (digest, size) in case.layers() {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let from = case.layout.join("blobs/sha256").join(hex);
        std::os::unix::fs::symlink(&from, folder.join(hex)).unwrap();
        let digest = hex.parse().unwrap();
        let blob = Blob { digest, size, diff_id: digest };
        let compression = Compression::Gzip;
        layers.push(oci::Layer { name: hex.to_owned(), about: String::new(), blob, compression });
    }
    let top = layers.last_mut().unwrap();
    let mut bytes = fs::read(folder.join(&top.name)).unwrap();
    bytes.extend(b"edited");
    let digest = Sha256::of(&bytes);
    fs::write(folder.join(digest.to_string()), &bytes).unwrap();
    top.blob = Blob { digest, size: bytes.len() as u64, diff_id: digest };
    for file in ["sbom.spdx.json", "provenance.intoto.json"] {
        fs::write(place.join(file), format!("{{\"what\":\"{file}\"}}")).unwrap();
    }
    let image = Image {
        platform: "linux/amd64".to_owned(),
        epoch: 7,
        start: Start::default(),
        labels: Default::default(),
        layers,
    };
    let documents = image.documents("t").unwrap();
    Written { image, documents, place: place.to_owned() }
}

#[test]
fn after_an_edit_only_kilobytes_are_sent_and_what_is_said_about_the_image_is_attached() {
    let Some(case) = Case::with(&PROGRAMS) else { return };
    let place = case.folder.path();
    let service = Service::start(place, "");
    let (from, to) = (
        format!("oci:{}", case.layout.display()),
        format!("docker://{}/team/ops:x", service.address),
    );
    case.run(cmd!(case.sh, "skopeo --insecure-policy copy --dest-tls-verify=false {from} {to}"));
    let written = edited(&case, &place.join("edited"));
    let pushed = push(&service.ops(), &written, "edited", None).unwrap();
    let whole: u64 = case.layers().iter().map(|(_, size)| size).sum();
    println!("sent {} of {whole} bytes", pushed.bytes);
    assert!(pushed.bytes < whole / 100, "{} of {whole}", pushed.bytes);
    let how: Vec<How> = pushed.blobs.iter().map(|blob| blob.how).collect();
    assert_eq!(how, [How::There, How::There, How::There, How::Sent, How::Sent]);
    assert_eq!(pushed.attached, ["provenance.intoto.json", "sbom.spdx.json"]);

    let registry = service.ops();
    let subject = written.documents.manifest.digest;
    let list = registry.manifest(&format!("sha256-{subject}"), &[INDEX]).unwrap().unwrap();
    let entries = json_of(&list)["manifests"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        let digest = entry["digest"].as_str().unwrap();
        let manifest = registry.manifest(digest, &MANIFESTS).unwrap().unwrap();
        let manifest = json_of(&manifest);
        assert_eq!(manifest["subject"]["digest"], format!("sha256:{subject}"));
        assert_eq!(manifest["artifactType"], entry["artifactType"]);
        let file = entry["annotations"]["org.opencontainers.image.title"].as_str().unwrap();
        let layer = &manifest["layers"][0];
        let digest = layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let text = registry.small(&digest.parse().unwrap(), layer["size"].as_u64().unwrap());
        assert_eq!(text.unwrap(), fs::read(written.place.join(file)).unwrap());
    }
    assert_eq!(push(&registry, &written, "edited", None).unwrap().bytes, 0);
}

fn json_of(manifest: &Manifest) -> Value {
    serde_json::from_slice(&manifest.text).unwrap()
}

/// Stands between a client and the registry at `to`: cuts the connection once, `after` bytes
/// behind the start of the second chunk of a blob. Its address, and how many bytes it let
/// through.
fn cutter(to: &str, after: usize) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (to, through) = (to.to_owned(), Arc::new(AtomicU64::new(0)));
    let (count, chunks) = (through.clone(), Arc::new(AtomicU64::new(0)));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).unwrap();
            let (mut back, mut answer) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || io::copy(&mut answer, &mut back));
            let (count, chunks) = (count.clone(), chunks.clone());
            std::thread::spawn(move || forward(client, server, after, &count, &chunks));
        }
    });
    (address, through)
}

fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    after: usize,
    through: &AtomicU64,
    chunks: &AtomicU64,
) {
    let (mut buffer, mut left) = (vec![0; 64 << 10], None);
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        // A request begins where the answer to the last one was waited for.
        if buffer.starts_with(b"PATCH ") && chunks.fetch_add(1, Ordering::Relaxed) == 1 {
            left = Some(after);
        }
        let count = left.map_or(read, |left| left.min(read));
        through.fetch_add(count as u64, Ordering::Relaxed);
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
        left = left.map(|left| left - count);
        if left == Some(0) {
            break;
        }
    }
    for end in [client, server] {
        let _closed = end.shutdown(Shutdown::Both);
    }
}

#[test]
fn after_a_cut_a_registry_gets_the_rest_or_all_of_it_again() {
    if !machine::has(&PROGRAMS[1..]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), "");
    const CHUNK: u64 = 1 << 20;
    let noise = (0..110_000_u32).flat_map(|n| *Sha256::of(&n.to_le_bytes()).bytes());
    let noise: Vec<u8> = noise.collect();
    // Of a chunk that was cut within docker-registry keeps a piece, and then knows neither it
    // nor what came before.
    for (after, all) in [(0, false), (100_000, true)] {
        let bytes = [&noise[..], &after.to_string().into_bytes()].concat();
        let (digest, size) = (Sha256::of(&bytes), bytes.len() as u64);
        let (address, through) = cutter(&service.address, after);
        let mut options = Options::from_env(false);
        options.limits.chunk = CHUNK;
        let reference = format!("{address}/team/ops").parse().unwrap();
        let registry = Registry::open(&reference, Purpose::Push, false, &options).unwrap();
        let open = |from: u64| Ok(Box::new(&bytes[from as usize..]) as Box<dyn Read + '_>);
        registry.upload(&digest, size, &open).unwrap();
        assert!(service.ops().has(&digest, size).unwrap());
        let more = through.load(Ordering::Relaxed) - size;
        assert_eq!(more > CHUNK, all, "{more} bytes more than the blob has");
    }
}

/// `me` and `pass`, as htpasswd writes them.
const USERS: &str = "me:$2b$04$tuNhKkfTnoNSJCETMOGiyO6E0icMmyaoSwRUfqlxl9oRy4EWRlJNq\n";

#[test]
fn a_registry_that_asks_who_one_is_gets_the_users_own_credentials() {
    if !machine::has(&PROGRAMS[1..]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let (users, auth) = (place.join("users"), place.join("auth.json"));
    fs::write(&users, USERS).unwrap();
    let service = Service::start(
        place,
        &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display()),
    );
    let (sh, xtask) = (command::shell().unwrap(), xtask());
    let name = format!("docker://{}/team/ops@sha256:{}", service.address, Sha256::of(b""));
    let verify = |secret: &str| {
        let file = json!({"auths": {&service.address: {"auth": secret}}});
        fs::write(&auth, file.to_string()).unwrap();
        let env =
            Env::host(&["LOCKSTEP_STORE", "XDG_CACHE_HOME"]).with("REGISTRY_AUTH_FILE", &auth);
        let error = command::read(cmd!(sh, "{xtask} verify {name}"), &env).unwrap_err();
        assert_eq!(error.kind(), Kind::Tool);
        let message = error.message().replace(xtask, "XTASK");
        message.replace(&service.address, "HOST").replace(&*place.to_string_lossy(), "")
    };
    assert!(verify("bWU6cGFzcw==").contains("the registry has no such image"));
    insta::assert_snapshot!(verify("bWU6bm8="), @r"
    `XTASK` failed with exit code 6:
      error: HOST/team/ops: cannot read the manifest `sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`: HTTP status 401 Unauthorized (UNAUTHORIZED: authentication required)
      hint: the credentials for HOST in /auth.json are not accepted
      hint: run `docker login HOST` or `podman login HOST`
    ");
    insta::assert_snapshot!(verify(""), @r"
    `XTASK` failed with exit code 6:
      error: HOST/team/ops: cannot read the manifest `sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`: HTTP status 401 Unauthorized (UNAUTHORIZED: authentication required)
      hint: no credentials for HOST are in /auth.json
      hint: run `docker login HOST` or `podman login HOST`
    ");
}

#[test]
fn what_cannot_be_pushed_is_said_before_anything_is_built() {
    let (sh, xtask) = (command::shell().unwrap(), xtask());
    let env = Env::host(&[]).with("PATH", "/nowhere").with("LOCKSTEP_STORE", "/nowhere");
    let refused = |words: &[&str]| {
        command::read(cmd!(sh, "{xtask} image {words...}"), &env)
            .unwrap_err()
            .message()
            .replace(xtask, "XTASK")
    };
    insta::assert_snapshot!(refused(&["--push", "127.0.0.1:1/ops", "--sign"]), @r"
    `XTASK` failed with exit code 3:
      error: this machine has no `cosign`
      hint: install it, or leave out --sign and sign the printed name elsewhere
    ");
    insta::assert_snapshot!(refused(&["--offline", "--push", "registry.example/ops"]), @r"
    `XTASK` failed with exit code 2:
      error: `--push registry.example/ops`: --offline is given
    ");
    insta::assert_snapshot!(refused(&["--push", &format!("registry.example/ops@sha256:{}", Sha256::of(b""))]), @r"
    `XTASK` failed with exit code 2:
      error: `--push registry.example/ops@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`: a digest is what comes out: expected HOST/NAME or HOST/NAME:TAG
    ");
}

/// The lock of this checkout with the base `exact`, as `update image` writes it; and its folder.
fn locked_with(case: &Case, exact: &str) -> (Workspace, Lock) {
    let (here, there) = (case.workspace(), Workspace::at(case.folder.path().join("house")));
    fs::create_dir(there.root()).unwrap();
    let pins = fs::read_to_string(here.pins()).unwrap();
    fs::write(there.pins(), format!("{pins}\n[image]\nbase = \"{exact}\"\n")).unwrap();
    fs::copy(here.lock(), there.lock()).unwrap();
    let (sh, xtask, root) = (&case.sh, xtask(), there.root().to_owned());
    let said = case.run(cmd!(sh, "{xtask} --offline --workspace {root} update image"));
    assert!(said.contains("+ base 127.0.0.1:"), "{said}");
    let lock = Lock::load(&there.lock()).unwrap();
    lock.check_pins(&xtask::pins::load(&there.pins()).unwrap()).unwrap();
    (there, lock)
}

/// An image of our own base layer alone, as a house's base.
fn house(case: &Case, place: &Path) -> Written {
    let mut written = edited(case, place);
    written.image.layers.truncate(1);
    let bundle = Bundle::of_folder(&case.layout).unwrap();
    let manifest = bundle.json(&format!("blobs/{}", case.digest.replace(':', "/"))).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap().replace(':', "/");
    let config = bundle.json(&format!("blobs/{config}")).unwrap();
    let diff_id = config["rootfs"]["diff_ids"][0].as_str().unwrap();
    written.image.layers[0].blob.diff_id =
        diff_id.strip_prefix("sha256:").unwrap().parse().unwrap();
    written.documents = written.image.documents("t").unwrap();
    written
}

#[test]
fn an_image_may_start_from_a_house_base_by_digest() {
    let Some(case) = Case::with(&[PROGRAMS[1], ("dockerd", "docker.io")]) else { return };
    let place = case.folder.path();
    let service = Service::start(place, "");
    let house = house(&case, &place.join("base"));
    let base: Reference = format!("{}/house/base", service.address).parse().unwrap();
    let options = Options::from_env(false);
    let registry = Registry::open(&base, Purpose::Push, false, &options).unwrap();
    let exact = push(&registry, &house, "1", None).unwrap().name;

    let (_, lock) = locked_with(&case, &exact);
    let base = lock.base.as_ref().unwrap();
    let (here, store) = (case.workspace(), Store::from_env(|name| std::env::var_os(name)).unwrap());
    xtask::fetch::base::ensure(base, &store, &options).unwrap();
    let sources = source::collect(&here, &Stamps::default(), &mut Stamps::default()).unwrap();
    let identity = Identity::of(&lock, &sources);
    let wheel = ops_wheel(&here).unwrap();
    type Test = fn(&[Layer<'_>], &Path) -> xtask::error::Result<()>;
    let (dist, none) = (place.join("dist"), None::<Test>);
    let logs = here.scratch().join("log");
    let tools = Tools { lock: &lock, store: &store, engine: &native, logs };
    let parts = Parts::open(&tools, &wheel, program(&here).unwrap()).unwrap();
    let written = run::write(&identity, &parts, &tools, &dist, &[], none).unwrap();

    let pushed = push(&service.ops(), &written, "1", Some(base)).unwrap();
    let how: Vec<How> = pushed.blobs.iter().map(|blob| blob.how).collect();
    // The house's layer is our own base layer here: one blob, and it is not sent.
    assert_eq!(how, [How::Mounted, How::Sent, How::Sent, How::Sent, How::Sent]);
    let rows = run::rows(&lock, &written.image, &written.documents);
    let expected = Expected::of(&rows, &lock, &identity).unwrap();
    let found = Bundle::of_registry(service.at(&pushed.name)).unwrap();
    let findings = xtask::verify::image::verify(&found, &expected).unwrap();
    assert!(findings.is_empty(), "{}", findings[0]);

    let context = written.place.join("docker");
    let text = fs::read_to_string(context.join("Dockerfile")).unwrap();
    assert!(text.contains(&format!("\nFROM {exact}\n")), "{text}");
    let place = written.place;
    case.of(&place).is_what_docker_builds(&["0"]);
}
