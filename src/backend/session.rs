//! Transactions: in a background worker, and inside `CALL etl_run()`, where a procedure commits by itself.

use crate::backend::settings::set_local;
use crate::backend::{catalog, locks};
use crate::error::{Error, Result, catch};
use pgrx::pg_sys;
use std::cell::Cell;

/// Where the code runs, which decides how a transaction begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// A background worker: it starts and commits transactions itself.
    Worker,
    /// A procedure over non-atomic SPI, in whose session a transaction is always open.
    Procedure,
}

/// What a transaction was told to do at its end.
pub enum End<T> {
    Commit(T),
    Rollback(T),
}

/// What an open transaction goes back to.
struct Open {
    context: pg_sys::MemoryContext,
    owner: pg_sys::ResourceOwner,
    /// Of a procedure: what its statements allocate. The context around it lives as long as the CALL.
    scratch: Cell<pg_sys::MemoryContext>,
}

/// The search_path until the extension's schema is known: nothing that a user could have written is on it.
const BARE_PATH: &str = "pg_catalog, pg_temp";

impl Session {
    /// Runs `body` in a transaction of its own, as the extension's owner with a pinned search_path, and commits.
    ///
    /// An error rolls back; it is returned, not raised. `Ok(None)` when the extension is not there (dropped, being
    /// dropped, or of another version than this library): nothing was run then.
    pub fn transaction<T>(self, body: impl FnOnce() -> Result<End<T>>) -> Result<Option<T>> {
        let open = catch(|| Ok(self.begin()))?;
        let outcome = catch(|| {
            set_local(c"search_path", BARE_PATH)?;
            let Some(extension) = catalog::current()? else {
                return Ok(None);
            };
            if !locks::try_share_extension(extension.oid) {
                return Ok(None);
            }
            set_local(
                c"search_path",
                &format!(
                    "pg_catalog, {}, pg_temp",
                    pgrx::spi::quote_identifier(&extension.schema)
                ),
            )?;
            set_local(c"max_parallel_workers_per_gather", "0")?;
            // Nobody may hold a runner up for ever; what waited too long is tried again.
            set_local(c"lock_timeout", "60s")?;
            let (mut user, mut security) = (pg_sys::InvalidOid, 0);
            // SAFETY: plain reads and writes of the backend's user id; put back below, or by the abort.
            unsafe {
                pg_sys::GetUserIdAndSecContext(&mut user, &mut security);
                pg_sys::SetUserIdAndSecContext(extension.owner, security | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
            }
            let end = body();
            // SAFETY: as above.
            unsafe { pg_sys::SetUserIdAndSecContext(user, security) };
            end.map(Some)
        });
        match outcome {
            Ok(Some(End::Commit(value))) => match catch(|| {
                self.commit(&open);
                Ok(())
            }) {
                Ok(()) => Ok(Some(value)),
                Err(e) => {
                    self.rollback(&open);
                    Err(e)
                }
            },
            Ok(Some(End::Rollback(value))) => {
                self.rollback(&open);
                Ok(Some(value))
            }
            Ok(None) => {
                self.rollback(&open);
                Ok(None)
            }
            Err(e) => {
                self.rollback(&open);
                Err(e)
            }
        }
    }

    /// As [`Session::transaction`], for a run that has to end one way or the other: no extension is an error.
    pub fn transact<T>(self, body: impl FnOnce() -> Result<End<T>>) -> Result<T> {
        self.transaction(body)?.ok_or(Error::Busy)
    }

    /// A transaction that needs no extension and changes nothing: runs as the session's user and rolls back.
    pub fn bare_transaction<T>(self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let open = catch(|| Ok(self.begin()))?;
        let outcome = catch(|| {
            set_local(c"search_path", BARE_PATH)?;
            body()
        });
        self.rollback(&open);
        outcome
    }

    fn begin(self) -> Open {
        // SAFETY: a worker's main loop, outside any transaction; or a procedure whose transaction has just begun, in
        // which everything happens in a subtransaction: an error leaves SPI levels and portals of other languages
        // behind, which only an abort takes away.
        unsafe {
            let open = Open {
                context: pg_sys::CurrentMemoryContext,
                owner: pg_sys::CurrentResourceOwner,
                scratch: Cell::new(std::ptr::null_mut()),
            };
            pg_sys::SetCurrentStatementStartTimestamp();
            match self {
                Session::Worker => pg_sys::StartTransactionCommand(),
                Session::Procedure => {
                    pg_sys::BeginInternalSubTransaction(std::ptr::null());
                    open.scratch.set(pg_sys::AllocSetContextCreateInternal(
                        open.context,
                        c"observe_bridge transaction".as_ptr(),
                        pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                        pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                        pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                    ));
                    pg_sys::CurrentMemoryContext = open.scratch.get();
                }
            }
            // Whatever default_transaction_isolation says: after waiting for a lock the next statement must see what
            // its former holder committed.
            pg_sys::XactIsoLevel = pg_sys::XACT_READ_COMMITTED as i32;
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            open
        }
    }

    fn commit(self, open: &Open) {
        // SAFETY: pops the snapshot `begin` pushed. A procedure is connected to non-atomic SPI, and every nested SPI
        // connection is closed by now.
        unsafe {
            pg_sys::PopActiveSnapshot();
            match self {
                Session::Worker => {
                    pg_sys::CommitTransactionCommand();
                    pg_sys::pgstat_report_stat(true);
                }
                Session::Procedure => {
                    pg_sys::ReleaseCurrentSubTransaction();
                    open.restore();
                    pg_sys::SPI_commit();
                }
            }
        }
    }

    fn rollback(self, open: &Open) {
        // SAFETY: both forms may be called after an error was caught; the abort pops snapshots and SPI levels. A commit
        // that failed has already left the subtransaction.
        unsafe {
            match self {
                Session::Worker => {
                    pg_sys::AbortCurrentTransaction();
                    pg_sys::pgstat_report_stat(true);
                }
                Session::Procedure => {
                    if pg_sys::IsSubTransaction() {
                        pg_sys::RollbackAndReleaseCurrentSubTransaction();
                    }
                    open.restore();
                    pg_sys::SPI_rollback();
                }
            }
        }
    }
}

impl Open {
    /// Back to the memory context and resource owner of before a subtransaction.
    ///
    /// # Safety
    /// Both must still exist, as they do while the procedure that was in force at `begin` runs.
    unsafe fn restore(&self) {
        // SAFETY: the caller's.
        unsafe {
            pg_sys::CurrentMemoryContext = self.context;
            pg_sys::CurrentResourceOwner = self.owner;
            let scratch = self.scratch.replace(std::ptr::null_mut());
            if !scratch.is_null() {
                pg_sys::MemoryContextDelete(scratch);
            }
        }
    }
}

/// Connects to non-atomic SPI and ends the caller's transaction, so that [`Session::Procedure`] may be used.
/// `call` gets the session; the SPI connection is closed behind it.
pub fn in_procedure<T>(call: impl FnOnce(Session) -> T) -> T {
    // SAFETY: called from a procedure in a non-atomic context (checked by the caller). The first SPI_commit gives up
    // the snapshot of the CALL itself. An error inside `call` unwinds past SPI_finish, which the abort makes up for.
    unsafe {
        pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32);
        pg_sys::SPI_commit();
        let result = call(Session::Procedure);
        pg_sys::SPI_finish();
        result
    }
}
