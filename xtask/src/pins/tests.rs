use proptest::prelude::*;

use super::*;

pub(super) const GOOD: &str = r#"schema = 1
platform = "linux/amd64"
epoch = 1700000000

[debian]
suite = "stable"

[bazel]
version = "1.2.3"
package = "bazel-bootstrap"
answer = "bazel 1.2.3"

[tensorflow]
package = "tensorflow-cpu"
version = "9.8.7"
revision = "0123456789abcdef0123456789abcdef01234567"
lane = "wheel"

[python]
version = "3.9"

[compiler]
package = "g++-9"
version = "9.1.0"

[builder]
packages = ["sed", "bash=5.2-1"]
omit = ["dpkg"]

[runtime]
packages = ["python3-minimal"]

[ops]
name = "my-ops"
version = "0.1.0"
"#;

/// All that is wrong with [`GOOD`] after some replacements.
fn wrong(edits: &[(&str, &str)]) -> String {
    let text = edits.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the good file");
        text.replacen(from, to, 1)
    });
    shown(&text)
}

pub(super) fn shown(text: &str) -> String {
    let problems = parse(text).expect_err("taken for right");
    format!("error: {}", render("workspace.toml", text, &problems, false))
}

#[test]
fn the_workspaces_own_pins_are_right() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workspace.toml");
    let flat = load(&own).unwrap().flat();
    assert!(flat.keys().any(|key| key == "tensorflow.revision"));
    assert!(flat.values().all(|value| !value.is_empty()));
}

