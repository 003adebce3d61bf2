//! Loading: every pack is read, then everything is checked against everything.
//!
//! A problem costs the thing that it is about and nothing else. Within a pack the order is that of the
//! files' names, packs come in the order of their sources and names, so the same files always give the
//! same registry and the same diagnostics.
//!
//! Start reading at [`load`].

use crate::builtin::RESERVED;
use crate::files::PackFiles;
use crate::install::is_unloaded;
use crate::pack::{self, is_reference};
use crate::reading::File;
use crate::registry::Contents;
use crate::{BUILTIN, Pack, Registry, action, alias, codes, config, overrides, policy, rule, sensor, workflow};
use sha2::Digest as _;
use squall_model::{ActionRef, PackName, Str, Value};
use squall_yaml::nearest;
use squall_yaml::{Diagnostic, Span};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where content comes from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Whether the packs inside the program take part.
    pub builtin: bool,
    /// Where [`unpack_builtin`](crate::unpack_builtin) wrote them, so that their scripts can run.
    pub builtin_dir: Option<PathBuf>,
    /// Directories of packs; of two packs of the same name the first one counts.
    pub packs: Vec<PathBuf>,
    /// Single packs.
    pub single: Vec<PathBuf>,
    /// Directory of configurations, `<pack>.yaml` each.
    pub configs: Option<PathBuf>,
    /// Directory of overrides, `_global.yaml` and `<pack>.yaml`.
    pub overrides: Option<PathBuf>,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources {
            builtin: true,
            builtin_dir: None,
            packs: Vec::new(),
            single: Vec::new(),
            configs: None,
            overrides: None,
        }
    }
}

/// What loading gave.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is sound.
    pub registry: Registry,
    /// What is not, and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Loads all content.
pub fn load(sources: &Sources) -> Loaded {
    let mut loading = Loading::default();
    if sources.builtin {
        for (name, files) in BUILTIN {
            let dir = sources.builtin_dir.as_ref().map(|dir| dir.join(name)).unwrap_or_default();
            loading.pack(name, PackFiles::Builtin { pack: name, files }, dir);
        }
    }
    for dir in &sources.single {
        loading.directory(dir);
    }
    for base in &sources.packs {
        loading.base(base);
    }
    loading.configs(sources.configs.as_deref());
    loading.overrides(sources.overrides.as_deref());
    loading.finish()
}

/// Loads the built-in packs and the pack in `dir`; the diagnostics are about that pack.
pub fn check_pack(dir: &Path) -> Loaded {
    load(&Sources { single: vec![dir.to_owned()], ..Sources::default() })
}

#[derive(Default)]
struct Loading {
    contents: Contents,
    noted: Vec<Diagnostic>,
    hash: sha2::Sha256,
    /// Texts by the file's name in messages, for what is found only when everything is loaded.
    texts: HashMap<String, Str>,
    /// Configurations inside packs, as in 2016.
    legacy: BTreeMap<PackName, Value>,
    /// Names of aliases, and the formats of the enabled ones, with the alias that has them.
    alias_names: HashMap<Str, ActionRef>,
    alias_formats: HashMap<Str, ActionRef>,
    /// Workflows that were checked.
    checked: HashSet<String>,
    /// Where each pack came from.
    origins: BTreeMap<PackName, String>,
}

/// The folders that make a directory without a manifest worth looking into.
const FOLDERS: &[&str] = &["actions", "aliases", "rules", "policies", "triggers", "sensors"];

