//! Reads windows from objects, wherever they lie: a folder of this machine, a bucket. The layouts, the readers and the
//! rules are the same for all places.

pub mod object;
pub mod store;

mod fetch;
mod generations;
mod hive;
mod listing;
mod ndjson;
mod openobserve;
mod plain;
mod read;
mod replay;
#[cfg(test)]
pub mod testing;

pub use fetch::Reader;
pub use replay::replay;

use super::error::SourceError;
use std::str::FromStr;

/// How the objects of a place are arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    pub layout: Layout,
    /// The organization, in OpenObserve's layout.
    pub org: String,
}

/// How objects are laid out in folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[stream/][files/]{org}/{type}/{stream}/{Y}/{M}/{D}/{H}/**.parquet`, as OpenObserve keeps its objects.
    OpenObserve,
    /// `{dataset}/yyyy=/mm=/dd=/hh=/mm=/*`, any prefix of these keys, and any other `key=value` folders in between.
    Hive,
    /// One object, or a folder of objects, whose names tell their dataset.
    Plain,
}

impl FromStr for Layout {
    type Err = SourceError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "openobserve" => Ok(Layout::OpenObserve),
            "hive" => Ok(Layout::Hive),
            "plain" => Ok(Layout::Plain),
            _ => Err(SourceError::config(
                format!("layout \"{s}\" is not known"),
                "Valid layouts are: openobserve, hive, plain.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_names() {
        assert_eq!("hive".parse::<Layout>().unwrap(), Layout::Hive);
        let hint = "x".parse::<Layout>().unwrap_err().hint.unwrap();
        assert!(hint.contains("openobserve, hive, plain"));
    }
}
