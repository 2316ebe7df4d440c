use super::*;
use crate::pins::cluster::Memory;

fn plan() -> Plan {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workspace.toml");
    let mut cluster = crate::pins::load(&own).unwrap().cluster.unwrap();
    cluster.roles.values_mut().for_each(|tasks| tasks.memory = Some(Memory(2 << 30)));
    let scripts = Scripts::of([("train.py", "import tensorflow\n")]);
    Plan { cluster, image: Sha256::of(b"image"), workspace_id: Sha256::of(b"id"), scripts }
}

fn shown(files: &Files) -> String {
    files.iter().map(|(name, text)| format!("==> {name}\n{text}")).collect()
}

#[test]
fn what_each_format_looks_like() {
    for format in Format::ALL {
        let mut files = plan().render(format);
        // One unit a role is enough to look at.
        files.retain(|name, _| !name.ends_with("-1.service") && !name.ends_with("-2.service"));
        insta::assert_snapshot!(format.folder(), shown(&files));
    }
}

#[test]
fn every_task_names_the_one_image_and_the_one_workspace() {
    let plan = plan();
    let (tasks, roles) = (7, 4);
    for (format, starts) in Format::ALL.iter().zip([tasks, roles, roles, roles, tasks]) {
        let text = shown(&plan.render(*format));
        assert_eq!(text.matches(&plan.reference()).count(), starts, "{format:?}");
        assert_eq!(text.matches("registry.example").count(), starts, "{format:?}");
        let ids = text.matches(&plan.workspace_id.to_string()).count();
        assert!(ids >= starts * 2 - 1 || ids > starts, "{format:?}: {ids}");
    }
}

#[test]
fn what_a_person_writes_means_itself_in_every_format() {
    let mut plan = plan();
    for tasks in plan.cluster.roles.values_mut() {
        tasks.command.push("$HOME 'a' %h \\ ${X}".parse().unwrap());
    }
    let text = |format| shown(&plan.render(format));
    assert!(text(Format::Compose).contains(r#"- "$$HOME 'a' %h \\ $${X}""#));
    assert!(text(Format::Jobset).contains(r#"- "$$HOME 'a' %h \\ $${X}""#));
    assert!(text(Format::Systemd).contains(r"'$$HOME \'a\' %%h \\ $${X}'"));
}

#[test]
fn another_script_is_another_config_map() {
    let (old, mut new) = (plan(), plan());
    new.scripts = Scripts::of([("train.py", "pass\n")]);
    assert_ne!(old.scripts_name(), new.scripts_name());
}
