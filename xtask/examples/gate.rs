//! scratch
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ops: Vec<_> = args[1..]
        .iter()
        .map(|p| xtask::abi::OpLibrary { package: "op".into(), path: p.into() })
        .collect();
    let t = std::time::Instant::now();
    match xtask::abi::gate(&ops, args[0].as_ref(), "/".as_ref()) {
        Ok(f) => println!("{:#?}", f.last()),
        Err(e) => println!("{e}"),
    }
    println!(
        "{:?} {}",
        t.elapsed(),
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with("VmHWM"))
            .unwrap()
    );
}
