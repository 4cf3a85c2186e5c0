//! A streaming standby of a cluster.

use super::{Cluster, append, free_port, process};
use crate::cluster::output;

impl Cluster {
    /// A hot standby, made by `pg_basebackup`, with settings as this cluster has them; returns when it accepts
    /// connections.
    #[track_caller]
    pub fn standby(&self) -> Cluster {
        let folder = process::folder(self.owner);
        let data = folder.path().join("data");
        output(
            self.program("pg_basebackup")
                .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "-D"])
                .arg(&data),
        );
        let mut standby = Cluster {
            folder,
            owner: self.owner,
            port: free_port(),
            environment: self.environment.clone(),
            server: None,
        };
        // The last of several lines counts.
        append(&data.join("postgresql.conf"), &standby.own_settings());
        standby.up();
        standby
    }
}
