//! Keeps the code's layout: layers import downwards only, no files import each other in a circle, pure layers are pure, an
//! inherent `impl` stands beside its type, and one file knows the AWS SDK. ARCHITECTURE.md says why.
//!
//! Test modules don't count. A `mod` declaration is no import; a `pub use` is one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Type, UseTree};

/// The layers, from the top to the bottom: the name, the pure files, and the others. A file belongs to the longest entry that
/// is its path, or a folder above it. It may import from its own layer and from those below.
const LAYERS: &[(&str, &str, &str)] = &[
    ("program", "", "main lib run watches config telemetry cleanup_command"),
    ("reconcile", "session/reconcile/large_objects", "session/reconcile session/mod work_group"),
    (
        "kubernetes",
        "bodies/trim bodies/pages bodies/rules",
        "bodies cluster controller events health kind_deletion kubernetes live_declarations write_refusals write_dry_run",
    ),
    ("plan", "session/plan work_group/cleanup work_group/status", ""),
    ("conditions", "session/conditions", ""),
    ("rules", "session/rules", ""),
    ("observed", "session/observed", ""),
    ("cleanup", "cleanup", ""),
    ("index", "index", "index/cluster index/objects index/workloads index/work_groups"),
    (
        "athena",
        "athena/quota/bucket athena/quota/fair_queue athena/quota/adaptive_rate athena/informer",
        "athena athena/informer/mod athena/informer/poller",
    ),
    ("metrics", "", "metrics"),
    (
        "types",
        "api status athena/types athena/denial athena/engine athena/marker athena/plausible_times timing text",
        "",
    ),
];

/// The only place that knows the AWS SDK, and how the names of the SDK's crates begin.
const SDK: &str = "athena/aws";
const SDK_CRATES: &[&str] = &["aws_sdk", "aws_config", "aws_credential_types", "aws_smithy", "aws_types"];

/// What pure code must not name: the first words of a path.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "axum",
    "fastrand",
    "kube::Api",
    "kube::Client",
    "kube::api",
    "kube::client",
    "kube::runtime",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Uuid::new_v4",
];

/// The breaches that are still there. This list may only get shorter.
const BREACHES: &[&str] = &[];

#[test]
fn the_code_keeps_to_its_layout() {
    let code = Code::read();
    assert!(code.files.len() > 70 && code.imports.values().map(BTreeSet::len).sum::<usize>() > 300, "what was read?");
    let mut found = BTreeMap::new();
    for check in [Code::layers, Code::circles, Code::purity, Code::impls, Code::sdk] {
        found.extend(check(&code));
    }
    let known: BTreeSet<_> = BREACHES.iter().copied().collect();
    let new: Vec<_> = found.iter().filter(|(breach, _)| !known.contains(breach.as_str())).collect();
    let gone: Vec<_> = known.iter().filter(|breach| !found.contains_key(**breach)).collect();
    let new: String = new.iter().map(|(breach, advice)| format!("\n    \"{breach}\",\n        // {advice}")).collect();
    let gone: String = gone.iter().map(|breach| format!("\n    \"{breach}\",")).collect();
    assert!(new.is_empty(), "new breaches of the layout; each with what to do:{new}\n");
    assert!(gone.is_empty(), "well done, these breaches are gone. Take them out of BREACHES:{gone}\n");
}

/// A source file, and what it names.
#[derive(Default)]
struct File {
    /// As in `session::decide`.
    module: Vec<String>,
    /// The paths that its code names, and the lines where.
    paths: Vec<(Vec<String>, usize)>,
    /// What its `use` declarations bind.
    names: BTreeMap<String, Vec<String>>,
    /// The modules that stand in files of their own.
    children: Vec<String>,
    /// The types that it defines, and those that it has an inherent `impl` for.
    types: BTreeSet<String>,
    impls: BTreeMap<String, usize>,
    /// What only impure code does, and in which line.
    impure: BTreeMap<String, usize>,
}

/// All of `src/`, by paths such as `session/decide.rs`.
struct Code {
    files: BTreeMap<String, File>,
    imports: BTreeMap<String, BTreeSet<String>>,
}

type Breaches = Vec<(String, String)>;

impl Code {
    fn read() -> Self {
        let mut files = BTreeMap::new();
        read_file("main.rs", vec!["main".to_owned()], &mut files);
        read_file("lib.rs", vec![], &mut files);
        let mut code = Self { files, imports: BTreeMap::new() };
        let by_module: BTreeMap<_, _> = code.files.iter().map(|(name, file)| (file.module.clone(), name)).collect();
        let imports = code.files.iter().map(|(name, file)| {
            let targets = file.paths.iter().filter_map(|(path, _)| {
                let path = file.resolve(path, &by_module)?;
                let home = (0..=path.len()).rev().find_map(|length| by_module.get(&path[..length]))?;
                Some((*home).clone())
            });
            (name.clone(), targets.filter(|target| target != name).collect())
        });
        code.imports = imports.collect();
        code
    }

