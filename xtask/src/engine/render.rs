//! A [`Run`] as text for `--dry-run`: the mounts as comments, the command ready to paste
//! into `cargo xtask shell`, which has the same root and mounts.

use std::fmt::Write as _;

use super::{Mount, Run};

impl Run {
    /// The whole run, as text that depends on nothing else.
    pub fn render(&self) -> String {
        let mut text = format!("# root {}\n", quote(&self.root.to_string_lossy()));
        for mount in &self.mounts {
            let _ = writeln!(text, "# {}", line(mount));
        }
        let _ = write!(text, "cd {} && env -i", quote(&self.cwd));
        for (name, value) in &self.env {
            let _ = write!(text, " \\\n  {}={}", quote(name), quote(value));
        }
        text.push_str(" \\\n ");
        for word in &self.argv {
            let _ = write!(text, " {}", quote(word));
        }
        text.push('\n');
        text
    }
}

/// A command line of the host, an option and its value a line.
pub(super) fn command_line(program: &str, args: &[String]) -> String {
    let mut text = quote(program);
    let mut options = true;
    for (at, word) in args.iter().enumerate() {
        let value = at > 0 && args[at - 1].starts_with("--") && !args[at - 1].contains('=');
        options &= at == 0 || word.starts_with("--") || value;
        text.push_str(if word.starts_with("--") && options { " \\\n  " } else { " " });
        text.push_str(&quote(word));
    }
    text.push('\n');
    text
}

/// One mount: how, from where, to where.
fn line(mount: &Mount) -> String {
    let one = |how: &str, source: &std::path::Path| {
        format!("{how} {} -> {}", quote(&source.to_string_lossy()), quote(mount.target()))
    };
    match mount {
        Mount::ReadOnly { source, .. } => one("read-only", source),
        Mount::ReadWrite { source, .. } => one("read-write", source),
        Mount::Overlay { sources, .. } => {
            let sources: Vec<_> = sources.iter().map(|s| quote(&s.to_string_lossy())).collect();
            format!("overlay {} -> {}", sources.join(" over "), quote(mount.target()))
        }
    }
}

/// `word` as bash reads it back: as it is, in single quotes, or, so that a line break does
/// not end a comment, as `$'…'`.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.chars().any(char::is_control) {
        format!("$'{}'", word.chars().map(escape).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// One character between `$'` and `'`.
fn escape(c: char) -> String {
    match c {
        '\n' => r"\n".to_owned(),
        '\'' | '\\' => format!(r"\{c}"),
        c if c.is_control() => format!(r"\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_rendered_whole() {
        let run = Run {
            root: "/store/trees/builder-00".into(),
            mounts: vec![
                Mount::ReadOnly { source: "/home/é b/ops".into(), target: "/work/ops".into() },
                Mount::ReadWrite { source: "/x/out".into(), target: "/out".into() },
                Mount::Overlay {
                    sources: vec!["/a:1".into(), "/b\nc".into()],
                    target: "/opt/tf".into(),
                },
            ],
            argv: ["/usr/bin/bazel", "build", "--", "//...", "it's"].map(Into::into).into(),
            env: [("HOME", "/tmp"), ("A", ""), ("B", "x y")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            cwd: "/work/ops".into(),
        };
        insta::assert_snapshot!(run.render(), @r"
        # root /store/trees/builder-00
        # read-only '/home/é b/ops' -> /work/ops
        # read-write /x/out -> /out
        # overlay /a:1 over $'/b\nc' -> /opt/tf
        cd /work/ops && env -i \
          A='' \
          B='x y' \
          HOME=/tmp \
          /usr/bin/bazel build -- //... 'it'\''s'
        ");
    }

    #[test]
    fn quoted_words_keep_their_meaning() {
        for (word, quoted) in [
            ("plain-1/2:x=y@z", "plain-1/2:x=y@z"),
            ("", "''"),
            ("$HOME *", "'$HOME *'"),
            ("it's", r"'it'\''s'"),
            ("a\tb\\c'd\né", r"$'a\u0009b\\c\'d\né'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }
}
