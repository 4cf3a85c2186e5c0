//! Log lines to patterns: a template for people, a fingerprint for machines, and the severity; and the masking of
//! secrets in whatever is stored of a line.
//!
//! A template is a **pure function of the line**: no state, dictionary, clock or locale. So a replay in any order,
//! window size, worker or restart gives the same fingerprints. One scan over the bytes splits a line into chunks and
//! decides for each, by its own form and its nearest neighbours, whether it is text or a variable (`<*>`):
//!
//! - a chunk with a digit (unless it is a well-known word such as `ipv4` or `sha256`), a URL (the scheme is kept), a
//!   mail address, a path, a host name by its last label or before a port, a long hexadecimal word, `true`/`false`;
//! - a quoted text, unless it is the message itself (`msg="..."`, `"message": "..."`);
//! - the value of `key=value` and of a JSON member, unless the key says that it is part of what happened (`status`,
//!   `method`, `error` ...); an empty value counts as a value; values of secret keys, always;
//! - names after `user` or in `for X from <address>`; dates in words; the level and host of a line header;
//! - lists of variables are one; sizes in units (`18.4 KB`) are one; the frames of a stack trace after its innermost are one.
//!
//! The fingerprint is XXH3-64 over ([`MASK_VERSION`], template), its seed fixed but for the rules of a tenant
//! ([`Masker::with_rules`]). Severity is not part of it.
//!
//! | file | what it does |
//! |---|---|
//! | `scan` | the pass over the bytes: chunks, quotes, keys, punctuation |
//! | `asides` | groups that are one value: `(1.2 KB)`, `<1 sec`, `( on off )`, `environment:java.home=/usr` |
//! | `quotes` | quoted texts and JSON keys |
//! | `token` | whether a chunk is text or a variable: what its key says, then |
//! | `numbers`, `paths`, `prose` | chunks with digits, with slashes, with neither |
//! | `frames` | stack traces |
//! | `skeleton` | the growing template, folding of neighbouring variables |
//! | `words`, `known`, `hosts`, `units` | word lists |
//! | `keys`, `secret_keys` | kinds of keys |
//! | `bytes`, `list` | byte classes, fast sets of words |
//! | `rules` | masks of a tenant's own |
//! | `severity` | levels of fields and line headers |
//! | `alias` | the second stage: which fingerprints are one statement all the same |
//! | `coarse` | what takes the place of patterns when there are too many |
//! | `tokens` | templates as words and variables, for `alias` and `coarse` |
//! | `secrets` | masking of secrets in text, and in values with a name, that are stored |

pub mod alias;
mod asides;
mod bytes;
mod coarse;
mod frames;
mod hosts;
mod keys;
mod known;
mod list;
mod numbers;
mod paths;
mod prose;
mod quotes;
mod rules;
mod scan;
mod secret_keys;
mod secrets;
mod severity;
mod skeleton;
mod token;
mod tokens;
mod units;
mod words;

#[cfg(test)]
mod tests;

pub use coarse::{REST, coarse, within};
pub use rules::{MAX_RULE, MAX_RULES, MAX_SHOWN, Rule, RuleError, RuleKind};
pub(crate) use secrets::names_secret;
pub use secrets::{mask_json, mask_secrets, mask_value, sample};
pub use severity::{Severity, severity};

use rules::Compiled;
use scan::Scanner;
use skeleton::Skeleton;
use std::borrow::Cow;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Version of the masking rules, part of every fingerprint. Any change of a rule or word list that changes the
/// template of any line raises it.
pub const MASK_VERSION: u16 = 3;

/// Seed of the hash: part of the format.
const SEED: u64 = 0x6f62_7365_7276_6531;

/// Turns lines into patterns. Immutable, shared freely between threads; cheap to make but for the rules of a tenant.
#[derive(Clone, Debug, Default)]
pub struct Masker {
    rules: Option<Compiled>,
}

/// Buffers that are reused from line to line; one for each thread.
#[derive(Debug, Default)]
pub struct Scratch {
    skeleton: Skeleton,
    /// The line, where the rules of a tenant matched.
    masked: String,
    /// The template, where a secret had to be hidden in it.
    hidden: String,
}

/// What a line is an instance of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern<'a> {
    /// XXH3-64 over the mask version and the template.
    pub fingerprint: u64,
    /// The line with `<*>` for its variables: at most about 4 KiB, no control characters but `\n`.
    pub template: &'a str,
}

impl Masker {
    /// The built-in rules.
    pub fn new() -> Self {
        Masker::default()
    }

    /// The built-in rules and those of a tenant. The tenant's rules are part of what is hashed: with other rules every
    /// fingerprint is another. Without any it is [`Masker::new`].
    ///
    /// # Errors
    /// The first rule that cannot be used, or all if they are too many or too large.
    ///
    /// ```
    /// use engine::patterns::{Masker, Rule};
    /// let masker = Masker::with_rules(&[Rule::ignore("Paris"), Rule::mask("lot [A-Z]+")])?;
    /// assert_eq!(masker.template("Paris: lot ABC is late"), "<*>: <*> is late");
    /// # Ok::<(), engine::patterns::RuleError>(())
    /// ```
    pub fn with_rules(rules: &[Rule]) -> Result<Self, RuleError> {
        Ok(Masker {
            rules: Compiled::new(rules)?,
        })
    }

    /// Template and fingerprint of a line. Allocates nothing once `scratch` has grown to the longest template (but for
    /// the rare template in which a secret is found late).
    pub fn analyse<'a>(&self, line: &str, scratch: &'a mut Scratch) -> Pattern<'a> {
        let fingerprint = self.fingerprint(line, scratch);
        let mut template = scratch.skeleton.text();
        // The scan knows secrets by their keys; this catches what it could not read, such as JSON within JSON.
        if let Cow::Owned(masked) = mask_secrets(template) {
            scratch.hidden = masked;
            template = &scratch.hidden;
        }
        Pattern { fingerprint, template }
    }

    /// The fingerprint alone: the hot path.
    pub fn fingerprint(&self, line: &str, scratch: &mut Scratch) -> u64 {
        match &self.rules {
            // Secrets first: a mask may hide the key that gives one away.
            Some(rules) if rules.mask(&mask_secrets(line), &mut scratch.masked) => {
                Scanner::run(&scratch.masked, &mut scratch.skeleton);
            }
            _ => Scanner::run(line, &mut scratch.skeleton),
        }
        xxh3_64_with_seed(scratch.skeleton.hashed(), self.seed())
    }

    /// The fingerprint of lines whose template is `template`.
    pub fn template_fingerprint(&self, template: &str) -> u64 {
        let mut hasher = Xxh3::with_seed(self.seed());
        hasher.update(&MASK_VERSION.to_le_bytes());
        hasher.update(template.as_bytes());
        hasher.digest()
    }

    /// The same for maskers that give the same fingerprints, another for all others.
    pub fn version(&self) -> u64 {
        self.seed() ^ u64::from(MASK_VERSION)
    }

    fn seed(&self) -> u64 {
        SEED ^ self.rules.as_ref().map_or(0, Compiled::version)
    }

    /// The template alone, for people.
    pub fn template(&self, line: &str) -> String {
        self.analyse(line, &mut Scratch::default()).template.to_owned()
    }
}
