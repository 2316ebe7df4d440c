//! apt in a private, empty root: never against the host's own state.

use tempfile::TempDir;

use super::archive::Archive;
use super::closure::Stanza;
use crate::command::{self, Env, NETWORK, Shell, cmd};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::pins::DebianRequest;
use crate::temporary;

/// An apt that knows one archive and has nothing installed.
pub struct Apt {
    folder: TempDir,
    env: Env,
    shell: Shell,
}

impl Apt {
    /// Reads the archive's indices. apt checks their signature, `Date` and `Valid-Until`.
    pub fn open(archive: &Archive) -> Result<Apt> {
        let folder = temporary::folder()?;
        let shell = command::shell()?;
        let host =
            command::read(cmd!(shell, "apt-config dump"), &Env::host(&[])).map_err(no_apt)?;
        let root = folder.path().to_string_lossy().into_owned();
        for (file, text) in [
            ("apt.conf", configuration(&root, &host)),
            ("apt.sources", source(archive)),
            ("status", String::new()),
        ] {
            let path = folder.path().join(file);
            std::fs::write(&path, text).at("write", &path)?;
        }
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let path = folder.path().join(part);
            std::fs::create_dir_all(&path).at("create", &path)?;
        }
        let env = Env::host(NETWORK).with("APT_CONFIG", folder.path().join("apt.conf"));
        let apt = Apt { folder, env, shell };
        apt.update(archive)?;
        Ok(apt)
    }

    fn update(&self, archive: &Archive) -> Result<()> {
        let update = cmd!(self.shell, "apt-get update -qq");
        command::read(update, &self.env).map_err(|error| {
            let Archive { mirror, suite, .. } = archive;
            refetched(error, format!("cannot read `{suite}` of {mirror}"))
        })?;
        Ok(())
    }

    /// Prefers these exact versions wherever the archive still has them.
    pub fn prefer<'n>(&self, versions: impl Iterator<Item = (&'n str, &'n str)>) -> Result<()> {
        let stanza = |(name, version)| {
            format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n")
        };
        let path = self.folder.path().join("preferences");
        std::fs::write(&path, versions.map(stanza).collect::<String>()).at("write", &path)
    }

    /// Every package name that the archive has.
    pub fn names(&self) -> Result<Vec<String>> {
        let printed = command::read(cmd!(self.shell, "apt-cache pkgnames"), &self.env)?;
        Ok(printed.lines().map(str::to_owned).collect())
    }

    /// Name and version of each of these packages that the archive has.
    pub fn versions(&self, names: &[&str]) -> Result<Vec<(String, String)>> {
        let printed = command::read(cmd!(self.shell, "apt-cache madison {names...}"), &self.env)?;
        let row = |line: &str| {
            let mut cells = line.split('|').map(|cell| cell.trim().to_owned());
            Some((cells.next()?, cells.next()?))
        };
        Ok(printed.lines().filter_map(row).collect())
    }

    /// All packages that apt would install for `requests`.
    pub fn resolve(&self, requests: &[DebianRequest]) -> Result<Vec<Stanza>> {
        let asked: Vec<String> = requests.iter().map(ToString::to_string).collect();
        let install = cmd!(self.shell, "apt-get install -q --yes --print-uris {asked...}");
        let printed = command::read(install, &self.env)
            .map_err(|error| refetched(error, "apt cannot resolve the packages".to_owned()))?;
        let uris = printed.lines().filter(|line| line.starts_with('\''));
        let chosen = uris.map(chosen).collect::<Option<Vec<String>>>();
        let chosen = chosen.ok_or_else(|| {
            Error::new(Kind::Tool, "`apt-get --print-uris` printed a line of unknown form")
        })?;
        let show = cmd!(self.shell, "apt-cache show {chosen...}");
        Ok(Stanza::all(&command::read(show, &self.env)?))
    }
}

/// `name=version` of a line `'URI' NAME_VERSION_ARCH.deb SIZE HASH`; in the file's name a
/// colon is `%3a`, an underscore `%5f`.
fn chosen(line: &str) -> Option<String> {
    let file = line.split(' ').nth(1)?.strip_suffix(".deb")?;
    let [name, version, _arch] = file.split('_').collect::<Vec<_>>()[..] else { return None };
    Some(format!("{name}={}", version.replace("%3a", ":")))
}

/// A failure of apt as one of the archive's, without apt's preface.
fn refetched(error: Error, context: String) -> Error {
    const PREFACE: &str = "The following packages have unmet dependencies:";
    let message = error.message();
    let cause = message.split_once(PREFACE).map_or(message, |(_, cause)| cause);
    Error::new(Kind::Fetch, cause.trim_start()).context(context)
}

/// Says what apt is for, when there is none.
fn no_apt(error: Error) -> Error {
    if error.kind() != Kind::Machine {
        return error;
    }
    error
        .context("Debian packages are resolved by apt itself")
        .hint("run `cargo xtask update` on a machine or in a container of Debian or Ubuntu")
}

/// The private apt's whole configuration; of the host's only proxies, CAs and passwords.
fn configuration(root: &str, host: &str) -> String {
    let own = format!(
        r#"Dir "{root}";
Dir::Etc "{root}";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{root}/apt.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "{root}/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
"#
    );
    let kept = ["Acquire::http", "Acquire::https", "Acquire::Retries"];
    let host = host.lines().filter(|line| kept.iter().any(|prefix| line.starts_with(prefix)));
    host.fold(own, |text, line| text + line + "\n")
}

/// The one archive (sources.list(5), deb822 form).
fn source(archive: &Archive) -> String {
    format!(
        "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: {}\n",
        archive.mirror.with_password(),
        archive.suite,
        archive.keyring.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_package_is_named_with_its_epoch() {
        let line = "'http://mirror.example/pool/main/g/gmp/x.deb' libgmp10_2%3a6.2.1+dfsg1-1.1_amd64.deb 5 ";
        assert_eq!(chosen(line).as_deref(), Some("libgmp10=2:6.2.1+dfsg1-1.1"));
        assert_eq!(chosen("E: no"), None);
    }

    #[test]
    fn of_the_host_only_what_leads_to_the_network_is_kept() {
        let host = "APT::Install-Recommends \"true\";\nAcquire::http::Proxy \"http://p.example\";\nDPkg::Post-Invoke:: \"rm\";\n";
        let text = configuration("/r", host);
        assert!(text.ends_with("Acquire::http::Proxy \"http://p.example\";\n"));
        assert!(!text.contains("rm") && !text.contains("\"true\""));
    }
}
