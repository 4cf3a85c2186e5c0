//! Gets our workers out of the way of commands that need a database without sessions, as a resident worker would make
//! them fail: DROP DATABASE, CREATE DATABASE .. TEMPLATE, ALTER DATABASE .. RENAME and .. SET TABLESPACE. And has the
//! launcher look into a new database, which may be the copy of one that has the extension.

use crate::worker::process;
use crate::worker::shmem::{self, SlotState};
use pgrx::pg_sys::submodules::ffi::pg_guard_ffi_boundary;
use pgrx::prelude::*;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use std::ffi::{CStr, c_char};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Our workers end within milliseconds; after this the command goes on and says itself who is in its way.
const PATIENCE: Duration = Duration::from_secs(5);

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

/// Installs the hook; called once, from `_PG_init`, when the library is preloaded.
pub fn install() {
    // SAFETY: _PG_init runs once, on the only thread of the postmaster.
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

/// What happens to the database if the command succeeds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Dropped,
    Kept,
}

mod bare {
    use super::*;
    unsafe extern "C-unwind" {
        /// Declared bare: pgrx's binding catches errors and raises them anew, without context, position or names of
        /// constraints, and this hook sees every utility statement of the cluster.
        #[allow(clippy::too_many_arguments)]
        pub fn standard_ProcessUtility(
            statement: *mut pg_sys::PlannedStmt,
            query: *const c_char,
            read_only_tree: bool,
            context: pg_sys::ProcessUtilityContext::Type,
            params: pg_sys::ParamListInfo,
            environment: *mut pg_sys::QueryEnvironment,
            receiver: *mut pg_sys::DestReceiver,
            completion: *mut pg_sys::QueryCompletion,
        );
    }
}

/// Passes every statement on as it came but those that need a database without sessions. Not guarded: nothing in this
/// frame needs to be dropped, so an error may jump over it.
#[allow(clippy::too_many_arguments)]
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: a planned statement given to the hook has a utility statement, whose tag is read; the arguments are
    // passed on as they came; PREVIOUS is written once, before any statement runs.
    unsafe {
        if concerns_databases((*statement).utilityStmt) {
            return database_command(
                statement,
                query,
                read_only_tree,
                context,
                params,
                environment,
                receiver,
                completion,
            );
        }
        match PREVIOUS {
            Some(previous) => previous(
                statement,
                query,
                read_only_tree,
                context,
                params,
                environment,
                receiver,
                completion,
            ),
            None => bare::standard_ProcessUtility(
                statement,
                query,
                read_only_tree,
                context,
                params,
                environment,
                receiver,
                completion,
            ),
        }
    }
}

/// Whether a statement may need a database without sessions; looks at tags only.
///
/// # Safety
/// `node` is the utility statement of a planned statement.
unsafe fn concerns_databases(node: *mut pg_sys::Node) -> bool {
    // SAFETY: the tag says which struct the node is.
    unsafe {
        match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt | pg_sys::NodeTag::T_CreatedbStmt | pg_sys::NodeTag::T_AlterDatabaseStmt => {
                true
            }
            pg_sys::NodeTag::T_RenameStmt => {
                (*node.cast::<pg_sys::RenameStmt>()).renameType == pg_sys::ObjectType::OBJECT_DATABASE
            }
            _ => false,
        }
    }
}

#[allow(clippy::too_many_arguments)]
#[pg_guard]
unsafe extern "C-unwind" fn database_command(
    statement: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: as in `process_utility`.
    let go_on = || unsafe {
        match PREVIOUS {
            Some(previous) => pg_guard_ffi_boundary(|| {
                previous(
                    statement,
                    query,
                    read_only_tree,
                    context,
                    params,
                    environment,
                    receiver,
                    completion,
                )
            }),
            None => pg_sys::standard_ProcessUtility(
                statement,
                query,
                read_only_tree,
                context,
                params,
                environment,
                receiver,
                completion,
            ),
        }
    };
    // SAFETY: as in `process_utility`.
    let needed = unsafe { needs_empty((*statement).utilityStmt) };
    match needed.filter(|(database, _)| block(*database)) {
        Some((database, fate)) => without_workers(database, fate, go_on),
        None => go_on(),
    }
    // SAFETY: as in `process_utility`.
    unsafe { look_into_new((*statement).utilityStmt) };
}

