//! The inventory: hosts, groups, and the variables written beside them.
//!
//! Rules after ansible-core 2.19 (`inventory/data.py`, `inventory/group.py`): every group without a parent hangs below
//! `all`; a host in no other group is in `ungrouped`; a group's depth is the longest way from `all`.

mod ini;
mod literal;
mod model;
mod pattern;
mod range;
mod shell;
mod source;
mod withheld;
mod yaml;

pub use model::{Group, Host, Inventory, Members};
pub use pattern::{PatternError, select};
pub use source::{is_half, is_inventory_file, load};
pub use withheld::Withheld;
