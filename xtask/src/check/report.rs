//! What came of a check: for people, for machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::against::Agreement;
use super::gate::Moved;
use super::narrow::Guilt;
use super::variation::{Variation, listed};
use super::verdict::Verdict;
use crate::engine::Engine;

/// Everything that a check found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `linux/amd64`.
    pub platform: String,
    /// Digest of the lock and of all sources.
    pub workspace_id: String,
    /// The builds, in their order.
    pub builds: Vec<Build>,
    /// What was asked for and not tried, and why: nothing is known of it.
    pub skipped: Vec<Skipped>,
    /// Every artifact in all builds.
    pub artifacts: Vec<Verdict>,
    /// Why the committed ledger was not reproduced; none when it was.
    pub ledger: Option<String>,
    /// The commit that last wrote the committed ledger; none when git does not know.
    pub since: Option<String>,
    /// What happened to each row, and which files changed for it.
    pub rows: Vec<Moved>,
    /// What other machines say; none when nobody was asked.
    pub agreement: Option<Agreement>,
    /// Where unequal artifacts were kept, and what diffoscope said of them.
    pub kept: Vec<String>,
}

/// One build.
#[derive(Debug, Serialize)]
pub struct Build {
    /// Its name.
    pub name: String,
    /// What it ran in.
    pub engine: Engine,
    /// In what it differed from the first.
    pub varied: Vec<Variation>,
    /// How long it took, in seconds.
    pub seconds: u64,
}

/// An engine that is not to be had, or a variation that cannot be made here.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// `engine docker`, `variation cpus`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// How a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// All builds agree with each other, with the committed ledger and with all who were asked.
    Reproduced,
    /// All builds agree with each other, not with a ledger.
    OtherLedger,
    /// The builds differ.
    Unreproducible,
}

impl Report {
    /// How it ends.
    pub fn end(&self) -> End {
        if self.artifacts.iter().any(|artifact| !artifact.equal()) {
            return End::Unreproducible;
        }
        let dissent = self.agreement.as_ref().is_some_and(|a| a.agree < a.of);
        if self.ledger.is_some() || dissent { End::OtherLedger } else { End::Reproduced }
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |words: &str| {
            let _in_memory = writeln!(text, "{words}");
        };
        for Build { name, engine, varied, seconds } in &self.builds {
            let varied = listed(&varied.iter().copied().collect());
            line(&format!("build {name} ({engine}, {seconds} s): varied: {varied}"));
        }
        for Skipped { what, why } in &self.skipped {
            line(&format!("skipped: {what}: {why}"));
        }
        self.artifacts.iter().for_each(|artifact| line(&told(artifact, self.builds.len())));
        self.kept.iter().for_each(|kept| line(kept));
        match &self.ledger {
            None => line("ledger: reproduced"),
            Some(why) => line(&format!("ledger: {why}")),
        }
        if let Some(since) = &self.since {
            let sentences = self.rows.iter().filter_map(|moved| moved.sentence(since));
            sentences.for_each(|sentence| line(&format!("  {sentence}")));
        }
        if let Some(agreement) = &self.agreement {
            line(&agreement.to_string());
        }
        line(&self.summary());
        text
    }

    /// The last line.
    pub fn summary(&self) -> String {
        let (all, builds) = (self.artifacts.len(), self.builds.len());
        let apart = self.artifacts.iter().filter(|artifact| !artifact.equal()).count();
        let id = &self.workspace_id;
        match self.end() {
            End::Reproduced if builds == 0 => format!("agreed: workspace id {id}"),
            End::Reproduced => {
                format!("reproduced: {all} artifacts in {builds} builds, workspace id {id}")
            }
            End::OtherLedger => format!(
                "not reproduced: {builds} builds agree, a ledger does not, workspace id {id}"
            ),
            End::Unreproducible => format!(
                "not reproducible: {apart} of {all} artifacts differ from build to build, workspace id {id}"
            ),
        }
    }
}

/// One artifact, in a line or, when it differs, in several.
fn told(artifact: &Verdict, builds: usize) -> String {
    let name = artifact.name();
    if let (true, Some(Some(digest))) = (artifact.equal(), artifact.sha256.first()) {
        return format!("{name}: equal in {builds} builds ({})", digest.short());
    }
    let mut text = format!("{name}: differs");
    for difference in artifact.differences.iter().take(5) {
        let _in_memory = write!(text, "\n  {difference}");
    }
    if let more @ 1.. = artifact.differences.len().saturating_sub(5) {
        let _in_memory = write!(text, "\n  and {more} more");
    }
    if !artifact.follows.is_empty() {
        let _in_memory = write!(text, "\n  it holds {}", artifact.follows.join(", "));
    }
    if let Some(guilt) = &artifact.guilt {
        let _in_memory = write!(text, "\n  guilty: {}", guilt_of(guilt));
    }
    if let Some(first) = artifact.differences.first() {
        let _in_memory = write!(text, "\n  remedy: {}", first.cause.remedy());
    }
    text
}

