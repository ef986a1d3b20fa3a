//! docs/clients.md shows the recipes as they are, with the versions that are tested.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a file between two comments, without their indentation.
fn region(path: &str, begin: &str) -> Option<String> {
    let text = read(path);
    let lines = text.lines().skip_while(|line| line.trim() != begin).skip(1);
    let lines: Vec<_> = lines.take_while(|line| line.trim() != "// end").collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let indent = lines.iter().filter(|line| !line.is_empty()).map(indent).min()?;
    Some(
        lines.iter().map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect(),
    )
}

fn lines(code: &str) -> usize {
    code.lines().filter(|line| !line.is_empty()).count()
}

/// The lines of an adapter, without its imports.
fn adapter_lines(path: &str) -> usize {
    let code = region(path, "// adapter").unwrap();
    let (imports, code) = code.split_once("#[derive").unwrap();
    assert!(imports.starts_with("use "), "{path}");
    lines(code)
}

/// The recipes in the sources of the packages, by their files.
fn recipes() -> BTreeMap<String, String> {
    let folders = ["tests/aws/src", "tests/clients/src/recipes", "tests/grpc/src"];
    let files = folders.iter().flat_map(|folder| {
        let names = fs::read_dir(root().join(folder)).unwrap();
        names.map(move |name| format!("{folder}/{}", name.unwrap().file_name().display()))
    });
    let files = files.filter(|path| path.ends_with(".rs"));
    files.filter_map(|path| region(&path, "// recipe").map(|code| (path, code))).collect()
}

/// The code blocks of the docs that show recipes, by the files that they name.
fn shown() -> BTreeMap<String, String> {
    let docs = read("docs/clients.md");
    let blocks = docs.split("<!-- recipe: ").skip(1).map(|block| {
        let (path, block) = block.split_once(" -->\n```rust,ignore\n").expect(block);
        (path.to_owned(), block.split_once("```").unwrap().0.to_owned())
    });
    blocks.collect()
}

/// A row of the table.
struct Row {
    name: String,
    version: String,
    lines: String,
    recipe: String,
}

fn rows() -> Vec<Row> {
    let docs = read("docs/clients.md");
    let table = docs.lines().skip_while(|line| !line.starts_with("| client | crate |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let [_, _, name, version, _, lines, _, recipe, _] = &cells[..] else { panic!("{line}") };
        let [name, version, lines, recipe] = [name, version, lines, recipe].map(Clone::clone);
        Row { name, version, lines, recipe }
    });
    rows.collect()
}

/// The versions of a crate that the package of a recipe is locked to.
fn locked(name: &str, recipe: &str) -> Vec<String> {
    let package = if recipe.starts_with("tests/aws/") { "tests/aws" } else { "tests/clients" };
    let lock = read(&format!("{package}/Cargo.lock"));
    let key = format!("name = \"{name}\"\nversion = \"");
    let versions = lock.split(&key).skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned());
    versions.collect()
}

/// The start of the versions of a crate that a recipe uses, where there are several.
fn line_of(recipe: &str) -> &'static str {
    match recipe.rsplit_once('/').unwrap().1 {
        "reqwest012.rs" => "0.12.",
        "reqwest.rs" => "0.13.",
        "reqwest_middleware.rs" => "0.5.",
        _ => "",
    }
}

#[test]
fn the_docs_show_each_recipe_as_it_is() {
    let (recipes, shown) = (recipes(), shown());
    assert!(recipes.len() >= 12, "{recipes:?}");
    for (path, code) in &recipes {
        let shown = shown.get(path).unwrap_or_else(|| panic!("docs/clients.md lacks {path}"));
        assert_eq!(shown, code, "docs/clients.md shows {path} as it is not");
    }
    let blocks = read("docs/clients.md").matches("<!-- recipe: ").count();
    assert_eq!(blocks, recipes.len(), "docs/clients.md shows a recipe twice");
    assert!(shown.keys().eq(recipes.keys()), "a recipe in docs/clients.md is in no source");
}

#[test]
fn the_table_has_the_versions_that_are_tested() {
    for row in rows() {
        let mut locked = locked(&row.name, &row.recipe);
        locked.retain(|version| version.starts_with(line_of(&row.recipe)));
        assert_eq!(locked, [row.version], "the version of {}", row.name);
    }
}

#[test]
fn the_table_has_each_recipe_and_its_length() {
    let recipes = recipes();
    let mut listed: Vec<_> = rows().into_iter().map(|row| row.recipe).collect();
    listed.sort();
    assert!(listed.iter().eq(recipes.keys()), "{listed:?}");
    for row in rows() {
        let adapter = row.recipe.replace("/recipes/", "/adapters/");
        let mut expected = lines(&recipes[&row.recipe]).to_string();
        if row.recipe != adapter && root().join(&adapter).exists() {
            expected = format!("{expected}, and an adapter of {}", adapter_lines(&adapter));
        }
        assert_eq!(row.lines, expected, "the lines of {}", row.recipe);
    }
}

/// Users copy an adapter, so it must be quick to read.
#[test]
fn adapters_are_short() {
    for name in ["azure_core", "rmcp"] {
        let lines = adapter_lines(&format!("tests/clients/src/adapters/{name}.rs"));
        assert!(lines <= 50, "the adapter {name} has {lines} lines");
    }
}
