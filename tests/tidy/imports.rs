//! Import graph of the files of a crate, read from their syntax trees.
//!
//! Only paths that start with `crate`, `self`, `super` or a child module count. Each name is followed through
//! re-exports to the file that defines it. Unit tests and the arguments of macro calls are not read.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Attribute, Item, Meta, UseTree,
    visit::{self, Visit},
};

use crate::Source;

/// Module path from the top of a crate, such as `["proto", "h1", "parse"]`.
type ModulePath = Vec<String>;

/// Names that one module defines and uses.
#[derive(Default)]
struct Module {
    /// Index of the file in the crate's list of sources.
    file: usize,
    /// Names that `use` items import, each with its path.
    aliases: Vec<(String, Vec<String>)>,
    /// Paths of glob imports (`use path::*`).
    globs: Vec<Vec<String>>,
    /// Names that the module defines.
    defined: BTreeSet<String>,
    /// Every path that the module's code names.
    paths: Vec<Vec<String>>,
}

/// Modules of one crate.
pub(crate) struct Crate<'a> {
    sources: &'a [Source],
    modules: BTreeMap<ModulePath, Module>,
}

/// Import as a pair of the importing and the imported file, as indices into the sources.
pub(crate) type Import = (usize, usize);

impl<'a> Crate<'a> {
    /// Reads the files of a crate whose module paths begin at its root folder.
    pub(crate) fn read(sources: &'a [Source]) -> Self {
        let mut modules = BTreeMap::new();
        for (file, source) in sources.iter().enumerate().filter(|(_, source)| !source.is_test()) {
            let tree =
                syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
            let path = source.module().into_iter().map(str::to_owned).collect();
            read_module(&mut modules, path, file, &tree.items);
        }
        Self { sources, modules }
    }

    /// Returns the imports between different files. If `with_family` is `false`, imports between a module and
    /// its ancestors are left out.
    pub(crate) fn imports(&self, with_family: bool) -> BTreeSet<Import> {
        let mut imports = BTreeSet::new();
        for (place, module) in &self.modules {
            for path in module.paths.iter().chain(module.aliases.iter().map(|(_, path)| path)) {
                let Some(file) = self.defining_file(place, path, 0) else { continue };
                let (own, other) = (self.sources[module.file].module(), self.sources[file].module());
                let family = own.starts_with(&other) || other.starts_with(&own);
                if file != module.file && (with_family || !family) {
                    imports.insert((module.file, file));
                }
            }
        }
        imports
    }

    /// Returns the file that defines `path`, resolved in the module `place`.
    fn defining_file(&self, place: &ModulePath, path: &[String], depth: usize) -> Option<usize> {
        // Re-exports can form a cycle. Longer chains are given up.
        if depth > 8 {
            return None;
        }
        let (mut at, rest) = self.start(place, path)?;
        for (index, name) in rest.iter().enumerate() {
            let child: ModulePath = at.iter().chain([name]).cloned().collect();
            if self.modules.contains_key(&child) {
                at = child;
                continue;
            }
            let module = &self.modules[&at];
            if module.defined.contains(name) {
                return Some(module.file);
            }
            if let Some((_, target)) = module.aliases.iter().find(|(alias, _)| alias == name) {
                let target: Vec<_> = target.iter().chain(&rest[index + 1..]).cloned().collect();
                return self.defining_file(&at, &target, depth + 1);
            }
            let through = |glob: &Vec<String>| {
                let target: Vec<_> = glob.iter().chain(&rest[index..]).cloned().collect();
                self.defining_file(&at, &target, depth + 1)
            };
            return module.globs.iter().find_map(through);
        }
        Some(self.modules[&at].file)
    }

    /// Returns the module where a path starts, and the rest of the path.
    fn start<'p>(&self, place: &ModulePath, path: &'p [String]) -> Option<(ModulePath, &'p [String])> {
        let mut at = place.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            child => {
                let module: ModulePath = at.iter().cloned().chain([child.to_owned()]).collect();
                self.modules.get(&module)?;
            }
        }
        Some((at, rest))
    }
}

