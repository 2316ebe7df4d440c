//! Provisional: to be replaced by `fetch`.
#![allow(missing_docs)]
use super::index::Pip;
use super::wheels::Chosen;
use crate::error::{Error, Kind, Result};
use crate::lock::Wheel;
use crate::store::Store;

fn agent(pip: &Pip) -> ureq::Agent {
    let _ = pip;
    ureq::Agent::config_builder()
        .tls_config(
            ureq::tls::TlsConfig::builder()
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        )
        .build()
        .into()
}

fn fetch_error(url: &str, e: impl std::fmt::Display) -> Error {
    Error::new(Kind::Fetch, format!("cannot get {url}: {e}"))
}

pub fn sized(pip: &Pip, chosen: &[Chosen]) -> Result<Vec<Wheel>> {
    let agent = agent(pip);
    chosen
        .iter()
        .map(|c| {
            let response = agent.head(&c.url).call().map_err(|e| fetch_error(&c.url, e))?;
            let size = response
                .headers()
                .get("content-length")
                .and_then(|v| v.to_str().ok()?.parse().ok());
            let size = size.ok_or_else(|| fetch_error(&c.url, "no length"))?;
            Ok(Wheel {
                name: c.name.clone(),
                version: c.version.clone(),
                file: c.file.clone(),
                size,
                sha256: c.sha256,
            })
        })
        .collect()
}

pub fn git_version(pip: &Pip, store: &Store, chosen: &Chosen, size: u64) -> Result<String> {
    if let Some(mut partial) = store.partial(&chosen.sha256, size, &chosen.file)? {
        let response =
            agent(pip).get(&chosen.url).call().map_err(|e| fetch_error(&chosen.url, e))?;
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = std::io::Read::read(&mut reader, &mut buffer)
                .map_err(|e| fetch_error(&chosen.url, e))?;
            if n == 0 {
                break;
            }
            partial.write(&buffer[..n])?;
        }
        partial.commit()?;
    }
    let path = store.verified(&chosen.sha256, &chosen.file)?;
    let script = "import sys,zipfile,re; d=zipfile.ZipFile(sys.argv[1]).read('tensorflow/python/client/_pywrap_tf_session.so'); print(re.search(rb'v[0-9][^\\0]*-g[0-9a-f]{7,40}',d)[0].decode(),end='')";
    let python = &pip.python;
    crate::command::read(crate::command::cmd!(pip.shell, "{python} -c {script} {path}"), &pip.env)
}
