//! What lies beside the image, read by the programs that its formats' own projects keep:
//! pyspdxtools for SPDX, in-toto's attestation library for the statement and SLSA's predicate.

use std::path::{Path, PathBuf};

use xtask::command::{self, Env, cmd};
use xtask::workspace::Workspace;

use crate::machine;

/// Parses strictly: an unknown field is an error.
const STATEMENT: &str = "
import sys
from google.protobuf.json_format import MessageToJson, Parse
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
statement = Parse(open(sys.argv[1]).read(), statement_pb2.Statement())
Statement.copy_from_pb(statement).validate()
provenance = Parse(MessageToJson(statement.predicate), provenance_pb2.Provenance())
assert provenance.build_definition.build_type and provenance.run_details.builder.id
print(len(statement.subject), len(provenance.build_definition.resolved_dependencies))
";

fn image() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Workspace::at(root).dist().join("image")
}

#[test]
fn the_formats_own_programs_read_bill_and_provenance() {
    if std::env::var_os("CI").is_none() && std::env::var_os("LOCKSTEP_TEST_PIP").is_none() {
        machine::skip("with CI or LOCKSTEP_TEST_PIP set pip would install spdx-tools and in-toto");
        return;
    }
    let (sh, env) = (command::shell().unwrap(), Env::host(command::NETWORK));
    let run = |step| command::read(step, &env).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let (venv, bin) = (folder.path(), folder.path().join("bin"));
    run(cmd!(sh, "python3 -m venv {venv}"));
    let (pip, python) = (bin.join("pip"), bin.join("python"));
    run(cmd!(sh, "{pip} install --quiet spdx-tools==0.8.5 in-toto-attestation==0.9.3"));

    let bill = image().join("sbom.spdx.json");
    let check = bin.join("pyspdxtools");
    run(cmd!(sh, "{check} --infile {bill}"));
    let wrong = folder.path().join("wrong.spdx.json");
    let text = std::fs::read_to_string(&bill).unwrap();
    std::fs::write(&wrong, text.replacen("DESCRIBES", "DESCRIBED_BY", 1)).unwrap();
    command::read(cmd!(sh, "{check} --infile {wrong}"), &env).unwrap_err();

    let statement = image().join("provenance.intoto.json");
    let counts = run(cmd!(sh, "{python} -c {STATEMENT} {statement}"));
    let counts: Vec<usize> = counts.split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert!(counts[0] > 5 && counts[1] > 100, "{counts:?}");
}
