//! Whether an engine answers, and whether it is new enough.

use super::Product;
use super::client::{ask, refusal};
use super::host::Host;
use super::is_root;
use crate::error::{Error, Kind, Result};

/// The oldest API of a Docker Engine that has all that is asked of it (19.03).
const DOCKER_API: (u32, u32) = (1, 40);
/// The oldest Podman that maps a chosen id to the caller.
const PODMAN: (u32, u32) = (4, 3);

/// Asks `product` for JSON in the form of `T`.
fn asked<T: serde::de::DeserializeOwned>(product: Product, verb: &str) -> Result<T> {
    let words = [verb, "--format", "{{json .}}"].map(str::to_owned);
    let answer = ask(product, &words, None)?;
    if !answer.yes {
        return Err(refusal(product, verb, &answer.words));
    }
    serde_json::from_str(&answer.text).map_err(|_| {
        let said = format!("{}{}", answer.text, answer.words);
        refusal(product, verb, &said)
    })
}

/// Whether the Docker Engine runs without root.
pub(super) fn docker() -> Result<bool> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        server: Option<Server>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Server {
        #[serde(alias = "APIVersion")]
        api_version: String,
        os: String,
        arch: String,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Info {
        #[serde(default)]
        security_options: Option<Vec<String>>,
    }
    let version: Version = asked(Product::Docker, "version")?;
    let server = version.server.ok_or_else(|| {
        refusal(Product::Docker, "version", "Cannot connect to the Docker daemon: no server")
    })?;
    let platform = format!("{}/{}", server.os, server.arch);
    if platform != "linux/amd64" {
        let message = format!("the engine `docker`: expected linux/amd64, found {platform}");
        return Err(Error::new(Kind::Machine, message).hint("name another in DOCKER_HOST"));
    }
    new_enough(Product::Docker, "API version", &server.api_version, DOCKER_API)?;
    let info: Info = asked(Product::Docker, "info")?;
    Ok(info.security_options.unwrap_or_default().iter().any(|option| option == "name=rootless"))
}

/// Whether Podman runs without root.
pub(super) fn podman() -> Result<bool> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        client: Client,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Client {
        version: String,
    }
    let version: Version = asked(Product::Podman, "version")?;
    new_enough(Product::Podman, "version", &version.client.version, PODMAN)?;
    let rootless = !is_root();
    if Host::here(rootless).init.is_none() {
        let message = "the engine `podman` has no init for its containers";
        return Err(Error::new(Kind::Machine, message)
            .hint("install it (Debian: `apt-get install catatonit`)"));
    }
    Ok(rootless)
}

fn new_enough(product: Product, what: &str, found: &str, least: (u32, u32)) -> Result<()> {
    let mut numbers = found.split(['.', '-', '+']).map(str::parse::<u32>);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    };
    if version >= least {
        return Ok(());
    }
    let (major, minor) = least;
    let message = format!(
        "the engine `{product}`: expected {what} {major}.{minor} or later, found `{found}`"
    );
    Err(Error::new(Kind::Machine, message)
        .hint(format!("install a newer {product}, or use `--engine native`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_numbers() {
        let told = |found| new_enough(Product::Podman, "version", found, PODMAN);
        for good in ["4.3.1", "4.10", "5.0.0-dev", "10.1"] {
            assert!(told(good).is_ok(), "{good}");
        }
        for bad in ["4.2.9", "3.9.9", "", "x"] {
            assert_eq!(told(bad).unwrap_err().kind(), Kind::Machine, "{bad}");
        }
    }
}