/// A guilt in words.
pub fn guilt_of(guilt: &Guilt) -> String {
    match guilt {
        Guilt::Itself => "nothing that is varied: it differs each time".to_owned(),
        Guilt::Alone(variations) => listed(variations),
        Guilt::Together(variations) => format!("only together: {}", listed(variations)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cause::{Cause, Difference};
    use crate::digest::Sha256;

    /// Two builds, one op that differs, an engine that is not to be had.
    pub(in crate::check) fn example() -> Report {
        let digest = |bytes: &[u8]| Some(Sha256::of(bytes));
        let verdict = |package: &str, sha256, differences| Verdict {
            package: package.to_owned(),
            file: format!("lib{package}.so"),
            sha256,
            differences,
            follows: Vec::new(),
            guilt: None,
        };
        let build = |name: &str, varied: &[Variation]| Build {
            name: name.to_owned(),
            engine: Engine::Native,
            varied: varied.to_vec(),
            seconds: 40,
        };
        let difference = Difference {
            place: ["libbad.so", "section .rodata"].map(str::to_owned).to_vec(),
            offset: Some(16),
            cause: Cause::Timestamp,
            one: "\u{1}<22:00>".to_owned(),
            other: "13:\"00\"".to_owned(),
        };
        let mut bad = verdict("bad", vec![digest(b"1"), digest(b"2")], vec![difference]);
        bad.guilt = Some(Guilt::Alone([Variation::Zone].into()));
        Report {
            platform: "linux/amd64".to_owned(),
            workspace_id: "0123456789ab".to_owned(),
            builds: vec![build("1", &[]), build("2", &[Variation::Zone])],
            skipped: vec![Skipped {
                what: "engine docker".to_owned(),
                why: "no client".to_owned(),
            }],
            artifacts: vec![bad, verdict("good", vec![digest(b"3"); 2], Vec::new())],
            ledger: Some("not reproduced: 1 of 2 artifacts differ\nbad: libbad.so: new".to_owned()),
            since: None,
            rows: Vec::new(),
            agreement: None,
            kept: Vec::new(),
        }
    }

    #[test]
    fn what_differs_is_told_and_what_was_skipped_is_not_passed() {
        insta::assert_snapshot!(example().text(), @r#"
        build 1 (native, 40 s): varied: nothing
        build 2 (native, 40 s): varied: zone
        skipped: engine docker: no client
        bad: libbad.so: differs
          libbad.so: section .rodata at byte 0x10: a time of the build is in it: `<22:00>` against `13:"00"`
          guilty: zone
          remedy: take the time from SOURCE_DATE_EPOCH, or leave it out
        good: libgood.so: equal in 2 builds (4e07408562be)
        ledger: not reproduced: 1 of 2 artifacts differ
        bad: libbad.so: new
        not reproducible: 1 of 2 artifacts differ from build to build, workspace id 0123456789ab
        "#);
        insta::assert_snapshot!(super::super::junit::xml(&example()), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuite name="cargo xtask check" tests="4" failures="2" errors="0" skipped="1" time="80">
          <testcase classname="bad" name="libbad.so"><failure message="a time of the build is in it">libbad.so: section .rodata at byte 0x10: a time of the build is in it: `?&lt;22:00&gt;` against `13:&quot;00&quot;`&#10;guilty: zone</failure></testcase>
          <testcase classname="good" name="libgood.so"/>
          <testcase classname="ledger" name="linux/amd64"><failure message="not reproduced: 1 of 2 artifacts differ">not reproduced: 1 of 2 artifacts differ&#10;bad: libbad.so: new</failure></testcase>
          <testcase classname="skipped" name="engine docker"><skipped message="no client"/></testcase>
        </testsuite>
        "#);
        assert_eq!(example().end(), End::Unreproducible);
        let mut equal = example();
        equal.artifacts.remove(0);
        assert_eq!(equal.end(), End::OtherLedger);
        equal.ledger = None;
        assert_eq!(equal.end(), End::Reproduced);
    }
}
