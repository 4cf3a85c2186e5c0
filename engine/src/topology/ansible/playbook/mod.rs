//! Playbooks, roles and tasks: what would be written or passed on, host by host, without running anything.

mod load;
mod role;
mod site;
mod task;
mod walk;

pub use load::{Play, is_playbook, load};
pub use site::{Site, SiteKind};
pub use walk::{PlaySummary, Walk};