    /// No import from a layer above.
    fn layers(&self) -> Breaches {
        let mut breaches = vec![];
        for (name, targets) in &self.imports {
            let (at, layer, _) = layer_of(name);
            for (target, (above, other, _)) in targets.iter().map(|target| (target, layer_of(target))) {
                if above < at {
                    let advice = format!(
                        "{other} lies above {layer}: move what {name} needs of {target} down, or hand it in as a value"
                    );
                    breaches.push((format!("layer: {name} → {target}"), advice));
                }
            }
        }
        breaches
    }

    /// No file imports another one that, directly or by way of others, imports it.
    fn circles(&self) -> Breaches {
        let reached = |from: &str| {
            let mut reached = BTreeSet::new();
            let mut open = vec![from.to_owned()];
            while let Some(next) = open.pop() {
                open.extend(self.imports[&next].iter().filter(|target| reached.insert((*target).clone())).cloned());
            }
            reached
        };
        let reached: BTreeMap<_, _> = self.imports.keys().map(|name| (name.as_str(), reached(name))).collect();
        let breach = |name: &String| {
            let back: Vec<_> = self.imports[name].iter().filter(|it| reached[it.as_str()].contains(name)).collect();
            let arrows = back.iter().map(|target| format!("{name} → {target}")).collect::<Vec<_>>().join(", ");
            let advice =
                format!("each of these leads back to {name}: {arrows}. Move what both need into a file below both");
            (!back.is_empty()).then(|| (format!("circle: {name}"), advice))
        };
        self.imports.keys().filter_map(breach).collect()
    }

    /// No clock, randomness, client, input, output or async in pure files.
    fn purity(&self) -> Breaches {
        let mut breaches = vec![];
        for (name, file) in self.files.iter().filter(|(name, _)| layer_of(name).2) {
            for (what, line) in &file.impure {
                let advice =
                    format!("line {line} of {name}: hand the value in, or move this to where the layer isn't pure");
                breaches.push((format!("pure: {name} → {what}"), advice));
            }
        }
        breaches
    }

    /// No `impl T` in another file than the one that defines `T`.
    fn impls(&self) -> Breaches {
        let mut breaches = vec![];
        for (name, file) in &self.files {
            for (of, line) in &file.impls {
                // kube's derive makes the kind of its spec.
                if !file.types.contains(of) && !file.types.contains(&format!("{of}Spec")) {
                    let homes = self.files.iter().filter(|(_, file)| file.types.contains(of));
                    let homes = homes.map(|(home, _)| home.as_str()).collect::<Vec<_>>().join(" or ");
                    let advice =
                        format!("line {line}: write functions, or give the part of {of} that these need a type here");
                    breaches.push((format!("impl: {name} → {homes}: {of}"), advice));
                }
            }
        }
        breaches
    }

    /// No crate of the SDK anywhere else.
    fn sdk(&self) -> Breaches {
        let mut breaches = vec![];
        for (name, file) in self.files.iter().filter(|(name, _)| !is_in(name, SDK)) {
            let of_sdk = |(path, _): &&(Vec<String>, usize)| SDK_CRATES.iter().any(|name| path[0].starts_with(name));
            if let Some((path, line)) = file.paths.iter().find(of_sdk) {
                let advice = format!("line {line} names {}: let {SDK} say it in the words of athena/types.rs", path[0]);
                breaches.push((format!("sdk: {name}"), advice));
            }
        }
        breaches
    }
}

/// The place of a file's layer from the top, the layer's name, and whether the file has to be pure.
fn layer_of(name: &str) -> (usize, &'static str, bool) {
    let entries = LAYERS.iter().enumerate().flat_map(|(at, (layer, pure, others))| {
        let pure = pure.split_whitespace().map(move |entry| (entry, (at, *layer, true)));
        pure.chain(others.split_whitespace().map(move |entry| (entry, (at, *layer, false))))
    });
    let found = entries.filter(|(entry, _)| is_in(name, entry)).max_by_key(|(entry, _)| entry.len());
    found.unwrap_or_else(|| panic!("src/{name} has no layer: add it to LAYERS")).1
}

/// Whether a file is this entry of the table, or in its folder.
fn is_in(name: &str, entry: &str) -> bool {
    let rest = name.strip_suffix(".rs").and_then(|name| name.strip_prefix(entry));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Reads a file, and the files of its modules.
fn read_file(name: &str, module: Vec<String>, files: &mut BTreeMap<String, File>) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = fs::read_to_string(source.join(name)).unwrap_or_else(|error| panic!("src/{name}: {error}"));
    let mut file = File { module, ..File::default() };
    file.visit_file(&syn::parse_file(&text).unwrap_or_else(|error| panic!("src/{name}: {error}")));
    let path = PathBuf::from(name);
    let has_folder = !["main", "lib", "mod"].iter().any(|stem| path.file_stem().is_some_and(|it| it == *stem));
    let folder = if has_folder { path.with_extension("") } else { path.parent().unwrap_or(Path::new("")).to_owned() };
    for child in &file.children {
        let inside = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
        let child_file = inside.iter().find(|file| source.join(file).exists());
        let child_file = child_file.unwrap_or_else(|| panic!("src/{name}: no file for mod {child}"));
        read_file(&child_file.display().to_string(), file.child(child), files);
    }
    files.insert(name.to_owned(), file);
}

