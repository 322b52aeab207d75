//! Floors, not a web: a file may name only modules declared above its own in `lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

fn floors() -> Vec<String> {
    let lib = fs::read_to_string(source("lib.rs")).unwrap();
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}

/// Modules of this crate that a text names: `crate::x` and `crate::{x, y}`.
fn named(text: &str) -> Vec<String> {
    let words = text.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => {
            list.split('}').next().unwrap_or_default().split(',').map(|word| word.trim().to_owned()).collect()
        }
        None => vec![rest.to_owned()],
    });
    let end = |c: char| !(c.is_ascii_lowercase() || c == '_');
    words.map(|word| word.split(end).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_file_names_only_floors_below_its_own() {
    let floors = floors();
    assert!(floors.len() >= 12, "lib.rs declares the floors: {floors:?}");
    let mut upward = Vec::new();
    for (height, floor) in floors.iter().enumerate() {
        let folder = source(floor);
        let files = if folder.is_dir() { rust_files(&folder) } else { vec![source(&format!("{floor}.rs"))] };
        for file in files {
            for name in named(&fs::read_to_string(&file).unwrap()) {
                if floors.iter().position(|floor| *floor == name).is_some_and(|other| other > height) {
                    upward.push(format!("{} names {name}", file.display()));
                }
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn every_floor_is_explained_and_stands_alone() {
    let lib = fs::read_to_string(source("lib.rs")).unwrap();
    let lines: Vec<&str> = lib.lines().collect();
    for at in (0..lines.len()).filter(|at| lines[*at].starts_with("pub mod ")) {
        assert!(lines[at - 1].starts_with("///"), "{} has no comment", lines[at]);
        assert!(lines[at - 2].is_empty(), "{} is not set off, rustfmt would sort it", lines[at]);
    }
}