#[test]
fn flat_pins_are_all_pins() {
    let flat = parse(GOOD).unwrap().flat();
    let lines: Vec<String> = flat.iter().map(|(key, value)| format!("{key} {value:?}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    bazel.answer "bazel 1.2.3"
    bazel.package "bazel-bootstrap"
    bazel.version "1.2.3"
    builder.omit "dpkg"
    builder.packages "bash=5.2-1\nsed"
    compiler.package "g++-9"
    compiler.version "9.1.0"
    debian.suite "stable"
    epoch "1700000000"
    ops.name "my-ops"
    ops.version "0.1.0"
    platform "linux/amd64"
    python.version "3.9"
    runtime.packages "python3-minimal"
    tensorflow.lane "wheel"
    tensorflow.package "tensorflow-cpu"
    tensorflow.revision "0123456789abcdef0123456789abcdef01234567"
    tensorflow.version "9.8.7"
    "#);
}

#[test]
fn all_problems_are_said_at_once_each_where_it_is() {
    insta::assert_snapshot!(wrong(&[
        ("version = \"1.2.3\"", "verison = \"1.2.3\""),
        ("epoch = 1700000000", "epoch = \"now\""),
        ("lane = \"wheel\"\n", ""),
        ("[ops]\n", "[ops]\ncolour = \"red\"\n"),
        ("\"sed\"", "\"sed\", 7"),
    ]), @r#"
    error: `epoch` is wrong
     --> workspace.toml:3:9
      |
    3 | epoch = "now"
      |         ^^^^^ expected a whole number, found string

    error: `bazel.version` is missing
     --> workspace.toml:8:1
      |
    8 | [bazel]
      | ^^^^^^^ add `version` here

    error: unknown key `verison` in [bazel]
     --> workspace.toml:9:1
      |
    9 | verison = "1.2.3"
      | ^^^^^^^ did you mean `version`?

    error: `tensorflow.lane` is missing
      --> workspace.toml:13:1
       |
    13 | [tensorflow]
       | ^^^^^^^^^^^^ add `lane` here

    error: `builder.packages` is wrong
      --> workspace.toml:26:20
       |
    26 | packages = ["sed", 7, "bash=5.2-1"]
       |                    ^ expected a string, found integer

    error: unknown key `colour` in [ops]
      --> workspace.toml:33:1
       |
    33 | colour = "red"
       | ^^^^^^ the keys here are name, version
    "#);
}

#[test]
fn wrong_values_are_explained() {
    insta::assert_snapshot!(wrong(&[
        ("0123456789abcdef0123456789abcdef01234567", "0123456"),
        ("\"9.8.7\"", "\"latest\""),
        ("\"dpkg\"", "\"Dpkg\", \"dpkg\", \"dpkg\""),
        ("bash=5.2-1", "bash=new"),
        ("linux/amd64", "linux/arm64"),
        ("1700000000", "0"),
        ("\"3.9\"", "3.9"),
    ]), @r#"
    error: `platform` is wrong
     --> workspace.toml:2:12
      |
    2 | platform = "linux/arm64"
      |            ^^^^^^^^^^^^^ expected `linux/amd64`, found `linux/arm64`

    error: `epoch` is wrong
     --> workspace.toml:3:9
      |
    3 | epoch = 0
      |         ^ expected seconds between 315532800 (1980) and 4294967295 (2106), found 0

    error: `tensorflow.version` is wrong
      --> workspace.toml:15:11
       |
    15 | version = "latest"
       |           ^^^^^^^^ expected a version such as `1.2.3`, found `latest`

    error: `tensorflow.revision` is wrong
      --> workspace.toml:16:12
       |
    16 | revision = "0123456"
       |            ^^^^^^^^^ expected a git revision of 40 lower-case hex digits, found `0123456`

    error: `python.version` is wrong
      --> workspace.toml:20:11
       |
    20 | version = 3.9
       |           ^^^ expected a string, found float

    error: `builder.packages` is wrong
      --> workspace.toml:27:20
       |
    27 | packages = ["sed", "bash=new"]
       |                    ^^^^^^^^^^ expected a Debian version such as `1:2.3-4`, found `new`

    error: `builder.omit` is wrong
      --> workspace.toml:28:9
       |
    28 | omit = ["Dpkg", "dpkg", "dpkg"]
       |         ^^^^^^ expected the name of a Debian package, found `Dpkg`

    error: `builder.omit` names one thing twice
      --> workspace.toml:28:25
       |
    28 | omit = ["Dpkg", "dpkg", "dpkg"]
       |                         ^^^^^^ is here a second time
    "#);
}

#[test]
fn bazel_comes_from_one_place() {
    let package = "package = \"bazel-bootstrap\"";
    insta::assert_snapshot!(wrong(&[(package, "")]), @r#"
    error: [bazel] needs either `package` or `url` and `sha256`
     --> workspace.toml:8:1
      |
    8 | [bazel]
      | ^^^^^^^ neither is here
    "#);
    let both = "package = \"bazel-bootstrap\"\nurl = \"https://mirror.example/bazel\"";
    insta::assert_snapshot!(wrong(&[(package, both)]), @r#"
    error: [bazel] needs either `package` or `url` and `sha256`
      --> workspace.toml:10:11
       |
    10 | package = "bazel-bootstrap"
       |           ^^^^^^^^^^^^^^^^^ both are here
    "#);
    let binary = "url = \"https://me:pass@mirror.example/bazel\"\nsha256 = \"abc\"";
    insta::assert_snapshot!(wrong(&[(package, binary)]), @r#"
    error: `bazel.url` is wrong
      --> workspace.toml:10:7
       |
    10 | url = "https://*******@mirror.example/bazel"
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected an http, https or file URL without a user name, found `https://*******@mirror.example/bazel`

    error: `bazel.sha256` is wrong
      --> workspace.toml:11:10
       |
    11 | sha256 = "abc"
       |          ^^^^^ expected 64 lower-case hex digits, found `abc`
    "#);
}

#[test]
fn bazel_may_be_a_binary() {
    let digest = Sha256::of(b"bazel");
    let text = GOOD.replace(
        "package = \"bazel-bootstrap\"",
        &format!("url = \"https://mirror.example/bazel\"\nsha256 = \"{digest}\""),
    );
    let flat = parse(&text).unwrap().flat();
    assert_eq!(flat["bazel.sha256"], digest.to_string());
    assert!(!flat.contains_key("bazel.package"));
}

#[test]
fn bazel_reads_modules_when_told_to() {
    let with = |modules: &str| GOOD.replace("[bazel]", &format!("[bazel]\nmodules = {modules}"));
    assert_eq!(parse(&with("true")).unwrap().flat()["bazel.modules"], "true");
    // What is so anyway is no other pin: the lock stays good.
    assert_eq!(parse(&with("false")).unwrap().flat(), parse(GOOD).unwrap().flat());
    insta::assert_snapshot!(wrong(&[("[bazel]", "[bazel]\nmodules = \"yes\"")]), @r#"
    error: `bazel.modules` is wrong
     --> workspace.toml:9:11
      |
    9 | modules = "yes"
      |           ^^^^^ expected true or false, found string
    "#);
}

#[test]
fn what_is_asked_for_cannot_be_omitted() {
    insta::assert_snapshot!(wrong(&[("[\"dpkg\"]", "[\"dpkg\", \"sed\"]")]), @r#"
    error: `sed` is asked for and omitted
      --> workspace.toml:28:8
       |
    28 | omit = ["dpkg", "sed"]
       |        ^^^^^^^^^^^^^^^ take it from one list
    "#);
}

#[test]
fn tables_and_schemas_of_another_kind() {
    insta::assert_snapshot!(wrong(&[
        ("schema = 1", "schema = 2"),
        ("[debian]\nsuite = \"stable\"\n", "debian = \"stable\"\n"),
        ("omit = [\"dpkg\"]", "omit = \"dpkg\""),
    ]), @r#"
    error: `schema` is wrong
     --> workspace.toml:1:10
      |
    1 | schema = 2
      |          ^ this xtask reads schema 1, found 2

    error: `debian` is of another type
     --> workspace.toml:5:10
      |
    5 | debian = "stable"
      |          ^^^^^^^^ expected a table, found string

    error: `builder.omit` is of another type
      --> workspace.toml:27:8
       |
    27 | omit = "dpkg"
       |        ^^^^^^ expected an array of strings, found string
    "#);
}

#[test]
fn broken_toml_shows_its_line() {
    insta::assert_snapshot!(wrong(&[("schema = 1", "schema = "), ("[bazel]", "[bazel")]), @r#"
    error: this is not TOML
     --> workspace.toml:1:10
      |
    1 | schema = 
      |          ^ string values must be quoted, expected literal string

    error: this is not TOML
     --> workspace.toml:8:7
      |
    8 | [bazel
      |       ^ unclosed table, expected `]`
    "#);
    insta::assert_snapshot!(wrong(&[("schema = 1", "schema = 1\nschema = 1")]), @r#"
    error: this is not TOML
     --> workspace.toml:2:1
      |
    2 | schema = 1
      | ^^^^^^ duplicate key
    "#);
    insta::assert_snapshot!(wrong(&[("sed", "s\0d")]), @r#"
    error: this is not TOML
      --> workspace.toml:27:15
       |
    27 | packages = ["s␀d", "bash=5.2-1"]
       |               ^ invalid basic string, expected non-double-quote visible characters, `\`
    "#);
    insta::assert_snapshot!(shown("<<<<<<< ours\n"), @r#"
    error: this is not TOML
     --> workspace.toml:1:1
      |
    1 | <<<<<<< ours
      | ^^^^^^^ invalid unquoted key, expected letters, numbers, `-`, `_`

    error: this is not TOML
     --> workspace.toml:1:9
      |
    1 | <<<<<<< ours
      |         ^ key with no value, expected `=`
    "#);
}

#[test]
fn an_empty_file_lacks_every_table() {
    assert_eq!(parse("").unwrap_err().len(), 11);
}

#[test]
fn carriage_returns_and_a_byte_order_mark_are_fine() {
    let windows = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert_eq!(parse(&windows).unwrap(), parse(GOOD).unwrap());
}

#[test]
fn a_line_of_ten_megabytes_is_refused_in_few_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("workspace.toml");
    std::fs::write(&path, format!("{GOOD}# {}", "x".repeat(10 << 20))).unwrap();
    insta::assert_snapshot!(load(&path).unwrap_err(), @"error: workspace.toml is longer than 1048576 bytes: nobody pins so much by hand");
    let error = shown(&format!("{GOOD}{} = 1", "x".repeat(1 << 19)));
    assert!(error.len() < 1000 && error.contains("unknown key `xxx"), "{error}");
}

#[test]
fn many_problems_are_counted() {
    let text: String = (0..5000).map(|i| format!("key{i} = 1\n")).collect();
    let error = shown(&text);
    assert!(error.ends_with("more problems in workspace.toml") && error.len() < 20_000, "{error}");
}

#[test]
fn colour_only_where_it_is_wanted() {
    let problems = parse("").unwrap_err();
    assert!(render("workspace.toml", "", &problems, true).contains('\u{1b}'));
    assert!(!render("workspace.toml", "", &problems, false).contains('\u{1b}'));
}

#[test]
fn other_than_text_is_placed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("workspace.toml");
    std::fs::write(&path, b"schema = 1\nplatform = \"\xff\"\n").unwrap();
    insta::assert_snapshot!(load(&path).unwrap_err(), @"error: workspace.toml:2:13 is not UTF-8 text");
}

/// A valid file with a few bytes replaced: near the grammar's every edge.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (0..GOOD.len(), "[\\PC\0\r\n\t\"'\\[\\]=.#{},]{0,6}");
    proptest::collection::vec(edit, 0..6).prop_map(|edits| {
        edits.into_iter().fold(GOOD.to_owned(), |mut text, (at, with)| {
            let at = at.min(text.len());
            let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let end = (at + with.len()).min(text.len());
            let end = (at..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap();
            text.replace_range(at..end, &with);
            text
        })
    })
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in prop_oneof![mutated(), ".{0,200}"]) {
        match parse(&text) {
            Ok(pins) => prop_assert!(pins.flat().len() > 10),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                render("workspace.toml", &text, &problems, true);
            }
        }
    }
}

#[test]
fn the_lane_source_says_how_and_no_other_lane_may() {
    let how = "lane = \"source\"\ngit = \"https://mirror.example/tf.git\"\n\
               describe = \"v9.8.7-rc1-5-g0123456789a\"\ntarget = \"//tensorflow:wheel\"\n\
               configs = [\"b\", \"a\"]\nrepo-env = [\"B=1\", \"A=2\"]\ndisk-gb = 60";
    let flat = parse(&GOOD.replace("lane = \"wheel\"", how)).unwrap().flat();
    let lines = flat.iter().filter(|(key, _)| key.starts_with("tensorflow."));
    let lines: Vec<String> = lines.map(|(key, value)| format!("{key} {value:?}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    tensorflow.configs "b\na"
    tensorflow.describe "v9.8.7-rc1-5-g0123456789a"
    tensorflow.disk-gb "60"
    tensorflow.git "https://mirror.example/tf.git"
    tensorflow.lane "source"
    tensorflow.package "tensorflow-cpu"
    tensorflow.repo-env "A=2\nB=1"
    tensorflow.revision "0123456789abcdef0123456789abcdef01234567"
    tensorflow.target "//tensorflow:wheel"
    tensorflow.version "9.8.7"
    "#);
    let missing = wrong(&[("lane = \"wheel\"", "lane = \"source\"")]);
    for key in ["git", "describe", "target"] {
        assert!(missing.contains(&format!("`tensorflow.{key}` is missing")), "{missing}");
    }
    let idle = wrong(&[("lane = \"wheel\"", "lane = \"wheel\"\ntarget = \"//a:b\"")]);
    assert!(idle.contains("unknown key `target` in [tensorflow]"), "{idle}");
}

#[test]
fn a_base_is_named_by_its_digest() {
    let with = |base: &str| format!("{GOOD}\n[image]\nbase = \"{base}\"\n");
    let exact = format!("registry.example/house/debian@sha256:{}", Sha256::of(b""));
    let pins = parse(&with(&exact)).unwrap();
    assert_eq!(pins.flat()["image.base"], exact);
    assert_eq!(parse(GOOD).unwrap().flat().get("image.base"), None);
    assert_eq!(parse(&format!("{GOOD}\n[image]\n")).unwrap().image, Image::default());
    let wrong = |base: &str| {
        let text = with(base);
        let problems = parse(&text).unwrap_err();
        render("workspace.toml", &text, &problems, false)
    };
    insta::assert_snapshot!(wrong("registry.example/house/debian:12"), @r#"
    `image.base` is wrong
      --> workspace.toml:38:8
       |
    38 | base = "registry.example/house/debian:12"
       |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `registry.example/house/debian@sha256:…`: a tag may be another image tomorrow; `docker pull registry.example/house/debian:12` prints its digest
    "#);
}

#[test]
fn layers_are_gzip_unless_zstd_is_asked_for() {
    let with = |rest: &str| format!("{GOOD}\n[image]\n{rest}\n");
    let pinned = |rest: &str| parse(&with(rest)).unwrap().flat().get("image.compression").cloned();
    assert_eq!(pinned("compression = \"zstd\""), Some("zstd".to_owned()));
    assert_eq!(pinned("compression = \"gzip\""), None, "what goes without saying");
    let wrong = |rest: &str| {
        let text = with(rest);
        let problems = parse(&text).unwrap_err();
        render("workspace.toml", &text, &problems, false)
    };
    insta::assert_snapshot!(wrong("compression = \"zst\""), @r#"
    `image.compression` is wrong
      --> workspace.toml:38:15
       |
    38 | compression = "zst"
       |               ^^^^^ expected `gzip` or `zstd`, found `zst`
    "#);
    insta::assert_snapshot!(wrong("compresion = \"zstd\""), @r#"
    unknown key `compresion` in [image]
      --> workspace.toml:38:1
       |
    38 | compresion = "zstd"
       | ^^^^^^^^^^ did you mean `compression`?
    "#);
}

#[test]
fn an_image_is_whole_unless_it_is_to_be_slim() {
    let with = |slim: &str| format!("{GOOD}\n[image]\nslim = {slim}\n");
    let pinned = |slim: &str| parse(&with(slim)).unwrap().flat().get("image.slim").cloned();
    assert_eq!(pinned("true"), Some("true".to_owned()));
    assert_eq!(pinned("false"), None, "what goes without saying");
    let text = with("\"yes\"");
    let problems = parse(&text).unwrap_err();
    insta::assert_snapshot!(render("workspace.toml", &text, &problems, false), @r#"
    `image.slim` is wrong
      --> workspace.toml:38:8
       |
    38 | slim = "yes"
       |        ^^^^^ expected true or false, found string
    "#);
}