impl File {
    fn child(&self, name: &str) -> Vec<String> {
        self.module.iter().cloned().chain([name.to_owned()]).collect()
    }

    /// A path from the crate's root; None where another crate's item is meant.
    fn resolve(&self, path: &[String], modules: &BTreeMap<Vec<String>, &String>) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" | "athena_session_operator" => vec![],
            "self" | "super" => self.module.clone(),
            _ if modules.contains_key(&self.child(first)) => self.child(first),
            // Once only: a name may be bound to a path that begins with the same word.
            _ => {
                let bound = self.names.get(first)?;
                let is_local = ["crate", "self", "super", "athena_session_operator"].contains(&bound[0].as_str());
                return if is_local { self.resolve(&[bound, rest].concat(), modules) } else { None };
            }
        };
        let supers = path.iter().skip_while(|it| *it == "self").take_while(|it| *it == "super").count();
        base.truncate(base.len() - supers.min(base.len()));
        base.extend(rest.iter().filter(|it| *it != "super").cloned());
        Some(base)
    }

    fn name_path(&mut self, path: Vec<String>, line: usize) {
        let text = path.join("::");
        let impure = IMPURE.iter().find(|impure| text == **impure || text.starts_with(&format!("{impure}::")));
        if let Some(impure) = impure {
            self.is_impure(impure, line);
        }
        if path.len() > 1 {
            if path.last().is_some_and(|last| last == "now") {
                self.is_impure(&text, line);
            }
            self.paths.push((path, line));
        }
    }

    fn is_impure(&mut self, what: &str, line: usize) {
        self.impure.entry(what.to_owned()).or_insert(line);
    }

    fn use_tree(&mut self, before: &[String], tree: &UseTree, line: usize) {
        let (path, bound) = match tree {
            UseTree::Path(it) => return self.use_tree(&[before, &[it.ident.to_string()]].concat(), &it.tree, line),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.use_tree(before, tree, line)),
            UseTree::Glob(_) => (before.to_vec(), None),
            UseTree::Name(it) if it.ident == "self" => (before.to_vec(), before.last().cloned()),
            UseTree::Name(it) => ([before, &[it.ident.to_string()]].concat(), Some(it.ident.to_string())),
            UseTree::Rename(it) if it.ident == "self" => (before.to_vec(), Some(it.rename.to_string())),
            UseTree::Rename(it) => ([before, &[it.ident.to_string()]].concat(), Some(it.rename.to_string())),
        };
        if let Some(bound) = bound {
            self.names.insert(bound, path.clone());
        }
        self.name_path(path, line);
    }

    /// The paths in a macro's tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons): (Vec<String>, _, _) = (vec![], 0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if ident == "async" || ident == "await" {
                        self.is_impure("async", ident.span().start().line);
                    }
                    if path.last().is_some_and(|word| word == "enum" || word == "struct") {
                        self.types.insert(ident.to_string());
                    }
                    if colons != 2 {
                        self.name_path(std::mem::take(&mut path), line);
                    }
                    path.push(ident.to_string());
                    (line, colons) = (ident.span().start().line, 0);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => colons = 0,
            }
        }
        self.name_path(path, line);
    }
}

/// Whether an item is there only in tests.
fn is_of_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Const(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    };
    let is_test = |it: &Attribute| {
        it.path().is_ident("cfg") && it.meta.require_list().is_ok_and(|it| it.tokens.to_string() == "test")
    };
    attributes.iter().any(is_test)
}

impl<'ast> Visit<'ast> for File {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_of_tests(item) {
            return;
        }
        match item {
            Item::Enum(it) => drop(self.types.insert(it.ident.to_string())),
            Item::Struct(it) => drop(self.types.insert(it.ident.to_string())),
            Item::Mod(it) if it.content.is_none() => self.children.push(it.ident.to_string()),
            Item::Use(it) => self.use_tree(&[], &it.tree, it.use_token.span.start().line),
            Item::Impl(it) if it.trait_.is_none() => {
                if let Type::Path(of) = &*it.self_ty
                    && let Some(last) = of.path.segments.last()
                {
                    self.impls.insert(last.ident.to_string(), it.impl_token.span.start().line);
                }
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.name_path(names, line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        self.tokens(it.tokens.clone());
        visit::visit_macro(self, it);
    }

    fn visit_signature(&mut self, it: &'ast syn::Signature) {
        if it.asyncness.is_some() {
            self.is_impure("async", it.fn_token.span.start().line);
        }
        visit::visit_signature(self, it);
    }

    fn visit_expr_async(&mut self, it: &'ast syn::ExprAsync) {
        self.is_impure("async", it.async_token.span.start().line);
        visit::visit_expr_async(self, it);
    }

    fn visit_expr_method_call(&mut self, it: &'ast syn::ExprMethodCall) {
        if it.method == "elapsed" {
            self.is_impure("elapsed", it.method.span().start().line);
        }
        visit::visit_expr_method_call(self, it);
    }

    // What stands in attributes (docs, derives) and in `pub(in …)` is no import.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}