/// Runs a command while no worker of ours is in a database that [`block`] keeps them from.
fn without_workers(database: pg_sys::Oid, fate: Fate, go_on: impl Fn()) {
    PgTryBuilder::new(AssertUnwindSafe(|| {
        process::end_workers(database, PATIENCE);
        go_on()
    }))
    .catch_others(|e| {
        unblock(database, Fate::Kept);
        e.rethrow()
    })
    .catch_rust_panic(|e| {
        unblock(database, Fate::Kept);
        e.rethrow()
    })
    .execute();
    unblock(database, fate);
}

/// After CREATE DATABASE: at commit the launcher starts a scheduler there, which leaves if the extension is not.
unsafe fn look_into_new(node: *mut pg_sys::Node) {
    // SAFETY: the node's tag says which struct it is; a database that was created has a name. Its row becomes visible to
    // this transaction by the command counter.
    let database = unsafe {
        if (*node).type_ != pg_sys::NodeTag::T_CreatedbStmt {
            return;
        }
        pg_sys::CommandCounterIncrement();
        pg_sys::get_database_oid((*node.cast::<pg_sys::CreatedbStmt>()).dbname, true)
    };
    if database != pg_sys::InvalidOid {
        register_xact_callback(PgXactCallbackEvent::Commit, move || shmem::probe(database));
    }
}

/// The database a command needs without sessions, if the user may run that command.
unsafe fn needs_empty(node: *mut pg_sys::Node) -> Option<(pg_sys::Oid, Fate)> {
    // SAFETY: the node's tag says which struct it is; names in parse trees are NUL-terminated or null.
    unsafe {
        let (name, fate) = match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt => ((*node.cast::<pg_sys::DropdbStmt>()).dbname, Fate::Dropped),
            pg_sys::NodeTag::T_CreatedbStmt => (
                option_text((*node.cast::<pg_sys::CreatedbStmt>()).options, c"template")?,
                Fate::Kept,
            ),
            // Of a database: others do not come here.
            pg_sys::NodeTag::T_RenameStmt => ((*node.cast::<pg_sys::RenameStmt>()).subname, Fate::Kept),
            pg_sys::NodeTag::T_AlterDatabaseStmt => {
                let alter = node.cast::<pg_sys::AlterDatabaseStmt>();
                option_text((*alter).options, c"tablespace")?;
                ((*alter).dbname, Fate::Kept)
            }
            _ => return None,
        };
        if name.is_null() {
            return None;
        }
        let database = pg_sys::get_database_oid(name, true);
        let other = database != pg_sys::InvalidOid && database != pg_sys::MyDatabaseId;
        (other && owns(database)).then_some((database, fate))
    }
}

/// The text of an option in a list of DefElems; `None` when it is not given.
unsafe fn option_text(options: *mut pg_sys::List, name: &CStr) -> Option<*mut c_char> {
    // SAFETY: the grammar makes these lists of DefElem only; an option without argument has a null `arg`.
    unsafe {
        let list = pgrx::PgList::<pg_sys::DefElem>::from_pg(options);
        let element = list.iter_ptr().find(|e| CStr::from_ptr((**e).defname) == name)?;
        if (*element).arg.is_null() {
            None
        } else {
            Some(pg_sys::defGetString(element))
        }
    }
}

fn owns(database: pg_sys::Oid) -> bool {
    // SAFETY: catalog lookups in a transaction.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::pg_database_ownercheck(database, pg_sys::GetUserId());
        #[cfg(not(feature = "pg15"))]
        pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, pg_sys::GetUserId())
    }
}

/// Keeps workers from starting in a database; false if it has none, or if another backend blocks it already.
fn block(database: pg_sys::Oid) -> bool {
    let me = shmem::my_pid();
    let blocked = shmem::with(|r| {
        r.slot(database).is_some_and(|slot| {
            let free = slot.state == SlotState::Wanted;
            if free {
                slot.state = SlotState::Blocked;
                slot.blocker = me;
            }
            free
        })
    });
    blocked == Some(true)
}

/// Lets workers start again, or forgets the database.
fn unblock(database: pg_sys::Oid, fate: Fate) {
    let me = shmem::my_pid();
    let launcher = shmem::with(|r| {
        if let Some(slot) = r
            .slot(database)
            .filter(|s| s.state == SlotState::Blocked && s.blocker == me)
        {
            slot.state = if fate == Fate::Dropped {
                SlotState::Free
            } else {
                SlotState::Wanted
            };
            slot.blocker = 0;
        }
        r.launcher
    });
    shmem::wake(launcher.unwrap_or(0));
}
