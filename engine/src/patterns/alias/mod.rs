//! The second stage of pattern mining: which fingerprints are the same statement of a program all the same.
//!
//! Stage one masks what looks like a variable. A variable that is a plain word (a topic, the name of a job) only
//! shows when many lines are seen together: templates that differ in that one word. Here they become a **class**.
//! Fingerprints are never rewritten; a fingerprint gets an alias, its class, and the rule that says why.
//!
//! What [`Classes`] says is a pure function of the *set* of templates it holds: order, batches and repetitions make no
//! difference. And it only ever joins: two fingerprints of one class stay together whatever is added.
//!
//! The rules, where the ranks of words are counted after splitting at blanks, brackets, quotes and `,;:=`:
//!
//! - [`Rule::Word`]: templates that are equal but for the word in one place, if that place has at least
//!   [`WORDS`] different words ([`FIRST_WORDS`] where it is the first word, which says most; methods of HTTP count
//!   as any other word there), or one word and a variable, or nothing but levels in a header of capitals. At least [`CONSTANT_WORDS`] other words must be left;
//! - [`Rule::Names`]: templates that are equal but for qualified names (`org.acme.shop.Order`) in two places or more, if
//!   there are [`WORDS`] of them;
//! - [`Rule::Equal`]: fingerprints with the same template, which another version of the masks made.
//!
//! Classes that share a fingerprint are one. A class's template is what its members have in common, with `<*>` where they
//! differ, and its id is the fingerprint of that template: what stage one would say had it known.
//!
//! Time and memory are linear in the length of the templates, but for one sort of their words.

mod join;
mod places;

#[cfg(test)]
mod tests;

use super::{Masker, tokens};
use hashbrown::HashMap;
use join::Joined;

/// So many different words in one place make it a variable.
pub const WORDS: usize = 4;
/// So many if it is the first word of the line.
pub const FIRST_WORDS: usize = 10;
/// So many words must be left beside the place.
pub const CONSTANT_WORDS: usize = 2;

/// Why a fingerprint belongs to its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Another fingerprint has the same template.
    Equal,
    /// Its templates differ in one word.
    Word,
    /// Its templates differ in qualified names.
    Names,
}

impl Rule {
    /// The name that is stored: `equal`, `word`, `names`.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Equal => "equal",
            Rule::Word => "word",
            Rule::Names => "names",
        }
    }
}

/// A fingerprint whose class is not itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alias {
    /// The fingerprint.
    pub fingerprint: u64,
    /// Its class: the fingerprint of the class's template.
    pub class: u64,
    /// The first rule that applies to the fingerprint.
    pub rule: Rule,
}

/// A class of several fingerprints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class {
    /// The fingerprint of `template`. It may be that of a member.
    pub id: u64,
    /// What the members have in common.
    pub template: String,
}

/// Everything that is not its own class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By fingerprint.
    pub aliases: Vec<Alias>,
    /// By id.
    pub classes: Vec<Class>,
}

/// The templates of one tenant.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    templates: HashMap<u64, String>,
}

impl Classes {
    /// No templates.
    pub fn new() -> Self {
        Classes::default()
    }

    /// Adds a fingerprint with its template; true if that may change the [`Classes::outcome`]. Of several templates of
    /// one fingerprint the smallest counts.
    pub fn insert(&mut self, fingerprint: u64, template: &str) -> bool {
        match self.templates.get_mut(&fingerprint) {
            Some(known) if template >= known.as_str() => false,
            Some(known) => {
                template.clone_into(known);
                true
            }
            None => {
                self.templates.insert(fingerprint, template.to_owned());
                true
            }
        }
    }

    /// Whether a fingerprint is known.
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.templates.contains_key(&fingerprint)
    }

    /// How many fingerprints are known.
    pub fn len(&self) -> usize {
        self.templates.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// The classes of all that is known. The masker is that of the tenant: its rules are part of the ids of classes.
    pub fn outcome(&self, masker: &Masker) -> Outcome {
        // Equal templates are looked at once.
        let mut order: Vec<(&str, u64)> = self.templates.iter().map(|(f, t)| (t.as_str(), *f)).collect();
        order.sort_unstable();
        let groups: Vec<&[(&str, u64)]> = order.chunk_by(|a, b| a.0 == b.0).collect();
        let templates: Vec<&str> = groups.iter().filter_map(|g| g.first()).map(|g| g.0).collect();

        let mut out = Outcome::default();
        let mut joined = Joined::new(templates.len());
        places::join_words(&templates, &mut joined);
        places::join_names(&templates, &mut joined);
        for class in joined.classes() {
            let of_class = || {
                class
                    .iter()
                    .filter_map(|(member, rule)| Some((*groups.get(*member)?, *rule)))
            };
            if of_class().map(|(group, _)| group.len()).sum::<usize>() < 2 {
                continue;
            }
            let in_class: Vec<&str> = class.iter().filter_map(|(m, _)| templates.get(*m)).copied().collect();
            let template = tokens::common(&in_class);
            let id = masker.template_fingerprint(&template);
            for (group, rule) in of_class() {
                let others = group.iter().filter(|(_, fingerprint)| *fingerprint != id);
                out.aliases.extend(others.map(|(_, fingerprint)| Alias {
                    fingerprint: *fingerprint,
                    class: id,
                    // Joined by no rule of places: only its template is that of others.
                    rule: rule.unwrap_or(Rule::Equal),
                }));
            }
            out.classes.push(Class { id, template });
        }
        out.aliases.sort_unstable();
        out.classes.sort_unstable();
        out.classes.dedup_by_key(|c| c.id);
        out
    }
}
