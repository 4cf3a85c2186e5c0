//! Why an expression has no static value.

use crate::topology::Reason;

/// The cause, with a name where one helps: a variable, a filter, a plugin. Names come from the text of the expression,
/// never from values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No definition anywhere.
    Undefined(String),
    /// A host fact (`ansible_*`): known only on the host.
    Fact(String),
    /// A lookup plugin that needs more than the tree.
    Lookup(String),
    /// Encrypted.
    Vault(String),
    /// A filter, test, function or syntax that is not evaluated.
    Unsupported(String),
    /// Needs itself.
    Recursive,
    /// More work than is allowed for one extraction.
    Budget,
}

impl Why {
    pub fn reason(&self) -> Reason {
        match self {
            Why::Undefined(_) => Reason::Undefined,
            Why::Fact(_) => Reason::Fact,
            Why::Lookup(_) => Reason::Lookup,
            Why::Vault(_) => Reason::Vault,
            Why::Unsupported(_) | Why::Recursive | Why::Budget => Reason::Unsupported,
        }
    }

    /// The name that the cause has, for `Unresolved::reference`.
    pub fn name(&self) -> &str {
        match self {
            Why::Undefined(name) | Why::Fact(name) | Why::Lookup(name) | Why::Vault(name) | Why::Unsupported(name) => {
                name
            }
            Why::Recursive => "recursive variable",
            Why::Budget => "evaluation limit",
        }
    }

    /// Whether Ansible has an undefined value here, to which `default()` and `is defined` apply.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Why::Undefined(_) | Why::Fact(_))
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.reason(), self.name())
    }
}

impl std::error::Error for Why {}
