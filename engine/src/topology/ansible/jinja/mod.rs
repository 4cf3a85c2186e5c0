//! Static evaluation of Jinja2 templates over variables, as ansible-core 2.19 does it without facts.
//!
//! minijinja evaluates; this module brings Ansible's lazy variables, filters, tests, and its rule for results (a template
//! that is one expression keeps the type of its value). Two ways of reading:
//!
//! * [`Mode::Strict`]: exactly Ansible's values, or a reason why there is none.
//! * [`Mode::Symbolic`]: for finding endpoints. A host stands as one private-use character wherever its name, address or
//!   address facts would stand, what is unknown is empty, and the groups that were read are recorded, so that a text
//!   says which host and group it names even where addresses are facts or shared.

mod environment;
mod filters;
mod format;
mod frame;
mod lookups;
mod methods;
mod nesting;
mod objects;
mod scope;
mod session;
mod source;

pub use format::token_of;
pub use scope::{PlayFacts, Scope};
pub use session::{Access, Mode, Rendered, Session};

#[cfg(test)]
mod tests;