impl Loading {
    /// A directory of packs.
    fn base(&mut self, base: &Path) {
        let entries = match std::fs::read_dir(base) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("the directory of packs cannot be read: {error}");
                self.noted.push(Diagnostic::error(codes::UNREADABLE, message).in_file(base.display().to_string()));
                return;
            }
        };
        let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        dirs.sort();
        for dir in dirs {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let is_pack = dir.join("pack.yaml").exists() || FOLDERS.iter().any(|folder| dir.join(folder).is_dir());
            if !name.starts_with('.') && name != "__pycache__" && is_pack && !is_unloaded(&dir) {
                self.directory(&dir);
            }
        }
    }

    /// One pack on disk.
    fn directory(&mut self, dir: &Path) {
        let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match PackFiles::on_disk(dir) {
            Ok(files) => self.pack(&name, files, absolute),
            Err(why) => {
                let message = format!("the directory of the pack cannot be read: {why}");
                self.noted.push(Diagnostic::error(codes::UNREADABLE, message).in_file(dir.display().to_string()));
            }
        }
    }

    fn pack(&mut self, dir_name: &str, files: PackFiles, path: PathBuf) {
        let Some(reference) = self.reference(dir_name, &files) else { return };
        if !self.claim(&reference, &files) {
            return;
        }
        let is_builtin = matches!(files, PackFiles::Builtin { .. });
        let mut found = Pack::bare(reference.clone(), path.clone(), is_builtin);
        if files.exists("pack.yaml")
            && let Some(file) = self.open(&reference, dir_name, &files, "a manifest", "pack.yaml")
        {
            found = pack::read(&file, path.clone());
            self.noted.extend(file.finish());
        }
        found.config_schema = config::read_schema(&reference, dir_name, &files, &mut self.noted);
        if let Some(legacy) = config::read_legacy(&files, &mut self.noted) {
            self.legacy.insert(reference.clone(), legacy);
        }
        self.triggers(&reference, dir_name, &files);
        found.needs_python = self.sensors(&reference, dir_name, &files);
        found.needs_python |= self.actions(&reference, dir_name, &files, &path);
        self.rules(&reference, dir_name, &files);
        self.aliases(&reference, dir_name, &files);
        self.policies(&reference, dir_name, &files);
        self.contents.packs.insert(reference, Arc::new(found));
    }

    /// What references to this pack begin with.
    fn reference(&mut self, dir_name: &str, files: &PackFiles) -> Option<PackName> {
        let shown = files.shown("pack.yaml");
        let manifest =
            files.read("pack.yaml").ok().and_then(|text| squall_yaml::parse(&text, &Default::default()).ok());
        if let Some(reference) = manifest.as_ref().and_then(|doc| pack::reference_of(&doc.root, Some(dir_name))) {
            return Some(reference);
        }
        if !files.exists("pack.yaml") {
            let message = format!("`{dir_name}` has no manifest");
            let help =
                "add a `pack.yaml` with name, description, version and author; its content is loaded all the same";
            self.noted.push(Diagnostic::warning(codes::NO_MANIFEST, message).in_file(shown.clone()).help(help));
        }
        if is_reference(dir_name) {
            return Some(PackName::from(dir_name));
        }
        let message = format!("no reference can be made from the name of pack `{dir_name}`");
        let help = "add `ref:` with lower-case letters, digits and underscores to its `pack.yaml`";
        self.noted.push(Diagnostic::error(codes::PACK_REF, message).in_file(shown).help(help));
        None
    }

    /// Whether this is the pack that counts under its reference.
    fn claim(&mut self, reference: &PackName, files: &PackFiles) -> bool {
        let shown = files.shown("pack.yaml");
        let Some(first) = self.origins.get(reference) else {
            self.origins.insert(reference.clone(), shown);
            return true;
        };
        let replaceable = self.contents.packs.get(reference).is_some_and(|pack| pack.is_builtin);
        if replaceable && !RESERVED.contains(&&**reference) {
            self.forget(reference);
            self.origins.insert(reference.clone(), shown);
            return true;
        }
        let message = format!("the pack `{reference}` is loaded from elsewhere; this one is left out");
        let help = if replaceable {
            format!("`{reference}` is part of squall; give this pack another `ref`")
        } else {
            format!("the other one is {first}")
        };
        self.noted.push(Diagnostic::warning(codes::PACK_TWICE, message).in_file(shown).help(help));
        false
    }

    /// Removes a pack that is replaced by one of the user's.
    fn forget(&mut self, pack: &PackName) {
        let contents = &mut self.contents;
        contents.packs.remove(pack);
        contents.actions.retain(|reference, _| reference.pack != *pack);
        contents.aliases.retain(|reference, _| reference.pack != *pack);
        contents.rules.retain(|reference, _| reference.pack != *pack);
        contents.policies.retain(|reference, _| reference.pack != *pack);
        contents.trigger_types.retain(|reference, _| reference.pack != *pack);
        contents.sensors.retain(|reference, _| reference.pack != *pack);
        self.legacy.remove(pack);
        self.alias_names.retain(|_, alias| alias.pack != *pack);
        self.alias_formats.retain(|_, alias| alias.pack != *pack);
    }

    fn open<'a>(
        &mut self,
        pack: &'a PackName,
        dir_name: &'a str,
        files: &'a PackFiles,
        what: &'static str,
        path: &'a str,
    ) -> Option<File<'a>> {
        let file = File::open(pack, dir_name, files, what, path, &mut self.noted)?;
        self.hash.update(file.shown.as_bytes());
        self.hash.update([0]);
        self.hash.update(file.text.as_bytes());
        Some(file)
    }

    fn keep(&mut self, file: File<'_>) {
        self.texts.insert(file.shown.clone(), Str::from(&*file.text));
        self.noted.extend(file.finish());
    }

    fn triggers(&mut self, pack: &PackName, dir_name: &str, files: &PackFiles) {
        for path in files.metadata("triggers") {
            let Some(file) = self.open(pack, dir_name, files, "a trigger type", &path) else { continue };
            if let Some(trigger) = sensor::read_trigger(&file) {
                self.contents.trigger_types.insert(trigger.reference.clone(), Arc::new(trigger));
            }
            self.keep(file);
        }
    }

    /// Reads sensors; the answer is whether there are any, since all of them are Python.
    fn sensors(&mut self, pack: &PackName, dir_name: &str, files: &PackFiles) -> bool {
        let mut any = false;
        for path in files.metadata("sensors") {
            let Some(file) = self.open(pack, dir_name, files, "a sensor", &path) else { continue };
            if let Some((sensor, triggers)) = sensor::read_sensor(&file) {
                any = true;
                for trigger in triggers {
                    self.contents.trigger_types.insert(trigger.reference.clone(), Arc::new(trigger));
                }
                twice(&file, &self.contents.sensors, &sensor.reference, sensor.name_span, |s| &s.source.file);
                self.contents.sensors.insert(sensor.reference.clone(), Arc::new(sensor));
            }
            self.keep(file);
        }
        any
    }

    /// Reads actions; the answer is whether there are any in Python.
    fn actions(&mut self, pack: &PackName, dir_name: &str, files: &PackFiles, pack_dir: &Path) -> bool {
        let mut any = false;
        for path in files.metadata("actions") {
            let Some(file) = self.open(pack, dir_name, files, "an action", &path) else { continue };
            if let Some(action) = action::read(&file, pack_dir) {
                any |= action.runner.name == "python-script";
                if let Some(definition) = &action.definition {
                    self.hash.update(definition.sha.as_bytes());
                    if self.checked.insert(workflow::key(&action, definition)) {
                        self.noted.extend(workflow::problems(&action, definition));
                    }
                }
                let span = file.root.get("name").map_or(file.root.span, |name| name.span);
                twice(&file, &self.contents.actions, &action.reference, span, |a| &a.source.file);
                self.contents.actions.insert(action.reference.clone(), Arc::new(action));
            }
            self.keep(file);
        }
        any
    }

    fn rules(&mut self, pack: &PackName, dir_name: &str, files: &PackFiles) {
        for path in files.metadata("rules") {
            let Some(file) = self.open(pack, dir_name, files, "a rule", &path) else { continue };
            if let Some(rule) = rule::read(&file) {
                twice(&file, &self.contents.rules, &rule.reference, rule.name_span, |r| &r.source.file);
                self.contents.rules.insert(rule.reference.clone(), Arc::new(rule));
            }
            self.keep(file);
        }
    }

    fn aliases(&mut self, pack: &PackName, dir_name: &str, files: &PackFiles) {
        for path in files.metadata("aliases") {
            let Some(file) = self.open(pack, dir_name, files, "an alias", &path) else { continue };
            if let Some(alias) = alias::read(&file)
                && self.is_unique(&file, &alias)
            {
                self.remember(&alias);
                self.contents.aliases.insert(alias.reference.clone(), Arc::new(alias));
            }
            self.keep(file);
        }
    }

    /// StackStorm finds aliases by name alone, so a second pack with the same name would replace the first;
    /// and of two aliases with the same format nobody could tell which one is meant.
    fn is_unique(&self, file: &File<'_>, alias: &crate::Alias) -> bool {
        let defined_in = |reference: &ActionRef| self.contents.alias(reference).map_or("", |other| &other.source.file);
        let name = &alias.reference.name;
        if let Some(other) = self.alias_names.get(name) {
            let message = format!("the alias name `{name}` is taken by `{other}`");
            let there = defined_in(other);
            let help = format!("StackStorm would replace that one; rename one of them. The other is in {there}");
            file.error_with_help(codes::ALIAS_NAME_TWICE, alias.name_span, message, "used a second time", help);
            return false;
        }
        for (text, span) in alias.matched.iter().filter(|_| alias.enabled) {
            if let Some(other) = self.alias_formats.get(text) {
                let message = format!("`{other}` and `{}` have the same format", alias.reference);
                let help = format!("change or disable one of them; the other is in {}", defined_in(other));
                file.error_with_help(codes::FORMAT_TWICE, *span, message, "nobody could tell them apart", help);
                return false;
            }
        }
        true
    }

    fn remember(&mut self, alias: &crate::Alias) {
        self.alias_names.insert(alias.reference.name.clone(), alias.reference.clone());
        if alias.enabled {
            let formats = alias.matched.iter().map(|(text, _)| (text.clone(), alias.reference.clone()));
            self.alias_formats.extend(formats);
        }
    }

    fn policies(&mut self, pack: &PackName, dir_name: &str, files: &PackFiles) {
        for path in files.metadata("policies") {
            let Some(file) = self.open(pack, dir_name, files, "a policy", &path) else { continue };
            if let Some(policy) = policy::read(&file) {
                twice(&file, &self.contents.policies, &policy.reference, policy.name_span, |p| &p.source.file);
                self.contents.policies.insert(policy.reference.clone(), Arc::new(policy));
            }
            self.keep(file);
        }
    }

    /// Configurations: those of `dir`, else those that packs of 2016 carry themselves.
    fn configs(&mut self, dir: Option<&Path>) {
        self.contents.configs = std::mem::take(&mut self.legacy);
        let Some(dir) = dir else { return };
        for (reference, pack) in &self.contents.packs {
            if let Some(values) = config::read_values(dir, reference, pack.config_schema.as_ref(), &mut self.noted) {
                self.contents.configs.insert(reference.clone(), values);
            }
        }
    }

    /// Switches content on and off: what holds for all packs first, then what holds for one.
    fn overrides(&mut self, dir: Option<&Path>) {
        let Some(dir) = dir.filter(|dir| dir.is_dir()) else { return };
        let global = overrides::read(dir, "_global", &mut self.noted);
        let by_pack: HashMap<PackName, overrides::Overrides> = self
            .contents
            .packs
            .keys()
            .map(|pack| (pack.clone(), overrides::read(dir, pack, &mut self.noted)))
            .collect();
        let decide = |kind: &'static str, reference: &ActionRef| {
            let own = by_pack.get(&reference.pack).and_then(|file| file.enabled(kind, &reference.name));
            own.or_else(|| global.default_of(kind))
        };
        let contents = &mut self.contents;
        let changed = [
            switch(&mut contents.sensors, |sensor| &mut sensor.enabled, |reference| decide("sensors", reference)),
            switch(&mut contents.actions, |action| &mut action.enabled, |reference| decide("actions", reference)),
            switch(&mut contents.rules, |rule| &mut rule.enabled, |reference| decide("rules", reference)),
            switch(&mut contents.aliases, |alias| &mut alias.enabled, |reference| decide("aliases", reference)),
        ];
        self.hash.update(changed.join("\n\n").as_bytes());
    }

    fn finish(mut self) -> Loaded {
        self.check_aliases();
        self.check_rules();
        self.check_policies();
        for (pack, values) in &self.contents.configs {
            self.hash.update(pack.as_bytes());
            self.hash.update(squall_model::to_json(values).as_bytes());
        }
        let digest = self.hash.finalize();
        let first: [u8; 8] = std::array::from_fn(|at| digest[at]);
        self.contents.version = u64::from_be_bytes(first);
        Loaded { registry: Registry::from(self.contents), diagnostics: self.noted }
    }

    fn check_aliases(&mut self) {
        let mut noted = Vec::new();
        for alias in self.contents.aliases.values() {
            let Some(action) = alias.action().and_then(|reference| self.contents.action(&reference).cloned()) else {
                noted.push(self.unknown_action(
                    &alias.action_ref,
                    &alias.source.file,
                    alias.action_span,
                    "typing it will fail",
                ));
                continue;
            };
            noted.extend(self.misplaced(alias, &action));
            let confirms = alias.confirm.as_ref().is_some_and(Value::is_truthy);
            let guarded = action.confirm.is_some()
                || action.tag("squall.confirm").is_some()
                || self.contents.policies_of(&action.reference).any(|policy| &*policy.policy_type == "squall.confirm");
            if confirms && !guarded {
                let message =
                    format!("`{}` asks for a confirmation, but its action can be run without", alias.reference);
                let help = format!(
                    "other aliases, the API and workflows reach `{}` unasked; give the action `tags: [{{name: squall.confirm, value: \"true\"}}]` too",
                    action.reference
                );
                let mark =
                    self.mark(codes::CONFIRM_BYPASS, message, &alias.source.file, alias.action_span, "this action");
                noted.push(mark.help(help));
            }
        }
        self.noted.extend(noted);
    }

    /// Placeholders that the action does not take: whoever types the command would be refused.
    fn misplaced(&self, alias: &crate::Alias, action: &crate::Action) -> Vec<Diagnostic> {
        let parameters = action.merged_parameters();
        if parameters.is_empty() {
            // StackStorm validates nothing then.
            return Vec::new();
        }
        let mut noted = Vec::new();
        for (text, span) in &alias.matched {
            for name in alias::placeholders(text) {
                let label = match parameters.get(name) {
                    None => "not a parameter",
                    Some(schema) if schema.get("immutable").is_some_and(Value::is_truthy) => {
                        "cannot be given, it is immutable"
                    }
                    Some(_) => continue,
                };
                let message = format!(
                    "the placeholder `{name}` of `{}` is nothing that `{}` takes",
                    alias.reference, action.reference
                );
                let mut mark = self.mark(codes::PLACEHOLDER, message, &alias.source.file, *span, label);
                mark.help = nearest(name, parameters.keys().map(|known| &**known))
                    .filter(|close| *close != name)
                    .map(|close| format!("did you mean `{close}`?"));
                noted.push(mark);
            }
        }
        noted
    }

    /// A rule without its trigger type never fires, and StackStorm does not register it.
    fn check_rules(&mut self) {
        let mut noted = Vec::new();
        let mut lost = Vec::new();
        for rule in self.contents.rules.values() {
            let trigger: Option<ActionRef> = rule.trigger.parse().ok();
            if trigger.is_none_or(|reference| !self.contents.trigger_types.contains_key(&reference)) {
                let known: Vec<String> = self.contents.trigger_types.keys().map(ActionRef::to_string).collect();
                let message = format!("unknown trigger type `{}`", rule.trigger);
                let mut diagnostic = self.mark(
                    codes::UNKNOWN_TRIGGER,
                    message,
                    &rule.source.file,
                    rule.trigger_span,
                    "no pack declares it",
                );
                diagnostic.severity = squall_yaml::Severity::Error;
                diagnostic.help = Some(match nearest(&rule.trigger, known.iter().map(String::as_str)) {
                    Some(close) => format!("did you mean `{close}`? The rule is skipped"),
                    None => "install the pack whose sensor fires it, or remove the rule; it is skipped".to_owned(),
                });
                noted.push(diagnostic);
                lost.push(rule.reference.clone());
                continue;
            }
            if !self.has_action(&rule.action) {
                noted.push(self.unknown_action(
                    &rule.action,
                    &rule.source.file,
                    rule.action_span,
                    "the rule will fail",
                ));
            }
        }
        for reference in lost {
            self.contents.rules.remove(&reference);
        }
        self.noted.extend(noted);
    }

    fn check_policies(&mut self) {
        let policies = self.contents.policies.values().filter(|policy| !self.has_action(&policy.resource_ref));
        let noted: Vec<Diagnostic> = policies
            .map(|policy| {
                self.unknown_action(
                    &policy.resource_ref,
                    &policy.source.file,
                    policy.resource_span,
                    "the policy does nothing",
                )
            })
            .collect();
        self.noted.extend(noted);
    }

    fn has_action(&self, reference: &str) -> bool {
        reference.parse().is_ok_and(|reference| self.contents.actions.contains_key(&reference))
    }

    fn unknown_action(&self, reference: &str, file: &str, span: Span, label: &str) -> Diagnostic {
        let known: Vec<String> = self.contents.actions.keys().map(ActionRef::to_string).collect();
        let message = format!("the action `{reference}` does not exist");
        let mut diagnostic = self.mark(codes::UNKNOWN_ACTION, message, file, span, label);
        diagnostic.help =
            nearest(reference, known.iter().map(String::as_str)).map(|close| format!("did you mean `{close}`?"));
        diagnostic
    }

    /// A warning at a place in a file that was read before.
    fn mark(&self, code: &'static str, message: String, file: &str, span: Span, label: &str) -> Diagnostic {
        let text = self.texts.get(file).map_or("", |text| text);
        Diagnostic::warning(code, message).at(text, span, label).in_file(file)
    }
}

/// Sets the flag of everything that there is a decision about; answers what was decided, line by line.
fn switch<T: Clone>(
    things: &mut BTreeMap<ActionRef, Arc<T>>,
    flag: impl Fn(&mut T) -> &mut bool,
    decide: impl Fn(&ActionRef) -> Option<bool>,
) -> String {
    let mut changed = Vec::new();
    for (reference, thing) in things {
        if let Some(enabled) = decide(reference) {
            *flag(Arc::make_mut(thing)) = enabled;
            changed.push(format!("{reference} {enabled}"));
        }
    }
    changed.join("\n")
}

/// Warns when a file defines what another one of the pack has defined; the later one counts, as in StackStorm.
fn twice<T>(
    file: &File<'_>,
    known: &BTreeMap<ActionRef, Arc<T>>,
    reference: &ActionRef,
    span: Span,
    source: impl Fn(&T) -> &String,
) {
    if let Some(first) = known.get(reference) {
        let message = format!("`{reference}` is defined twice; this one counts");
        let help = Some(format!("the other one is in {}", source(first)));
        file.warning(codes::DEFINED_TWICE, span, message, "defined again", help);
    }
}