/// Returns the groups of at least two files that import each other in a circle.
pub(crate) fn circles(imports: &BTreeSet<Import>, files: usize) -> Vec<Vec<usize>> {
    let mut reachable: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); files];
    for (from, reached) in reachable.iter_mut().enumerate() {
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for &(_, next) in imports.range((file, 0)..(file + 1, 0)) {
                if reached.insert(next) {
                    open.push(next);
                }
            }
        }
    }
    let mut circles = BTreeSet::new();
    for file in (0..files).filter(|&file| reachable[file].contains(&file)) {
        let circle =
            (0..files).filter(|&other| reachable[file].contains(&other) && reachable[other].contains(&file));
        circles.insert(circle.collect::<Vec<_>>());
    }
    circles.into_iter().collect()
}

fn read_module(modules: &mut BTreeMap<ModulePath, Module>, path: ModulePath, file: usize, items: &[Item]) {
    let mut module = Module { file, ..Module::default() };
    for item in items.iter().filter(|item| !is_test(attributes(item))) {
        match item {
            Item::Use(item) => read_tree(&item.tree, &mut Vec::new(), &mut module),
            Item::Mod(item) if item.content.is_some() => {
                let inner = path.iter().cloned().chain([item.ident.to_string()]).collect();
                let items = &item.content.as_ref().expect("checked above").1;
                read_module(modules, inner, file, items);
            }
            item => {
                module.defined.extend(name(item));
                Paths(&mut module).visit_item(item);
            }
        }
    }
    modules.insert(path, module);
}

fn read_tree(tree: &UseTree, prefix: &mut Vec<String>, module: &mut Module) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            read_tree(&path.tree, prefix, module);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|item| read_tree(item, prefix, module)),
        UseTree::Glob(_) => {
            module.paths.push(prefix.clone());
            module.globs.push(prefix.clone());
        }
        UseTree::Name(name) => alias(&name.ident.to_string(), &name.ident.to_string(), prefix, module),
        UseTree::Rename(rename) => {
            alias(&rename.rename.to_string(), &rename.ident.to_string(), prefix, module)
        }
    }
}

fn alias(name: &str, target: &str, prefix: &[String], module: &mut Module) {
    let mut path = prefix.to_vec();
    let name = if target == "self" { path.last().cloned().unwrap_or_default() } else { name.to_owned() };
    if target != "self" {
        path.push(target.to_owned());
    }
    module.aliases.push((name, path));
}

/// Collects the paths of one item, except those of `use` items.
struct Paths<'a>(&'a mut Module);

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.0.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut inner = Module::default();
        read_tree(&item.tree, &mut Vec::new(), &mut inner);
        self.0.paths.extend(inner.aliases.into_iter().map(|(_, path)| path));
        self.0.paths.extend(inner.globs);
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

#[test]
fn the_graph_follows_names_through_re_exports() {
    let source = |path: &str, text: &str| Source::new(path.to_owned(), text.to_owned());
    let sources = [
        source("src/lib.rs", "mod a; mod b; mod c;"),
        source("src/a/mod.rs", "mod x; mod y; pub use x::X; pub use y::*;"),
        source("src/a/x.rs", "use super::Y; pub struct X;"),
        source("src/a/y.rs", "pub struct Y; fn f() { super::X; }"),
        source("src/b.rs", "use crate::{a::{X, Y as Z}, c}; #[cfg(test)] mod tests { use crate::d::D; }"),
        source("src/c.rs", "fn f(_: crate::a::x::X) {} #[cfg(test)] use crate::b::B;"),
    ];
    let read = Crate::read(&sources);
    let imports = read.imports(false);
    assert_eq!(imports.iter().copied().collect::<Vec<_>>(), [(2, 3), (3, 2), (4, 2), (4, 3), (4, 5), (5, 2)]);
    assert_eq!(circles(&imports, sources.len()), [[2, 3]]);
}
