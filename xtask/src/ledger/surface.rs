//! The surface as text: a section a library, a fact a line.

use std::collections::BTreeMap;

use crate::abi::Surface;

/// The lines of one library, by `PACKAGE/FILE`.
pub type Sections<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// The snapshot's text, sorted by package and file.
pub fn render(surfaces: &[Surface]) -> String {
    let mut surfaces: Vec<&Surface> = surfaces.iter().collect();
    surfaces.sort_unstable_by_key(|surface| (&surface.facts.package, &surface.facts.file));
    surfaces.iter().map(|surface| section(surface)).collect::<Vec<_>>().join("\n")
}

fn section(surface: &Surface) -> String {
    let facts = &surface.facts;
    let mut text = format!("{}/{}\n", facts.package, facts.file);
    // A name in a foreign file may hold anything; a line of ours holds no line break.
    let shown = |value: &str| value.replace(char::is_control, "?");
    let mut line = |key: &str, value: &str| text += &format!("  {key} {}\n", shown(value));
    surface.ops.iter().for_each(|op| line("op", op));
    surface.kernels.iter().for_each(|kernel| line("kernel", kernel));
    facts.needed.iter().for_each(|library| line("needed", library));
    line("runpath", &facts.runpath);
    facts.floors.iter().for_each(|(family, version)| line("floor", &format!("{family}_{version}")));
    line("absl", facts.absl_lts.as_deref().unwrap_or("none"));
    line("isa", &facts.isa);
    facts.compilers.iter().for_each(|compiler| line("compiler", compiler));
    line("undefined", "none"); // the gate refuses any other
    text
}

/// Reads the snapshot's text; the error names the line.
pub fn parse(text: &str) -> Result<Sections<'_>, String> {
    let mut sections = Sections::new();
    let mut current = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |why: &str| Err(format!("line {}: {why}: `{line}`", number + 1));
        let Some(fact) = line.strip_prefix("  ") else {
            if !line.is_empty() && sections.insert(line, Vec::new()).is_some() {
                return wrong("a library twice");
            }
            current = Some(line);
            continue;
        };
        match current.and_then(|name| sections.get_mut(name)) {
            Some(facts) if fact.contains(' ') => facts.push(fact),
            Some(_) => return wrong("expected a key and a value"),
            None => return wrong("a fact of no library"),
        }
    }
    Ok(sections)
}
