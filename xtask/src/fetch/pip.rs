//! The machine's pip: which Python index it uses. pip is asked; nothing of it is guessed.

use std::collections::BTreeMap;

use super::url::Url;
use crate::command::{self, Env, cmd};
use crate::error::Result;

/// What pip's own configuration comes to, in this environment.
pub fn config(env: &BTreeMap<String, String>) -> Result<String> {
    let shell = command::shell()?;
    command::read(cmd!(shell, "python3 -m pip --disable-pip-version-check config list"), &own(env))
}

/// The index that pip has built in.
pub(super) fn default_index(env: &BTreeMap<String, String>) -> Result<String> {
    let shell = command::shell()?;
    let script = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    command::read(cmd!(shell, "python3 -c {script}"), &own(env))
}

/// Of the environment, pip's own part.
fn own(env: &BTreeMap<String, String>) -> Env {
    let own = |name: &String| name.starts_with("PIP_") || name.starts_with("XDG_CONFIG");
    let pairs = env.iter().filter(|(name, _)| own(name));
    pairs.fold(Env::host(&[]), |all, (name, value)| all.with(name, value))
}

/// The indexes among the lines of `pip config list`, first choice first.
pub(super) fn indexes(config: &str) -> Vec<String> {
    let all = ["index-url", "extra-index-url"].map(|name| setting(config, name));
    let all = all.into_iter().flatten().collect::<Vec<_>>().join(" ");
    all.split_whitespace().map(str::to_owned).collect()
}

/// What the lines of `pip config list` say of `name`. Variables come before a command's own
/// section, that before `global`, as in pip.
pub fn setting(config: &str, name: &str) -> Option<String> {
    let value = |section: &&str| {
        let key = format!("{section}.{name}=");
        let value = config.lines().find_map(|line| line.strip_prefix(&key)).map(unquoted);
        value.filter(|value| !value.trim().is_empty())
    };
    [":env:", "download", "install", "global"].iter().find_map(value)
}

/// pip shows values as Python's `repr` does.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let inner = inner('\'').or_else(|| inner('"')).unwrap_or(value);
    inner.replace("\\n", "\n").replace("\\'", "'").replace("\\\\", "\\")
}

/// The page of the project `name` (normalised, PEP 503).
pub(super) fn page(index: &Url, name: &str) -> Url {
    index.below(&format!("{name}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_own_order_holds() {
        let config = "\
:env:.find-links='/opt/wheels'
global.cert='/etc/ssl/certs/ca-certificates.crt'
global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'
global.index-url='https://global.example/simple'
install.index-url='https://me:pa\\'ss@corp.example/simple'
";
        assert_eq!(
            indexes(config),
            [
                "https://me:pa'ss@corp.example/simple",
                "https://a.example/simple",
                "https://b.example/simple"
            ]
        );
        let with_variable = format!("{config}:env:.index-url=\"https://env.example/simple\"\n");
        assert_eq!(indexes(&with_variable)[0], "https://env.example/simple");
        assert_eq!(indexes(":env:.default-timeout='180'\n"), Vec::<String>::new());
        assert_eq!(indexes(""), Vec::<String>::new());
    }

    #[test]
    fn a_projects_page_is_below_the_index() {
        for index in ["http://mirror.example/simple", "http://mirror.example/simple/"] {
            let page = page(&Url::parse(index).unwrap(), "absl-py");
            assert_eq!(page.to_string(), "http://mirror.example/simple/absl-py/");
        }
    }
}
